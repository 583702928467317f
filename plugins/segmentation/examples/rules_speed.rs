//! How fast rules are, for `cargo xtask bench rules`: `rules_speed [ROWS [THREADS]]`, built with
//! optimisation. One JSON line a case:
//!
//! - `translated`: ten rules that run as expressions, from a table in memory to the segment column;
//! - `sql_case`: the same rules as a `CASE` in SQL, in the same session with as many threads;
//! - `ratio`: the seconds of the first by those of the second, each the median of the rounds;
//! - `untranslated`: a script with `let`, `if` and `return`, on one thread.

#![expect(clippy::print_stdout, reason = "a program that prints figures")]

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use datafusion::datasource::MemTable;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures::StreamExt;
use marquetry_segmentation::RuleSet;
use serde_json::json;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const ROWS: usize = 10_000_000;
const BATCH: usize = 8192;
/// Each case is timed so often, in turns, and the median counts.
const ROUNDS: usize = 5;

const RULES: [(&str, &str); 10] = [
    ("new", "tenure_days <= 60"),
    ("vip", "monetary > 5000 && frequency >= 20"),
    ("loyal", "frequency >= 20 && recency_days <= 30"),
    ("german", "country == \"DE\" && monetary >= 1000"),
    (
        "nordic",
        "country in [\"SE\", \"NO\", \"FI\", \"DK\"] && frequency > 5",
    ),
    (
        "slipping",
        "frequency >= 3 && recency_days <= 3 * (gap_mean_days ?? 0)",
    ),
    ("big baskets", "monetary / frequency > 300"),
    ("no country", "country == () && recency_days <= 365"),
    (
        "lapsed",
        "recency_days > 700 || (recency_days > 500 && frequency == 1)",
    ),
    ("small", "!(monetary >= 20)"),
];

const SQL: &str = "SELECT CASE \
    WHEN tenure_days <= 60 THEN 'new' \
    WHEN monetary > 5000 AND frequency >= 20 THEN 'vip' \
    WHEN frequency >= 20 AND recency_days <= 30 THEN 'loyal' \
    WHEN country = 'DE' AND monetary >= 1000 THEN 'german' \
    WHEN country IN ('SE', 'NO', 'FI', 'DK') AND frequency > 5 THEN 'nordic' \
    WHEN frequency >= 3 AND recency_days <= 3 * coalesce(gap_mean_days, 0) THEN 'slipping' \
    WHEN monetary / frequency > 300 THEN 'big baskets' \
    WHEN country IS NULL AND recency_days <= 365 THEN 'no country' \
    WHEN recency_days > 700 OR (recency_days > 500 AND frequency = 1) THEN 'lapsed' \
    WHEN (monetary >= 20) IS NOT TRUE THEN 'small' \
    ELSE 'other' END AS segment FROM customers";

const SCRIPT: &str = r#"
    fn value(row) {
        let often = row.frequency >= 10;
        if often && row.monetary > 1000 { return "high"; }
        if row.monetary > 200 { "middle" } else { "low" }
    }

    fn segment(row) {
        if row.tenure_days <= 60 { return "new"; }
        if row.country == "DE" && row.monetary >= 1000 { return "german"; }
        let usual = row.gap_mean_days ?? 0;
        if row.frequency >= 3 && row.recency_days <= 3 * usual { return "slipping"; }
        if row.recency_days > 700 { return "lapsed"; }
        value(row)
    }
"#;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let rows = arguments.next().map_or(Ok(ROWS), |rows| rows.parse())?;
    let available = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = arguments
        .next()
        .map_or(Ok(available), |threads| threads.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .build()?;
    runtime.block_on(measure(rows, threads))
}

async fn measure(rows: usize, threads: usize) -> Result<(), Failure> {
    let batches = customers(rows)?;
    let schema = batches.first().ok_or("there are no rows")?.schema();
    let config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_batch_size(BATCH);
    let session = SessionContext::new_with_config(config);
    let mut partitions = vec![Vec::new(); threads.max(1)];
    for (place, batch) in batches.iter().enumerate() {
        let partition = place % partitions.len();
        if let Some(partition) = partitions.get_mut(partition) {
            partition.push(batch.clone());
        }
    }
    let table = MemTable::try_new(Arc::clone(&schema), partitions)?;
    session.register_table("customers", Arc::new(table))?;

    let rules = Arc::new(RuleSet::new(&RULES, "other", &schema).map_err(said)?);
    let (_, others) = rules.ways();
    if !others.is_empty() {
        return Err(format!("rules that are not translated: {others:?}").into());
    }
    compare(&session, &rules).await?;
    let (mut translated, mut sql) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let table = session.table("customers").await?;
        let count = run(table, Some(Arc::clone(&rules))).await?;
        translated.push(begin.elapsed().as_secs_f64());
        check(count, rows)?;
        let begin = Instant::now();
        let count = run(session.sql(SQL).await?, None).await?;
        sql.push(begin.elapsed().as_secs_f64());
        check(count, rows)?;
    }
    let (translated, sql) = (median(translated), median(sql));
    report("translated", rows, translated, threads);
    report("sql_case", rows, sql, threads);
    println!(
        "{}",
        json!({"case": "ratio", "translated_by_sql_case": translated / sql, "rows": rows, "threads": threads})
    );

    let script = RuleSet::script("speed.rhai", SCRIPT, "other", &schema).map_err(said)?;
    let mut untranslated = Vec::new();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let mut count = 0;
        for batch in &batches {
            count += script.segments(batch).map_err(said)?.len();
        }
        untranslated.push(begin.elapsed().as_secs_f64());
        check(count, rows)?;
    }
    report("untranslated", rows, median(untranslated), 1);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
