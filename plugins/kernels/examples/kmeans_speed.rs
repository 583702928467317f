//! How long k-means takes from given centres: JSON lines of `case`, `seconds`, `inertia`, `n_iter`.
//!
//! `kmeans_speed CASE FOLDER` reads `FOLDER/CASE-rows.npy` and `FOLDER/CASE-centres.npy`, which
//! `crates/xtask/src/bench/kmeans.py` writes: the arrays of other tools. `kmeans_speed CASE` makes its own, of
//! the same shape. 25 iterations at most, on two threads.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use marquetry_kernels::{KMeansOptions, Matrix, Start, kmeans, sample_rows};

/// Rows, columns, clusters, and how far rows are scattered around what they come from.
const CASES: [(&str, usize, usize, usize, f64); 3] = [
    ("km1", 1_000_000, 16, 8, 2.5),
    ("km2", 1_000_000, 32, 64, 5.0),
    ("km3", 100_000, 128, 256, 8.0),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (case, points, centres) = match arguments.as_slice() {
        [case] => {
            let (points, centres) = made(case)?;
            (case, points, centres)
        }
        [case, folder] => {
            let array = |what| read(&Path::new(folder).join(format!("{case}-{what}.npy")));
            (case, array("rows")?, array("centres")?)
        }
        _ => return Err("kmeans_speed CASE [FOLDER]".into()),
    };
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

/// Points around centres in a cube, and some of them to start from.
fn made(case: &str) -> Result<(Matrix, Matrix), Box<dyn Error>> {
    let known = CASES.iter().find(|known| known.0 == case);
    let (_, rows, columns, clusters, spread) = *known.ok_or("cases are km1, km2 and km3")?;
    // SplitMix64 (Steele, Lea and Flood, 2014).
    let mut state = 1_u64;
    let mut unit = move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f64::from((bits >> 32) as u32) / f64::from(u32::MAX)
    };
    let around: Vec<f64> = (0..clusters * columns)
        .map(|_| 20.0 * unit() - 10.0)
        .collect();
    let mut points = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        let first = row % clusters * columns;
        for centre in &around[first..first + columns] {
            // The sum of twelve uniform numbers has variance 1.
            let scatter: f64 = (0..12).map(|_| unit() - 0.5).sum();
            points.push(centre + spread * scatter);
        }
    }
    let points = Matrix::new(points, rows, columns)?;
    let centres = points.select(&sample_rows(rows, clusters, 7));
    Ok((points, centres))
}

/// An array of 64-bit floats, row after row, as `numpy.save` writes it.
fn read(path: &Path) -> Result<Matrix, Box<dyn Error>> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wrong = || format!("{} is no array of 64-bit floats by rows", path.display());
    // Magic, version and the length of the header, in ten bytes.
    let length = bytes.get(8..10).ok_or_else(wrong)?;
    let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let header = bytes.get(10..10 + length).ok_or_else(wrong)?;
    let header = std::str::from_utf8(header)?;
    if !header.contains("'<f8'") || header.contains("'fortran_order': True") {
        return Err(wrong().into());
    }
    let shape = header.split(['(', ')']).nth(1).ok_or_else(wrong)?;
    let [rows, columns] = shape.split(',').map(str::trim).collect::<Vec<_>>()[..] else {
        return Err(wrong().into());
    };
    let (cells, _) = bytes[10 + length..].as_chunks::<8>();
    let cells = cells.iter().map(|cell| f64::from_le_bytes(*cell)).collect();
    Ok(Matrix::new(cells, rows.parse()?, columns.parse()?)?)
}
