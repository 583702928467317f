//! Writes a report with data as a retail run gives it, to look at: `cargo run -p marquetry-report --example
//! preview -- FILE`.

use std::collections::BTreeMap;

use marquetry_engine::{RunStatus, StageStatus};
use marquetry_plugin::{Bar, Column, Figure, Panel, PanelBody, Paragraph, PointGroup, Series};
use marquetry_report::{ReportData, ReportStage, render};
use marquetry_types::{Diagnostic, Timestamp, codes};
use serde_json::json;

const SEGMENTS: [(&str, f64, f64); 8] = [
    ("loyal, every week", 1_293.0, 3_731_651.0),
    ("large baskets", 620.0, 7_047_304.0),
    ("weekend shoppers", 4_190.0, 3_526_594.0),
    ("evening, small baskets", 4_228.0, 882_919.0),
    ("once, before Christmas", 3_556.0, 161_597.0),
    ("stopped a year ago", 3_711.0, 1_729_835.0),
    ("new in December", 2_665.0, 211_552.0),
    ("only in sales", 3_188.0, 634_839.0),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("give a file to write")?;
    std::fs::write(&file, render(&retail())?)?;
    Ok(())
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000 + milliseconds)
}

fn stage(name: &str, kind: &str, needs: &[&str], from: i64, to: i64) -> ReportStage {
    ReportStage {
        name: name.to_owned(),
        kind: kind.to_owned(),
        summary: None,
        status: StageStatus::Succeeded,
        needs: needs.iter().map(ToString::to_string).collect(),
        ready_at: Some(at(from - 35)),
        started_at: Some(at(from)),
        finished_at: Some(at(to)),
        attempts: 1,
        rows: BTreeMap::from([("rows".to_owned(), 25_681)]),
        metrics: BTreeMap::new(),
        failure: None,
        skip_reason: None,
        warnings: Vec::new(),
        panels: Vec::new(),
    }
}

