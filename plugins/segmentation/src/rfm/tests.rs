//! Customers in memory and passes over them have the same scores.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use marquetry_plugin::testing::{TestOutput, TestStage};
use proptest::prelude::*;
use serde_json::json;

use super::Rfm;

fn run(is_in_memory: bool, rows: &RecordBatch) -> TestOutput {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = Rfm {
        is_in_memory,
        ..Rfm::default()
    };
    let half = rows.num_rows() / 2;
    let parts = [
        rows.slice(0, half),
        rows.slice(half, rows.num_rows() - half),
    ];
    let stage = TestStage::new(Arc::new(stage))
        .input("rows", parts.to_vec())
        .options(json!({"rows": "$rows"}));
    runtime.block_on(stage.run())
}

fn customers(keys: ArrayRef, values: &[[Option<f64>; 3]]) -> RecordBatch {
    let column = |number: usize| -> ArrayRef {
        let column = values.iter().map(|row| row[number]);
        Arc::new(column.collect::<Float64Array>())
    };
    RecordBatch::try_from_iter_with_nullable([
        ("customer_id", keys, true),
        ("recency_days", column(0), true),
        ("frequency", column(1), true),
        ("monetary", column(2), true),
    ])
    .unwrap()
}

fn assert_same_both_ways(rows: &RecordBatch) {
    let [memory, passes] = [true, false].map(|way| run(way, rows));
    let refusal = |output: &TestOutput| output.result.as_ref().err().map(ToString::to_string);
    assert_eq!(refusal(&memory), refusal(&passes));
    if memory.result.is_err() {
        return;
    }
    let [left, right] = [&memory, &passes].map(|output| {
        let batches = &output.outputs["segments"];
        let first = batches.first();
        first.map(|first| concat_batches(&first.schema(), batches).unwrap())
    });
    assert_eq!(left, right);
    assert_eq!(memory.panels, passes.panels);
    assert_eq!(memory.outcome().metrics, passes.outcome().metrics);
    let said = |output: &TestOutput| {
        let lines = output.logs.iter();
        lines
            .map(|line| (line.message.clone(), line.fields.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(said(&memory), said(&passes));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn scores_are_the_same_both_ways(
        // Few values: ties go over the borders of scores.
        values in prop::collection::vec((-3_i32..4, 1_i32..4, 0_i32..40), 1..150),
        are_texts in any::<bool>(),
        turn in 0_usize..150,
    ) {
        let count = values.len();
        // Zeros of both signs, which are equal.
        let values: Vec<_> = values
            .iter()
            .map(|(r, f, m)| [-f64::from(*r), f64::from(*f), f64::from(*r) * f64::from(*m)])
            .map(|row| row.map(Some))
            .collect();
        let keys = (0..count).map(|row| ((row + turn) % count) as i64 - 20);
        let keys: ArrayRef = if are_texts {
            let texts: Vec<String> = keys.map(|key| format!("C{key}")).collect();
            Arc::new(StringArray::from(texts))
        } else {
            Arc::new(Int64Array::from_iter_values(keys))
        };
        assert_same_both_ways(&customers(keys, &values));
    }
}

#[test]
fn what_cannot_be_scored_is_refused_in_the_same_words_both_ways() {
    let keys = |keys: Vec<Option<i64>>| Arc::new(Int64Array::from(keys)) as ArrayRef;
    let good = [Some(1.0), Some(2.0), Some(3.0)];
    let three = || keys(vec![Some(1), Some(2), Some(3)]);
    for rows in [
        customers(three(), &[good, [None, Some(1.0), Some(1.0)], good]),
        customers(
            three(),
            &[good, good, [Some(1.0), Some(1.0), Some(f64::NAN)]],
        ),
        customers(keys(vec![Some(1), Some(2), Some(1)]), &[good, good, good]),
        customers(keys(vec![Some(1), None, Some(2)]), &[good, good, good]),
        customers(three(), &[good, good, good]).slice(0, 0),
    ] {
        assert_same_both_ways(&rows);
    }
    let empty = customers(three(), &[good, good, good]).slice(0, 0);
    assert_eq!(run(false, &empty).outcome().metrics["customers"], 0.0);
}
