//! How long k-means takes from given centres: JSON lines of `case`, `seconds`, `inertia`, `n_iter`.
//!
//! `kmeans_speed FOLDER CASE`: reads `FOLDER/CASE.points` and `FOLDER/CASE.centres`, each a row count and a
//! column count (64-bit integers) and 64-bit floats row after row, all little-endian, as
//! `crates/xtask/src/bench/kmeans.py` writes them. 25 iterations at most, on two threads.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use marquetry_kernels::{KMeansOptions, Matrix, Start, kmeans};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, case] = arguments.as_slice() else {
        return Err("kmeans_speed FOLDER CASE".into());
    };
    let points = read(&Path::new(folder).join(format!("{case}.points")))?;
    let centres = read(&Path::new(folder).join(format!("{case}.centres")))?;
    let options = KMeansOptions {
        start: Start::Centres(centres),
        max_iterations: 25,
        tolerance: 0.0,
        threads: 2,
    };
    let start = Instant::now();
    let found = kmeans(&points, &options)?;
    println!(
        r#"{{"case":"{case}","seconds":{:.4},"inertia":{},"n_iter":{}}}"#,
        start.elapsed().as_secs_f64(),
        found.inertia,
        found.iterations
    );
    Ok(())
}

fn read(path: &Path) -> Result<Matrix, Box<dyn Error>> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (words, _) = bytes.as_chunks::<8>();
    let [rows, columns, cells @ ..] = words else {
        return Err(format!("{}: no sizes", path.display()).into());
    };
    let size = |word| usize::try_from(u64::from_le_bytes(word));
    let cells = cells.iter().map(|word| f64::from_le_bytes(*word)).collect();
    Ok(Matrix::new(cells, size(*rows)?, size(*columns)?)?)
}