fn retail() -> ReportData {
    let mut orders = stage("orders", "ingest/files", &[], 40, 1_450);
    orders.summary =
        Some("CSV, NDJSON, Parquet and fixed-width files from any object store".to_owned());
    orders.rows = BTreeMap::from([("rows".to_owned(), 999_412), ("rejected".to_owned(), 588)]);
    orders.metrics = BTreeMap::from([
        ("rejected_share".to_owned(), 0.000588),
        ("files".to_owned(), 24.0),
    ]);
    orders.panels = vec![
        figures(
            "Orders read",
            &[
                ("lines read", 1_000_000.0, None, None),
                ("accepted", 999_412.0, None, None),
                (
                    "rejected",
                    588.0,
                    None,
                    Some("0.06% of all lines; they are in the output `rejected`"),
                ),
            ],
        ),
        Panel {
            title: "Why lines were rejected".to_owned(),
            caption: Some("Examples from the quarantine.".to_owned()),
            body: PanelBody::Table {
                columns: ["field", "reason", "lines", "for example"]
                    .map(|name| Column {
                        name: name.to_owned(),
                    })
                    .to_vec(),
                rows: vec![
                    vec![
                        json!("quantity"),
                        json!("is below 1"),
                        json!(402),
                        json!("-12"),
                    ],
                    vec![
                        json!("unit_price"),
                        json!("is no number"),
                        json!(171),
                        json!("n/a"),
                    ],
                    vec![
                        json!("ts"),
                        json!("is no time"),
                        json!(15),
                        json!("31/02/2024 10:00"),
                    ],
                ],
            },
        },
    ];
    orders.warnings = vec!["2 files have a column `note` that is not used".to_owned()];
    let mut customers = stage("customers", "features/customer", &["orders"], 1_500, 2_900);
    customers.attempts = 2;
    customers.metrics = BTreeMap::from([
        ("customers".to_owned(), 25_681.0),
        ("orders".to_owned(), 340_106.0),
    ]);
    let mut rfm = stage("rfm", "segmentation/rfm", &["customers"], 2_960, 3_400);
    rfm.summary =
        Some("recency, frequency and monetary scores with the usual eleven names".to_owned());
    rfm.panels = vec![Panel {
        title: "Customers by recency and value".to_owned(),
        caption: Some("Recency 5 bought last most recently; value is the mean of the frequency and monetary scores.".to_owned()),
        body: PanelBody::Heatmap {
            row_label: "recency".to_owned(),
            column_label: "frequency and monetary".to_owned(),
            rows: (1..=5).rev().map(|score| score.to_string()).collect(),
            columns: (1..=5).map(|score| score.to_string()).collect(),
            values: (0..5).map(|row| (0..5).map(|column| (row != 4 || column != 4).then(|| f64::from(300 + 700 * (4 - row) * column + 90 * row * (4 - column)))).collect()).collect(),
            unit: Some("customers".to_owned()),
        },
    }];
    let scaled = stage("scaled", "features/scale", &["customers"], 2_950, 3_300);
    let mut segments = stage("segments", "segmentation/kmeans", &["scaled"], 3_350, 5_200);
    segments.summary = Some("k-means++ and Lloyd's iterations on scaled columns".to_owned());
    segments.metrics = BTreeMap::from([
        ("k".to_owned(), 8.0),
        ("inertia".to_owned(), 104_233.8),
        ("iterations".to_owned(), 37.0),
    ]);
    segments.panels = vec![
        Panel {
            title: "How large, and how much they bring".to_owned(),
            caption: None,
            body: PanelBody::Bars {
                category_label: "segment".to_owned(),
                series: vec![unit("customers", None), unit("revenue", Some("GBP")), unit("share of revenue", Some("%"))],
                bars: SEGMENTS.iter().map(|(name, customers, revenue)| Bar { label: (*name).to_owned(), values: vec![*customers, *revenue, revenue / 179_262.91] }).collect(),
            },
        },
        Panel {
            title: "The segments on a map".to_owned(),
            caption: Some("Each point is a customer, on the two principal components of the scaled columns (61% of the variance).".to_owned()),
            body: PanelBody::Scatter { x_label: "first component".to_owned(), y_label: "second component".to_owned(), groups: clouds() },
        },
        Panel {
            title: "Silhouette by number of segments".to_owned(),
            caption: Some("Higher is better; 8 was chosen.".to_owned()),
            body: PanelBody::Lines { x_label: "k".to_owned(), y_label: "silhouette".to_owned(), series: vec![PointGroup { name: "silhouette".to_owned(), points: [0.21, 0.26, 0.25, 0.31, 0.34, 0.37, 0.412, 0.39, 0.36].iter().zip(2..).map(|(y, x)| [f64::from(x), *y]).collect() }] },
        },
    ];
    let mut quality = stage(
        "quality",
        "evaluation/clusters",
        &["scaled", "segments", "orders"],
        5_260,
        7_100,
    );
    quality.summary = Some("how good a clustering is, by the usual figures".to_owned());
    quality.panels = vec![figures(
        "Quality",
        &[
            (
                "silhouette",
                0.4123,
                None,
                Some("exact on a sample of 10,000 customers"),
            ),
            ("Davies-Bouldin", 0.912, None, Some("lower is better")),
            ("Calinski-Harabasz", 8_123.4, None, None),
            (
                "adjusted Rand index",
                0.87,
                None,
                Some("against the planted groups"),
            ),
        ],
    )];
    let mut profile = stage(
        "profile",
        "evaluation/profile",
        &["customers", "segments"],
        5_255,
        5_900,
    );
    profile.summary = Some("what distinguishes each segment, in numbers and words".to_owned());
    profile.panels = vec![
        Panel {
            title: "What distinguishes the segments".to_owned(),
            caption: Some("Cohen's d: how many standard deviations a segment lies from all other customers.".to_owned()),
            body: PanelBody::Heatmap {
                row_label: "segment".to_owned(),
                column_label: "feature".to_owned(),
                rows: SEGMENTS.iter().map(|(name, ..)| (*name).to_owned()).collect(),
                columns: ["recency_days", "frequency", "monetary", "avg_order_value", "distinct_products", "tenure_days", "gap_mean_days", "weekend_share", "hour_sin", "hour_cos", "cancel_rate"].map(str::to_owned).to_vec(),
                values: (0..8).map(|row| (0..11).map(|column| Some(f64::from((row * 7 + column * 5) % 11 - 5) / 2.2)).collect()).collect(),
                unit: None,
            },
        },
        Panel {
            title: "In words".to_owned(),
            caption: None,
            body: PanelBody::Text(SEGMENTS.iter().map(|(name, customers, revenue)| Paragraph { heading: (*name).to_owned(), text: format!("{customers} customers, {:.0}% of revenue. They order 4.1 times as often as others, with 2.3 days between orders, and a third less on a weekend.", revenue / 179_262.91) }).collect()),
        },
    ];
    let mut offers = stage(
        "offers",
        "segmentation/rules",
        &["segments", "quality"],
        7_150,
        7_150,
    );
    offers.status = StageStatus::Failed;
    offers.failure = Some(
        Diagnostic::new(
            codes::SCRIPT_RUNTIME,
            "`reveneu` is not a column of the rows (customer 10482)",
        )
        .help("did you mean `revenue`?"),
    );
    offers.rows.clear();
    let mut letters = stage("letters", "features/sql", &["offers"], 0, 0);
    letters.status = StageStatus::Skipped;
    letters.skip_reason = Some("`offers` failed".to_owned());
    letters.rows.clear();
    (letters.ready_at, letters.started_at, letters.finished_at) = (None, None, None);
    ReportData {
        workflow: "retail-segmentation".to_owned(),
        description: Some("From raw orders to customer segments: who buys how often, how much, when, and what that is worth.".to_owned()),
        run: "01kb6r5y3v8m2q4x7c9d0e1f2g".to_owned(),
        status: RunStatus::Failed,
        params: json!({"orders": "data/orders/*.parquet", "segments": 8, "seed": 7, "timezone": "Europe/London"}).as_object().cloned().unwrap_or_default(),
        submitted_at: at(0),
        finished_at: Some(at(7_200)),
        generated_at: at(9_000),
        stages: vec![orders, customers, rfm, scaled, segments, quality, profile, offers, letters],
    }
}

