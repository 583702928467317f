//! A gauge for each queue. The names of queues stand in workflows, so whoever may submit makes them up:
//! there are only so many at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use marquetry_types::QueueName;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Queues that stay in the text when they are empty.
const KEPT: usize = 100;

type Label = [(&'static str, Arc<str>); 1];

/// Gauges by queue.
#[derive(Debug)]
pub(super) struct Queues {
    family: Family<Label, Gauge>,
    /// What is shown. Whoever shows holds it, and nobody else does.
    shown: Mutex<BTreeMap<QueueName, Shown>>,
}

#[derive(Debug)]
struct Shown {
    label: Label,
    gauge: Gauge,
    count: usize,
}

impl Queues {
    /// With a gauge for the queue of stages that name none.
    pub(super) fn register(registry: &mut Registry, name: &str, help: &str) -> Self {
        let family = Family::default();
        registry.register(name, help, family.clone());
        let queues = Self {
            family,
            shown: Mutex::default(),
        };
        queues.show([(&QueueName::default(), 0)]);
        queues
    }

    /// Shows these sums, and nought for every other queue.
    pub(super) fn show<'a>(&self, counts: impl IntoIterator<Item = (&'a QueueName, usize)>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for shown in shown.values_mut() {
            shown.count = 0;
        }
        for (queue, count) in counts {
            if let Some(shown) = shown.get_mut(queue) {
                shown.count = shown.count.saturating_add(count);
                continue;
            }
            let label = [("queue", Arc::from(queue.as_str()))];
            let gauge = self.family.get_or_create_owned(&label);
            let new = Shown {
                label,
                gauge,
                count,
            };
            shown.insert(queue.clone(), new);
        }
        let mut surplus = shown.len().saturating_sub(KEPT);
        shown.retain(|_, shown| {
            super::set(&shown.gauge, shown.count);
            let is_kept = surplus == 0 || shown.count > 0;
            if !is_kept {
                surplus -= 1;
                self.family.remove(&shown.label);
            }
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn a_queue_shows_the_sum_of_its_lines_and_stays_when_it_is_empty() {
        let mut registry = Registry::default();
        let queues = Queues::register(&mut registry, "ready", "");
        let gpu: QueueName = "gpu".parse().unwrap();
        let any = QueueName::default();
        queues.show([(&gpu, 2), (&any, 1), (&gpu, 3)]);
        assert!(text(&registry).contains("ready{queue=\"gpu\"} 5\n"));
        assert!(text(&registry).contains("ready{queue=\"default\"} 1\n"));
        queues.show([(&any, 1)]);
        assert!(text(&registry).contains("ready{queue=\"gpu\"} 0\n"));
    }

    #[test]
    fn names_that_are_made_up_do_not_stay() {
        let mut registry = Registry::default();
        let queues = Queues::register(&mut registry, "ready", "");
        for number in 0..1000 {
            let queue: QueueName = format!("q{number}").parse().unwrap();
            queues.show([(&queue, 1)]);
        }
        let samples = text(&registry).matches("ready{").count();
        assert!(samples <= KEPT + 1, "{samples}");
    }
}
