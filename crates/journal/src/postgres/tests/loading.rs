//! Reading many runs at once, and runs that are damaged.

use super::*;
use crate::postgres::loading::{Limits, load_unfinished};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_runs_are_the_same_however_many_are_read_at_once() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let journal = PostgresJournal::open(&url).await.unwrap();
    let epoch = samples::lead(&journal).await;
    let mut expected = Vec::new();
    for number in 1..=12 {
        let run = samples::run_id(number);
        let begun = samples::begun_run(&run, "retail", None);
        let records = match number % 4 {
            0 => samples::finished_run(&run, "retail", None),
            1 => begun[..1].to_vec(),
            _ => begun,
        };
        if number % 4 != 0 {
            expected.push(samples::replayed(&records));
        }
        journal.append(epoch, records).await.unwrap();
    }
    let place = Place::parse(&url).unwrap();
    let client = place.connect(place.patience).await.unwrap();
    for (runs, records) in [(1, 1), (2, 3), (3, 100), (9, 1), (9, 4), (10, 100)] {
        let limits = Limits { runs, records };
        let unfinished = load_unfinished(&client, limits).await.unwrap();
        assert_eq!(unfinished.runs, expected, "{limits:?}");
        assert_eq!(unfinished.damaged, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_run_costs_no_other() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let journal = PostgresJournal::open(&url).await.unwrap();
    let epoch = samples::lead(&journal).await;
    let runs: Vec<RunId> = (1..=8).map(samples::run_id).collect();
    let begun = |run: &RunId| samples::begun_run(run, "retail", None);
    for run in &runs {
        journal.append(epoch, begun(run)).await.unwrap();
    }
    drop(journal);
    let tamper = stranger(&server).await;
    for (run, (damage, rows)) in runs.iter().zip([
        (
            "UPDATE records SET payload = replace(payload, 'w1', 'w2') WHERE sequence = 2",
            1,
        ),
        ("UPDATE records SET payload = '' WHERE sequence = 1", 1),
        ("UPDATE records SET checksum = -1 WHERE sequence = 1", 1),
        ("UPDATE records SET version = 9 WHERE sequence = 2", 1),
        (
            "UPDATE records SET sequence = sequence + 1 WHERE sequence = 2",
            1,
        ),
        ("DELETE FROM records WHERE true", 2),
        // What a shortcut says is not believed, and is not needed either.
        (
            "INSERT INTO snapshots SELECT run_id, 1, 1, 7, 'x' FROM records WHERE sequence = 1",
            1,
        ),
    ]) {
        tamper
            .batch_execute("SET search_path = journal0")
            .await
            .unwrap();
        let sql = format!("{damage} AND run_id = '{run}'");
        assert_eq!(tamper.execute(&sql, &[]).await.unwrap(), rows, "{sql}");
    }

    let journal = PostgresJournal::open(&url).await.unwrap();
    let unfinished = journal.load_unfinished().await.unwrap();
    let sound: Vec<_> = unfinished.runs.iter().map(|run| run.id().clone()).collect();
    assert_eq!(sound, runs[6..]);
    let damaged: Vec<String> = unfinished
        .damaged
        .iter()
        .map(|(_, error)| error.to_string())
        .collect();
    let expected: Vec<String> = runs
        .iter()
        .zip([
            (2, "it fails its checksum"),
            (1, "it fails its checksum"),
            (1, "it fails its checksum"),
            (2, "it fails its checksum"),
            (2, "it is missing"),
            (1, "it is missing"),
        ])
        .map(|(run, (sequence, reason))| {
            format!("the journal is damaged at record {sequence} of run {run}: {reason}")
        })
        .collect();
    assert_eq!(damaged, expected);

    // Who goes on with a damaged run is refused, alone, and nothing of it is written.
    let epoch = samples::lead(&journal).await;
    let go_on = |run: &RunId| samples::finished_run(run, "retail", None)[2..].to_vec();
    let (bad, good) = (&runs[0], &runs[7]);
    let (refused, done) = tokio::join!(
        journal.append(epoch, go_on(bad)),
        journal.append(epoch, go_on(good))
    );
    assert!(
        matches!(refused, Err(JournalError::Damaged { .. })),
        "{refused:?}"
    );
    assert_eq!(done, Ok(()));
    assert!(matches!(
        journal.load_run(bad).await,
        Err(JournalError::Damaged { .. })
    ));
    let ended = samples::replayed(&samples::finished_run(good, "retail", None));
    assert_eq!(journal.load_run(good).await, Ok(ended));
}
