//! How much memory a process has, and how much it may have.

use std::fs;

/// What a process needs besides its stage: code, buffers, and what its allocator keeps.
const OVERHEAD: u64 = 256 * 1024 * 1024;

/// The resident memory beyond which a host is killed, for a stage that may use `limit` bytes. Queries
/// spill at the limit itself; an allocator rounds up and keeps some of what was let go.
pub(crate) fn ceiling(limit: u64) -> u64 {
    limit.saturating_add(limit / 4).saturating_add(OVERHEAD)
}

/// The resident memory of a process in bytes, where the system tells it.
pub(crate) fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes.saturating_mul(1024))
}

/// Asks the system to end this process before others when memory runs out.
pub(crate) fn volunteer_for_the_oom_killer() {
    // Systems without the file choose by themselves.
    let _ = fs::write("/proc/self/oom_score_adj", "900");
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_some_memory_and_a_process_that_is_not_has_none() {
        let own = resident(std::process::id());
        assert!(own.is_some_and(|bytes| bytes > 1024 * 1024), "{own:?}");
        assert_eq!(resident(u32::MAX), None);
    }
}
