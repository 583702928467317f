//! `on`: when a workflow runs by itself.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use marquetry_schedule::{CatchUp, Cron, CronError, Every, Jitter, Schedule, When, Zone};
use marquetry_script::nearest;
use marquetry_types::{ScheduleName, Timestamp, codes};
use serde_json::{Map, Value};

use super::params::Literal;
use super::{Context, Reader, keys, there_are};
use crate::ScheduleSpec;
use crate::words::{quoted, suggestion};
use crate::yaml::{Entry, Node, Yaml};

const EXAMPLE: &str = "write it as in `- schedule: \"0 3 * * *\"` or `- every: 15m`";
const CATCH_UP: [(&str, CatchUp); 3] = [
    ("skip", CatchUp::Skip),
    ("latest", CatchUp::Latest),
    ("all", CatchUp::All { limit: ALL_LIMIT }),
];
/// How many missed runs `catch_up: all` makes at a time.
const ALL_LIMIT: u32 = 100;
/// The most that it can be told to make.
const MAX_ALL_LIMIT: i64 = 1_000;
/// The most triggers of a workflow: each costs its coordinator a look at every tick.
const MAX_TRIGGERS: usize = 100;
/// The longest jitter. A delay beyond a day would be another schedule.
const MAX_JITTER: Duration = Duration::from_secs(24 * 60 * 60);

