//! The one error of policies: what was given that no decision, or no lesson, can be made of.

/// Why a policy refuses. Nothing has changed when it does.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// An option is outside of its range.
    #[error("option `{option}` is {value}: {rule}")]
    Option {
        /// The option, as it is written in the options.
        option: &'static str,
        /// What it is.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// A policy of no actions.
    #[error("there are no actions: a policy chooses among at least one")]
    NoActions,
    /// Two actions of one name.
    #[error("action `{action}` is given twice: every action has a name of its own")]
    DuplicateAction {
        /// The name.
        action: String,
    },
    /// An action that the policy has no arm for.
    #[error("unknown action `{action}`: the policy knows {known}")]
    UnknownAction {
        /// The name.
        action: String,
        /// The first few names that there are.
        known: String,
    },
    /// A decision among no actions.
    #[error("no action is eligible: a decision needs at least one")]
    NoEligibleAction,
    /// An arm that comes from another policy.
    #[error(
        "arm {arm} of a policy of {arms} arms: take arms and eligible sets from the policy they are for"
    )]
    ForeignArm {
        /// The arm's number, from 0.
        arm: usize,
        /// How many arms there are.
        arms: usize,
    },
    /// A context of another length than the policy was made for.
    #[error("a context of {actual} numbers for a policy of {expected} dimensions")]
    ContextLength {
        /// The policy's dimensions.
        expected: usize,
        /// The numbers given.
        actual: usize,
    },
    /// A context with a number that cannot be computed with.
    #[error("entry {index} of the context is {value}: {rule}")]
    ContextValue {
        /// The entry, from 0.
        index: usize,
        /// What it is.
        value: f64,
        /// What it must be.
        rule: &'static str,
    },
    /// A reward outside of what the policy learns from.
    #[error("the reward of action `{action}` is {value}: {rule}")]
    Reward {
        /// The action rewarded.
        action: String,
        /// The reward.
        value: f64,
        /// What rewards must be.
        rule: &'static str,
    },
    /// A row of a batch that cannot be learned from; none of the batch was.
    #[error("row {row} of the batch: {source}")]
    Batch {
        /// The row, from 0.
        row: usize,
        /// What is wrong with it.
        source: Box<PolicyError>,
    },
    /// Options that do not fit what the policy has learned.
    #[error(
        "a policy learned with {learned} cannot go on with {asked}: keep that option or start a new policy"
    )]
    Shape {
        /// What the arms were learned with.
        learned: String,
        /// What was asked for.
        asked: String,
    },
    /// A stored state that no policy can have reached.
    #[error("stored policy: {place} {problem}")]
    State {
        /// Which part of the state.
        place: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
}
