//! What stages that choose actions for customers, and stages that learn from what comes back, share: the
//! catalogue of actions, the log of decisions, and the policy as a dataset.
//!
//! A policy here is a [`PolicyBook`]: one [`Policy`](marquetry_policy::Policy) for everybody, or one for
//! each segment, with what each action has earned so far. It travels as a dataset whose rows are for people
//! and whose schema carries the exact state.

mod audience;
mod book;
mod catalogue;
mod decide;
mod earned;
mod learner;
mod log;
mod stored;

pub use audience::{Audience, AudienceOptions};
pub use book::PolicyBook;
pub use catalogue::{Action, Catalogue};
pub use decide::{Choice, Choices};
pub use earned::{Earned, EarnedRow};
pub use learner::{Learner, PolicySpec};
pub use log::{DecisionLog, LoggedDecision, decisions_schema, instant};
pub use stored::{policy_batch, read_policy, start_of};

use marquetry_plugin::StageError;
use marquetry_policy::PolicyError;
use marquetry_rows::invalid;
use marquetry_types::codes;

/// What a policy refuses, as an error of the stage.
#[must_use]
pub fn refused(error: &PolicyError) -> StageError {
    let (code, help) = match error {
        PolicyError::Option { .. }
        | PolicyError::NoActions
        | PolicyError::DuplicateAction { .. } => {
            (codes::STAGE_OPTIONS, "correct the stage's options")
        }
        PolicyError::Shape { .. } => (
            codes::POLICY_SHAPE,
            "say what the policy was made with, or give it another name to start anew",
        ),
        PolicyError::State { .. } => (
            codes::POLICY_SHAPE,
            "the policy's dataset is damaged, or another version of marquetry wrote it: give the policy another name to start anew",
        ),
        _ => (codes::BAD_VALUE, "look at the rows that the stage reads"),
    };
    invalid(code, error.to_string(), help)
}

/// A segment as charts show it: a number alone says too little.
#[must_use]
pub fn segment_shown(name: Option<&str>) -> String {
    match name {
        None => "all customers".to_owned(),
        Some(name) if name.parse::<i64>().is_ok() => format!("segment {name}"),
        Some(name) => name.to_owned(),
    }
}

/// A number for a random stream that follows from names: the same for every attempt at a stage of a run.
#[must_use]
pub fn seed_of(parts: &[&str], seed: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    hasher.update(&seed.to_le_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
