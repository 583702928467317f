//! `concurrency` and `rate`, of a stage and in `defaults`: what holds a stage back though a worker is free.

use std::time::Duration;

use marquetry_script::Template;
use marquetry_types::codes;

use super::graph::Needs;
use super::stage::Header;
use super::{Context, Reader, keys};
use crate::yaml::{Entry, Node, Yaml};
use crate::{StageConcurrency, StageRate, Throttle};

/// The most attempts of a group that may run at a time, or begin in a while.
const MAX_LIMIT: i64 = 100_000;

/// `concurrency` as it stands in the file; without a group it is the stage's own.
#[derive(Debug, Clone)]
pub(super) struct Concurrent {
    group: Option<Template>,
    limit: u32,
}

/// `rate` as it stands in the file; without a group it is the stage's own.
#[derive(Debug, Clone)]
pub(super) struct Paced {
    group: Option<Template>,
    limit: u32,
    per: Duration,
    burst: u32,
}

/// What a stage, or `defaults`, says about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Throttling {
    concurrency: Option<Concurrent>,
    rate: Option<Paced>,
}

impl Throttling {
    /// What the stage says, else what `defaults` says, for the stage with that name in that workflow.
    pub(super) fn throttle(&self, defaults: &Self, workflow: &str, stage: &str) -> Throttle {
        let own = || Template::Literal(format!("{workflow}/{stage}").into());
        let concurrency = self.concurrency.as_ref().or(defaults.concurrency.as_ref());
        let rate = self.rate.as_ref().or(defaults.rate.as_ref());
        Throttle {
            concurrency: concurrency.map(|it| StageConcurrency {
                group: it.group.clone().unwrap_or_else(own),
                limit: it.limit,
            }),
            rate: rate.map(|it| StageRate {
                group: it.group.clone().unwrap_or_else(own),
                limit: it.limit,
                per: it.per,
                burst: it.burst,
            }),
        }
    }
}

/// Where a group stands, and so what its name can be made of.
pub(super) enum GroupOf<'r, 'c> {
    /// All stages: its name is written out.
    Defaults,
    /// A stage: its name is made of what the stage reads.
    Stage {
        header: &'r Header<'r, 'c>,
        context: &'r Context<'c>,
        needs: &'r mut Needs,
    },
}