fn unit(name: &str, unit: Option<&str>) -> Series {
    Series {
        name: name.to_owned(),
        unit: unit.map(str::to_owned),
    }
}

fn figures(title: &str, figures: &[(&str, f64, Option<&str>, Option<&str>)]) -> Panel {
    let figures = figures.iter().map(|(label, value, unit, note)| Figure {
        label: (*label).to_owned(),
        value: *value,
        unit: unit.map(str::to_owned),
        note: note.map(str::to_owned),
    });
    Panel {
        title: title.to_owned(),
        caption: None,
        body: PanelBody::Figures(figures.collect()),
    }
}

/// Points around one centre a segment, by a little congruential generator.
fn clouds() -> Vec<PointGroup> {
    let mut state = 12_345_u64;
    let mut bell = move || {
        let uniforms = (0..6).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / 16_777_216.0
        });
        uniforms.sum::<f64>() - 3.0
    };
    SEGMENTS
        .iter()
        .enumerate()
        .map(|(index, (name, customers, _))| {
            let angle = index as f64 * 0.8;
            let centre = [3.2 * angle.cos(), 2.4 * angle.sin()];
            let points = (0..(*customers / 12.0) as usize)
                .map(|_| [centre[0] + bell(), centre[1] + 0.7 * bell()]);
            PointGroup {
                name: (*name).to_owned(),
                points: points.collect(),
            }
        })
        .collect()
}
