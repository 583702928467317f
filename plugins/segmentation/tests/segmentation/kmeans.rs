//! What segmentation/kmeans makes of odd input, and what it refuses.

use arrow::array::RecordBatch;
use marquetry_plugin::PanelBody;
use serde_json::{Value, json};

use crate::support::{
    complaint, floats, ids, numbers, rows, run, segments, table, texts, warnings,
};

/// Five customers in two places.
fn customers() -> RecordBatch {
    table([
        ("customer_id", ids(1..=5)),
        ("x", floats([0.0, 1.0, 0.0, 9.0, 9.0])),
        ("y", floats([0.0, 0.0, 1.0, 9.0, 8.0])),
        ("country", texts(["DE", "FR", "DE", "FR", "DE"])),
    ])
}

/// The same with another column `x`.
fn with_x<V: Into<Option<f64>>>(x: [V; 5]) -> RecordBatch {
    table([
        ("customer_id", ids(1..=5)),
        ("x", floats(x)),
        ("y", floats([0.0, 0.0, 1.0, 9.0, 8.0])),
    ])
}

async fn refusal(rows: &RecordBatch, more: Value) -> String {
    let mut options = json!({"rows": "$rows"});
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    complaint(&run("segmentation/kmeans", &[("rows", rows)], options).await)
}

#[tokio::test]
async fn customers_are_grouped_numbered_by_size_and_shown() {
    let options = json!({"rows": "$rows", "k": 2, "seed": 1});
    let output = run("segmentation/kmeans", &[("rows", &customers())], options).await;
    assert_eq!(segments(&output), "1 0, 2 0, 3 0, 4 1, 5 1");
    let centres = rows(&output, "centres");
    assert_eq!(numbers(&centres, "customers"), [3.0, 2.0]);
    assert_eq!(numbers(&centres, "y"), [1.0 / 3.0, 8.5]);
    assert_eq!(centres.num_columns(), 4, "the country is no number");
    assert_eq!(warnings(&output), Vec::<String>::new());
    let titles: Vec<&str> = output
        .panels
        .iter()
        .map(|panel| panel.title.as_str())
        .collect();
    assert_eq!(titles, ["K-means segments", "Clusters in two dimensions"]);
    let PanelBody::Scatter { groups, .. } = &output.panels[1].body else {
        panic!("{:?}", output.panels[1]);
    };
    let points: Vec<usize> = groups.iter().map(|group| group.points.len()).collect();
    assert_eq!(points, [3, 2]);
}

#[tokio::test]
async fn too_few_customers_are_refused_in_the_words_of_the_options() {
    let all = customers();
    for (count, options, expected) in [
        (
            0,
            json!({"k": 2}),
            "`rows` has no customers to cluster [MQ0405]; help: look at the stage that makes them: its input or its filter may be empty",
        ),
        (
            0,
            json!({"k": {"min": 2, "max": 3}}),
            "`rows` has no customers to cluster [MQ0405]; help: look at the stage that makes them: its input or its filter may be empty",
        ),
        (
            1,
            json!({"k": 2}),
            "2 segments of 1 customer: there are too few customers [MQ0405]; help: the largest `k` here is 1; or look why there are so few customers",
        ),
        (
            5,
            json!({"k": 6}),
            "6 segments of 5 customers: there are too few customers [MQ0405]; help: the largest `k` here is 5; or look why there are so few customers",
        ),
        (
            5,
            json!({"k": {"min": 2, "max": 5}}),
            "5 segments of 5 customers: there are too few customers [MQ0405]; help: the largest `max` for 5 customers is 4",
        ),
        (
            2,
            json!({"k": {"min": 2, "max": 2}}),
            "2 segments of 2 customers: there are too few customers [MQ0405]; help: a range needs 3 customers or more: look why there are so few",
        ),
        (
            1,
            json!({"start_at": [[0.0], [1.0]], "columns": ["x"]}),
            "2 segments of 1 customer: there are too few customers [MQ0405]; help: give fewer centres, or look why there are so few customers",
        ),
    ] {
        assert_eq!(refusal(&all.slice(0, count), options).await, expected);
    }
}

