//! A query for what happened since an instant reads the days since then, and no others.

use datafusion::physical_plan::displayable;
use marquetry_journal::ArchiveBatch;

use super::*;

const DAY: i64 = 24 * 3600 * 1000;

/// A run that finished so many days after the samples' did, in a state of so many records.
async fn write(house: &House, sample: &StoredRun, number: u64, day: i64, records: u64) {
    let mut run = sample.clone();
    run.records = records;
    let finished = run.state.finished_at.unwrap().as_millis() + day * DAY;
    run.state.finished_at = Some(Timestamp::from_millis(finished));
    for stage in run.state.stages.values_mut() {
        stage.ended_at = run.state.finished_at;
    }
    let batch = ArchiveBatch {
        number,
        epoch: Epoch(1),
        runs: vec![run.state.id().clone()],
    };
    let archive = Archive::new(house.lake.clone());
    archive.write(&batch, &[run]).await.unwrap();
}

/// What a query gives, and the days whose files it reads.
async fn read(house: &House, sql: &str) -> (String, Vec<String>) {
    let value = house.value(None, sql).await;
    let catalogue = Catalogue::new(house.lake.clone(), None);
    let query = catalogue.query(sql, &house.options()).await.unwrap();
    let plan = query.create_physical_plan().await.unwrap();
    let plan = displayable(plan.as_ref()).indent(true).to_string();
    let mut days: Vec<String> = plan
        .split("date=")
        .skip(1)
        .map(|rest| rest.chars().take(10).collect())
        .filter(|day: &String| day.starts_with("2025-"))
        .collect();
    days.sort();
    days.dedup();
    (value, days)
}

#[tokio::test]
async fn a_filter_by_time_reads_the_days_that_it_needs() {
    let house = House::new().await;
    let journal = house.journal();
    let epoch = samples::lead(journal.as_ref()).await;
    finish(&journal, epoch, 1..=4).await;
    let ids: Vec<_> = (1..=4).map(samples::run_id).collect();
    let runs = load(&journal, &ids).await;
    // They finished on 23, 24, 25 and 26 November; the first went on and finished again on the 25th.
    for (number, run) in (0_u32..).zip(&runs) {
        write(
            &house,
            run,
            u64::from(number) + 1,
            number.into(),
            run.records,
        )
        .await;
    }
    write(&house, &runs[0], 9, 2, runs[0].records + 3).await;

    let all = ["2025-11-23", "2025-11-24", "2025-11-25", "2025-11-26"];
    let count = "SELECT count(*) FROM runs";
    assert_eq!(
        read(&house, count).await,
        ("4".to_owned(), all.map(String::from).to_vec())
    );
    for (filter, runs, days) in [
        ("finished_at > '2025-11-25T00:00:00Z'", "3", &all[2..]),
        ("'2025-11-26' <= finished_at", "1", &all[3..]),
        (
            "finished_at >= '2025-11-25' AND workflow = 'retail'",
            "3",
            &all[2..],
        ),
        (
            "finished_at BETWEEN '2025-11-25' AND '2025-11-26'",
            "2",
            &all[2..],
        ),
        ("CAST(finished_at AS DATE) = '2025-11-26'", "1", &all[3..]),
        ("finished_at > now()", "0", &all[4..]),
        // The first run's earlier end must not come back: what is later is read, too.
        ("finished_at < '2025-11-24'", "0", &all[..]),
        (
            "finished_at < '2025-11-25' OR workflow = 'x'",
            "1",
            &all[..],
        ),
    ] {
        let expected: Vec<String> = days.iter().map(ToString::to_string).collect();
        let sql = format!("{count} WHERE {filter}");
        assert_eq!(
            read(&house, &sql).await,
            (runs.to_owned(), expected),
            "{filter}"
        );
    }
    let stages = "SELECT count(*) FROM stages WHERE ended_at > '2025-11-26'";
    let expected = vec!["2025-11-26".to_owned()];
    assert_eq!(read(&house, stages).await, ("1".to_owned(), expected));
    // What the journal still holds is seen whatever the filter is.
    let since = format!("{count} WHERE submitted_at > '2025-11-01'");
    assert_eq!(house.value(Some(&journal), &since).await, "4");
}
