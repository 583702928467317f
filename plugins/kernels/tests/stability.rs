//! Bootstrap refits against scikit-learn with Jaccard counted by hand, and matchings against SciPy.
//! `fixtures/make_stability.py` made the expected results and says their versions.
#![expect(clippy::unwrap_used, reason = "tests may fail by panicking")]

use std::ops::ControlFlow;
use std::path::Path;

use marquetry_kernels::{KMeansOptions, Matrix, Start, maximum_overlap, refit};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
    matchings: Vec<Matching>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    columns: usize,
    data: Vec<f64>,
    clusters: usize,
    labels: Vec<u32>,
    refits: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    drawn: Vec<usize>,
    start: Vec<Vec<f64>>,
    inertia: f64,
    adjusted_rand: f64,
    jaccard: Vec<f64>,
}

#[derive(Deserialize)]
struct Matching {
    overlap: Vec<Vec<u64>>,
    total: u64,
}

fn fixture() -> Fixture {
    let path = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("tests/fixtures/stability.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
}

#[test]
fn refits_are_scikit_learns_and_their_jaccard_is_that_by_hand() {
    for case in fixture().cases {
        let rows = Matrix::new(case.data.clone(), case.labels.len(), case.columns).unwrap();
        for (number, expected) in case.refits.iter().enumerate() {
            let centres = expected.start.concat();
            let options = KMeansOptions {
                start: Start::Centres(Matrix::new(centres, case.clusters, case.columns).unwrap()),
                max_iterations: 300,
                tolerance: 1e-4,
                threads: 2,
            };
            let mut watcher = |_| ControlFlow::Continue(());
            let found = refit(
                &rows,
                &case.labels,
                case.clusters,
                &expected.drawn,
                &options,
                &mut watcher,
            )
            .unwrap();
            let name = format!("{} {number}: {found:?}", case.name);
            assert!(close(found.adjusted_rand, expected.adjusted_rand), "{name}");
            assert!(close(found.inertia, expected.inertia), "{name}");
            assert_eq!(found.jaccard.len(), expected.jaccard.len(), "{name}");
            for (found, expected) in found.jaccard.iter().zip(&expected.jaccard) {
                assert!(close(*found, *expected), "{name}");
            }
        }
    }
}

#[test]
fn matchings_have_scipys_totals() {
    for expected in fixture().matchings {
        let pairs = maximum_overlap(&expected.overlap);
        let found: u64 = pairs
            .iter()
            .zip(&expected.overlap)
            .filter_map(|(column, cells)| column.map(|column| cells[column]))
            .sum();
        assert_eq!(found, expected.total);
    }
}