#[tokio::test]
async fn one_customer_and_a_segment_for_each_are_segmentations_too() {
    let all = customers();
    let options = json!({"rows": "$rows", "k": 1});
    let one = run(
        "segmentation/kmeans",
        &[("rows", &all.slice(0, 1))],
        options,
    )
    .await;
    assert_eq!(segments(&one), "1 0");
    assert_eq!(one.outcome().metrics["inertia"], 0.0);

    let options = json!({"rows": "$rows", "k": 5});
    let each = run("segmentation/kmeans", &[("rows", &all)], options).await;
    assert_eq!(each.outcome().metrics["inertia"], 0.0);
    assert_eq!(numbers(&rows(&each, "centres"), "customers"), [1.0; 5]);
}

#[tokio::test]
async fn values_that_have_no_distance_are_named_with_column_and_customer() {
    let help = "[MQ0406]; help: impute with features/scale, filter with features/sql, or leave the column out of `columns`";
    for (x, expected) in [
        (
            [Some(0.0), None, Some(0.0), None, Some(1.0)],
            "customer_id 2 has no value in column `x`, and 1 more row has none that can be used",
        ),
        (
            [Some(0.0), Some(0.0), Some(f64::NAN), Some(0.0), Some(1.0)],
            "customer_id 3 has NaN in column `x`",
        ),
        (
            [
                Some(0.0),
                Some(0.0),
                Some(1.0),
                Some(f64::INFINITY),
                Some(1.0),
            ],
            "customer_id 4 has inf in column `x`",
        ),
        (
            [
                Some(f64::NEG_INFINITY),
                None,
                Some(f64::NAN),
                Some(9.0),
                Some(1.0),
            ],
            "customer_id 1 has -inf in column `x`, and 2 more rows have none that can be used",
        ),
    ] {
        assert_eq!(
            refusal(&with_x(x), json!({"k": 2})).await,
            format!("{expected} {help}")
        );
    }
    assert_eq!(
        refusal(&with_x([1e200, -1e200, 0.0, 3e199, 1.0]), json!({"k": 2})).await,
        "the squared distances of customers are beyond floating point: a column has huge numbers [MQ0406]; help: bring the columns to comparable scales first, with `log1p` of features/scale or with features/sql"
    );
}

#[tokio::test]
async fn constant_columns_are_told_and_do_no_harm() {
    let options = json!({"rows": "$rows", "k": 2});
    let output = run(
        "segmentation/kmeans",
        &[("rows", &with_x([0.1; 5]))],
        options,
    )
    .await;
    assert_eq!(segments(&output), "1 0, 2 0, 3 0, 4 1, 5 1");
    assert_eq!(
        warnings(&output),
        ["a column is constant: it tells no customers apart: column=\"x\""]
    );
}

#[tokio::test]
async fn fewer_distinct_customers_than_segments_leave_segments_empty_and_say_so() {
    let same = table([("customer_id", ids(1..=5)), ("x", floats([0.1; 5]))]);
    for (k, expected) in [(json!(3), 3), (json!({"min": 2, "max": 4}), 2)] {
        let options = json!({"rows": "$rows", "k": k});
        let output = run("segmentation/kmeans", &[("rows", &same)], options).await;
        assert_eq!(segments(&output), "1 0, 2 0, 3 0, 4 0, 5 0");
        let centres = rows(&output, "centres");
        let mut sizes = vec![0.0; expected];
        sizes[0] = 5.0;
        assert_eq!(numbers(&centres, "customers"), sizes);
        assert_eq!(numbers(&centres, "x"), vec![0.1; expected]);
        let empty = format!(
            "there are fewer distinct customers than segments: empty={} k={expected}",
            expected - 1
        );
        assert!(
            warnings(&output).contains(&empty),
            "{:?}",
            warnings(&output)
        );
        assert!(!output.outcome().metrics.contains_key("silhouette"));
    }
}

#[tokio::test]
async fn very_uneven_columns_are_told() {
    let options = json!({"rows": "$rows", "k": 2});
    let output = run(
        "segmentation/kmeans",
        &[("rows", &with_x([0.0, 5e6, 0.0, 1e6, 2e6]))],
        options,
    )
    .await;
    let told = warnings(&output);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("scale them first") && told[0].contains("narrowest=\"y\""),
        "{told:?}"
    );
}

