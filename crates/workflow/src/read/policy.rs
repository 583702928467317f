//! `retry`, `timeout`, `memory` and `parallelism`, of a stage and in `defaults`; what is left to `placement` is read there.

use std::time::Duration;

use marquetry_types::{Parallelism, codes};

use super::placement::Placing;
use super::throttle::{GroupOf, Throttling};
use super::{Reader, keys, quantity};
use crate::words::suggestion;
use crate::yaml::{Entry, Node, Yaml};
use crate::{Retry, RetryOn};

/// The most attempts that a stage may have.
const MAX_ATTEMPTS: i64 = 100;
/// The least memory that a stage can do anything in.
const MIN_MEMORY: u64 = 1 << 20;

/// What a stage says about being tried, where it says so.
#[derive(Debug, Clone, Default)]
pub(super) struct Policy {
    pub(super) attempts: Option<u32>,
    pub(super) initial: Option<Duration>,
    pub(super) factor: Option<f64>,
    pub(super) max: Option<Duration>,
    pub(super) on: Option<RetryOn>,
    pub(super) timeout: Option<Duration>,
    pub(super) stage_timeout: Option<Duration>,
    pub(super) placing: Placing,
    pub(super) memory: Option<u64>,
    pub(super) parallelism: Option<Parallelism>,
    pub(super) throttling: Throttling,
}

impl Policy {
    /// The retry policy: what the stage says, else what `defaults` says, else the built-in one.
    pub(super) fn retry(&self, defaults: &Self) -> Retry {
        let built_in = Retry::default();
        let initial = self
            .initial
            .or(defaults.initial)
            .unwrap_or(built_in.initial);
        Retry {
            attempts: self
                .attempts
                .or(defaults.attempts)
                .unwrap_or(built_in.attempts),
            initial,
            factor: self.factor.or(defaults.factor).unwrap_or(built_in.factor),
            // A first pause that is longer than an inherited longest one is what was asked for.
            max: self
                .max
                .or(defaults.max)
                .unwrap_or(built_in.max)
                .max(initial),
            on: self.on.or(defaults.on).unwrap_or(built_in.on),
        }
    }
}

