//! What a lake promises, kept over S3, whatever goes wrong on the way.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use bytes::Bytes;
use marquetry_lake::{
    Lake, LakeError, SessionOptions, StoreSettings, WriteOptions, session, table,
};
use marquetry_tests::Dice;
use marquetry_types::{DatasetRef, Diagnostic, codes};

use super::faults::{Fault, Health};
use super::server::{BUCKET, S3Server, SECRET};

const SEED: u64 = 20_261_128;
/// Rows of a batch; the first is an object of more than two parts of 5 MiB.
const BATCHES: [usize; 3] = [1_500_000, 1_000, 10];

/// Numbers that no compression makes smaller.
fn numbers(dice: &mut Dice, rows: usize) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
    let drawn = (0..rows).map(|_| i64::try_from(dice.below(1 << 63)).unwrap());
    let column = Int64Array::from_iter_values(drawn);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).unwrap()
}

async fn lake(server: &S3Server, location: &str, secret: &str, patience: u32) -> Lake {
    let settings: StoreSettings = server.environment(secret, patience).into_iter().collect();
    Lake::open_with(location, &settings).await.unwrap()
}

async fn write(
    lake: &Lake,
    prefix: &str,
    batches: &[RecordBatch],
) -> Result<DatasetRef, LakeError> {
    let options = WriteOptions {
        object_bytes: 1,
        buffer_bytes: 5 * 1024 * 1024,
        ..WriteOptions::default()
    };
    let schema = batches[0].schema();
    let mut writer = lake.dataset_writer(prefix, schema, options).await?;
    for batch in batches {
        writer.write(batch).await?;
    }
    writer.finish().await
}

/// Writes as a stage does that is tried again: an upload whose last answer was lost is not known any more, and
/// only whoever writes all of it again can know that it is there.
async fn attempt(lake: &Lake, prefix: &str, batches: &[RecordBatch]) -> DatasetRef {
    for _ in 0..20 {
        match write(lake, prefix, batches).await {
            Ok(dataset) => return dataset,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
    unreachable!("it is never written")
}

async fn read(lake: &Lake, dataset: &DatasetRef) -> Result<Vec<i64>, LakeError> {
    let folder = tempfile::tempdir().unwrap();
    let options = SessionOptions {
        memory_limit: 1 << 28,
        spill_dir: folder.path().to_owned(),
        threads: 1,
    };
    let session = session(lake, &options)?;
    let rows = session.read_table(table(lake, &session, dataset).await?)?;
    let batches = rows.collect().await?;
    let columns = batches
        .iter()
        .map(|it| it.column(0).as_primitive::<Int64Type>());
    Ok(columns.flat_map(|it| it.values().to_vec()).collect())
}

/// Writes, lists and reads a dataset, and gives how many requests that took.
async fn round_trip(server: &S3Server, prefix: &str) -> u64 {
    let location = format!("s3://{BUCKET}/{prefix}");
    let lake = lake(server, &location, SECRET, 60).await;
    let mut dice = Dice::new(SEED);
    let batches = BATCHES.map(|rows| numbers(&mut dice, rows));
    let before = server.faults.requests();
    let dataset = attempt(&lake, "runs/rows", &batches).await;
    assert_eq!(dataset.rows, BATCHES.iter().sum::<usize>() as u64);

    let mut listed = lake.list("runs").await.unwrap();
    listed.sort_by(|left, right| left.path.cmp(&right.path));
    let names: Vec<&str> = listed.iter().map(|it| it.path.as_str()).collect();
    let expected = [
        "runs/rows/manifest.json",
        "runs/rows/part-00000.parquet",
        "runs/rows/part-00001.parquet",
        "runs/rows/part-00002.parquet",
    ];
    assert_eq!(names, expected);
    assert!(listed[1].bytes > 2 * 5 * 1024 * 1024, "{listed:?}");
    let objects = server.objects().join(prefix);
    assert!(objects.join("runs/rows/manifest.json").is_file());

    let written = batches
        .iter()
        .flat_map(|it| it.column(0).as_primitive::<Int64Type>().values().to_vec());
    let written: Vec<i64> = written.collect();
    // Not `assert_eq`, which would print them.
    assert!(read(&lake, &dataset).await.unwrap() == written);
    server.faults.requests() - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dataset_of_several_objects_and_parts_comes_back_from_below_a_prefix() {
    let server = S3Server::start();
    let requests = round_trip(&server, "some/prefix").await;
    // Three objects, one of them in three parts at least, and a manifest.
    assert!(requests > 8, "{requests}");
    assert_eq!(server.faults.all_met(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_on_the_way_a_dataset_is_whole_or_not_there() {
    let server = S3Server::start();
    for (seed, fault) in (SEED..).zip(Fault::ALL) {
        server.faults.begin(seed, 30, &[fault]);
        // Not its name: a key that holds the words of an error makes clients take an answer for one.
        round_trip(&server, &format!("{seed}")).await;
        assert!(server.faults.met(fault) > 1, "{fault:?} was hardly met");
    }
}

/// What is said of a failure, for people.
fn said(error: LakeError) -> (Diagnostic, bool) {
    let is_transient = error.is_transient();
    (error.into(), is_transient)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_store_refuses_is_said_with_the_place_the_reason_and_what_to_do() {
    let server = S3Server::start();
    let inside = format!("s3://{BUCKET}/lake");
    let sound = lake(&server, &inside, SECRET, 1).await;
    let put = |lake: Lake| async move { lake.put("a/b", Bytes::from_static(b"x")).await };

    let (missing, is_transient) = said(sound.get("a/b").await.unwrap_err());
    assert_eq!(
        missing.message,
        "cannot read s3://bucket/lake/a/b: 404 Not Found, NoSuchKey"
    );
    assert!(!is_transient);

    let strange = lake(&server, &inside, "not-the-secret", 1).await;
    let (strange, is_transient) = said(put(strange).await.unwrap_err());
    assert!(
        strange
            .message
            .starts_with("cannot write s3://bucket/lake/a/b: 403 Forbidden, SignatureDoesNotMatch"),
        "{strange}"
    );
    assert!(
        strange
            .help
            .as_ref()
            .unwrap()
            .contains("AWS_SECRET_ACCESS_KEY")
    );
    assert!(!is_transient);

    let nowhere = lake(&server, "s3://elsewhere/lake", SECRET, 1).await;
    let (nowhere, is_transient) = said(put(nowhere).await.unwrap_err());
    assert_eq!(
        nowhere.message,
        "cannot write s3://elsewhere/lake/a/b: 404 Not Found, NoSuchBucket: The specified bucket does not exist"
    );
    assert!(nowhere.help.as_ref().unwrap().contains("bucket"));
    assert!(!is_transient);

    server.faults.be(Health::Down);
    let (down, is_transient) = said(put(sound.clone()).await.unwrap_err());
    let endpoint = server.endpoint();
    assert!(
        down.message
            .contains(&format!("{endpoint} does not answer: ")),
        "{down}"
    );
    assert!(down.message.contains("times)"), "{down}");
    assert!(is_transient, "it may be back");

    server.faults.be(Health::Full);
    let (full, is_transient) = said(put(sound).await.unwrap_err());
    assert_eq!(full.code, codes::NO_ROOM, "{full}");
    assert!(is_transient, "there may be room later");

    for diagnostic in [missing, strange, nowhere, down, full] {
        let text = format!("{diagnostic} {diagnostic:?}");
        assert!(
            !text.contains(SECRET) && !text.contains("not-the-secret"),
            "{text}"
        );
    }
}