impl Reader<'_> {
    /// Every schedule of `on`.
    pub(super) fn schedules(
        &mut self,
        node: &Node,
        workflow: &str,
        context: &Context<'_>,
    ) -> Vec<ScheduleSpec> {
        let items = match &node.value {
            Yaml::List(items) => items.as_slice(),
            Yaml::Null => &[],
            _ => {
                self.wrong(node, "`on` must be a list of triggers", EXAMPLE);
                &[]
            }
        };
        if items.len() > MAX_TRIGGERS {
            let message = format!(
                "`on` has {} triggers, and a workflow may have {MAX_TRIGGERS}",
                items.len()
            );
            let help = "a rule has lists and ranges, as in `0,30 9-17 * * MON-FRI`";
            self.error(node.span, codes::WRONG_VALUE, &message, help);
            return Vec::new();
        }
        let mut schedules: Vec<ScheduleSpec> = Vec::with_capacity(items.len());
        let mut names = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let Yaml::Map(entries) = &item.value else {
                self.wrong(item, "a trigger must be a mapping", EXAMPLE);
                continue;
            };
            let Some(spec) = self.trigger(item, entries, index, workflow, context) else {
                continue;
            };
            if !names.insert(spec.name.clone()) {
                let stated = entries.iter().find(|entry| entry.key == "name");
                let span = stated.map_or(item.span, |entry| entry.value.span);
                let name = quoted(spec.name.as_str());
                let message = format!("two schedules have the name {name}");
                let help = "give one of them another `name`: runs are found by it";
                self.error(span, codes::WRONG_VALUE, &message, help);
            }
            schedules.push(spec);
        }
        schedules
    }

    fn trigger(
        &mut self,
        node: &Node,
        entries: &[Entry],
        index: usize,
        workflow: &str,
        context: &Context<'_>,
    ) -> Option<ScheduleSpec> {
        let mut name = format!("schedule-{}", index + 1).parse().ok();
        let mut enabled = true;
        let mut jitter = None;
        let mut params_entry = None;
        let mut schedule = self.rule(node, entries).map(Schedule::new);
        // What is wrong beside a rule that is wrong is told as well.
        let mut unused = Schedule::new(When::Every(Every::try_from(1_000).ok()?));
        let target = schedule.as_mut().unwrap_or(&mut unused);
        for entry in entries {
            let value = &entry.value;
            match entry.key.as_str() {
                "schedule" | "every" => {}
                "timezone" => target.timezone = self.timezone(entry, entries).unwrap_or_default(),
                "from" => target.from = self.instant(value, "`from`"),
                "to" => target.to = self.instant(value, "`to`"),
                "catch_up" => target.catch_up = self.catch_up(value).unwrap_or_default(),
                "jitter" => jitter = self.jitter(value),
                "params" => params_entry = Some(entry),
                "name" => name = self.schedule_name(value),
                "enabled" => enabled = self.enabled(value),
                _ => self.unknown_key(entry, &keys::TRIGGER),
            }
        }
        if let (Some(from), Some(to)) = (target.from, target.to)
            && to <= from
            && let Some(entry) = entries.iter().find(|entry| entry.key == "to")
        {
            let help = "nothing is due before `from`, nor at `to` or later";
            self.wrong(&entry.value, "`to` must be after `from`", help);
        }
        let params = self.values(node, params_entry, context);
        let name: ScheduleName = name?;
        target.jitter = jitter.map(|up_to| Jitter {
            up_to,
            seed: seed(workflow, &name),
        });
        Some(ScheduleSpec {
            name,
            schedule: schedule?,
            params,
            enabled,
        })
    }

    /// The rule of a trigger: one of two keys.
    fn rule(&mut self, node: &Node, entries: &[Entry]) -> Option<When> {
        let mut rules = entries
            .iter()
            .filter(|entry| matches!(entry.key.as_str(), "schedule" | "every"));
        let (first, second) = (rules.next(), rules.next());
        if let Some(second) = second {
            let message = "a trigger has both `schedule` and `every`";
            let help = "make two triggers of them";
            self.error(second.key_span, codes::WRONG_VALUE, message, help);
            return None;
        }
        let Some(entry) = first else {
            let is_told = entries
                .iter()
                .any(|entry| keys::TRIGGER.later.contains(&entry.key.as_str()));
            let is_misspelt = ["schedule", "every"]
                .iter()
                .any(|key| keys::is_misspelt(entries, &keys::TRIGGER, key));
            if !is_told && !is_misspelt {
                let message = "the trigger has neither `schedule` nor `every`";
                self.error(node.span, codes::MISSING_KEY, message, EXAMPLE);
            }
            return None;
        };
        if entry.key == "every" {
            self.every(&entry.value).map(When::Every)
        } else {
            self.cron(&entry.value).map(When::Cron)
        }
    }

    fn cron(&mut self, node: &Node) -> Option<Cron> {
        if !matches!(node.value, Yaml::Text { .. }) {
            let help = "write five fields of cron in quotes, as in `schedule: \"0 3 * * *\"`";
            self.wrong(node, "a schedule must be a text", help);
            return None;
        }
        let error: CronError = match self.text(node, "a schedule")?.parse() {
            Ok(cron) => return Some(cron),
            Err(error) => error,
        };
        let length = error.length.max(1);
        let span = self.source.place_in_scalar(node, error.offset, length);
        let problem = &error.problem;
        let message = match error.field {
            Some(field) => format!("the {field} of the schedule is wrong: {problem}"),
            None => format!("the schedule is wrong: {problem}"),
        };
        self.error(span, codes::WRONG_VALUE, &message, &error.help);
        None
    }

    fn every(&mut self, node: &Node) -> Option<Every> {
        let interval = self.duration(node, "an interval")?;
        let every = Every::new(interval);
        if every.is_err() {
            let help = "for what is more frequent than a second, let one run do more";
            self.wrong(node, "an interval must be at least `1s`", help);
        }
        every.ok()
    }

    fn timezone(&mut self, entry: &Entry, entries: &[Entry]) -> Option<Zone> {
        if entries.iter().any(|entry| entry.key == "every") {
            let message = "an interval has no time zone";
            let help = "`every` counts elapsed time; for times of the day write `schedule`, as in `schedule: \"0 3 * * *\"`";
            self.error(entry.key_span, codes::WRONG_VALUE, message, help);
            return None;
        }
        let text = self.text(&entry.value, "a time zone")?;
        let zone = text.parse();
        if zone.is_err() {
            let message = format!("there is no time zone {}", quoted(text));
            let meant = (!self.is_full()).then(|| zone_like(text)).flatten();
            let help = meant.map_or_else(
                || "take a name of the IANA database, as in `Europe/Berlin` or `UTC`".to_owned(),
                |name| format!("did you mean `{name}`?"),
            );
            self.error(entry.value.span, codes::WRONG_VALUE, &message, &help);
        }
        zone.ok()
    }

    fn instant(&mut self, node: &Node, what: &str) -> Option<Timestamp> {
        let text = self.text(node, what)?;
        let instant = text.parse();
        if instant.is_err() {
            let help = "write it as in `2026-12-01T06:00:00Z` or `2026-12-01T07:00:00+01:00`";
            self.wrong(node, &format!("{what} must be an instant"), help);
        }
        instant.ok()
    }

    /// `skip`, `latest`, `all`, or `{ all: 20 }`.
    fn catch_up(&mut self, node: &Node) -> Option<CatchUp> {
        if let Yaml::Map(entries) = &node.value
            && let [entry] = entries.as_slice()
            && entry.key == "all"
        {
            return match entry.value.value {
                Yaml::Int(limit) if (1..=MAX_ALL_LIMIT).contains(&limit) => {
                    let limit = u32::try_from(limit).ok()?;
                    Some(CatchUp::All { limit })
                }
                _ => {
                    let help = "it counts the missed runs that are made at a time";
                    let expected =
                        format!("`all` must be a whole number from 1 to {MAX_ALL_LIMIT}");
                    self.wrong(&entry.value, &expected, help);
                    None
                }
            };
        }
        let word = match &node.value {
            Yaml::Text { text, .. } => text.as_str(),
            _ => "",
        };
        let found = CATCH_UP.iter().find(|(name, _)| *name == word);
        if found.is_none() {
            let names = CATCH_UP.iter().map(|(name, _)| *name);
            let help = suggestion(word, names, "it takes").unwrap_or_default();
            let expected = "`catch_up` must say what becomes of times that were missed";
            self.wrong(node, expected, &help);
        }
        found.map(|(_, catch_up)| *catch_up)
    }

    fn jitter(&mut self, node: &Node) -> Option<Duration> {
        let up_to = self.duration(node, "a jitter")?;
        if up_to > MAX_JITTER {
            let help = "it spreads runs that would begin in the same second";
            self.wrong(node, "a jitter must be at most `24h`", help);
            return None;
        }
        Some(up_to)
    }

    fn schedule_name(&mut self, node: &Node) -> Option<ScheduleName> {
        let text = self.text(node, "the name of a schedule")?;
        match ScheduleName::try_from(text.to_owned()) {
            Ok(name) => Some(name),
            Err(error) => {
                let message = format!("{} cannot name a schedule", quoted(text));
                let help = format!("a name is {}", error.rule);
                self.error(node.span, codes::BAD_NAME, &message, &help);
                None
            }
        }
    }

    fn enabled(&mut self, node: &Node) -> bool {
        if let Yaml::Bool(enabled) = node.value {
            return enabled;
        }
        let help = "with `false` the schedule stands there and makes no runs";
        self.wrong(node, "`enabled` must be `true` or `false`", help);
        true
    }

    /// The values that a schedule gives to parameters. Its runs must be able to begin: whatever has no
    /// default must have a value here.
    fn values(
        &mut self,
        trigger: &Node,
        entry: Option<&Entry>,
        context: &Context<'_>,
    ) -> Map<String, Value> {
        let mut values = Map::new();
        let example = "params: { region: north }";
        let entries = entry.map_or(&[][..], |entry| {
            self.map(&entry.value, "`params` of a schedule", example)
        });
        for entry in entries {
            let name = entry.key.as_str();
            let Some(spec) = context.params.get(name) else {
                self.unknown_param(entry, context);
                continue;
            };
            // A declaration that is wrong is told where it stands.
            let Some(spec) = spec else {
                continue;
            };
            let literal = Literal {
                noun: "a value of a schedule",
                subject: &format!("the value of `{name}`"),
                without: "leave it out if its default will do",
            };
            if let Some(value) = self.literal(&entry.value, spec, &literal) {
                values.insert(name.to_owned(), value);
            }
        }
        let given: HashSet<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        let missing = context.params.iter().find(|(name, spec)| {
            let name = name.as_str();
            spec.is_some() && !context.defaults.contains(name) && !given.contains(name)
        });
        if let Some((name, Some(spec))) = missing {
            let message = format!(
                "the schedule gives no value to the parameter `{name}`, which has no default"
            );
            let help = format!(
                "its runs could not begin: add `params: {{ {name}: … }}` with {}, or a default",
                spec.kind.expected()
            );
            self.error(trigger.span, codes::MISSING_PARAM, &message, &help);
        }
        values
    }

    fn unknown_param(&mut self, entry: &Entry, context: &Context<'_>) {
        let name = entry.key.as_str();
        let names = context.params.keys().map(String::as_str);
        let meant = if self.is_full() {
            None
        } else {
            suggestion(name, names, "the parameters are")
        };
        let help = meant.unwrap_or_else(|| there_are("parameters", []));
        let message = format!("there is no parameter {}", quoted(name));
        self.error(entry.key_span, codes::UNKNOWN_PARAM, &message, &help);
    }
}

/// The zone that was meant: a city alone, or a name nearly right.
fn zone_like(text: &str) -> Option<String> {
    let names = Zone::names();
    let city = text.trim().replace(' ', "_");
    let of_city = names.iter().find(|name| {
        let last = name.rsplit_once('/').map(|(_, last)| last);
        last.is_some_and(|last| last.eq_ignore_ascii_case(&city))
    });
    let nearly = || nearest(text, names.iter().map(String::as_str));
    of_city
        .map(String::as_str)
        .or_else(nearly)
        .map(str::to_owned)
}

/// A number that differs between the schedules of all workflows, and is the same on every coordinator.
fn seed(workflow: &str, name: &ScheduleName) -> u64 {
    let hash = blake3::hash(format!("{workflow}\0{name}").as_bytes());
    let (first, _) = hash
        .as_bytes()
        .split_first_chunk()
        .unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*first)
}
