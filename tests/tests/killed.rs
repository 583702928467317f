//! Killed with SIGKILL at any moment, `marquetry resume` goes on and ends with the same result.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use marquetry_tests::{Place, said};
use serde_json::Value;

const WORKFLOW: &str = r#"
marquetry: v1
name: killed
stages:
  customers:
    uses: ingest/files
    with:
      path: customers.csv
      columns: { customer_id: int64, recency_days: float64, frequency: float64, monetary: float64 }
  rfm:
    uses: segmentation/rfm
    with: { rows: "${{ stages.customers }}" }
  segments:
    uses: segmentation/kmeans
    with: { rows: "${{ stages.customers }}", k: 3, columns: [frequency, monetary], seed: 1 }
  rules:
    uses: segmentation/rules
    with:
      rows: "${{ stages.rfm }}"
      rules: [{ name: best, when: "r == 5 && m >= 4" }]
      otherwise: rest
"#;

/// Moments at which a run is killed.
const MOMENTS: u32 = 50;

fn results(place: &Place) -> Vec<Value> {
    ["rfm", "segments", "rules"]
        .map(|stage| place.json(&["head", &format!("latest/{stage}"), "-n", "1000"]))
        .into()
}

#[test]
fn a_killed_run_resumes_to_the_same_result() {
    let mut customers = "customer_id,recency_days,frequency,monetary\n".to_owned();
    for id in 0_u32..300 {
        let (recency, frequency) = (id * 37 % 365, id * 13 % 40 + 1);
        writeln!(
            customers,
            "{id},{recency},{frequency},{}.5",
            frequency * (id % 17 + 3)
        )
        .unwrap();
    }
    let place_of = || {
        let place = Place::new();
        place.file("customers.csv", &customers);
        place.file("killed.yaml", WORKFLOW);
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
