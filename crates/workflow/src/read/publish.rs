//! `publish`: which outputs become versions of published tables. The policy that a stage teaches is
//! published without being asked for.

use std::collections::HashMap;

use indexmap::IndexMap;
use marquetry_types::{POLICY_OUTPUT, PolicyUse, PublishedKind, StageName, codes};

use super::Reader;
use super::stage::Header;
use crate::words::{quoted, suggestion};
use crate::yaml::{Entry, Node, Yaml};
use crate::{ConfigValue, Publish, Stage};

/// The version of a policy that a stage with these options publishes.
pub(super) fn taught(with: &ConfigValue) -> Option<Publish> {
    let mut found: Option<PolicyUse> = None;
    with.each_policy(&mut |policy| {
        if policy.learns {
            found = Some(policy.clone());
        }
    });
    found.map(|policy| Publish {
        output: POLICY_OUTPUT.to_owned(),
        kind: PublishedKind::Policy,
        name: policy.name,
    })
}

impl Reader<'_> {
    /// `publish: NAME` for the first output, `publish: { OUTPUT: NAME }` for any.
    pub(super) fn publish(&mut self, entry: &Entry, header: &Header<'_, '_>) -> Vec<Publish> {
        let outputs: Vec<&str> = match header.descriptor {
            Some(descriptor) => {
                let outputs = descriptor.outputs.iter();
                outputs.map(|output| output.name.as_str()).collect()
            }
            None => return Vec::new(),
        };
        let named = match &entry.value.value {
            Yaml::Map(entries) => {
                let entries = entries.iter();
                entries
                    .filter_map(|entry| {
                        let output = entry.key.as_str();
                        if !outputs.contains(&output) {
                            let message = format!("the stage has no output {}", quoted(output));
                            let help =
                                suggestion(output, outputs.iter().copied(), "its outputs are")
                                    .unwrap_or_else(|| "it gives no outputs".to_owned());
                            let code = codes::UNKNOWN_REFERENCE;
                            self.error(entry.key_span, code, &message, &help);
                            return None;
                        }
                        Some((output, &entry.value))
                    })
                    .collect()
            }
            Yaml::Text { .. } => match outputs.first() {
                Some(first) => vec![(*first, &entry.value)],
                None => {
                    let message = "the stage gives no output to publish";
                    let help = "put `publish` on the stage whose output it is";
                    self.error(entry.key_span, codes::UNKNOWN_REFERENCE, message, help);
                    Vec::new()
                }
            },
            _ => {
                let help = "write `publish: segments`, or `publish: { OUTPUT: NAME }` for another output than the first";
                self.wrong(&entry.value, "`publish` must be a name", help);
                Vec::new()
            }
        };
        let published = named.into_iter();
        published
            .filter_map(|(output, node)| self.table(output, node))
            .collect()
    }

    fn table(&mut self, output: &str, node: &Node) -> Option<Publish> {
        let text = self.text(node, "the name of a table")?;
        let name = self.published_name(node.span, text, "table")?;
        Some(Publish {
            output: output.to_owned(),
            kind: PublishedKind::Table,
            name,
        })
    }

    /// Two stages that publish the same would each make the other's version stale.
    pub(super) fn published_once(
        &mut self,
        headers: &[Header<'_, '_>],
        stages: &IndexMap<StageName, Stage>,
    ) {
        let mut first: HashMap<_, &str> = HashMap::new();
        for header in headers {
            let name = header.entry.key.as_str();
            let Some(stage) = stages.get(name) else {
                continue;
            };
            for publish in &stage.publish {
                let Some(other) = first.insert((publish.kind, &publish.name), name) else {
                    continue;
                };
                let what = publish.kind.as_str();
                let message = format!(
                    "the stages `{other}` and `{name}` both publish the {what} {}",
                    quoted(publish.name.as_str())
                );
                let help =
                    "a run publishes a version of a name once: give one of them another name";
                let says_so = match publish.kind {
                    PublishedKind::Table => "publish",
                    PublishedKind::Policy => "with",
                };
                let mut keys = header.entries.iter();
                let key = keys.find(|entry| entry.key == says_so);
                let span = key.map_or(header.entry.key_span, |entry| entry.key_span);
                self.error(span, codes::WRONG_VALUE, &message, help);
            }
        }
    }
}
