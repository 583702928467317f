//! Rows in memory and passes over them find the same.

#![expect(clippy::panic, reason = "tests may fail by panicking")]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type};
use marquetry_plugin::StageError;
use marquetry_plugin::testing::{TestOutput, TestStage};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::KMeansStage;

/// Runs the stage in one of both ways, with its rows in parts.
fn run(is_in_memory: bool, rows: &RecordBatch, options: &Value) -> TestOutput {
    let threads = if is_in_memory { 1 } else { 3 };
    run_by(is_in_memory, rows, options, (700, threads))
}

/// The same with parts of so many rows, on so many threads.
fn run_by(
    is_in_memory: bool,
    rows: &RecordBatch,
    options: &Value,
    (part, threads): (usize, usize),
) -> TestOutput {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let stage = KMeansStage::for_test(is_in_memory, 400);
    let parts = (0..rows.num_rows().max(1)).step_by(part);
    let parts = parts.map(|from| rows.slice(from, part.min(rows.num_rows() - from)));
    let stage = TestStage::new(Arc::new(stage))
        .input("rows", parts.collect())
        .threads(threads)
        .options(options.clone());
    runtime.block_on(stage.run())
}

fn table(keys: ArrayRef, columns: &[Vec<f64>]) -> RecordBatch {
    let mut named = vec![("customer_id".to_owned(), keys)];
    for (column, values) in columns.iter().enumerate() {
        let values: ArrayRef = Arc::new(Float64Array::from(values.clone()));
        // A name that only quotes can hold.
        named.push((format!("Column {column}\""), values));
    }
    RecordBatch::try_from_iter(named).unwrap()
}

/// Customers in clouds, with keys of either kind in no order.
fn clouds(count: usize, width: usize, are_texts: bool, seed: u64) -> RecordBatch {
    let mut state = seed;
    let mut unit = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut columns = vec![Vec::new(); width];
    for row in 0..count {
        for (number, column) in columns.iter_mut().enumerate() {
            let cloud = (row * (number + 1)) % 5;
            column.push(cloud as f64 * 3.0 + unit() + unit() - 4.0);
        }
    }
    let numbers = (0..count).map(|row| (row * 7919 % count) as i64 - 300);
    let keys: ArrayRef = if are_texts {
        let texts: Vec<String> = numbers.map(|number| format!("C{number}")).collect();
        Arc::new(StringArray::from(texts))
    } else {
        Arc::new(Int64Array::from_iter_values(numbers))
    };
    table(keys, &columns)
}

/// The rows of two tables are the same, numbers to 1e-9 of their size.
fn assert_same(left: &TestOutput, right: &TestOutput, output: &str) {
    let [left, right] = [left, right].map(|all| {
        let batches = &all.outputs[output];
        concat_batches(&batches[0].schema(), batches).unwrap()
    });
    assert_eq!(left.schema(), right.schema(), "{output}");
    for (column, field) in left.schema().fields().iter().enumerate() {
        let [left, right] = [&left, &right].map(|batch| Arc::clone(batch.column(column)));
        if *field.data_type() != DataType::Float64 {
            assert_eq!(&left, &right, "{output}: {field}");
            continue;
        }
        let [left, right] = [left, right].map(|it| it.as_primitive::<Float64Type>().clone());
        for (left, right) in left.values().iter().zip(right.values()) {
            let scale = 1.0 + left.abs().max(right.abs());
            assert!((left - right).abs() <= 1e-9 * scale, "{output}: {field}");
        }
    }
}

