//! How long to wait before another attempt.

use std::time::Duration;

use marquetry_types::AttemptId;
use marquetry_workflow::Retry;

/// The wait after the `failures`-th failed attempt: `initial * factor^(failures - 1)`, at most
/// `max`, less up to a quarter, so that stages that failed together do not return together. The
/// share taken off is a hash of the attempt's id: the engine has no randomness.
pub(crate) fn delay(retry: &Retry, failures: u32, attempt: &AttemptId) -> Duration {
    let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
    let seconds = retry.initial.as_secs_f64() * retry.factor.powi(exponent);
    let capped = seconds.min(retry.max.as_secs_f64());
    let jittered = capped * (1.0 - 0.25 * unit_hash(attempt));
    Duration::try_from_secs_f64(jittered).unwrap_or(retry.max)
}

/// A number in [0, 1) that follows from the attempt's id.
fn unit_hash(attempt: &AttemptId) -> f64 {
    let digest = blake3::hash(attempt.to_string().as_bytes());
    let [a, b, c, d, ..] = *digest.as_bytes();
    f64::from(u32::from_le_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}
