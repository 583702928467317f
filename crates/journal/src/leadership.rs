//! Who may write: of several coordinators on one journal, the one that won the latest campaign.

use std::time::Duration;

use marquetry_types::Epoch;

/// A coordinator that wants to lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, unique to the life of its process: whoever has it may campaign again while it leads.
    pub name: String,
    /// The URL at which clients and workers reach it; empty where nobody else needs to.
    pub url: String,
    /// For how long others leave the lead to it without hearing of it, by the clock of the journal's
    /// storage. It keeps others from campaigning in vain; what keeps a coordinator that was deposed from
    /// writing is its epoch, which every append compares.
    pub lease: Duration,
}

/// The coordinator that leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// Its name.
    pub name: String,
    /// The URL at which clients and workers reach it; empty where it was not told one.
    pub url: String,
    /// Its reign.
    pub epoch: Epoch,
}

/// How a campaign ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Campaign {
    /// The candidate leads, in a new epoch: everything of earlier epochs is refused from here.
    Won(Epoch),
    /// Another coordinator leads: its lease has not ended, or it has, and a commit of it has not.
    Lost(Leader),
}
