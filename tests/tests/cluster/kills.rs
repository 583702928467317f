//! Servers and workers are killed at moments of chance while real workflows run: all of them end, and
//! their rows are those of an undisturbed run.

use std::time::Duration;

use marquetry_tests::{Cluster, Dice, Table, interrupted, said};

/// Outputs that are compared.
const OUTPUTS: [&str; 3] = ["rfm", "segments", "rules"];
const SEED: u64 = 20_261_128;

/// How many runs and kills: enough to meet every pair of a moment and a victim.
/// `MARQUETRY_KILLS` asks for more.
fn scale() -> (u32, u32) {
    let kills = std::env::var("MARQUETRY_KILLS").ok();
    let kills = kills.and_then(|kills| kills.parse().ok()).unwrap_or(200);
    (kills * 5 / 2, kills)
}

fn rows(cluster: &Cluster, run: &str, output: &str) -> Table {
    let dataset = format!("{run}/{output}");
    let file = cluster.place.path().join("exported");
    let out = file.to_str().unwrap();
    let exported = cluster
        .place
        .run(&["export", &dataset, "--format", "parquet", "--out", out]);
    assert!(exported.status.success(), "{}", said(&exported));
    Table::read(&file, &["customer_id"])
}

#[test]
fn every_run_ends_with_the_rows_of_an_undisturbed_one() {
    let (runs, kills) = scale();
    let mut cluster = Cluster::start(&[]);
    cluster
        .place
        .file("customers.csv", &interrupted::customers());
    cluster.place.file("killed.yaml", interrupted::WORKFLOW);
    let worker = ["--slots", "2", "--threads", "1"];
    cluster.add_worker(&worker);
    cluster.add_worker(&worker);
    let undisturbed = cluster.submit("killed.yaml", &[]);
    assert_eq!(cluster.watch(&undisturbed)["status"], "succeeded");
    let expected = OUTPUTS.map(|output| rows(&cluster, &undisturbed, output));

    let mut dice = Dice::new(SEED);
    let mut submitted = Vec::new();
    let mut killed = (0, 0);
    for kill in 0..kills {
        let due = usize::try_from((kill + 1) * runs / kills).unwrap();
        while submitted.len() < due {
            let request_id = format!("run-{}", submitted.len());
            submitted.push(cluster.submit("killed.yaml", &["--request-id", &request_id]));
        }
        std::thread::sleep(Duration::from_millis(dice.below(120)));
        if dice.below(3) == 0 {
            cluster.kill_server(0);
            std::thread::sleep(Duration::from_millis(dice.below(100)));
            cluster.restart_server(0);
            killed.0 += 1;
        } else {
            let victim = usize::try_from(dice.below(2)).unwrap();
            cluster.replace_worker(victim, &worker);
            killed.1 += 1;
        }
    }
    let mut lost = 0;
    for run in &submitted {
        let shown = cluster.watch(run);
        assert_eq!(shown["status"], "succeeded", "{shown:#}");
        let stages = shown["stages"].as_array().unwrap();
        let attempts = stages
            .iter()
            .flat_map(|it| it["attempts"].as_array().unwrap());
        lost += attempts.filter(|attempt| attempt["end"] == "lost").count();
        for (output, expected) in OUTPUTS.iter().zip(&expected) {
            let found = rows(&cluster, run, output);
            found.assert_same(expected, output);
        }
    }
    let (servers, workers) = killed;
    let runs = submitted.len();
    assert!(
        lost > 0,
        "{runs} runs, {servers} kills of servers, {workers} of workers: none met a stage"
    );
}
