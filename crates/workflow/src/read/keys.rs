//! The keys of each place, and what to say of others.

use marquetry_script::nearest;
use marquetry_types::codes;

use super::Reader;
use crate::words::{quoted, suggestion};
use crate::yaml::{Entry, Yaml};

/// A place in the format with the keys that it takes.
pub(super) struct Place {
    /// What the keys belong to.
    pub(super) what: &'static str,
    /// The keys that it takes.
    pub(super) keys: &'static [&'static str],
    /// Keys of the format that this version does not do.
    pub(super) later: &'static [&'static str],
    /// Words that other tools use, and the key that is meant.
    pub(super) synonyms: &'static [(&'static str, &'static str)],
}

pub(super) const TOP: Place = Place {
    what: "a workflow",
    keys: &[
        "marquetry",
        "name",
        "description",
        "params",
        "defaults",
        "concurrency",
        "on",
        "outputs",
        "stages",
    ],
    later: &[],
    synonyms: &[
        ("version", "marquetry"),
        ("inputs", "params"),
        ("parameters", "params"),
        ("jobs", "stages"),
        ("steps", "stages"),
        ("tasks", "stages"),
        ("schedule", "on"),
        ("schedules", "on"),
        ("triggers", "on"),
    ],
};

pub(super) const DEFAULTS: Place = Place {
    what: "`defaults`",
    keys: &[
        "retry",
        "timeout",
        "memory",
        "parallelism",
        "queue",
        "labels",
        "priority",
        "concurrency",
        "rate",
    ],
    later: &[],
    synonyms: &[("retries", "retry"), ("rate_limit", "rate")],
};

pub(super) const STAGE: Place = Place {
    what: "a stage",
    keys: &[
        "uses",
        "with",
        "needs",
        "if",
        "for_each",
        "retry",
        "timeout",
        "memory",
        "parallelism",
        "queue",
        "labels",
        "priority",
        "concurrency",
        "rate",
        "publish",
        "cache",
        "description",
    ],
    later: &[],
    synonyms: &[
        ("kind", "uses"),
        ("type", "uses"),
        ("run", "uses"),
        ("options", "with"),
        ("config", "with"),
        ("args", "with"),
        ("params", "with"),
        ("inputs", "with"),
        ("depends_on", "needs"),
        ("after", "needs"),
        ("when", "if"),
        ("condition", "if"),
        ("retries", "retry"),
        ("runs_on", "labels"),
        ("foreach", "for_each"),
        ("matrix", "for_each"),
        ("loop", "for_each"),
        ("with_items", "for_each"),
        ("name", "description"),
        ("max_concurrency", "concurrency"),
        ("pool", "concurrency"),
        ("rate_limit", "rate"),
        ("throttle", "rate"),
        ("memoize", "cache"),
        ("cached", "cache"),
    ],
};

pub(super) const CACHE: Place = Place {
    what: "`cache`",
    keys: &["max_age"],
    later: &[],
    synonyms: &[
        ("ttl", "max_age"),
        ("expires", "max_age"),
        ("expiration", "max_age"),
        ("age", "max_age"),
    ],
};

pub(super) const STAGE_CONCURRENCY: Place = Place {
    what: "`concurrency` of a stage",
    keys: &["group", "limit"],
    later: &[],
    synonyms: &[
        ("name", "group"),
        ("key", "group"),
        ("max", "limit"),
        ("slots", "limit"),
    ],
};

pub(super) const RATE: Place = Place {
    what: "`rate`",
    keys: &["group", "limit", "per", "burst"],
    later: &[],
    synonyms: &[
        ("name", "group"),
        ("key", "group"),
        ("max", "limit"),
        ("count", "limit"),
        ("period", "per"),
        ("interval", "per"),
        ("every", "per"),
    ],
};

pub(super) const PARAM: Place = Place {
    what: "a parameter",
    keys: &["type", "default", "min", "max", "allowed", "description"],
    later: &[],
    synonyms: &[
        ("minimum", "min"),
        ("maximum", "max"),
        ("enum", "allowed"),
        ("values", "allowed"),
        ("value", "default"),
    ],
};

