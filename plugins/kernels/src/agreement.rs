//! How far two clusterings of the same rows agree.

use std::collections::BTreeMap;

use crate::KernelError;

/// The adjusted Rand index: the share of pairs of rows on which two clusterings agree, corrected for
/// chance; 1 for the same clustering under any names, 0 as chance would have it, negative below.
///
/// L. Hubert and P. Arabie, *Comparing partitions*, 1985. O(rows log clusters). The same as
/// scikit-learn's `adjusted_rand_score`. Clusterings without rows agree.
///
/// # Errors
/// [`KernelError::Shape`] when they are not of as many rows.
pub fn adjusted_rand(left: &[u32], right: &[u32]) -> Result<f64, KernelError> {
    if left.len() != right.len() {
        return Err(KernelError::Shape {
            what: "labels",
            expected: left.len(),
            actual: right.len(),
        });
    }
    let mut both = BTreeMap::<(u32, u32), u128>::new();
    let mut in_left = BTreeMap::<u32, u128>::new();
    let mut in_right = BTreeMap::<u32, u128>::new();
    for (left, right) in left.iter().zip(right) {
        *both.entry((*left, *right)).or_default() += 1;
        *in_left.entry(*left).or_default() += 1;
        *in_right.entry(*right).or_default() += 1;
    }
    // Ordered pairs of rows, so that all is in integers.
    let rows = left.len() as u128;
    let together: u128 = squares(both.values()) - rows;
    let left_only = squares(in_left.values()) - rows - together;
    let right_only = squares(in_right.values()) - rows - together;
    let apart = rows * rows - rows - together - left_only - right_only;
    if left_only == 0 && right_only == 0 {
        return Ok(1.0);
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "rounded once, at the end of exact counting"
    )]
    let [together, left_only, right_only, apart] =
        [together, left_only, right_only, apart].map(|pairs| pairs as f64);
    let agreement = 2.0 * (together * apart - left_only * right_only);
    let chance = (together + left_only) * (left_only + apart)
        + (together + right_only) * (right_only + apart);
    Ok(agreement / chance)
}

/// For each of `clusters` clusters of one clustering, how much of it the other clustering has in one
/// cluster: the largest Jaccard coefficient |A and B| / |A or B| of it and any of the other's, 0 to 1.
/// A row that stands several times counts several times; a cluster without rows has 0.
///
/// C. Hennig, *Cluster-wise assessment of cluster stability*, 2007. O(rows log clusters).
///
/// # Errors
/// [`KernelError::Shape`] when they are not of as many rows.
pub fn maximum_jaccard(
    labels: &[u32],
    others: &[u32],
    clusters: usize,
) -> Result<Vec<f64>, KernelError> {
    if labels.len() != others.len() {
        return Err(KernelError::Shape {
            what: "labels",
            expected: labels.len(),
            actual: others.len(),
        });
    }
    let mut both = BTreeMap::<(u32, u32), u32>::new();
    let mut sizes = BTreeMap::<u32, u32>::new();
    let mut other_sizes = BTreeMap::<u32, u32>::new();
    for (label, other) in labels.iter().zip(others) {
        *both.entry((*label, *other)).or_default() += 1;
        *sizes.entry(*label).or_default() += 1;
        *other_sizes.entry(*other).or_default() += 1;
    }
    let mut most = vec![0.0_f64; clusters];
    for ((label, other), shared) in &both {
        let size = sizes.get(label).copied().unwrap_or(0);
        let other_size = other_sizes.get(other).copied().unwrap_or(0);
        let either = f64::from(size) + f64::from(other_size) - f64::from(*shared);
        if let Some(most) = most.get_mut(*label as usize) {
            *most = most.max(f64::from(*shared) / either);
        }
    }
    Ok(most)
}

fn squares<'a>(counts: impl Iterator<Item = &'a u128>) -> u128 {
    counts.map(|count| count * count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_scikit_learns_documented_values() {
        assert_eq!(adjusted_rand(&[0, 0, 1, 1], &[1, 1, 0, 0]), Ok(1.0));
        assert_eq!(adjusted_rand(&[0, 0, 1, 2], &[0, 0, 1, 1]), Ok(4.0 / 7.0));
        assert_eq!(adjusted_rand(&[0, 0, 0, 0], &[0, 1, 2, 3]), Ok(0.0));
        assert_eq!(adjusted_rand(&[0, 0, 1, 1], &[0, 1, 0, 1]), Ok(-0.5));
    }

    #[test]
    fn a_cluster_is_as_stable_as_its_best_counterpart() {
        // 0 is split in halves, 1 is whole but for one row that joined it, 2 has no rows.
        let most = maximum_jaccard(&[0, 0, 0, 0, 1, 1], &[7, 7, 8, 9, 9, 9], 3);
        assert_eq!(most, Ok(vec![0.5, 2.0 / 3.0, 0.0]));
        assert_eq!(maximum_jaccard(&[], &[], 1), Ok(vec![0.0]));
        assert!(maximum_jaccard(&[1], &[], 2).is_err());
    }

    #[test]
    fn small_inputs_agree_or_are_refused() {
        assert_eq!(adjusted_rand(&[], &[]), Ok(1.0));
        assert_eq!(adjusted_rand(&[3], &[9]), Ok(1.0));
        assert!(adjusted_rand(&[1], &[1, 2]).is_err());
    }
}
