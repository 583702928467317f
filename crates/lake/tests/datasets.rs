//! Datasets as they are written, read, damaged and pinned.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use bytes::Bytes;
use marquetry_lake::testing::FaultyStore;
use marquetry_lake::{
    DataFile, FileLocation, Lake, LakeError, Manifest, SessionOptions, Source, WriteOptions,
    session, table,
};
use marquetry_types::DatasetRef;
use object_store::memory::InMemory;
use tempfile::TempDir;

fn numbers(from: i64, count: i64) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
    let column = Int64Array::from_iter_values(from..from + count);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).unwrap()
}

async fn write(
    lake: &Lake,
    prefix: &str,
    batches: &[RecordBatch],
) -> Result<DatasetRef, LakeError> {
    let options = WriteOptions {
        object_bytes: 1,
        ..WriteOptions::default()
    };
    let mut writer = lake
        .dataset_writer(prefix, numbers(0, 0).schema(), options)
        .await?;
    for batch in batches {
        writer.write(batch).await?;
    }
    writer.finish().await
}

async fn read(lake: &Lake, spill: &TempDir, dataset: &DatasetRef) -> Result<Vec<i64>, LakeError> {
    let options = SessionOptions {
        memory_limit: 1 << 26,
        spill_dir: spill.path().join("spill"),
        threads: 1,
    };
    let session = session(lake, &options)?;
    let rows = session
        .read_table(table(lake, &session, dataset).await?)?
        .collect()
        .await?;
    Ok(rows
        .iter()
        .flat_map(|it| it.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect())
}

#[tokio::test]
async fn rows_come_back_in_order_from_several_objects() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(&folder.path().join("lake").to_string_lossy())
        .await
        .unwrap();
    let dataset = write(&lake, "a/rows", &[numbers(0, 5), numbers(5, 5)])
        .await
        .unwrap();
    assert_eq!(dataset.rows, 10);
    assert_eq!(lake.manifest(&dataset).await.unwrap().files.len(), 2);
    assert_eq!(
        read(&lake, &folder, &dataset).await.unwrap(),
        (0..10).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn rows_come_back_from_below_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open("memory:///some/prefix").await.unwrap();
    let batches = [numbers(0, 5), numbers(5, 5)];
    let dataset = write(&lake, "a/rows", &batches).await.unwrap();
    let rows = read(&lake, &folder, &dataset).await.unwrap();
    assert_eq!(rows, (0..10).collect::<Vec<_>>());
    let listed = lake.list("a").await.unwrap();
    assert!(
        listed
            .iter()
            .all(|object| object.path.starts_with("a/rows/")),
        "{listed:?}"
    );
}

#[tokio::test]
async fn a_dataset_without_rows_keeps_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open("memory:///").await.unwrap();
    let dataset = write(&lake, "a/rows", &[]).await.unwrap();
    assert_eq!(
        lake.manifest(&dataset).await.unwrap().schema,
        numbers(0, 0).schema()
    );
    assert_eq!(
        read(&lake, &folder, &dataset).await.unwrap(),
        Vec::<i64>::new()
    );
}

#[tokio::test]
async fn a_manifest_that_is_not_the_committed_one_is_refused() {
    let lake = Lake::open("memory:///").await.unwrap();
    let dataset = write(&lake, "a/rows", &[numbers(0, 3)]).await.unwrap();
    lake.put(&dataset.manifest, Bytes::from_static(b"{}"))
        .await
        .unwrap();
    let error = lake.manifest(&dataset).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "dataset a/rows/manifest.json is damaged: its manifest is not the one that was committed"
    );
}