fn report(case: &str, rows: usize, seconds: f64, threads: usize) {
    println!(
        "{}",
        json!({
            "case": case,
            "rows": rows,
            "seconds": seconds,
            "rows_per_second": rows as f64 / seconds,
            "threads": threads,
        })
    );
}

/// Reads a table to its end, a task for each partition; with rules, makes the segment column of every
/// batch. The number of segments.
async fn run(frame: DataFrame, rules: Option<Arc<RuleSet>>) -> Result<usize, Failure> {
    let mut tasks = Vec::new();
    for mut stream in frame.execute_stream_partitioned().await? {
        let rules = rules.clone();
        tasks.push(tokio::spawn(async move {
            let mut count = 0;
            while let Some(batch) = stream.next().await {
                let batch = batch?;
                count += match &rules {
                    Some(rules) => rules.segments(&batch).map_err(said)?.len(),
                    None => batch.column(0).len(),
                };
            }
            Ok::<usize, Failure>(count)
        }));
    }
    let mut count = 0;
    for task in tasks {
        count += task.await??;
    }
    Ok(count)
}

/// Fails unless both ways give the same segments for the same rows.
async fn compare(session: &SessionContext, rules: &RuleSet) -> Result<(), Failure> {
    let columns = "SELECT *, ";
    let query = SQL.replacen("SELECT ", columns, 1);
    let mut stream = session.sql(&query).await?.execute_stream().await?;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let last = batch.num_columns().saturating_sub(1);
        let expected = arrow::compute::cast(batch.column(last), &arrow::datatypes::DataType::Utf8)?;
        let kept: Vec<usize> = (0..last).collect();
        let got = rules.segments(&batch.project(&kept)?).map_err(said)?;
        if expected.to_data() != got.to_data() {
            return Err("rules and SQL give other segments".into());
        }
    }
    Ok(())
}

fn check(count: usize, rows: usize) -> Result<(), Failure> {
    if count == rows {
        Ok(())
    } else {
        Err(format!("{count} segments of {rows} rows").into())
    }
}

fn said(error: marquetry_plugin::StageError) -> Failure {
    format!("{error:?}").into()
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Customers of a shop; a twentieth have no country, a quarter no gap between orders.
fn customers(rows: usize) -> Result<Vec<RecordBatch>, Failure> {
    let mut state = 7_u64;
    // SplitMix64: any even spread would do.
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let countries = ["DE", "FR", "UK", "SE", "NO", "FI", "DK", "ES", "IT", "NL"];
    let mut batches = Vec::new();
    let mut schema: Option<Arc<Schema>> = None;
    for first in (0..rows).step_by(BATCH) {
        let count = BATCH.min(rows - first);
        let mut share = || u32::try_from(next() >> 32).map_or(0.0, f64::from) / 4_294_967_296.0;
        let mut floats = |of: &dyn Fn(f64) -> Option<f64>| -> ArrayRef {
            Arc::new((0..count).map(|_| of(share())).collect::<Float64Array>())
        };
        let recency = floats(&|share| Some(800.0 * share));
        let tenure = floats(&|share| Some(1200.0 * share));
        let monetary = floats(&|share| Some(3.0 / (1.0004 - share)));
        let gap = floats(&|share| (share > 0.25).then_some(100.0 * share));
        let frequency: ArrayRef =
            Arc::new(Int64Array::from_iter_values((0..count).map(|_| {
                i64::try_from(1 + next() % 6 * (next() % 6)).unwrap_or(1)
            })));
        let country: ArrayRef = Arc::new(
            (0..count)
                .map(|_| {
                    let drawn = usize::try_from(next() % 200).unwrap_or(0);
                    (drawn >= 10).then(|| countries[drawn % countries.len()])
                })
                .collect::<StringArray>(),
        );
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("recency_days", recency, true),
            ("tenure_days", tenure, true),
            ("monetary", monetary, true),
            ("gap_mean_days", gap, true),
            ("frequency", frequency, true),
            ("country", country, true),
        ])?;
        let schema = Arc::clone(schema.get_or_insert_with(|| batch.schema()));
        batches.push(RecordBatch::try_new(schema, batch.columns().to_vec())?);
    }
    Ok(batches)
}
