//! `queue`, `labels` and `priority`, of a stage and in `defaults`.

use std::collections::BTreeMap;

use marquetry_types::{QueueName, codes, is_label};

use super::Reader;
use crate::Placement;
use crate::words::quoted;
use crate::yaml::{Entry, Node, Yaml};

/// The highest priority; the lowest is its opposite.
const MAX_PRIORITY: i64 = 100;

/// What a stage says about where it runs, where it says so.
#[derive(Debug, Clone, Default)]
pub(super) struct Placing {
    queue: Option<QueueName>,
    labels: Option<BTreeMap<String, String>>,
    priority: Option<i32>,
}

impl Placing {
    /// What the stage says, else what `defaults` says, else nothing in particular.
    pub(super) fn placement(&self, defaults: &Self) -> Placement {
        let queue = self.queue.as_ref().or(defaults.queue.as_ref());
        let labels = self.labels.as_ref().or(defaults.labels.as_ref());
        Placement {
            queue: queue.cloned().unwrap_or_default(),
            labels: labels.cloned().unwrap_or_default(),
            priority: self.priority.or(defaults.priority).unwrap_or(0),
        }
    }
}

impl Reader<'_> {
    /// Reads the entry if it says where a stage runs, and says whether it does.
    pub(super) fn placing_key(&mut self, entry: &Entry, placing: &mut Placing) -> bool {
        match entry.key.as_str() {
            "queue" => placing.queue = self.queue(&entry.value),
            "labels" => placing.labels = Some(self.labels(&entry.value)),
            "priority" => placing.priority = self.priority(&entry.value),
            _ => return false,
        }
        true
    }

    fn queue(&mut self, node: &Node) -> Option<QueueName> {
        let text = self.text(node, "a queue")?;
        match QueueName::try_from(text.to_owned()) {
            Ok(queue) => Some(queue),
            Err(error) => {
                let message = format!("{} cannot name a queue", quoted(text));
                let help = format!("a name is {}", error.rule);
                self.error(node.span, codes::BAD_NAME, &message, &help);
                None
            }
        }
    }

    fn labels(&mut self, node: &Node) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        for entry in self.map(node, "`labels`", "labels: { zone: a }") {
            let Some(value) = self.text(&entry.value, "a label") else {
                continue;
            };
            for (text, span) in [
                (entry.key.as_str(), entry.key_span),
                (value, entry.value.span),
            ] {
                if !is_label(text) {
                    let message = format!("{} cannot be a label", quoted(text));
                    let help = "a label is 1 to 64 letters, digits, `-`, `_`, `.` or `/`";
                    self.error(span, codes::BAD_NAME, &message, help);
                }
            }
            labels.insert(entry.key.clone(), value.to_owned());
        }
        labels
    }

    fn priority(&mut self, node: &Node) -> Option<i32> {
        match node.value {
            Yaml::Int(priority) if (-MAX_PRIORITY..=MAX_PRIORITY).contains(&priority) => {
                i32::try_from(priority).ok()
            }
            _ => {
                self.wrong(
                    node,
                    "`priority` must be a whole number from -100 to 100",
                    "of stages that wait for the same workers the highest goes first; 0 is the usual one",
                );
                None
            }
        }
    }
}
