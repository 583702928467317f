//! The stages against DuckDB and scikit-learn. See `fixtures/expected.py` for how the expected results
//! were made, and `fixtures/versions.json` by what.

use arrow::array::RecordBatch;
use arrow::compute::{sort_to_indices, take_record_batch};
use serde::Deserialize;
use serde_json::json;

use crate::support::{close, csv, fixture, numbers, rows, run, stage, words};

/// What scikit-learn made of given centres.
#[derive(Deserialize)]
struct Clusters {
    columns: Vec<String>,
    cases: Vec<Case>,
    given: Given,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    start: Vec<Vec<f64>>,
    tolerance: f64,
    max_iterations: usize,
    iterations: usize,
    inertia: f64,
    centres: Vec<Vec<f64>>,
    /// A digit for each customer, in the order of the key.
    labels: String,
}

#[derive(Deserialize)]
struct Given {
    centres: Vec<Vec<f64>>,
    labels: String,
    mean_distance: f64,
}

fn clusters() -> Clusters {
    serde_json::from_slice(&std::fs::read(fixture("clusters.json")).unwrap()).unwrap()
}

/// Rows in the order of the customers.
fn sorted(batch: &RecordBatch) -> RecordBatch {
    let keys = batch.column_by_name("customer_id").unwrap();
    take_record_batch(batch, &sort_to_indices(keys, None, None).unwrap()).unwrap()
}

fn labels(batch: &RecordBatch) -> String {
    words(batch, "segment").concat()
}

#[tokio::test]
async fn scores_are_those_of_duckdbs_ntile_and_segments_those_of_the_usual_grid() {
    let input = csv("customers.csv");
    let expected = sorted(&input);
    assert_ne!(
        numbers(&input, "customer_id"),
        numbers(&expected, "customer_id")
    );
    let output = run(
        "segmentation/rfm",
        &[("rows", &input)],
        json!({"rows": "$rows"}),
    )
    .await;
    let got = rows(&output, "segments");
    for column in ["customer_id", "r", "f", "m"] {
        assert_eq!(
            numbers(&got, column),
            numbers(&expected, column),
            "{column}"
        );
    }
    assert_eq!(words(&got, "segment"), words(&expected, "segment"));
    let codes = (0..got.num_rows()).map(|row| {
        let score = |column| numbers(&expected, column)[row];
        format!("{}{}{}", score("r"), score("f"), score("m"))
    });
    assert_eq!(words(&got, "rfm"), codes.collect::<Vec<_>>());
    let names: std::collections::BTreeSet<String> = words(&got, "segment").into_iter().collect();
    assert_eq!(
        names.len(),
        11,
        "the sample has customers in every segment: {names:?}"
    );
    assert_eq!(output.outcome().metrics["segments"], 11.0);
}

#[tokio::test]
async fn given_centres_lead_where_scikit_learn_goes() {
    let input = csv("customers.csv");
    let expected = clusters();
    for case in expected.cases {
        let options = json!({
            "rows": "$rows",
            "columns": expected.columns,
            "start_at": case.start,
            "tolerance": case.tolerance,
            "max_iterations": case.max_iterations,
        });
        let output = run("segmentation/kmeans", &[("rows", &input)], options).await;
        let name = &case.name;
        let metrics = &output.outcome().metrics;
        assert!(
            close(metrics["inertia"], case.inertia, 1e-9),
            "{name}: {metrics:?}"
        );
        assert_eq!(metrics["iterations"], case.iterations as f64, "{name}");
        assert_eq!(metrics["k"], case.start.len() as f64, "{name}");
        let segments = rows(&output, "segments");
        assert_eq!(labels(&segments), case.labels, "{name}");
        let squares: f64 = numbers(&segments, "distance")
            .iter()
            .map(|distance| distance * distance)
            .sum();
        assert!(close(squares, case.inertia, 1e-9), "{name}: {squares}");

        let centres = rows(&output, "centres");
        for (place, column) in expected.columns.iter().enumerate() {
            for (got, wanted) in numbers(&centres, column).iter().zip(&case.centres) {
                assert!(
                    (got - wanted[place]).abs() < 1e-9,
                    "{name}, {column}: {got}"
                );
            }
        }
        let sizes = numbers(&centres, "customers");
        for (segment, size) in sizes.iter().enumerate() {
            let digit = char::from_digit(u32::try_from(segment).unwrap(), 10).unwrap();
            let wanted = case.labels.chars().filter(|label| *label == digit).count();
            assert_eq!(*size, wanted as f64, "{name}, segment {segment}");
        }
    }
}

#[tokio::test]
async fn customers_belong_where_scikit_learn_predicts() {
    let input = csv("customers.csv");
    let expected = clusters();
    let centres = {
        let column = |place: usize| {
            expected
                .given
                .centres
                .iter()
                .map(move |centre| centre[place])
        };
        let segments = crate::support::ids(0..expected.given.centres.len() as i64);
        let columns = expected.columns.iter().enumerate();
        let columns =
            columns.map(|(place, name)| (name.as_str(), crate::support::floats(column(place))));
        RecordBatch::try_from_iter([("segment", segments)].into_iter().chain(columns)).unwrap()
    };
    let options = json!({"rows": "$rows", "centres": "$centres"});
    let inputs = [("rows", &input), ("centres", &centres)];
    let output = run("segmentation/assign", &inputs, options).await;
    assert_eq!(labels(&rows(&output, "segments")), expected.given.labels);
    let mean = output.outcome().metrics["mean_distance"];
    assert!(close(mean, expected.given.mean_distance, 1e-9), "{mean}");
}

#[tokio::test]
async fn the_centres_that_were_found_take_customers_to_the_same_segments() {
    let input = csv("customers.csv");
    let columns = clusters().columns;
    let options = json!({"rows": "$rows", "columns": columns, "k": 6, "seed": 3});
    let found = run("segmentation/kmeans", &[("rows", &input)], options).await;
    let segments = rows(&found, "segments");

    // In the same lake, as the next stage of a run has it.
    let centres = rows(&found, "centres");
    let again = stage("segmentation/assign")
        .lake(found.lake.clone())
        .input("rows", vec![input.clone()])
        .input("centres", vec![centres.clone()])
        .options(json!({"rows": "$rows", "centres": "$centres"}))
        .run()
        .await;
    let assigned = rows(&again, "segments");
    assert_eq!(labels(&assigned), labels(&segments));
    for (got, wanted) in numbers(&assigned, "distance")
        .iter()
        .zip(numbers(&segments, "distance"))
    {
        assert!((got - wanted).abs() < 1e-9);
    }

    // And k-means that begins there is at rest.
    let options = json!({"rows": "$rows", "centres": "$centres", "tolerance": 0.0});
    let inputs = [("rows", &input), ("centres", &centres)];
    let rest = run("segmentation/kmeans", &inputs, options).await;
    assert_eq!(labels(&rows(&rest, "segments")), labels(&segments));
}
