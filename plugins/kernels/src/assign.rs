//! The nearest centre of every row.

use crate::distance::{LANES, Packed, Visitor, by_rows, squared_distances};
use crate::error::Extent;
use crate::wide::{self, Loop};
use crate::{KernelError, Matrix, parallel};

/// For every row: which centre is nearest, and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The number of the nearest centre; of several at the same distance, the lowest.
    pub labels: Vec<u32>,
    /// The squared Euclidean distance to it.
    pub squared_distances: Vec<f64>,
}

/// Finds the nearest centre of every row: O(rows x centres x columns).
///
/// # Errors
/// [`KernelError::NotFinite`], [`KernelError::Empty`] of rows or centres, or [`KernelError::Shape`]
/// when rows and centres differ in columns.
pub fn assign(rows: &Matrix, centres: &Matrix, threads: usize) -> Result<Assignment, KernelError> {
    rows.check()?;
    check_centres(rows, centres)?;
    let mut labels = vec![0; rows.rows()];
    let mut squared_distances = vec![0.0; rows.rows()];
    let packed = pack_centres(centres);
    let chunk = parallel::chunk_rows(rows.rows());
    let tasks: Vec<_> = rows
        .data()
        .chunks(chunk * rows.columns())
        .zip(labels.chunks_mut(chunk))
        .zip(squared_distances.chunks_mut(chunk))
        .collect();
    parallel::map(tasks, threads, |((rows, labels), distances)| {
        wide::run(Nearest {
            rows,
            centres: &packed,
            columns: centres.columns(),
            labels,
            distances,
        });
    });
    Ok(Assignment {
        labels,
        squared_distances,
    })
}

/// Refuses centres that rows cannot be compared with.
pub(crate) fn check_centres(rows: &Matrix, centres: &Matrix) -> Result<(), KernelError> {
    if centres.rows() == 0 {
        return Err(KernelError::Empty(Extent::Clusters));
    }
    if rows.columns() != centres.columns() {
        return Err(KernelError::Shape {
            what: "columns of the centres",
            expected: rows.columns(),
            actual: centres.columns(),
        });
    }
    centres.check()
}

/// Centres for [`Nearest`]: what pads the last block is infinitely far.
pub(crate) fn pack_centres(centres: &Matrix) -> Packed {
    Packed::new(centres.iter_rows(), centres.columns(), f64::INFINITY)
}

/// The nearest centres of the rows of a chunk.
pub(crate) struct Nearest<'a> {
    pub(crate) rows: &'a [f64],
    pub(crate) centres: &'a Packed,
    pub(crate) columns: usize,
    pub(crate) labels: &'a mut [u32],
    pub(crate) distances: &'a mut [f64],
}

impl Loop for Nearest<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        by_rows(self.rows, self.columns, &mut self);
    }
}

impl Visitor for Nearest<'_> {
    #[inline(always)]
    fn visit<const R: usize>(&mut self, first: usize, rows: [&[f64]; R]) {
        for (offset, (label, distance)) in nearest(rows, self.centres).into_iter().enumerate() {
            self.labels[first + offset] = label;
            self.distances[first + offset] = distance;
        }
    }
}

/// The nearest centre of each of `R` rows, and its squared distance.
///
/// The best is kept per lane while blocks pass, without a branch; lanes are compared at the end.
#[inline(always)]
pub(crate) fn nearest<const R: usize>(rows: [&[f64]; R], centres: &Packed) -> [(u32, f64); R] {
    let mut best = [[f64::INFINITY; LANES]; R];
    // As wide as the distances, so that both are chosen by the same mask.
    let mut best_block = [[0_u64; LANES]; R];
    for (number, block) in centres.blocks().enumerate() {
        let distances = squared_distances(rows, block);
        for row in 0..R {
            for lane in 0..LANES {
                let closer = distances[row][lane] < best[row][lane];
                best[row][lane] = if closer {
                    distances[row][lane]
                } else {
                    best[row][lane]
                };
                best_block[row][lane] = if closer {
                    number as u64
                } else {
                    best_block[row][lane]
                };
            }
        }
    }
    let mut nearest = [(0, f64::INFINITY); R];
    for row in 0..R {
        let mut winner = (0, f64::INFINITY);
        for lane in 0..LANES {
            let index = best_block[row][lane] * LANES as u64 + lane as u64;
            let distance = best[row][lane];
            if distance < winner.1 || (distance == winner.1 && index < winner.0) {
                winner = (index, distance);
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "centres are rows held in memory, fewer than 2^32"
        )]
        let label = winner.0 as u32;
        nearest[row] = (label, winner.1);
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::squared_distance;
    use proptest::prelude::*;

    fn matrix(values: &[f64], columns: usize) -> Matrix {
        Matrix::new(values.to_vec(), values.len() / columns, columns).unwrap()
    }

    #[test]
    fn ties_go_to_the_lower_number() {
        let centres = matrix(&[5.0, 1.0, 1.0, -1.0, 3.0, 3.0, 9.0, 9.0, 9.0, 1.0], 1);
        let found = assign(&matrix(&[0.0, 2.0, 4.0, 100.0], 1), &centres, 1).unwrap();
        assert_eq!(found.labels, [1, 1, 0, 6]);
        assert_eq!(found.squared_distances, [1.0, 1.0, 1.0, 91.0 * 91.0]);
    }

    #[test]
    fn rows_and_centres_must_fit() {
        let rows = matrix(&[0.0, 1.0], 2);
        assert!(matches!(
            assign(&rows, &matrix(&[1.0], 1), 1),
            Err(KernelError::Shape { .. })
        ));
        let none = Matrix::new(Vec::new(), 0, 2).unwrap();
        assert_eq!(
            assign(&rows, &none, 1),
            Err(KernelError::Empty(Extent::Clusters))
        );
        assert!(assign(&rows, &matrix(&[f64::NAN, 0.0], 2), 1).is_err());
        assert!(assign(&matrix(&[0.0, f64::INFINITY], 2), &rows, 1).is_err());
    }

    #[test]
    fn distances_that_overflow_still_give_a_label() {
        let found = assign(&matrix(&[1e200], 1), &matrix(&[-1e200, 0.0], 1), 1).unwrap();
        assert_eq!(found.labels, [0]);
    }

    proptest! {
        #[test]
        fn it_is_the_first_of_the_nearest(
            rows in prop::collection::vec(-3_i32..4, 0..60),
            centres in prop::collection::vec(-3_i32..4, 2..50),
            threads in 1_usize..4,
        ) {
            // Small integers: ties are common and distances exact.
            let even = |values: &[i32]| -> Vec<f64> {
                values.iter().take(values.len() / 2 * 2).map(|value| f64::from(*value)).collect()
            };
            let (rows, centres) = (matrix(&even(&rows), 2), matrix(&even(&centres), 2));
            prop_assume!(rows.rows() > 0);
            let found = assign(&rows, &centres, threads).unwrap();
            for (row, label) in rows.iter_rows().zip(&found.labels) {
                let mut expected = (0, f64::INFINITY);
                for (index, centre) in centres.iter_rows().enumerate() {
                    let distance = squared_distance(row, centre);
                    if distance < expected.1 {
                        expected = (index, distance);
                    }
                }
                prop_assert_eq!(*label as usize, expected.0);
            }
        }
    }
}
