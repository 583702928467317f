//! Two thousand clusters, and the same one twice.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use marquetry_simulation::{Fault, Options, Report, run};

const SEEDS: u64 = 2000;

/// Lives through seeds on all cores.
fn live_through(seeds: u64) -> Vec<Report> {
    let next = AtomicU64::new(0);
    let reports = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let report = run(seed, &Options::default());
                    reports.lock().unwrap().push(report);
                }
            });
        }
    });
    reports.into_inner().unwrap()
}

#[test]
fn two_thousand_clusters_keep_every_promise() {
    let reports = live_through(SEEDS);
    let broken: Vec<String> = reports
        .iter()
        .filter(|report| report.violation.is_some())
        .map(ToString::to_string)
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));

    let mut faults: BTreeMap<Fault, u64> = BTreeMap::new();
    for report in &reports {
        for (fault, count) in &report.faults {
            *faults.entry(*fault).or_default() += count;
        }
    }
    assert_eq!(faults.len(), 14, "every kind of fault struck: {faults:?}");
    assert!(faults.values().all(|count| *count > 500), "{faults:?}");
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    assert!(sum(|it| it.runs) > 2 * SEEDS);
    assert!(sum(|it| it.attempts) > 10 * SEEDS);
    assert!(sum(|it| it.epochs) > 2 * SEEDS, "the lead changes hands");
}

#[test]
fn a_seed_tells_the_whole_story() {
    let options = Options {
        trace: true,
        ..Options::default()
    };
    for seed in [1, 7, 42] {
        let (first, second) = (run(seed, &options), run(seed, &options));
        assert!(first.trace.len() > 100);
        assert_eq!(first.trace, second.trace);
        assert_eq!(first, second);
        let untraced = run(seed, &Options::default());
        assert_eq!(first.steps, untraced.steps, "to look changes nothing");
    }
    assert_ne!(run(1, &options).trace, run(2, &options).trace);
}
