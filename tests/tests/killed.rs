//! Killed with SIGKILL at any moment, `marquetry resume` goes on and ends with the same result.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use marquetry_tests::{Place, interrupted, said};
use serde_json::Value;

/// Moments at which a run is killed.
const MOMENTS: u32 = 50;

fn results(place: &Place) -> Vec<Value> {
    ["rfm", "segments", "rules"]
        .map(|stage| place.json(&["head", &format!("latest/{stage}"), "-n", "1000"]))
        .into()
}

#[test]
fn a_killed_run_resumes_to_the_same_result() {
    let customers = interrupted::customers();
    let place_of = || {
        let place = Place::new();
        place.file("customers.csv", &customers);
        place.file("killed.yaml", interrupted::WORKFLOW);
        place
    };
    let undisturbed = place_of();
    let start = Instant::now();
    let output = undisturbed.run(&["run", "killed.yaml"]);
    let whole = start.elapsed();
    assert!(output.status.success(), "{}", said(&output));
    let expected = results(&undisturbed);

    let mut interrupted = 0;
    for moment in 0..MOMENTS {
        let place = place_of();
        let mut running = place
            .command(&["run", "killed.yaml"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Moments spread over the whole run: the golden ratio leaves no gap for long.
        let share = (f64::from(moment) * 0.618_033_988_749_895).fract();
        std::thread::sleep(whole.mul_f64(share).max(Duration::from_millis(1)));
        running.kill().unwrap();
        running.wait().unwrap();

        let runs = place.run(&["runs", "--output", "json"]);
        let runs: Vec<Value> = serde_json::from_slice(&runs.stdout).unwrap_or_default();
        let Some(run) = runs.first() else {
            // Killed before the run was on record: nothing was begun, and nothing is in the way.
            assert!(place.run(&["run", "killed.yaml"]).status.success());
            assert_eq!(results(&place), expected, "moment {moment}");
            continue;
        };
        interrupted += u32::from(run["status"] == "running");
        let resumed = place.run(&["resume", "latest"]);
        assert!(
            resumed.status.success(),
            "moment {moment}: {}",
            said(&resumed)
        );
        assert_eq!(results(&place), expected, "moment {moment}");
    }
    assert!(interrupted > 0, "no moment fell into a run");
}
