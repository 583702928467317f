//! Decisions with what came back.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Float64Type, TimeUnit, TimestampMicrosecondType};
use marquetry_decisions::{LoggedDecision, instant};
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::{invalid, select_as};
use marquetry_types::codes;

use super::options::{BanditOptions, Doubled, Missing};

/// A response that was not used.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unused {
    pub(super) decision_id: String,
    pub(super) reward: Option<f64>,
    pub(super) at: Option<i64>,
    pub(super) reason: &'static str,
}

/// What came of each decision.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// The reward of each decision that can be learned from, and whether there was a response; none for the
    /// others.
    pub(super) rewards: Vec<Option<(f64, bool)>>,
    pub(super) unused: Vec<Unused>,
    /// How many responses were read.
    pub(super) responses: usize,
    /// Decisions whose window is still open.
    pub(super) pending: usize,
}

pub(super) const UNKNOWN: &str = "unknown_decision";
pub(super) const EARLY: &str = "before_decision";
pub(super) const LATE: &str = "late";
pub(super) const DOUBLED: &str = "doubled";

impl Joined {
    /// How many responses were not used for a reason.
    pub(super) fn count(&self, reason: &str) -> usize {
        let unused = self.unused.iter();
        unused.filter(|unused| unused.reason == reason).count()
    }
}

/// A response as it was read.
struct Response {
    decision_id: String,
    at: Option<i64>,
    reward: f64,
}

async fn read(
    stage: &StageContext,
    options: &BanditOptions,
) -> Result<(Vec<Response>, Vec<Unused>), StageError> {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("decision_id", DataType::Utf8, true),
        Field::new(&options.reward, DataType::Float64, true),
    ];
    fields.extend(
        options
            .time
            .as_ref()
            .map(|name| Field::new(name, moment, true)),
    );
    let (mut responses, mut unused) = (Vec::new(), Vec::new());
    for batch in stage.table(&options.responses).await?.collect().await? {
        stage.check_cancelled()?;
        let batch = select_as("responses", &batch, &fields)?;
        let Some(ids) = batch.column(0).as_string_opt::<i32>() else {
            continue;
        };
        let rewards = batch.column(1).as_primitive::<Float64Type>();
        let times = options
            .time
            .as_ref()
            .map(|_| batch.column(2).as_primitive::<TimestampMicrosecondType>());
        for row in 0..batch.num_rows() {
            let reward = rewards.is_valid(row).then(|| rewards.value(row));
            let at = times.and_then(|times| times.is_valid(row).then(|| times.value(row)));
            let id = ids.is_valid(row).then(|| ids.value(row).to_owned());
            match (id, reward) {
                (Some(decision_id), Some(reward)) => responses.push(Response {
                    decision_id,
                    at,
                    reward,
                }),
                (id, reward) => {
                    let reason = match reward {
                        None => "no_reward",
                        Some(_) => UNKNOWN,
                    };
                    let decision_id = id.unwrap_or_default();
                    unused.push(Unused {
                        decision_id,
                        reward,
                        at,
                        reason,
                    });
                }
            }
        }
    }
    // Which of two responses is the first must not depend on the order of reading.
    responses.sort_by(|left, right| {
        let by_time = left
            .decision_id
            .cmp(&right.decision_id)
            .then(left.at.cmp(&right.at));
        by_time.then(left.reward.total_cmp(&right.reward))
    });
    Ok((responses, unused))
}

/// Joins decisions, which are in the order of their ids, with the responses that an option names.
pub(super) async fn join(
    stage: &StageContext,
    decisions: &[LoggedDecision],
    options: &BanditOptions,
) -> Result<Joined, StageError> {
    let window = options.window()?;
    let as_of = options.as_of.as_deref();
    let as_of = as_of.map(|text| instant("as_of", text)).transpose()?;
    let (responses, unused) = read(stage, options).await?;
    let places: HashMap<&str, usize> = decisions
        .iter()
        .enumerate()
        .map(|(place, decision)| (decision.id.as_str(), place))
        .collect();
    let mut joined = Joined {
        responses: responses.len() + unused.len(),
        unused,
        ..Joined::default()
    };
    let mut by_decision: BTreeMap<usize, Vec<Response>> = BTreeMap::new();
    for response in responses {
        let place = places.get(response.decision_id.as_str()).copied();
        let reason = match (place, response.at) {
            (None, _) => Some(UNKNOWN),
            (Some(place), Some(at)) => {
                let decided = decisions[place].decided_at;
                if at < decided {
                    Some(EARLY)
                } else {
                    (at > decided.saturating_add(window)).then_some(LATE)
                }
            }
            (Some(_), None) => None,
        };
        match (place, reason) {
            (Some(place), None) => by_decision.entry(place).or_default().push(response),
            (_, reason) => joined.unused.push(Unused {
                decision_id: response.decision_id,
                reward: Some(response.reward),
                at: response.at,
                reason: reason.unwrap_or(UNKNOWN),
            }),
        }
    }
    check_unknown(&joined, options)?;
    for (place, decision) in decisions.iter().enumerate() {
        let reward = match by_decision.remove(&place) {
            Some(responses) => Some((one_of(responses, options.doubled, &mut joined), true)),
            None => {
                let end = decision.decided_at.saturating_add(window);
                let is_open = as_of.is_some_and(|as_of| end > as_of);
                joined.pending += usize::from(is_open);
                let is_known = !is_open && options.missing == Missing::Zero;
                is_known.then_some((0.0, false))
            }
        };
        joined.rewards.push(reward);
    }
    Ok(joined)
}

/// The reward of a decision with one response or more, which are in the order of time.
fn one_of(responses: Vec<Response>, doubled: Doubled, joined: &mut Joined) -> f64 {
    let count = responses.len();
    let by_reward = |(_, left): &(usize, &Response), (_, right): &(usize, &Response)| {
        left.reward.total_cmp(&right.reward)
    };
    let kept = match doubled {
        Doubled::First => Some(0),
        Doubled::Last => Some(count.saturating_sub(1)),
        Doubled::Max => responses
            .iter()
            .enumerate()
            .max_by(by_reward)
            .map(|(place, _)| place),
        Doubled::Sum => None,
    };
    let Some(kept) = kept else {
        return responses.iter().map(|response| response.reward).sum();
    };
    let mut reward = 0.0;
    for (place, response) in responses.into_iter().enumerate() {
        if place == kept {
            reward = response.reward;
        } else {
            joined.unused.push(Unused {
                decision_id: response.decision_id,
                reward: Some(response.reward),
                at: response.at,
                reason: DOUBLED,
            });
        }
    }
    reward
}

#[expect(clippy::cast_precision_loss, reason = "a share to compare")]
fn check_unknown(joined: &Joined, options: &BanditOptions) -> Result<(), StageError> {
    let unknown = joined.count(UNKNOWN);
    let share = unknown as f64 / joined.responses.max(1) as f64;
    if share <= options.max_unknown_share {
        return Ok(());
    }
    let example = joined.unused.iter().find(|unused| unused.reason == UNKNOWN);
    let example = example.map(|unused| format!(", such as {:?}", unused.decision_id));
    Err(invalid(
        codes::BAD_RESPONSES,
        format!(
            "{unknown} of {} responses belong to no decision of `decisions`{}",
            joined.responses,
            example.unwrap_or_default()
        ),
        format!(
            "give the log that they answer, or allow more than {} of them by `max_unknown_share`",
            options.max_unknown_share
        ),
    ))
}
