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
    fn small_inputs_agree_or_are_refused() {
        assert_eq!(adjusted_rand(&[], &[]), Ok(1.0));
        assert_eq!(adjusted_rand(&[3], &[9]), Ok(1.0));
        assert!(adjusted_rand(&[1], &[1, 2]).is_err());
    }
}