/// However many writes work before the store fails, a manifest is only ever there when every object
/// that it lists is.
#[tokio::test]
async fn nothing_is_named_before_it_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let batches = [numbers(0, 5), numbers(5, 5), numbers(10, 5)];
    let mut succeeded = 0;
    for writes in 0..6 {
        let memory: Arc<InMemory> = Arc::new(InMemory::new());
        let failing = FaultyStore::full_after(Arc::clone(&memory) as Arc<_>, writes);
        let result = write(
            &Lake::with_store("failing", Arc::new(failing)),
            "a",
            &batches,
        )
        .await;
        let after = Lake::with_store("memory", memory);
        let listed = after.list("a").await.unwrap();
        let has_manifest = listed
            .iter()
            .any(|object| object.path.ends_with("manifest.json"));
        assert_eq!(has_manifest, result.is_ok(), "after {writes} writes");
        if let Ok(dataset) = result {
            succeeded += 1;
            assert_eq!(read(&after, &folder, &dataset).await.unwrap().len(), 15);
        }
    }
    assert_eq!(
        succeeded, 2,
        "three objects and a manifest take four writes"
    );
}

#[tokio::test]
async fn a_source_that_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Lake::open(&folder.path().join("origin").to_string_lossy())
        .await
        .unwrap();
    write(&origin, "rows", &[numbers(0, 4)]).await.unwrap();
    let found = Source::resolve("origin/rows/*.parquet", Some(folder.path()))
        .await
        .unwrap();
    let [object] = &found[..] else {
        unreachable!("one object, got {found:?}")
    };
    let location = FileLocation::Source {
        url: object.url.clone(),
        etag: object.etag.clone(),
        last_modified: object.last_modified,
    };
    let files = vec![DataFile {
        location,
        bytes: object.size,
        rows: 4,
        digest: None,
    }];
    let manifest = Manifest {
        version: 1,
        schema: numbers(0, 0).schema(),
        files,
        rows: 4,
    };
    let lake = Lake::open("memory:///").await.unwrap();
    let dataset = lake.commit_manifest("pinned", &manifest).await.unwrap();
    assert_eq!(read(&lake, &folder, &dataset).await.unwrap(), [0, 1, 2, 3]);

    write(&origin, "rows", &[numbers(0, 5)]).await.unwrap();
    let error = read(&lake, &folder, &dataset).await.unwrap_err();
    assert!(matches!(error, LakeError::SourceChanged { .. }), "{error}");
}

#[tokio::test]
async fn patterns_find_what_they_mean() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(&folder.path().to_string_lossy()).await.unwrap();
    for path in ["in/a.csv", "in/b.csv", "in/deep/c.csv", "in/d.txt"] {
        lake.put(path, Bytes::from_static(b"x")).await.unwrap();
    }
    for (pattern, expected) in [
        ("in/*.csv", 2),
        ("in/**/*.csv", 3),
        ("in/[ab].*", 2),
        ("in/?.txt", 1),
        ("in", 4),
        ("./in/../in/a.csv", 1),
        ("in/none.csv", 0),
        ("nowhere/*.csv", 0),
    ] {
        let found = Source::resolve(pattern, Some(folder.path())).await.unwrap();
        assert_eq!(found.len(), expected, "{pattern}: {found:?}");
    }
}

#[tokio::test]
async fn a_nan_beside_equal_numbers_is_read_as_it_was_written() {
    // The statistics of a Parquet file leave NaN out: here they say that all numbers are 1.
    let written = Float64Array::from(vec![1.0, f64::NAN, 1.0]);
    let rows = RecordBatch::try_from_iter([("x", Arc::new(written) as ArrayRef)]).unwrap();
    let lake = Lake::open("memory:///").await.unwrap();
    let options = WriteOptions::default();
    let mut writer = lake
        .dataset_writer("rows", rows.schema(), options)
        .await
        .unwrap();
    writer.write(&rows).await.unwrap();
    let dataset = writer.finish().await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let options = SessionOptions {
        memory_limit: 1 << 26,
        spill_dir: folder.path().to_owned(),
        threads: 1,
    };
    let session = session(&lake, &options).unwrap();
    let found = table(&lake, &session, &dataset).await.unwrap();
    let found = session.read_table(found).unwrap().collect().await.unwrap();
    let found = found[0].column(0).as_primitive::<Float64Type>().values();
    assert!(
        found[0] == 1.0 && found[1].is_nan() && found[2] == 1.0,
        "{found:?}"
    );
}