pub(super) const RETRY: Place = Place {
    what: "`retry`",
    keys: &["attempts", "backoff", "on"],
    later: &[],
    synonyms: &[
        ("classes", "on"),
        ("max_attempts", "attempts"),
        ("count", "attempts"),
        ("delay", "backoff"),
    ],
};

pub(super) const TIMEOUT: Place = Place {
    what: "`timeout`",
    keys: &["attempt", "stage"],
    later: &[],
    synonyms: &[("total", "stage"), ("overall", "stage")],
};

pub(super) const FOR_EACH: Place = Place {
    what: "`for_each`",
    keys: &["items", "limit"],
    later: &[],
    synonyms: &[
        ("in", "items"),
        ("list", "items"),
        ("max_parallel", "limit"),
        ("concurrency", "limit"),
    ],
};

pub(super) const CONCURRENCY: Place = Place {
    what: "`concurrency`",
    keys: &["group", "limit", "on_conflict"],
    later: &[],
    synonyms: &[
        ("name", "group"),
        ("max", "limit"),
        ("policy", "on_conflict"),
        ("cancel_in_progress", "on_conflict"),
    ],
};

pub(super) const BACKOFF: Place = Place {
    what: "`backoff`",
    keys: &["initial", "factor", "max"],
    later: &[],
    synonyms: &[
        ("multiplier", "factor"),
        ("delay", "initial"),
        ("start", "initial"),
    ],
};

pub(super) const TRIGGER: Place = Place {
    what: "a trigger",
    keys: &[
        "schedule", "every", "timezone", "from", "to", "catch_up", "jitter", "params", "name",
        "enabled",
    ],
    later: &["trigger"],
    synonyms: &[
        ("cron", "schedule"),
        ("interval", "every"),
        ("tz", "timezone"),
        ("time_zone", "timezone"),
        ("start", "from"),
        ("end", "to"),
        ("until", "to"),
        ("catchup", "catch_up"),
        ("backfill", "catch_up"),
        ("with", "params"),
        ("inputs", "params"),
        ("id", "name"),
    ],
};

/// Whether an unknown key among the entries seems to mean this one, so that it is not missing as well.
pub(super) fn is_misspelt(entries: &[Entry], place: &Place, key: &str) -> bool {
    let strangers = entries
        .iter()
        .map(|entry| entry.key.as_str())
        .filter(|other| !place.keys.contains(other) && !place.later.contains(other));
    let means = |other: &str| {
        let synonym = place.synonyms.iter().find(|(word, _)| *word == other);
        synonym
            .map(|(_, meant)| *meant)
            .or_else(|| nearest(other, place.keys.iter().copied()))
    };
    strangers.take(10).any(|other| means(other) == Some(key))
}

impl Reader<'_> {
    /// A key that the place does not take.
    pub(super) fn unknown_key(&mut self, entry: &Entry, place: &Place) {
        self.unknown_key_with(entry, place, None);
    }

    /// As [`Reader::unknown_key`], with better advice where the caller has it.
    pub(super) fn unknown_key_with(
        &mut self,
        entry: &Entry,
        place: &Place,
        advice: Option<String>,
    ) {
        let key = entry.key.as_str();
        let what = place.what;
        let synonym = place.synonyms.iter().find(|(other, _)| *other == key);
        if place.later.contains(&key) {
            let message = format!("`{key}` is not in this version");
            let help =
                "leave it out; it is refused rather than ignored, so that nothing runs without it";
            self.error(entry.key_span, codes::NOT_IN_THIS_VERSION, &message, help);
            return;
        }
        let is_stage = place.what == TOP.what
            && matches!(&entry.value.value, Yaml::Map(inner) if inner.iter().any(|e| e.key == "uses"));
        let help = if let Some(advice) = advice {
            advice
        } else if is_stage {
            "it looks like a stage: indent it below `stages:`".to_owned()
        } else if let Some((_, meant)) = synonym {
            format!("here it is called `{meant}`")
        } else {
            suggestion(key, place.keys.iter().copied(), "the keys here are").unwrap_or_default()
        };
        let message = format!("{what} has no key {}", quoted(key));
        self.error(entry.key_span, codes::UNKNOWN_KEY, &message, &help);
    }
}
