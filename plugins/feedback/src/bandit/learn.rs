//! What the policy learns.

use marquetry_decisions::{Earned, LoggedDecision, PolicyBook, refused};
use marquetry_plugin::StageError;
use marquetry_rows::invalid;
use marquetry_types::codes;

use super::join::Joined;
use super::options::Rewards;

/// What was learned of one run.
#[derive(Debug, Default)]
pub(super) struct Lesson {
    /// What each action earned in each segment, and the sums of squared rewards beside it.
    pub(super) earned: Earned,
    pub(super) squares: std::collections::BTreeMap<(String, Option<String>), f64>,
    /// Whether every reward is 0 or 1.
    pub(super) is_binary: bool,
    /// Rewards that were clipped.
    pub(super) clipped: usize,
    /// The reward of each decision as it was learned.
    pub(super) rewards: Vec<Option<f64>>,
}

/// Teaches the book what came of decisions, in their order, all or nothing.
pub(super) fn learn(
    book: &mut PolicyBook,
    decisions: &[LoggedDecision],
    joined: &Joined,
    rewards: Rewards,
) -> Result<Lesson, StageError> {
    let mut lesson = Lesson {
        is_binary: true,
        ..Lesson::default()
    };
    for (decision, joined) in decisions.iter().zip(&joined.rewards) {
        let Some((reward, responded)) = *joined else {
            lesson.rewards.push(None);
            continue;
        };
        let reward = usable(book, decision, reward, rewards, &mut lesson)?;
        let segment = decision.segment.as_deref();
        if !book.knows(&decision.action) {
            return Err(unknown_action(book, decision));
        }
        book.know(segment, &[decision.action.as_str()])
            .map_err(|error| refused(&error))?;
        let spec = book.spec();
        let (is_linear, dimensions) = (spec.algorithm.is_linear(), spec.dimensions());
        if is_linear && decision.context.len() != dimensions {
            return Err(invalid(
                codes::POLICY_SHAPE,
                format!(
                    "decision {:?} has a context of {} numbers, and the policy looks at {dimensions}",
                    decision.id,
                    decision.context.len()
                ),
                "learn from decisions of the same policy",
            ));
        }
        let Some(policy) = book.policy_mut(segment) else {
            continue;
        };
        let arm = policy
            .arm(&decision.action)
            .map_err(|error| refused(&error))?;
        policy
            .learn(&decision.context, arm, reward)
            .map_err(|error| refused(&error))?;
        lesson.is_binary &= reward == 0.0 || reward == 1.0;
        lesson
            .earned
            .count(&decision.action, segment, reward, responded);
        let key = (decision.action.clone(), decision.segment.clone());
        *lesson.squares.entry(key).or_default() += reward * reward;
        lesson.rewards.push(Some(reward));
    }
    book.earned.merge(&lesson.earned);
    Ok(lesson)
}

fn usable(
    book: &PolicyBook,
    decision: &LoggedDecision,
    reward: f64,
    rewards: Rewards,
    lesson: &mut Lesson,
) -> Result<f64, StageError> {
    let needs_unit = book.spec().algorithm.needs_unit_rewards();
    let fits = reward.is_finite() && (!needs_unit || (0.0..=1.0).contains(&reward));
    match rewards {
        _ if fits => Ok(reward),
        Rewards::Clip if needs_unit && !reward.is_nan() => {
            lesson.clipped += 1;
            Ok(reward.clamp(0.0, 1.0))
        }
        _ => {
            let rule = if needs_unit {
                "this policy learns from rewards from 0 to 1"
            } else {
                "a reward is a finite number"
            };
            Err(invalid(
                codes::BAD_RESPONSES,
                format!(
                    "the reward of decision {:?} is {reward}: {rule}",
                    decision.id
                ),
                "scale the rewards with features/sql, or say `rewards: clip`",
            ))
        }
    }
}

fn unknown_action(book: &PolicyBook, decision: &LoggedDecision) -> StageError {
    let known = book.actions();
    let known = if known.is_empty() {
        "no action yet".to_owned()
    } else {
        known.join(", ")
    };
    invalid(
        codes::BAD_VALUE,
        format!(
            "decision {:?} took the action `{}`, and the policy knows {known}",
            decision.id, decision.action
        ),
        "learn from decisions of this policy; for a catalogue that grew give `from` the output `policy` of its `personalization/offers`",
    )
}