impl Reader<'_> {
    pub(super) fn defaults(&mut self, node: &Node) -> Policy {
        let mut policy = Policy::default();
        for entry in self.map(node, "`defaults`", "defaults: { timeout: 30m }") {
            let throttling = &mut policy.throttling;
            if !self.throttling_key(entry, throttling, &mut GroupOf::Defaults)
                && !self.policy_key(entry, &mut policy)
            {
                self.unknown_key(entry, &keys::DEFAULTS);
            }
        }
        policy
    }

    /// Reads the entry if it is one of a policy, and says whether it is.
    pub(super) fn policy_key(&mut self, entry: &Entry, policy: &mut Policy) -> bool {
        match entry.key.as_str() {
            "retry" => self.retry(&entry.value, policy),
            "timeout" => self.timeout(&entry.value, policy),
            "memory" => policy.memory = self.memory(&entry.value),
            "parallelism" => policy.parallelism = self.parallelism(&entry.value),
            _ => return self.placing_key(entry, &mut policy.placing),
        }
        true
    }

    fn retry(&mut self, node: &Node, policy: &mut Policy) {
        if let Yaml::Int(attempts) = node.value {
            let help = format!("write `retry: {{ attempts: {attempts} }}`");
            self.wrong(node, "`retry` must be a mapping", &help);
            return;
        }
        for entry in self.map(node, "`retry`", "retry: { attempts: 3 }") {
            match entry.key.as_str() {
                "attempts" => policy.attempts = self.attempts(&entry.value),
                "backoff" => self.backoff(&entry.value, policy),
                "on" => policy.on = self.retry_on(&entry.value),
                _ => {
                    let is_backoff = keys::BACKOFF.keys.contains(&entry.key.as_str());
                    let advice = is_backoff.then(|| {
                        format!(
                            "it stands under `backoff`: `backoff: {{ {}: … }}`",
                            entry.key
                        )
                    });
                    self.unknown_key_with(entry, &keys::RETRY, advice);
                }
            }
        }
    }

    /// `timeout: 10m` for an attempt, `timeout: { attempt: 10m, stage: 1h }` for both.
    fn timeout(&mut self, node: &Node, policy: &mut Policy) {
        let Yaml::Map(entries) = &node.value else {
            policy.timeout = self.duration(node, "a timeout");
            return;
        };
        for entry in entries {
            match entry.key.as_str() {
                "attempt" => policy.timeout = self.duration(&entry.value, "`attempt`"),
                "stage" => policy.stage_timeout = self.duration(&entry.value, "`stage`"),
                _ => self.unknown_key(entry, &keys::TIMEOUT),
            }
        }
        if let (Some(attempt), Some(stage)) = (policy.timeout, policy.stage_timeout)
            && stage < attempt
        {
            let message = "the timeout of the stage is shorter than that of one attempt";
            let help = "`stage` counts all attempts with the pauses between them";
            self.error(node.span, codes::WRONG_VALUE, message, help);
        }
    }

    /// The classes of failures after which a stage is tried again.
    fn retry_on(&mut self, node: &Node) -> Option<RetryOn> {
        let items = match &node.value {
            Yaml::List(items) => items.as_slice(),
            Yaml::Text { .. } => std::slice::from_ref(node),
            _ => {
                let help = "write it as in `on: [transient]`";
                self.wrong(node, "`on` must be a list of classes of failures", help);
                return None;
            }
        };
        let mut on = RetryOn {
            transient: false,
            resource_exhausted: false,
        };
        for item in items {
            match self.text(item, "a class of failures") {
                Some("transient") => on.transient = true,
                Some("resource_exhausted") => on.resource_exhausted = true,
                Some(other) => {
                    let classes = ["transient", "resource_exhausted"];
                    let help = suggestion(
                        other,
                        classes,
                        "the classes that another attempt may survive are",
                    );
                    self.wrong(
                        item,
                        "there is no such class of failures",
                        &help.unwrap_or_default(),
                    );
                }
                None => {}
            }
        }
        Some(on)
    }

    fn attempts(&mut self, node: &Node) -> Option<u32> {
        match node.value {
            Yaml::Int(attempts) if (1..=MAX_ATTEMPTS).contains(&attempts) => {
                u32::try_from(attempts).ok()
            }
            _ => {
                self.wrong(
                    node,
                    "`attempts` must be a whole number from 1 to 100",
                    "it counts all attempts: 1 means that a stage is never tried again",
                );
                None
            }
        }
    }

    fn backoff(&mut self, node: &Node, policy: &mut Policy) {
        let example = "backoff: { initial: 1s, factor: 2, max: 1m }";
        for entry in self.map(node, "`backoff`", example) {
            match entry.key.as_str() {
                "initial" => policy.initial = self.duration(&entry.value, "`initial`"),
                "max" => policy.max = self.duration(&entry.value, "`max`"),
                "factor" => policy.factor = self.factor(&entry.value),
                _ => self.unknown_key(entry, &keys::BACKOFF),
            }
        }
        if let (Some(initial), Some(max)) = (policy.initial, policy.max)
            && max < initial
        {
            let message = "the longest pause, `max`, is shorter than the first one, `initial`";
            let help = "make `max` at least as long as `initial`";
            self.error(node.span, codes::WRONG_VALUE, message, help);
        }
    }

    fn factor(&mut self, node: &Node) -> Option<f64> {
        let factor = match node.value {
            #[expect(
                clippy::cast_precision_loss,
                reason = "checked to be at most 100 below"
            )]
            Yaml::Int(integer) => Some(integer as f64),
            Yaml::Float(float) => Some(float),
            _ => None,
        };
        let fits = factor.filter(|factor| (1.0..=100.0).contains(factor));
        if fits.is_none() {
            self.wrong(
                node,
                "`factor` must be a number from 1 to 100",
                "each pause is that many times as long as the one before it; 1 keeps them equal",
            );
        }
        fits
    }

    /// A duration above zero.
    pub(super) fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let expected = format!("{what} must be a duration");
        let help = "write a number and a unit, as in `500ms`, `30s`, `10m`, `1h30m`";
        match &node.value {
            Yaml::Int(number) if *number > 0 => {
                let help =
                    format!("say the unit: `{number}s` for seconds, `{number}m` for minutes");
                self.wrong(node, &expected, &help);
                None
            }
            Yaml::Text { .. } => {
                let text = self.text(node, what)?;
                match quantity::duration(text) {
                    Ok(duration) if duration.is_zero() => {
                        self.wrong(node, &format!("{what} must be longer than nothing"), help);
                        None
                    }
                    Ok(duration) => Some(duration),
                    Err(why) => {
                        self.unit_error(node, &expected, &why, help);
                        None
                    }
                }
            }
            _ => {
                self.wrong(node, &expected, help);
                None
            }
        }
    }

    fn memory(&mut self, node: &Node) -> Option<u64> {
        let help = "write a number and a unit, as in `512MB` or `2GiB`";
        let expected = "`memory` must be a size";
        match &node.value {
            Yaml::Text { .. } => {
                let text = self.text(node, "`memory`")?;
                match quantity::size(text) {
                    Ok(bytes) if bytes < MIN_MEMORY => {
                        self.wrong(node, "`memory` must be at least 1MiB", help);
                        None
                    }
                    Ok(bytes) => Some(bytes),
                    Err(why) => {
                        self.unit_error(node, expected, &why, help);
                        None
                    }
                }
            }
            _ => {
                self.wrong(node, expected, help);
                None
            }
        }
    }

    fn parallelism(&mut self, node: &Node) -> Option<Parallelism> {
        let text = self.text(node, "`parallelism`")?;
        let known = Parallelism::ALL.into_iter();
        let found = known.clone().find(|way| way.as_str() == text);
        if found.is_none() {
            let words = known.map(Parallelism::as_str);
            let help = suggestion(text, words, "queries run in one of these ways:");
            let message = "`parallelism` must be local, cluster or auto";
            self.wrong(node, message, &help.unwrap_or_default());
        }
        found
    }

    fn unit_error(&mut self, node: &Node, expected: &str, why: &str, help: &str) {
        let message = format!("{expected}, got {}: {why}", node.value.describe());
        self.error(node.span, codes::WRONG_VALUE, &message, help);
    }
}