fn assert_same_both_ways(rows: &RecordBatch, options: &Value) {
    let [memory, passes] = [true, false].map(|way| run(way, rows, options));
    for output in ["segments", "centres"] {
        assert_same(&memory, &passes, output);
    }
    let [memory, passes] = [&memory, &passes].map(TestOutput::outcome);
    for (name, left) in &memory.metrics {
        let right = passes.metrics[name];
        assert!((left - right).abs() <= 1e-9 * (1.0 + left.abs()), "{name}");
    }
    assert_eq!(memory.metrics.len(), passes.metrics.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn passes_find_what_is_found_in_memory(
        count in 12_usize..1500,
        width in 1_usize..4,
        are_texts in any::<bool>(),
        data in any::<u64>(),
        seed in any::<u32>(),
        k in 1_usize..7,
        is_range in any::<bool>(),
    ) {
        let rows = clouds(count, width, are_texts, data);
        let clusters = if is_range { json!({"min": 2, "max": k.max(3)}) } else { json!(k) };
        let options = json!({"rows": "$rows", "k": clusters, "seed": seed, "starts": 2});
        assert_same_both_ways(&rows, &options);
    }
}

#[test]
fn passes_give_the_same_bits_however_rows_are_dealt_out() {
    // More than a batch of the engine, so that several threads get some.
    let rows = clouds(20_000, 3, false, 11);
    let options = json!({"rows": "$rows", "k": {"min": 2, "max": 4}, "seed": 5, "starts": 2});
    let dealt = [(20_000, 1), (20_000, 4), (3_000, 2), (977, 3)];
    let [first, others @ ..] = dealt.map(|dealt| run_by(false, &rows, &options, dealt));
    for other in others {
        assert_eq!(first.outcome().metrics, other.outcome().metrics);
        assert_eq!(first.panels, other.panels);
        for output in ["segments", "centres"] {
            let [left, right] = [&first, &other].map(|all| {
                let batches = &all.outputs[output];
                concat_batches(&batches[0].schema(), batches).unwrap()
            });
            assert!(left == right, "{output}");
        }
    }
}

#[test]
fn given_centres_that_are_empty_at_first_get_the_farthest_rows_both_ways() {
    let rows = clouds(900, 2, false, 3);
    let options = json!({
        "rows": "$rows", "columns": ["Column 0\"", "Column 1\""],
        "start_at": [[0.0, 0.0], [900.0, 0.0], [3.0, 3.0], [0.0, -900.0]],
    });
    assert_same_both_ways(&rows, &options);
}

#[test]
fn equal_customers_leave_segments_empty_both_ways() {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..20));
    let rows = table(keys, &[vec![0.5; 20], vec![-7.0; 20]]);
    assert_same_both_ways(&rows, &json!({"rows": "$rows", "k": 3, "seed": 1}));
}

#[test]
fn what_cannot_be_clustered_is_refused_in_the_same_words_both_ways() {
    let keys = |keys: Vec<Option<i64>>| Arc::new(Int64Array::from(keys)) as ArrayRef;
    let three = || keys(vec![Some(1), Some(2), Some(3)]);
    let good = vec![1.0, 2.0, 4.0];
    let odd = vec![1.0, f64::NAN, f64::INFINITY];
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let none: ArrayRef = Arc::new(Float64Array::from(vec![None, None, Some(1.0)]));
    let with = |name: &str, column: ArrayRef| {
        RecordBatch::try_from_iter([("customer_id", three()), (name, column)]).unwrap()
    };
    for (rows, more) in [
        (table(three(), std::slice::from_ref(&good)), json!({"k": 4})),
        (table(three(), &[good.clone(), odd]), json!({"k": 2})),
        (with("x", none), json!({"k": 2})),
        (with("x", Arc::clone(&texts)), json!({"k": 2})),
        (with("x", texts), json!({"k": 2, "columns": ["x"]})),
        (with("segment", three()), json!({"k": 2})),
        (
            table(three(), std::slice::from_ref(&good)).slice(0, 0),
            json!({"k": 2}),
        ),
        (
            table(three(), std::slice::from_ref(&good)),
            json!({"k": 2, "columns": ["y"]}),
        ),
        (
            table(three(), std::slice::from_ref(&good)),
            json!({"k": 2, "key": "id"}),
        ),
        (
            table(
                keys(vec![Some(1), Some(2), Some(1)]),
                std::slice::from_ref(&good),
            ),
            json!({"k": 2}),
        ),
        (
            table(keys(vec![Some(1), None, None]), std::slice::from_ref(&good)),
            json!({"k": 2}),
        ),
        (table(three(), &[vec![-1e200, 1e200, 0.0]]), json!({"k": 2})),
    ] {
        let mut options = json!({"rows": "$rows", "seed": 1});
        for (name, value) in more.as_object().unwrap() {
            options[name] = value.clone();
        }
        let [memory, passes] = [true, false].map(|way| match run(way, &rows, &options).result {
            Err(StageError::Invalid(diagnostic)) => diagnostic,
            other => panic!("{options}: {other:?}"),
        });
        assert_eq!(memory, passes, "{options}");
    }
}

#[test]
fn rows_beyond_the_memory_of_the_stage_are_clustered_by_passes() {
    let rows = clouds(480_000, 3, false, 5);
    let options = json!({"rows": "$rows", "k": 3, "seed": 1, "starts": 1, "max_iterations": 3});
    let run = |limit| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let stage = TestStage::new(Arc::new(KMeansStage::for_test(true, 400)));
        // One thread: every part of a sort keeps 10 MB for itself.
        let stage = stage
            .input("rows", vec![rows.clone()])
            .threads(1)
            .memory_limit(limit);
        runtime.block_on(stage.options(options.clone()).run())
    };
    let [much, little] = [512 << 20, 24 << 20].map(run);
    assert_eq!(little.result.as_ref().err(), None);
    assert_same(&much, &little, "segments");
    let told = |output: &TestOutput| {
        let mut lines = output.logs.iter();
        lines.any(|line| line.message.contains("do not fit the stage's memory"))
    };
    assert_eq!((told(&little), told(&much)), (true, false));
}
