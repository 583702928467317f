//! Off-policy estimates on Open Bandit Data against pandas. `fixtures/make_open_bandit.py` says what is
//! computed, and made the expected numbers.

use std::path::Path;

use marquetry_policy::{
    CellMeans, DecisionLog, Estimator, LoggedDecision, RidgeRewards, Weighting,
};
use serde::Deserialize;

const ITEMS: usize = 80;
const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

/// Values come with their standard errors.
#[derive(Deserialize)]
struct Case {
    log: String,
    target: String,
    model: String,
    clip: Option<f64>,
    ips: [f64; 2],
    self_normalised_ips: [f64; 2],
    direct_method: [f64; 2],
    doubly_robust: [f64; 2],
    effective_sample_size: f64,
}

#[derive(Deserialize)]
struct Row {
    item_id: usize,
    position: u64,
    click: f64,
    propensity_score: f64,
}

fn read(log: &str) -> Option<Vec<Row>> {
    let file = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("../../../shared/data/open_bandit")
        .join(log)
        .join("all.csv");
    let mut reader = csv::Reader::from_path(file).ok()?;
    Some(reader.deserialize().map(Result::unwrap).collect())
}

fn target(name: &str, position: u64) -> Vec<f64> {
    let weight = |item: usize| match name {
        "uniform" => 1.0,
        _ => 1.0 + ((item + 7 * position as usize) % ITEMS) as f64,
    };
    let weights: Vec<f64> = (0..ITEMS).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

fn features(position: u64) -> [f64; 3] {
    let is = |other| if position == other { 1.0 } else { 0.0 };
    [1.0, is(2), is(3)]
}

/// The predictions for all items in each position.
fn predictions(model: &str, rows: &[Row]) -> [Vec<f64>; 3] {
    let (mut cells, mut ridge) = (CellMeans::new(), RidgeRewards::new(ITEMS, 3, 1.0).unwrap());
    for row in rows {
        cells.observe(row.item_id, row.position, row.click).unwrap();
        ridge
            .observe(row.item_id, &features(row.position), row.click)
            .unwrap();
    }
    [1, 2, 3].map(|position| {
        let predict = |item| match model {
            "cell_means" => cells.predict(item, position),
            _ => ridge.predict(item, &features(position)).unwrap(),
        };
        (0..ITEMS).map(predict).collect()
    })
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn estimates_are_those_of_pandas() {
    let fixture: Fixture = serde_json::from_str(&crate::fixture("open_bandit.json")).unwrap();
    for case in fixture.cases {
        let Some(rows) = read(&case.log) else {
            eprintln!("skipped: ../shared/data/open_bandit is not there");
            return;
        };
        let targets = [1, 2, 3].map(|position| target(&case.target, position));
        let predictions = predictions(&case.model, &rows);
        let mut log = DecisionLog::new();
        for row in &rows {
            let place = row.position as usize - 1;
            log.push(&LoggedDecision {
                chosen: row.item_id,
                reward: row.click,
                propensity: row.propensity_score,
                target: &targets[place],
                predictions: Some(&predictions[place]),
            })
            .unwrap();
        }
        let weighting = case.clip.map_or(Weighting::Plain, Weighting::Clipped);
        for (estimator, [value, standard_error]) in [
            (Estimator::Ips, case.ips),
            (Estimator::SelfNormalisedIps, case.self_normalised_ips),
            (Estimator::DirectMethod, case.direct_method),
            (Estimator::DoublyRobust, case.doubly_robust),
        ] {
            let found = log.estimate(estimator, weighting).unwrap();
            let what = format!(
                "{estimator:?} of {} on {} with {}, clip {:?}: {found:?}, expected {value}",
                case.target, case.log, case.model, case.clip
            );
            assert!((found.value - value).abs() < TOLERANCE, "{what}");
            assert!(
                (found.standard_error - standard_error).abs() < TOLERANCE,
                "{what}"
            );
        }
        let weights = log.weights(weighting).unwrap();
        let size = weights.effective_sample_size;
        assert!((size / case.effective_sample_size - 1.0).abs() < TOLERANCE);
    }
}
