//! One id type per noun, so that a run cannot be passed where a stage belongs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Why a text is not a name of the asked kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {noun}: {rule}")]
pub struct InvalidName {
    /// What the text should have named.
    pub noun: &'static str,
    /// The text as given.
    pub text: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

/// Identifies a run: a ULID in lower case, so that ids sort by the time of submission.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// The id for a run submitted at `at`, made unique by 80 bits of `entropy`.
    #[must_use]
    pub fn new(at: Timestamp, entropy: u128) -> Self {
        let milliseconds = u64::try_from(at.as_millis()).unwrap_or(0);
        Self(
            ulid::Ulid::from_parts(milliseconds, entropy)
                .to_string()
                .to_ascii_lowercase(),
        )
    }

    /// The id as people type it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as the number that it spells: the time, then the entropy.
    #[must_use]
    pub fn as_number(&self) -> u128 {
        // Every run id was read as a ULID.
        ulid::Ulid::from_string(&self.0.to_ascii_uppercase()).map_or(0, |id| id.0)
    }
}

impl TryFrom<String> for RunId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let rule = "it is 26 letters and digits, as `marquetry runs` prints them";
        match ulid::Ulid::from_string(&text.to_ascii_uppercase()) {
            Ok(_) => Ok(Self(text.to_ascii_lowercase())),
            Err(_) => Err(InvalidName {
                noun: "run id",
                text,
                rule,
            }),
        }
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(InvalidName { noun: $noun, text, rule: $rule })
                }
            }
        }

        text_id_conversions!($name);
    };
}

macro_rules! text_id_conversions {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id_conversions!(RunId);

fn is_identifier(text: &str) -> bool {
    let mut characters = text.chars();
    let starts_well = characters
        .next()
        .is_some_and(|first| first.is_ascii_lowercase());
    starts_well
        && text.len() <= 64
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_slug(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
}

text_id!(
    /// Names a stage within its workflow. It is also a variable in expressions and a folder in the
    /// lake, hence its narrow alphabet. An item of a stage that runs once for each of many has the name
    /// of that stage, a dot, and its place in the list: `score.17`.
    StageName,
    "stage name",
    "a lower-case letter, then lower-case letters, digits or `_`, at most 64 in all",
    |text| match text.split_once('.') {
        None => is_identifier(text),
        Some((stage, item)) => is_identifier(stage) && is_item(item),
    }
);

/// Whether a text is the place of an item: a number without leading zeros.
fn is_item(text: &str) -> bool {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0'))
}

impl StageName {
    /// The name of the item at this place of the list.
    #[must_use]
    pub fn item(&self, place: usize) -> Self {
        Self(format!("{}.{place}", self.stage()))
    }

    /// The name as the workflow has it, without the place of an item.
    #[must_use]
    pub fn stage(&self) -> &str {
        self.0.split_once('.').map_or(&self.0, |(stage, _)| stage)
    }

    /// The place of the item, if it is one.
    #[must_use]
    pub fn place(&self) -> Option<usize> {
        self.0.split_once('.')?.1.parse().ok()
    }
}

text_id!(
    /// Names a published table or policy. It is also a variable in expressions (`tables.NAME`).
    PublishedName,
    "published name",
    "a lower-case letter, then lower-case letters, digits or `_`, at most 64 in all",
    is_identifier
);

text_id!(
    /// Names what a stage does: `family/kind`, as in `segmentation/kmeans`.
    StageKind,
    "stage kind",
    "two lower-case words joined by `/`, as in `segmentation/kmeans`",
    |text| matches!(text.split_once('/'), Some((family, kind)) if is_identifier(family) && is_identifier(kind))
);

text_id!(
    /// Names a worker process for as long as it lives.
    WorkerId,
    "worker id",
    "1 to 128 letters, digits, `-`, `_` or `.`",
    |text| {
        (1..=128).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    }
);

text_id!(
    /// Names a queue: stages name the one that they wait in, workers those that they serve.
    QueueName,
    "queue name",
    "1 to 64 lower-case letters, digits, `-` or `_`",
    is_slug
);

impl Default for QueueName {
    /// The queue of stages and workers that say nothing else: `default`.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

text_id!(
    /// Names a schedule within its workflow.
    ScheduleName,
    "schedule name",
    "1 to 64 lower-case letters, digits, `-` or `_`",
    is_slug
);

/// Whether a text can be a label's name or value: 1 to 64 letters, digits, `-`, `_`, `.` or `/`.
#[must_use]
pub fn is_label(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}

/// The coordinator's reign: it grows by one, durably, at every start and every take-over.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The number of an attempt of one stage of one run, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptNumber(pub u32);

impl fmt::Display for AttemptNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Which attempt of which stage of which run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The run.
    pub run: RunId,
    /// The stage within the run.
    pub stage: StageName,
    /// The attempt at the stage.
    pub attempt: AttemptNumber,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}#{}", self.run, self.stage, self.attempt)
    }
}

/// The right to report a result for an attempt: a result that carries another epoch or attempt than
/// the engine last granted is stale and is refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FencingToken {
    /// The epoch in which the attempt was granted.
    pub epoch: Epoch,
    /// The attempt that was granted.
    pub attempt: AttemptId,
}

impl fmt::Display for FencingToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.attempt, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_sort_by_time_and_read_back() {
        let early = RunId::new(Timestamp::from_millis(1_700_000_000_000), 7);
        let late = RunId::new(Timestamp::from_millis(1_700_000_000_001), 3);
        assert!(early < late);
        assert_eq!(early.as_str().parse::<RunId>(), Ok(early.clone()));
    }

    #[test]
    fn names_keep_to_their_alphabets() {
        assert!("segments_2".parse::<StageName>().is_ok());
        let item = "segments".parse::<StageName>().map(|name| name.item(17));
        assert_eq!(item, "segments.17".parse());
        assert_eq!(
            item.map(|it| (it.stage().to_owned(), it.place())),
            Ok(("segments".to_owned(), Some(17)))
        );
        for bad in [
            "", "2nd", "Segments", "a-b", "a/b", "ä", "a.", "a.01", "a.b", "a.1.2", ".1",
        ] {
            assert!(bad.parse::<StageName>().is_err(), "{bad}");
        }
        assert!("segmentation/kmeans".parse::<StageKind>().is_ok());
        for bad in ["kmeans", "a/b/c", "/kmeans", "a/"] {
            assert!(bad.parse::<StageKind>().is_err(), "{bad}");
        }
    }
}
