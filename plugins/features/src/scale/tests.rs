#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::type_complexity,
    reason = "tests"
)]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Float64Type;
use marquetry_plugin::StageError;
use marquetry_plugin::testing::{TestOutput, TestStage};
use marquetry_types::codes;
use serde_json::{Value, json};

use super::Scale;

/// Keys, values that may be missing, and a text each.
fn batch(rows: &[(i64, Option<f64>, Option<&str>)]) -> RecordBatch {
    let columns: [(&str, ArrayRef); 4] = [
        (
            "customer_id",
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        ),
        (
            "x",
            Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
        ),
        (
            "same",
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|_| 0.1))),
        ),
        (
            "c",
            Arc::new(rows.iter().map(|row| row.2).collect::<StringArray>()),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

async fn run(rows: &[(i64, Option<f64>, Option<&str>)], options: Value) -> TestOutput {
    with_inputs(vec![("rows", batch(rows))], options).await
}

/// Runs the stage over rows in memory and by passes, and sees that both say the same.
async fn with_inputs(inputs: Vec<(&str, RecordBatch)>, mut options: Value) -> TestOutput {
    options["rows"] = json!("$rows");
    let run = |is_in_memory| {
        let stage = Scale {
            is_in_memory,
            ..Scale::default()
        };
        let mut stage = TestStage::new(Arc::new(stage)).options(options.clone());
        for (name, batch) in &inputs {
            let half = batch.num_rows() / 2;
            let parts = [
                batch.slice(0, half),
                batch.slice(half, batch.num_rows() - half),
            ];
            stage = stage.input(name, parts.to_vec());
        }
        stage.run()
    };
    let (memory, passes) = (run(true).await, run(false).await);
    let refusal = |output: &TestOutput| output.result.as_ref().err().map(ToString::to_string);
    assert_eq!(refusal(&memory), refusal(&passes));
    if let (Ok(memory_outcome), Ok(passes_outcome)) = (&memory.result, &passes.result) {
        assert_eq!(memory_outcome.metrics, passes_outcome.metrics);
        for output in ["rows", "fitted"] {
            let [left, right] = [&memory, &passes].map(|all| {
                let batches = &all.outputs[output];
                concat_batches(&batches[0].schema(), batches).unwrap()
            });
            assert_same(&left, &right);
        }
    }
    memory
}

/// The rows are the same, numbers to 1e-9 of their size.
fn assert_same(left: &RecordBatch, right: &RecordBatch) {
    assert_eq!(left.schema(), right.schema());
    for (left, right) in left.columns().iter().zip(right.columns()) {
        let [Some(left), Some(right)] =
            [left, right].map(|it| it.as_primitive_opt::<Float64Type>().cloned())
        else {
            assert_eq!(left, right);
            continue;
        };
        assert_eq!(left.nulls(), right.nulls());
        for (left, right) in left.iter().flatten().zip(right.iter().flatten()) {
            assert!(
                (left - right).abs() <= 1e-9 * (1.0 + left.abs()),
                "{left} {right}"
            );
        }
    }
}

#[tokio::test]
async fn passes_learn_what_is_learnt_in_memory() {
    let mut state = 5_u64;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    };
    for (count, offset) in [(1, 0.0), (2, 1e9), (40, -0.5), (901, 3.0), (5000, 1e6)] {
        let texts = ["a", "b", "c"];
        let mut rows = Vec::new();
        for key in 0..count {
            let value = (draw() % 1000) as f64 * 0.37 + offset;
            let value = (draw() % 5 > 0 || key == 0).then_some(value);
            let text = texts.get((draw() % 4) as usize).copied();
            rows.push((key * 7919 % count, value, text));
        }
        for impute in [json!("mean"), json!("median"), json!({"value": 2.5})] {
            for scale in ["standard", "min_max", "none"] {
                for log1p in [json!([]), json!(["x"])] {
                    let options = json!({
                        "impute": impute, "scale": scale, "log1p": log1p, "one_hot": ["c"],
                    });
                    let output = run(&rows, options).await;
                    assert_eq!(output.result.err(), None);
                }
            }
        }
    }
}

#[tokio::test]
async fn keys_that_are_missing_or_repeated_and_too_many_texts_are_refused_both_ways() {
    let keys = |keys: Vec<Option<i64>>| {
        let count = keys.len();
        let texts: Vec<String> = (0..count).map(|row| row.to_string()).collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("customer_id", Arc::new(Int64Array::from(keys))),
            ("x", Arc::new(Float64Array::from(vec![1.5; count]))),
            ("c", Arc::new(StringArray::from(texts))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, it)| (name, it, true)))
            .unwrap()
    };
    for (rows, options, expected) in [
        (
            keys(vec![Some(2), Some(1), Some(2)]),
            json!({}),
            "more than once",
        ),
        (
            keys(vec![Some(2), None]),
            json!({}),
            "1 row of `rows` have no `customer_id`",
        ),
        (
            keys((0..300).map(Some).collect()),
            json!({"one_hot": ["c"]}),
            "300 values",
        ),
    ] {
        let output = with_inputs(vec![("rows", rows)], options).await;
        let refusal = output.error().to_string();
        assert!(refusal.contains(expected), "{refusal}");
    }
}

