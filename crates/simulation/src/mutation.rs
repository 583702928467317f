//! Rules broken on purpose: a simulator that does not notice is of no use.

use serde::{Deserialize, Serialize};

/// A rule to break. Each is broken around the engine and the agent, never in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mutation {
    /// The coordinator tells workers what it decided before that is durable.
    ActsBeforeCommit,
    /// The coordinator answers clients and acknowledges results before they are durable.
    AcknowledgesBeforeCommit,
    /// The journal takes records of any epoch.
    JournalIgnoresEpoch,
    /// A coordinator whose commit is in doubt reads the journal again without a new epoch.
    RestoresWithoutCampaign,
    /// A coordinator passes a late result off as one of the attempt that is granted now.
    AcceptsStaleToken,
    /// A coordinator that takes over forgets what was granted.
    ForgetsGrantOnRestore,
    /// A coordinator that takes over forgets a run.
    ForgetsRunOnRestore,
    /// A coordinator that takes over forgets which slots of concurrency groups are taken.
    ForgetsSlotsOnRestore,
    /// A coordinator that takes over forgets which runs stages wait for.
    ForgetsChildrenOnRestore,
    /// A coordinator grants a stage as soon as what it needs is granted.
    GrantsBeforeNeeds,
    /// A worker forgets a result that it cannot report at once.
    WorkerDropsResult,
    /// A worker says of what was computed before that it is there, and gives what it likes.
    WorkerInventsOutputs,
    /// A worker obeys whoever speaks.
    WorkerObeysDeposed,
    /// A repeated request makes another run.
    ForgetsRequestIds,
    /// A version of a published thing is left out.
    SkipsVersion,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::ActsBeforeCommit,
        Self::AcknowledgesBeforeCommit,
        Self::JournalIgnoresEpoch,
        Self::RestoresWithoutCampaign,
        Self::AcceptsStaleToken,
        Self::ForgetsGrantOnRestore,
        Self::ForgetsRunOnRestore,
        Self::ForgetsSlotsOnRestore,
        Self::ForgetsChildrenOnRestore,
        Self::GrantsBeforeNeeds,
        Self::WorkerDropsResult,
        Self::WorkerInventsOutputs,
        Self::WorkerObeysDeposed,
        Self::ForgetsRequestIds,
        Self::SkipsVersion,
    ];
}
