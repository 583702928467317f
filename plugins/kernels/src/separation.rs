//! Indices of how well clusters are separated that need centres only, not all pairs of rows.

use crate::distance::squared_distance;
use crate::{KernelError, Matrix, Partition};

/// Distances below this count as none, as scikit-learn has it.
const NEGLIGIBLE: f64 = 1e-8;

/// The Davies-Bouldin index: the mean over clusters of the worst ratio of their spread to their
/// distance from another; 0 is best.
///
/// D. Davies and D. Bouldin, *A cluster separation measure*, 1979. The spread is the mean distance to
/// the centre. O(rows x columns + clusters² x columns). The same as scikit-learn's
/// `davies_bouldin_score`.
///
/// # Errors
/// [`KernelError::NotSeparable`] unless there are 2 to rows - 1 clusters; [`KernelError::NotFinite`],
/// [`KernelError::Empty`], or [`KernelError::Shape`] when there is not one label a row.
#[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
pub fn davies_bouldin(rows: &Matrix, labels: &[u32]) -> Result<f64, KernelError> {
    let partition = Partition::new(labels);
    partition.check_separable(rows)?;
    let centres = partition.means(rows)?;
    let mut spreads = vec![0.0; partition.count()];
    for (row, group) in rows.iter_rows().zip(partition.groups()) {
        spreads[*group] += squared_distance(row, centres.row(*group)).sqrt();
    }
    for (spread, size) in spreads.iter_mut().zip(partition.sizes()) {
        *spread /= *size as f64;
    }
    let distance = |a: usize, b: usize| squared_distance(centres.row(a), centres.row(b)).sqrt();
    let clusters = partition.count();
    let all_equal = (0..clusters).all(|a| (0..a).all(|b| distance(a, b) <= NEGLIGIBLE));
    if all_equal || spreads.iter().all(|spread| *spread <= NEGLIGIBLE) {
        return Ok(0.0);
    }
    let mut total = 0.0;
    for a in 0..clusters {
        let mut worst = 0.0_f64;
        for b in (0..clusters).filter(|b| *b != a) {
            let between = distance(a, b);
            // Clusters around the same centre are infinitely bad; scikit-learn leaves them out.
            if between > 0.0 {
                worst = worst.max((spreads[a] + spreads[b]) / between);
            }
        }
        total += worst;
    }
    Ok(total / clusters as f64)
}

/// The Calinski-Harabasz index: the dispersion between clusters over that within, each by its degrees
/// of freedom; more is better, and 1 where there is none within.
///
/// T. Caliński and J. Harabasz, *A dendrite method for cluster analysis*, 1974. O(rows x columns).
/// The same as scikit-learn's `calinski_harabasz_score`.
///
/// # Errors
/// As [`davies_bouldin`].
#[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
pub fn calinski_harabasz(rows: &Matrix, labels: &[u32]) -> Result<f64, KernelError> {
    let partition = Partition::new(labels);
    partition.check_separable(rows)?;
    let centres = partition.means(rows)?;
    let mean = rows.column_means();
    let mut between = 0.0;
    for (centre, size) in centres.iter_rows().zip(partition.sizes()) {
        between += *size as f64 * squared_distance(centre, &mean);
    }
    let mut within = 0.0;
    for (row, group) in rows.iter_rows().zip(partition.groups()) {
        within += squared_distance(row, centres.row(*group));
    }
    if within == 0.0 {
        return Ok(1.0);
    }
    let (rows, clusters) = (partition.rows() as f64, partition.count() as f64);
    Ok(between * (rows - clusters) / (within * (clusters - 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn davies_bouldin_has_scikit_learns_documented_value() {
        let rows = Matrix::new(vec![0.0, 1.0, 1.0, 1.0, 3.0, 4.0], 3, 2).unwrap();
        let index = davies_bouldin(&rows, &[0, 0, 1]).unwrap();
        assert!((index - 0.5 / 15.25_f64.sqrt()).abs() < 1e-15, "{index}");
    }

    #[test]
    fn calinski_harabasz_is_a_ratio_of_variances() {
        let rows = Matrix::new(vec![0.0, 2.0, 10.0, 12.0], 4, 1).unwrap();
        assert_eq!(
            calinski_harabasz(&rows, &[0, 0, 1, 1]).unwrap(),
            100.0 * 2.0 / 4.0
        );
    }

    #[test]
    fn equal_rows_have_a_defined_value() {
        let rows = Matrix::new(vec![3.0; 4], 4, 1).unwrap();
        assert_eq!(davies_bouldin(&rows, &[0, 0, 1, 1]).unwrap(), 0.0);
        assert_eq!(calinski_harabasz(&rows, &[0, 0, 1, 1]).unwrap(), 1.0);
    }

    #[test]
    fn one_cluster_has_no_separation() {
        let rows = Matrix::new(vec![1.0, 2.0], 2, 1).unwrap();
        assert!(davies_bouldin(&rows, &[0, 0]).is_err());
        assert!(calinski_harabasz(&rows, &[0, 1]).is_err());
    }
}
