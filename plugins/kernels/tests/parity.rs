//! The kernels against scikit-learn, numpy and DuckDB. `fixtures/make_parity.py` made the expected
//! results and says their versions.

#![expect(clippy::unwrap_used, reason = "tests may fail by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use marquetry_kernels::{
    KMeans, KMeansOptions, Matrix, Pca, Scaling, Start, adjusted_rand, assign, calinski_harabasz,
    davies_bouldin, kmeans, ntile, quantile, silhouette, silhouette_samples,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture<Case> {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Small {
    name: String,
    columns: usize,
    data: Vec<f64>,
    clusterings: Vec<Clustering>,
    silhouette_samples: Vec<f64>,
    adjusted_rand: Vec<f64>,
    pca: Components,
    standard: BTreeMap<String, Vec<f64>>,
    min_max: BTreeMap<String, Vec<f64>>,
    ntile: Vec<Tiles>,
    quantiles_of_the_first_column: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Clustering {
    start: Vec<Vec<f64>>,
    tolerance: f64,
    max_iterations: usize,
    iterations: usize,
    inertia: f64,
    centres: Vec<Vec<f64>>,
    /// One symbol a row, 0 to 9 and then a to z.
    labels: String,
    silhouette: f64,
    davies_bouldin: f64,
    calinski_harabasz: f64,
}

#[derive(Deserialize)]
struct Components {
    components: Vec<Vec<f64>>,
    explained_variance: Vec<f64>,
    explained_variance_ratio: Vec<f64>,
    projection_of_the_first_rows: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Tiles {
    tiles: usize,
    descending: bool,
    of_the_first_column: Vec<u32>,
}

/// A case of `clustering.json`; its clustering stands beside these keys.
#[derive(Deserialize)]
struct Large {
    name: String,
    rows: usize,
    adjusted_rand_with_truth: f64,
    best_inertia: f64,
}

fn fixture(name: &str) -> String {
    let folder = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("tests/fixtures");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn small() -> Vec<(Small, Matrix)> {
    let cases: Fixture<Small> = serde_json::from_str(&fixture("parity.json")).unwrap();
    let with_rows = |case: Small| {
        let rows = case.data.len() / case.columns;
        let matrix = Matrix::new(case.data.clone(), rows, case.columns).unwrap();
        (case, matrix)
    };
    cases.cases.into_iter().map(with_rows).collect()
}

fn matrix(rows: &[Vec<f64>]) -> Matrix {
    Matrix::new(rows.concat(), rows.len(), rows[0].len()).unwrap()
}

fn first_column(rows: &Matrix) -> Vec<f64> {
    rows.iter_rows().map(|row| row[0]).collect()
}

/// Equal to a relative tolerance, or to it absolutely around 0.
#[track_caller]
fn assert_close(what: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let allowed = tolerance * expected.abs().max(1.0);
        assert!(
            (actual - expected).abs() <= allowed,
            "{what}[{index}]: {actual}, expected {expected}"
        );
    }
}

fn labels_of(expected: &Clustering) -> Vec<u32> {
    expected
        .labels
        .chars()
        .map(|symbol| symbol.to_digit(36).unwrap())
        .collect()
}

fn cluster(rows: &Matrix, expected: &Clustering, threads: usize) -> KMeans {
    let options = KMeansOptions {
        start: Start::Centres(matrix(&expected.start)),
        max_iterations: expected.max_iterations,
        tolerance: expected.tolerance,
        threads,
    };
    kmeans(rows, &options).unwrap()
}

/// k-means from the same centres, its indices, and that threads change nothing.
fn check_clustering(name: &str, rows: &Matrix, expected: &Clustering) {
    let found = cluster(rows, expected, 1);
    assert_eq!(found.labels, labels_of(expected), "{name}: labels");
    assert_eq!(found.iterations, expected.iterations, "{name}: iterations");
    assert_eq!(found, cluster(rows, expected, 2), "{name}: threads");
    let close = |what: &str, actual: f64, wanted: f64| {
        assert_close(&format!("{name}: {what}"), &[actual], &[wanted], 1e-9);
    };
    close("inertia", found.inertia, expected.inertia);
    assert_close(
        &format!("{name}: centres"),
        found.centres.data(),
        &expected.centres.concat(),
        1e-9,
    );
    close(
        "silhouette",
        silhouette(rows, &found.labels, 2).unwrap(),
        expected.silhouette,
    );
    close(
        "davies_bouldin",
        davies_bouldin(rows, &found.labels).unwrap(),
        expected.davies_bouldin,
    );
    let ours = calinski_harabasz(rows, &found.labels).unwrap();
    if expected.inertia > 1e-20 {
        close("calinski_harabasz", ours, expected.calinski_harabasz);
    } else {
        // Every row on its centre: scikit-learn's centres are off by rounding, ours are not.
        close("calinski_harabasz without dispersion", ours, 1.0);
    }
    let nearest = assign(rows, &found.centres, 2).unwrap();
    if found.converged {
        assert_eq!(
            nearest.labels, found.labels,
            "{name}: the nearest centres are the labels"
        );
        close(
            "assigned distances",
            nearest.squared_distances.iter().sum(),
            expected.inertia,
        );
    }
}

#[test]
fn kmeans_and_its_indices_are_scikit_learns() {
    for (case, rows) in small() {
        for (number, expected) in case.clusterings.iter().enumerate() {
            check_clustering(&format!("{} {number}", case.name), &rows, expected);
        }
    }
}

#[test]
fn every_silhouette_is_scikit_learns() {
    for (case, rows) in small() {
        let labels = labels_of(&case.clusterings[0]);
        let samples = silhouette_samples(&rows, &labels, 2).unwrap();
        assert_close(&case.name, &samples, &case.silhouette_samples, 1e-9);
    }
}

#[test]
fn adjusted_rand_is_scikit_learns() {
    for (case, _) in small() {
        let labels: Vec<Vec<u32>> = case.clusterings.iter().map(labels_of).collect();
        let found: Vec<f64> = labels
            .iter()
            .map(|other| adjusted_rand(&labels[0], other).unwrap())
            .collect();
        assert_close(&case.name, &found, &case.adjusted_rand, 1e-12);
    }
}

#[test]
fn components_are_scikit_learns_signs_included() {
    for (case, rows) in small() {
        let (expected, found) = (&case.pca, Pca::fit(&rows, 2).unwrap());
        let name = &case.name;
        assert_close(
            name,
            found.components().data(),
            &expected.components.concat(),
            1e-9,
        );
        assert_close(
            name,
            found.explained_variance(),
            &expected.explained_variance,
            1e-9,
        );
        assert_close(
            name,
            found.explained_variance_ratio(),
            &expected.explained_variance_ratio,
            1e-9,
        );
        let first = rows.select(&[0, 1, 2, 3, 4]);
        let projected = found.project(&first).unwrap();
        let expected = expected.projection_of_the_first_rows.concat();
        assert_close(name, projected.data(), &expected, 1e-9);
    }
}

#[test]
fn scalings_are_scikit_learns() {
    for (case, rows) in small() {
        for column in 0..rows.columns() {
            let values: Vec<f64> = rows.iter_rows().map(|row| row[column]).collect();
            let name = format!("{} column {column}", case.name);
            let Scaling::Standard { mean, std } = Scaling::standard(&values).unwrap() else {
                unreachable!()
            };
            let expected = [case.standard["mean"][column], case.standard["std"][column]];
            assert_close(&name, &[mean, std], &expected, 1e-12);
            let Scaling::MinMax { min, range } = Scaling::min_max(&values).unwrap() else {
                unreachable!()
            };
            let expected = [case.min_max["min"][column], case.min_max["range"][column]];
            assert_close(&name, &[min, range], &expected, 1e-12);
        }
    }
}

#[test]
fn tiles_are_duckdbs() {
    for (case, rows) in small() {
        for expected in &case.ntile {
            let found = ntile(&first_column(&rows), expected.tiles, expected.descending);
            assert_eq!(found, expected.of_the_first_column, "{}", case.name);
        }
    }
}

#[test]
fn quantiles_are_numpys() {
    for (case, rows) in small() {
        let mut sorted = first_column(&rows);
        sorted.sort_by(f64::total_cmp);
        for (share, expected) in &case.quantiles_of_the_first_column {
            let found = quantile(&sorted, share.parse().unwrap()).unwrap();
            assert_close(&case.name, &[found], &[*expected], 1e-12);
        }
    }
}

/// The folder of the published point sets, where it is there.
fn point_sets() -> Option<PathBuf> {
    let folder = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("../../../shared/data/clustering");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: {} is not there", folder.display());
    None
}

fn read_numbers(path: &Path) -> Vec<f64> {
    let mut text = String::new();
    let packed = std::fs::File::open(path).unwrap();
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut text)
        .unwrap();
    text.split_ascii_whitespace()
        .map(|number| number.parse().unwrap())
        .collect()
}

#[test]
fn published_point_sets_cluster_as_in_scikit_learn() {
    let Some(folder) = point_sets() else { return };
    let cases: Fixture<Large> = serde_json::from_str(&fixture("clustering.json")).unwrap();
    let clusterings: Fixture<Clustering> =
        serde_json::from_str(&fixture("clustering.json")).unwrap();
    for (case, expected) in cases.cases.iter().zip(&clusterings.cases) {
        let cells = read_numbers(&folder.join(format!("{}.data.gz", case.name)));
        let rows = Matrix::new(cells, case.rows, 2).unwrap();
        check_clustering(&case.name, &rows, expected);

        let truth = read_numbers(&folder.join(format!("{}.labels0.gz", case.name)));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small labels"
        )]
        let truth: Vec<u32> = truth.into_iter().map(|label| label as u32).collect();
        let agreement = adjusted_rand(&truth, &labels_of(expected)).unwrap();
        assert_close(
            &case.name,
            &[agreement],
            &[case.adjusted_rand_with_truth],
            1e-12,
        );

        // Our own starts find as good a clustering as scikit-learn's do.
        let start = Start::PlusPlus {
            clusters: expected.start.len(),
            starts: 20,
            seed: 1,
        };
        let options = KMeansOptions {
            start,
            max_iterations: 300,
            tolerance: 1e-6,
            threads: 2,
        };
        let found = kmeans(&rows, &options).unwrap();
        let limit = case.best_inertia * 1.001;
        assert!(
            found.inertia <= limit,
            "{}: {} > {limit}",
            case.name,
            found.inertia
        );
    }
}
