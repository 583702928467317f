//! `for_each`: the list, for each item of which a stage runs once.

use marquetry_types::codes;

use super::graph::Needs;
use super::stage::Header;
use super::{Context, Reader, keys};
use crate::yaml::{Entry, Node, Yaml};
use crate::{ConfigValue, ControlKind, ForEach};

impl Reader<'_> {
    /// `for_each: LIST`, or `for_each: { items: LIST, limit: 10 }`.
    pub(super) fn for_each(
        &mut self,
        entry: &Entry,
        header: &Header<'_, '_>,
        context: &Context<'_>,
        needs: &mut Needs,
    ) -> Option<ForEach> {
        let control = header.descriptor.and_then(|it| ControlKind::of(&it.kind));
        if control.is_some_and(|control| control != ControlKind::Run) {
            let message = "a stage that waits cannot run once for each item";
            let help = "let the stage after it have `for_each`";
            self.error(entry.key_span, codes::WRONG_VALUE, message, help);
            return None;
        }
        let own = header.entry.key.as_str();
        let Yaml::Map(entries) = &entry.value.value else {
            let items = self.items(&entry.value, own, context, needs)?;
            return Some(ForEach { items, limit: None });
        };
        let mut items = None;
        let mut limit = None;
        for entry in entries {
            match entry.key.as_str() {
                "items" => items = self.items(&entry.value, own, context, needs),
                "limit" => limit = self.item_limit(&entry.value),
                _ => self.unknown_key(entry, &keys::FOR_EACH),
            }
        }
        let has_items = entries.iter().any(|entry| entry.key == "items");
        if !has_items && !keys::is_misspelt(entries, &keys::FOR_EACH, "items") {
            let message = "`for_each` has no `items`";
            let help = "write it as in `for_each: { items: \"${{ params.regions }}\", limit: 10 }`";
            self.error(entry.key_span, codes::MISSING_KEY, message, help);
        }
        Some(ForEach {
            items: items?,
            limit,
        })
    }

    fn items(
        &mut self,
        node: &Node,
        own: &str,
        context: &Context<'_>,
        needs: &mut Needs,
    ) -> Option<ConfigValue> {
        let is_list = match &node.value {
            Yaml::List(_) => true,
            Yaml::Text { text, .. } => text.contains("${{"),
            _ => false,
        };
        if !is_list {
            let help = "write a list, or an expression that gives one, as in `for_each: \"${{ params.regions }}\"`";
            self.wrong(node, "`for_each` must be a list", help);
            return None;
        }
        self.value(node, own, context, needs)
    }

    fn item_limit(&mut self, node: &Node) -> Option<u32> {
        match node.value {
            Yaml::Int(limit) if (1..=10_000).contains(&limit) => u32::try_from(limit).ok(),
            _ => {
                self.wrong(
                    node,
                    "`limit` must be a whole number from 1 to 10000",
                    "it counts the items that run at a time",
                );
                None
            }
        }
    }
}
