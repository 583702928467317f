//! `concurrency`: how many runs of a group run at a time.

use marquetry_script::Template;
use marquetry_types::codes;

use super::graph::Needs;
use super::{Context, Reader, keys};
use crate::words::suggestion;
use crate::yaml::{Entry, Node, Yaml};
use crate::{Concurrency, OnConflict};

/// The most runs of a group that may run at a time.
const MAX_LIMIT: i64 = 10_000;
const ON_CONFLICT: [(&str, OnConflict); 3] = [
    ("queue", OnConflict::Queue),
    ("cancel_running", OnConflict::CancelRunning),
    ("reject", OnConflict::Reject),
];

impl Reader<'_> {
    /// `concurrency: { group: …, limit: 1, on_conflict: queue }`; the group is the workflow's own if it
    /// has no name.
    pub(super) fn concurrency(
        &mut self,
        entry: &Entry,
        workflow: &str,
        context: &Context<'_>,
    ) -> Concurrency {
        let mut concurrency = Concurrency {
            group: Template::Literal(workflow.into()),
            limit: 1,
            on_conflict: OnConflict::Queue,
        };
        let example = "concurrency: { limit: 1, on_conflict: queue }";
        for entry in self.map(&entry.value, "`concurrency`", example) {
            match entry.key.as_str() {
                "group" => {
                    if let Some(group) = self.group(&entry.value, context) {
                        concurrency.group = group;
                    }
                }
                "limit" => concurrency.limit = self.limit(&entry.value).unwrap_or(1),
                "on_conflict" => {
                    concurrency.on_conflict = self.on_conflict(&entry.value).unwrap_or_default();
                }
                _ => self.unknown_key(entry, &keys::CONCURRENCY),
            }
        }
        concurrency
    }

    /// The name of a group as it stands in the file.
    pub(super) fn group_name(&mut self, node: &Node, example: &str) -> Option<Template> {
        let Yaml::Text { text, .. } = &node.value else {
            let help = format!("write a name, as in `group: \"{example}\"`");
            self.wrong(node, "`group` must be a text", &help);
            return None;
        };
        match Template::parse(text) {
            Ok(template) => Some(template),
            Err(error) => {
                self.script_error(node, &error, "the expression does not parse");
                None
            }
        }
    }

    fn group(&mut self, node: &Node, context: &Context<'_>) -> Option<Template> {
        let template = self.group_name(node, "retail-${{ params.region }}")?;
        let reads_params_only = template.expressions().all(|expression| {
            let mut references = expression.references().iter();
            references.all(|reference| reference.path.first().is_some_and(|root| root == "params"))
        });
        if !reads_params_only {
            let message = "the name of a group reads more than parameters";
            let help = "it is known before the run begins: read `params.NAME`";
            self.error(node.span, codes::WRONG_VALUE, message, help);
            return None;
        }
        let mut needs = Needs::default();
        self.template(node, &template, "", context, &mut needs);
        Some(template)
    }

    fn limit(&mut self, node: &Node) -> Option<u32> {
        match node.value {
            Yaml::Int(limit) if (1..=MAX_LIMIT).contains(&limit) => u32::try_from(limit).ok(),
            _ => {
                self.wrong(
                    node,
                    "`limit` must be a whole number from 1 to 10000",
                    "it counts the runs of the group that run at a time",
                );
                None
            }
        }
    }

    fn on_conflict(&mut self, node: &Node) -> Option<OnConflict> {
        let text = self.text(node, "`on_conflict`")?;
        let found = ON_CONFLICT.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let names = ON_CONFLICT.iter().map(|(name, _)| *name);
            let help = suggestion(text, names, "it takes").unwrap_or_default();
            self.wrong(
                node,
                "`on_conflict` must say what becomes of a run that comes while the group is full",
                &help,
            );
        }
        found.map(|(_, on_conflict)| *on_conflict)
    }
}