impl Reader<'_> {
    /// Reads the entry if it says what holds a stage back, and says whether it does.
    pub(super) fn throttling_key(
        &mut self,
        entry: &Entry,
        throttling: &mut Throttling,
        of: &mut GroupOf<'_, '_>,
    ) -> bool {
        let is_one = matches!(entry.key.as_str(), "concurrency" | "rate");
        if is_one && self.takes_no_worker(entry, of) {
            return true;
        }
        match entry.key.as_str() {
            "concurrency" => throttling.concurrency = self.stage_concurrency(entry, of),
            "rate" => throttling.rate = self.rate(entry, of),
            _ => return false,
        }
        true
    }

    /// Refuses what holds attempts back for a stage that has none.
    fn takes_no_worker(&mut self, entry: &Entry, of: &GroupOf<'_, '_>) -> bool {
        let GroupOf::Stage { header, .. } = of else {
            return false;
        };
        let Some(control) = header.control() else {
            return false;
        };
        let message = format!("a `{control}` has no `{}`: it takes no worker", entry.key);
        let help = "put it on a stage that a worker runs";
        self.error(entry.key_span, codes::WRONG_VALUE, &message, help);
        true
    }

    /// `concurrency: { group: warehouse, limit: 4 }`, or `concurrency: 4` for the stage's own group.
    fn stage_concurrency(&mut self, entry: &Entry, of: &mut GroupOf<'_, '_>) -> Option<Concurrent> {
        let what = "it counts the attempts of the group that run at a time, over all runs";
        if matches!(entry.value.value, Yaml::Int(_)) {
            let limit = self.throttle_limit(&entry.value, what)?;
            return Some(Concurrent { group: None, limit });
        }
        let example = "concurrency: { group: warehouse, limit: 4 }";
        let entries = self.map(&entry.value, "`concurrency`", example);
        let (mut group, mut limit) = (None, None);
        for entry in entries {
            match entry.key.as_str() {
                "group" => group = self.throttle_group(&entry.value, of),
                "limit" => limit = self.throttle_limit(&entry.value, what),
                "on_conflict" => {
                    let advice = "a stage waits for its turn; `on_conflict` belongs to the `concurrency` of the whole workflow";
                    self.unknown_key_with(entry, &keys::STAGE_CONCURRENCY, Some(advice.to_owned()));
                }
                _ => self.unknown_key(entry, &keys::STAGE_CONCURRENCY),
            }
        }
        self.requires(
            entry,
            entries,
            &keys::STAGE_CONCURRENCY,
            &["limit"],
            example,
        );
        Some(Concurrent {
            group,
            limit: limit?,
        })
    }

    /// `rate: { group: api, limit: 100, per: 1m, burst: 10 }`.
    fn rate(&mut self, entry: &Entry, of: &mut GroupOf<'_, '_>) -> Option<Paced> {
        let example = "rate: { group: api, limit: 100, per: 1m }";
        let entries = self.map(&entry.value, "`rate`", example);
        let (mut group, mut limit, mut per, mut burst) = (None, None, None, None);
        let what = "it counts the attempts of the group that begin in `per`, over all runs";
        for entry in entries {
            match entry.key.as_str() {
                "group" => group = self.throttle_group(&entry.value, of),
                "limit" => limit = self.throttle_limit(&entry.value, what),
                "per" => per = self.duration(&entry.value, "`per`"),
                "burst" => {
                    let what = "it counts the attempts that may begin at once after a quiet while";
                    burst = self
                        .throttle_limit(&entry.value, what)
                        .map(|burst| (burst, &entry.value));
                }
                _ => self.unknown_key(entry, &keys::RATE),
            }
        }
        self.requires(entry, entries, &keys::RATE, &["limit", "per"], example);
        let (limit, per) = (limit?, per?);
        if let Some((_, node)) = burst.filter(|(burst, _)| *burst > limit) {
            let help =
                "leave it out for as many as `limit`, or make it smaller; 1 spaces attempts evenly";
            self.wrong(node, "`burst` must be at most `limit`", help);
            return None;
        }
        Some(Paced {
            group,
            limit,
            per,
            burst: burst.map_or(limit, |(burst, _)| burst),
        })
    }

    fn requires(
        &mut self,
        entry: &Entry,
        entries: &[Entry],
        place: &keys::Place,
        required: &[&str],
        example: &str,
    ) {
        if !matches!(entry.value.value, Yaml::Map(_) | Yaml::Null) {
            return;
        }
        let is_there = |key: &str| entries.iter().any(|entry| entry.key == key);
        let missing = required
            .iter()
            .find(|key| !is_there(key) && !keys::is_misspelt(entries, place, key));
        if let Some(missing) = missing {
            let message = format!("`{}` has no `{missing}`", entry.key);
            let help = format!("write it as in `{example}`");
            self.error(entry.key_span, codes::MISSING_KEY, &message, &help);
        }
    }

    fn throttle_group(&mut self, node: &Node, of: &mut GroupOf<'_, '_>) -> Option<Template> {
        let template = self.group_name(node, "api-${{ params.region }}")?;
        match of {
            GroupOf::Defaults if template.expressions().next().is_some() => {
                let message = "`group` in `defaults` holds an expression";
                let help = "write the name out, or let each stage have a `group` of its own";
                self.error(node.span, codes::WRONG_VALUE, message, help);
                return None;
            }
            GroupOf::Defaults => {}
            GroupOf::Stage {
                header,
                context,
                needs,
            } => {
                let own = header.entry.key.as_str();
                self.template(node, &template, own, context, needs);
            }
        }
        Some(template)
    }

    fn throttle_limit(&mut self, node: &Node, what: &str) -> Option<u32> {
        match node.value {
            Yaml::Int(limit) if (1..=MAX_LIMIT).contains(&limit) => u32::try_from(limit).ok(),
            _ => {
                let expected = "it must be a whole number from 1 to 100000";
                self.wrong(node, expected, what);
                None
            }
        }
    }
}
