//! How patient the engine is.

use std::time::Duration;

/// Patience and limits. Every duration is measured on the time that inputs bring.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineConfig {
    /// How long a worker whose stream broke may take to come back before its attempts are lost.
    pub disconnect_grace: Duration,
    /// How long after a start or take-over workers may take to report what they still run.
    pub takeover_grace: Duration,
    /// How long a connected worker may be silent before its attempts are lost.
    pub lease: Duration,
    /// How often a stage's attempts may be lost, without fault of its own, before the stage fails:
    /// a stage that kills every worker it meets must end.
    pub lost_attempts: u32,
    /// How long after a stage's timeout a worker may take to report it before the engine decides.
    pub timeout_grace: Duration,
    /// Any worker serves any stage of its kinds, whatever queue and labels that asks for: one process is
    /// the whole cluster.
    pub ignores_placement: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            disconnect_grace: Duration::from_millis(400),
            takeover_grace: Duration::from_millis(1500),
            lease: Duration::from_secs(15),
            lost_attempts: 5,
            timeout_grace: Duration::from_secs(10),
            ignores_placement: false,
        }
    }
}