#[tokio::test]
async fn keys_must_tell_customers_apart() {
    let x = || floats([0.0, 1.0, 0.0]);
    let twice = table([("customer_id", ids([4, 7, 4])), ("x", x())]);
    assert_eq!(
        refusal(&twice, json!({"k": 2})).await,
        "customer_id 4 stands in `rows` more than once [MQ0406]; help: there must be one row per key: aggregate with features/customer or features/sql"
    );
    let none = table([
        ("customer_id", texts([Some("a"), None, Some("b")])),
        ("x", x()),
    ]);
    assert_eq!(
        refusal(&none, json!({"k": 2})).await,
        "1 row of `rows` have no `customer_id` [MQ0406]; help: rows are told apart by their key: filter those without, or name another `key`"
    );
    let number = table([("customer_id", floats([1.0, 2.0, 3.0])), ("x", x())]);
    assert_eq!(
        refusal(&number, json!({"k": 2})).await,
        "the key `customer_id` of `rows` is of type Float64 [MQ0403]; help: a key is an integer or a text: cast it in ingest/files or features/sql"
    );
    assert_eq!(
        refusal(&customers(), json!({"k": 2, "key": "customer"})).await,
        "`rows` has no column `customer` [MQ0403]; help: its columns are `customer_id`, `x`, `y`, `country`"
    );
    let taken = table([("segment", ids([4, 7, 5])), ("x", x())]);
    assert_eq!(
        refusal(&taken, json!({"k": 2, "key": "segment"})).await,
        "the key cannot be named `segment`: the output has a column of that name [MQ0113]; help: rename it in ingest/files or features/sql"
    );
}

#[tokio::test]
async fn columns_must_be_there_once_and_be_numbers() {
    let all = customers();
    for (columns, expected) in [
        (
            json!(["x", "spend"]),
            "`rows` has no column `spend` [MQ0403]; help: its columns are `customer_id`, `x`, `y`, `country`",
        ),
        (
            json!(["x", "countri"]),
            "`rows` has no column `countri` [MQ0403]; help: did you mean `country`?",
        ),
        (
            json!(["x", "country"]),
            "column `country` is of type Utf8, not a number [MQ0403]; help: leave it out of `columns`, or encode it with features/scale",
        ),
        (
            json!(["x", "y", "x"]),
            "`columns` names `x` twice [MQ0113]; help: name each column once",
        ),
        (
            json!(["x", "customer_id"]),
            "`columns` names the key `customer_id` [MQ0113]; help: a key says who a row is, not what it is like: leave it out",
        ),
    ] {
        assert_eq!(
            refusal(&all, json!({"k": 2, "columns": columns})).await,
            expected
        );
    }
    let words = table([
        ("customer_id", ids(1..=2)),
        ("country", texts(["DE", "FR"])),
    ]);
    assert_eq!(
        refusal(&words, json!({"k": 2})).await,
        "`rows` has no numeric column besides its key [MQ0403]; help: there must be numbers to compare: see features/customer and features/scale"
    );
    let counted = table([
        ("customer_id", ids(1..=2)),
        ("customers", floats([1.0, 2.0])),
    ]);
    assert_eq!(
        refusal(&counted, json!({"k": 2})).await,
        "a column to cluster by cannot be named `customers`: the output `centres` has one of that name [MQ0113]; help: leave it out of `columns`, or rename it with features/sql"
    );
}

