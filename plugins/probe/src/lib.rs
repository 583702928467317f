//! Stages that do nothing useful, for trying a cluster: how long a stage takes that takes no time, what
//! happens when one sleeps, blocks, eats memory or crashes. The binary has them only where
//! `MARQUETRY_PROBES` is set, on the server and its workers alike.

mod crash;
mod echo;
mod memory;
mod nothing;
mod sleep;

use std::sync::Arc;

use marquetry_plugin::StageHandler;

/// The stage kinds of this family.
#[must_use]
pub fn handlers() -> Vec<Arc<dyn StageHandler>> {
    vec![
        Arc::new(nothing::Nothing::new()),
        Arc::new(sleep::Sleep::new()),
        Arc::new(echo::Echo::new()),
        Arc::new(memory::Memory::new()),
        Arc::new(crash::Crash::new()),
    ]
}