fn column(output: &TestOutput, name: &str) -> Vec<f64> {
    let batch = &output.outputs["rows"][0];
    batch
        .column_by_name(name)
        .unwrap()
        .as_primitive::<Float64Type>()
        .values()
        .to_vec()
}

fn assert_close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    let is_close = got
        .iter()
        .zip(expected)
        .all(|(got, expected)| (got - expected).abs() < 1e-12);
    assert!(is_close, "{got:?}, not {expected:?}");
}

const ROWS: [(i64, Option<f64>, Option<&str>); 3] = [
    (3, Some(4.0), Some("b")),
    (1, Some(2.0), Some("a")),
    (2, None, None),
];

#[tokio::test]
async fn columns_are_imputed_scaled_and_encoded_in_the_order_of_the_key() {
    let output = run(&ROWS, json!({"impute": "mean", "one_hot": ["c"]})).await;
    // 2, 3 (imputed), 4: mean 3, population deviation sqrt(2/3).
    let unit = 1.5_f64.sqrt();
    assert_close(&column(&output, "x"), &[-unit, 0.0, unit]);
    assert_close(&column(&output, "same"), &[0.0; 3]);
    assert_close(&column(&output, "c=a"), &[1.0, 0.0, 0.0]);
    assert_close(&column(&output, "c=b"), &[0.0, 0.0, 1.0]);
    let output = run(&ROWS, json!({"columns": ["x"], "scale": "min_max"})).await;
    assert_close(&column(&output, "x"), &[0.5, 0.0, 1.0]);
    let output = run(
        &ROWS,
        json!({"columns": ["x"], "scale": "none", "log1p": ["x"], "impute": {"value": 1.0}}),
    )
    .await;
    assert_close(
        &column(&output, "x"),
        &[3.0_f64.ln(), 2.0_f64.ln(), 5.0_f64.ln()],
    );
}

#[tokio::test]
async fn what_was_fitted_is_applied_to_other_rows() {
    let options = json!({"impute": "median", "log1p": ["x"], "scale": "min_max", "one_hot": ["c"]});
    let fitted = run(&ROWS, options).await;
    let learnt = fitted.outputs["fitted"][0].clone();
    let other = [(9, Some(4.0), Some("new")), (8, None, Some("b"))];
    let inputs = vec![("rows", batch(&other)), ("fitted", learnt.clone())];
    let output = with_inputs(inputs, json!({"apply": "$fitted"})).await;
    // The median 3 between ln 3 and ln 5.
    let middle = (4.0_f64.ln() - 3.0_f64.ln()) / (5.0_f64.ln() - 3.0_f64.ln());
    assert_close(&column(&output, "x"), &[middle, 1.0]);
    assert_close(&column(&output, "c=a"), &[0.0, 0.0]);
    assert_close(&column(&output, "c=b"), &[1.0, 0.0]);
    assert_eq!(output.outputs["fitted"][0], learnt);
    let again = with_inputs(
        vec![("rows", batch(&ROWS)), ("fitted", learnt)],
        json!({"apply": "$fitted"}),
    )
    .await;
    assert_eq!(again.outputs["rows"], fitted.outputs["rows"]);
}

#[tokio::test]
async fn what_cannot_be_scaled_is_named() {
    let nan = [(1, Some(f64::NAN), None)];
    let cases: [(&[(i64, Option<f64>, Option<&str>)], Value, _, &str); 7] = [
        (&[], json!({}), codes::TOO_FEW_ROWS, "no rows to fit"),
        (
            &nan,
            json!({}),
            codes::BAD_VALUE,
            "customer_id 1 has NaN in column `x`",
        ),
        (
            &[(1, Some(-1.0), None)],
            json!({"log1p": ["x"]}),
            codes::BAD_VALUE,
            "column `x`",
        ),
        (
            &[(1, None, None)],
            json!({"impute": "mean"}),
            codes::TOO_FEW_ROWS,
            "column `x` has no values",
        ),
        (
            &ROWS,
            json!({"columns": ["c"]}),
            codes::COLUMN_MISMATCH,
            "not a number",
        ),
        (
            &ROWS,
            json!({"columns": ["sam"]}),
            codes::COLUMN_MISMATCH,
            "no column `sam`",
        ),
        (&ROWS, json!({"log1p": ["y"]}), codes::STAGE_OPTIONS, "`y`"),
    ];
    for (rows, options, code, message) in cases {
        let output = run(rows, options).await;
        let StageError::Invalid(diagnostic) = output.error() else {
            panic!("{:?}", output.error())
        };
        assert!(diagnostic.message.contains(message), "{diagnostic}");
        assert_eq!(diagnostic.code, code, "{diagnostic}");
    }
    let inputs = vec![("rows", batch(&ROWS)), ("other", batch(&ROWS))];
    let output = with_inputs(inputs, json!({"apply": "$other"})).await;
    assert!(
        output.error().to_string().contains("no dataset of fitted"),
        "{}",
        output.error()
    );
}