#[tokio::test]
async fn options_that_contradict_each_other_are_refused() {
    let all = customers();
    for (options, expected) in [
        (
            json!({}),
            "there is neither `k` nor `centres` [MQ0113]; help: say how many segments, as in `k: 8` or `k: { min: 3, max: 10 }`",
        ),
        (
            json!({"start_at": [[0.0]]}),
            "`start_at` is given without `columns` [MQ0113]; help: name the columns that the numbers of `start_at` stand for, in their order",
        ),
        (
            json!({"k": {"min": 2, "max": 3}, "columns": ["x"], "start_at": [[0.0]]}),
            "`k` is a range, but centres are given [MQ0113]; help: given centres are one number of segments: leave `k` out",
        ),
        (
            json!({"k": 3, "columns": ["x"], "start_at": [[0.0], [1.0]]}),
            "`k` is 3, but 2 centres are given [MQ0113]; help: leave `k` out: the centres say how many segments there are",
        ),
        (
            json!({"columns": ["x", "y"], "start_at": [[0.0, 1.0], [1.0]]}),
            "centre 2 of `start_at` has 1 number, but `columns` names 2 columns [MQ0113]; help: give each centre one number per column, in the order of `columns`",
        ),
        (
            json!({"columns": ["x"], "start_at": [[0.0]], "centres": "$rows"}),
            "both `centres` and `start_at` are given [MQ0113]; help: leave one of them out",
        ),
    ] {
        assert_eq!(refusal(&all, options).await, expected);
    }
    for (options, expected) in [
        (json!({"k": 0}), "k"),
        (
            json!({"k": {"min": 5, "max": 3}}),
            "`min` is 5 and `max` 3: the lower comes first",
        ),
        (json!({"k": {"min": 1, "max": 3}}), "min"),
        (json!({"k": 2.5}), "k"),
        (json!({"k": 2, "tolerance": -1.0}), "tolerance"),
        (json!({"k": 2, "starts": 0}), "starts"),
        (json!({"k": 2, "columns": []}), "columns"),
    ] {
        let said = refusal(&all, options).await;
        assert!(
            said.contains(expected) && said.contains("[MQ0113]"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn given_centres_must_fit_the_customers() {
    let all = customers();
    let refused = async |centres: RecordBatch| {
        let options = json!({"rows": "$rows", "centres": "$centres"});
        let inputs = [("rows", &all), ("centres", &centres)];
        complaint(&run("segmentation/kmeans", &inputs, options).await)
    };
    let named = |name| table([("segment", ids([0, 1])), (name, floats([0.0, 1.0]))]);
    assert_eq!(
        refused(named("spend")).await,
        "`rows` has no column `spend` [MQ0403]; help: its columns are `customer_id`, `x`, `y`, `country`"
    );
    assert_eq!(
        refused(table([("x", floats([0.0, 1.0]))])).await,
        "`centres` has no column `segment` [MQ0403]; help: its columns are `x`"
    );
    assert_eq!(
        refused(table([
            ("segment", ids([0, 1])),
            ("customers", ids([3, 2]))
        ]))
        .await,
        "`centres` has no numeric column besides `segment` and `customers` [MQ0403]; help: it must have the columns that the rows were clustered by"
    );
    assert_eq!(
        refused(named("x").slice(0, 0)).await,
        "`centres` has no rows [MQ0405]; help: it must have a row per segment, as the output `centres` of segmentation/kmeans"
    );
    assert_eq!(
        refused(table([
            ("segment", ids([0, 1])),
            ("x", floats([Some(0.0), None]))
        ]))
        .await,
        "segment 1 has no value in column `x` [MQ0406]; help: every centre needs a finite number in each column: look at the stage that makes `centres`"
    );
    assert_eq!(
        refused(table([("segment", ids([1, 1])), ("x", floats([0.0, 1.0]))])).await,
        "segment 1 stands in `centres` more than once [MQ0406]; help: it must have a row per segment, as the output `centres` of segmentation/kmeans"
    );
    assert_eq!(
        refused(table([
            ("segment", ids(0..6)),
            ("x", floats([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))
        ]))
        .await,
        "6 segments of 5 customers: there are too few customers [MQ0405]; help: give fewer centres, or look why there are so few customers"
    );
}

#[tokio::test]
async fn who_asks_it_to_stop_is_heard_between_iterations() {
    let cancellation = tokio_util::sync::CancellationToken::new();
    cancellation.cancel();
    let output = crate::support::stage("segmentation/kmeans")
        .input("rows", vec![customers()])
        .options(json!({"rows": "$rows", "k": 2}))
        .cancellation(cancellation)
        .run()
        .await;
    assert_eq!(*output.error(), marquetry_plugin::StageError::Cancelled);
}
