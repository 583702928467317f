//! Published things: datasets and policies under a name, with versions that others read.

use serde::{Deserialize, Serialize};

use crate::{DatasetRef, PublishedName, RunId, StageName, Timestamp};

/// The key under which a policy stands in a stage's options: as the workflow names it (a
/// [`PolicyUse`]), and, once an attempt is granted, as the attempt gets it (a [`PolicyVersion`]).
pub const POLICY_KEY: &str = "$policy";

/// The output of a stage that learns: the next version of its policy.
pub const POLICY_OUTPUT: &str = "policy";

/// What a published name stands for. A table and a policy of the same name are two things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishedKind {
    /// A dataset.
    Table,
    /// A policy, as a dataset that its stage kinds understand.
    Policy,
}

impl PublishedKind {
    /// The word that people read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Policy => "policy",
        }
    }
}

/// A version of a published thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Table or policy.
    pub kind: PublishedKind,
    /// Its name.
    pub name: PublishedName,
    /// Counted from 1, without gaps.
    pub version: u64,
    /// What it is.
    pub dataset: DatasetRef,
}

impl std::fmt::Display for Published {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} {}@{}",
            self.kind.as_str(),
            self.name,
            self.version
        )
    }
}

/// A version with where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// What was published.
    #[serde(flatten)]
    pub published: Published,
    /// By which run.
    pub run: RunId,
    /// By which stage of it.
    pub stage: StageName,
    /// When.
    pub at: Timestamp,
}

/// How a stage uses a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyUse {
    /// The policy's name.
    pub name: PublishedName,
    /// Whether the stage learns: it gets the newest version when an attempt begins, and its output
    /// [`POLICY_OUTPUT`] becomes the next one. Otherwise it gets the version that was the newest when
    /// the run began.
    pub learns: bool,
}

/// A policy as an attempt gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// The policy's name.
    pub name: PublishedName,
    /// The version; 0 where none was published yet.
    pub version: u64,
    /// The version's dataset; none for version 0.
    pub dataset: Option<DatasetRef>,
}
