//! Over which workers a query may be spread.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Secret;

/// Whether the queries of a stage are spread over workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parallelism {
    /// Never: they run where the stage does.
    Local,
    /// Always, where two workers or more take parts of queries.
    Cluster,
    /// Where a query reads more than one worker is to read by itself.
    #[default]
    Auto,
}

impl Parallelism {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Local, Self::Cluster, Self::Auto];

    /// The word in workflow files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Cluster => "cluster",
            Self::Auto => "auto",
        }
    }
}

impl fmt::Display for Parallelism {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A worker that takes parts of queries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Where its data plane is reached, as in `http://10.0.0.7:7071`.
    pub url: String,
    /// The version of its binary: plans are understood by the same version only.
    pub version: String,
}

/// The workers that take parts of queries, as the coordinator tells them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// Who they are, in a fixed order.
    pub peers: Vec<Peer>,
    /// What a data plane must be shown; new in each epoch.
    pub secret: Secret,
}
