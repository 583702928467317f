//! A process watched from outside: how long it took and the most memory it had.

use std::process::Command;
use std::time::{Duration, Instant};

/// How often the memory is looked at. Its peak is kept by the kernel, so only a peak within the last of
/// these moments can be missed.
const LOOK: Duration = Duration::from_millis(5);

/// A process that ended well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    /// From its start to its end.
    pub(super) seconds: f64,
    /// The peak of its resident memory in MB (of 2^20 bytes); none where the system does not tell.
    pub(super) peak_rss_mb: Option<f64>,
}

/// Runs a command to its end.
pub(super) fn watch(command: &mut Command) -> Result<Watched, String> {
    let name = command.get_program().display().to_string();
    let fault = |error: std::io::Error| format!("cannot run {name}: {error}");
    let start = Instant::now();
    let mut child = command.spawn().map_err(fault)?;
    let mut peak_rss_mb = None;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(fault)? {
            break status;
        }
        peak_rss_mb = peak(child.id()).or(peak_rss_mb);
        std::thread::sleep(LOOK);
    };
    let seconds = start.elapsed().as_secs_f64();
    match status.success() {
        true => Ok(Watched {
            seconds,
            peak_rss_mb,
        }),
        false => Err(format!(
            "{} failed ({status})",
            crate::steps::shown(command)
        )),
    }
}

/// What Linux says in `/proc/PID/status` as `VmHWM: 123456 kB`.
fn peak(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}
