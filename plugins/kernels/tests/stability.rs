//! Stability, matching and concentration against scikit-learn, SciPy and computations by hand.
//! `fixtures/make_stability.py` made the expected results and says the versions.

#![expect(clippy::unwrap_used, reason = "tests may fail by panicking")]

use std::path::Path;

use marquetry_kernels::{
    KMeansOptions, Matrix, Start, assign, best_matching, gini_of_groups, kmeans, refit_agreement,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    rows: Vec<Vec<f64>>,
    judged: Vec<u32>,
    refits: Vec<Refit>,
    matchings: Vec<Matching>,
    ginis: Vec<Gini>,
}

#[derive(Deserialize)]
struct Refit {
    drawn: Vec<usize>,
    start: Vec<Vec<f64>>,
    inertia: f64,
    labels: Vec<u32>,
    adjusted_rand: f64,
    jaccard: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct Matching {
    overlaps: Vec<Vec<u64>>,
    total: u64,
}

#[derive(Deserialize)]
struct Gini {
    groups: Vec<(f64, f64)>,
    gini: f64,
}

fn fixture() -> Fixture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stability.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn matrix(rows: &[Vec<f64>]) -> Matrix {
    Matrix::new(rows.concat(), rows.len(), rows[0].len()).unwrap()
}

fn close(got: f64, wanted: f64) -> bool {
    (got - wanted).abs() <= 1e-9 * wanted.abs().max(1.0)
}

#[test]
fn refits_to_given_resamples_agree_as_in_scikit_learn_and_by_hand() {
    let fixture = fixture();
    let rows = matrix(&fixture.rows);
    for (number, refit) in fixture.refits.iter().enumerate() {
        let options = KMeansOptions {
            start: Start::Centres(matrix(&refit.start)),
            max_iterations: 300,
            tolerance: 0.0,
            threads: 2,
        };
        let found = kmeans(&rows.select(&refit.drawn), &options).unwrap();
        assert!(close(found.inertia, refit.inertia), "refit {number}");
        let labels = assign(&rows, &found.centres, 2).unwrap().labels;
        assert_eq!(labels, refit.labels, "refit {number}");

        let agreement = refit_agreement(&fixture.judged, 5, &labels, &refit.drawn).unwrap();
        assert!(
            close(agreement.adjusted_rand, refit.adjusted_rand),
            "refit {number}"
        );
        assert_eq!(agreement.jaccard.len(), refit.jaccard.len());
        for (got, wanted) in agreement.jaccard.iter().zip(&refit.jaccard) {
            let is_same = match (got, wanted) {
                (Some(got), Some(wanted)) => close(*got, *wanted),
                (got, wanted) => got == wanted,
            };
            assert!(is_same, "refit {number}: {got:?}, not {wanted:?}");
        }
    }
}

#[test]
fn matchings_overlap_as_much_as_scipys() {
    for (number, case) in fixture().matchings.iter().enumerate() {
        let matched = best_matching(&case.overlaps).unwrap();
        let pairs = matched.iter().enumerate();
        let total: u64 = pairs
            .filter_map(|(row, column)| Some(case.overlaps[row][(*column)?]))
            .sum();
        assert_eq!(total, case.total, "matching {number}");
    }
}

#[test]
fn concentration_is_the_gini_of_members_who_are_equal_within_their_group() {
    for case in fixture().ginis {
        let found = gini_of_groups(&case.groups).unwrap();
        assert!(close(found, case.gini), "{found}, not {}", case.gini);
    }
}
