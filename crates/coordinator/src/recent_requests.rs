//! Which run a client's request made, for requests of late.

use std::collections::{HashMap, VecDeque};

use marquetry_types::RunId;

/// How many request ids are remembered: those of runs that end quickly, for as long as a client's two
/// calls can take to get here.
const REQUESTS: usize = 65_536;

/// The runs of request ids, the latest ones.
#[derive(Debug, Default)]
pub(crate) struct RecentRequests {
    runs: HashMap<String, RunId>,
    order: VecDeque<String>,
}

impl RecentRequests {
    pub(crate) fn get(&self, request_id: &str) -> Option<&RunId> {
        self.runs.get(request_id)
    }

    pub(crate) fn put(&mut self, request_id: String, run: RunId) {
        if self.order.len() >= REQUESTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.runs.remove(&oldest);
        }
        self.order.push_back(request_id.clone());
        self.runs.insert(request_id, run);
    }
}
