//! `cache`: whether what a stage gave before is used again.

use marquetry_types::codes;

use super::stage::Header;
use super::{Context, Reader, keys};
use crate::yaml::{Entry, Yaml};
use crate::{Cache, ConfigValue};

impl Reader<'_> {
    /// `cache: true`, or `cache: { max_age: 7d }`.
    pub(super) fn cache(
        &mut self,
        entry: &Entry,
        header: &Header<'_, '_>,
        with: Option<&ConfigValue>,
        context: &Context<'_>,
    ) -> Option<Cache> {
        let mut max_age = None;
        match &entry.value.value {
            Yaml::Bool(false) => return None,
            Yaml::Bool(true) => {}
            Yaml::Map(entries) => {
                for entry in entries {
                    match entry.key.as_str() {
                        "max_age" => max_age = self.duration(&entry.value, "`max_age`"),
                        _ => self.unknown_key(entry, &keys::CACHE),
                    }
                }
            }
            _ => {
                let help = "write `cache: true`, or `cache: { max_age: 7d }`";
                self.wrong(
                    &entry.value,
                    "`cache` must be true, false or a mapping",
                    help,
                );
                return None;
            }
        }
        let descriptor = header.descriptor?;
        if !descriptor.is_pure {
            let message = format!("what `{}` gives cannot be used again", descriptor.kind);
            let help = "it follows from more than options, inputs and files: from the world outside, from a decision or from the run itself; `marquetry stages` says which kinds are pure";
            self.error(entry.key_span, codes::WRONG_VALUE, &message, help);
        }
        if with.is_some_and(ConfigValue::has_secret) {
            let message = "what a stage with secrets gives cannot be used again";
            let help = "nobody but the worker knows whether a secret is still the same: let a stage of its own read what needs it";
            self.error(entry.key_span, codes::WRONG_VALUE, message, help);
        }
        let texts = context.files.of_stage.iter();
        let digest = |path: &String| {
            let text = context.files.texts.get(path)?;
            Some((
                path.clone(),
                blake3::hash(text.as_bytes()).to_hex().to_string(),
            ))
        };
        Some(Cache {
            max_age,
            files: texts.filter_map(digest).collect(),
        })
    }
}
