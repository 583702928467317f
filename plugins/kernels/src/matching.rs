//! Which clusters of two clusterings are the same, when their numbers say nothing.

use crate::KernelError;

/// A dummy that stands before the first row and column, as the algorithm is usually written.
const NONE: usize = 0;

/// Matches rows with columns one to one so that the sum of the matched overlaps is the largest that can
/// be: for each row its column, none where it has none. What does not overlap is never matched.
///
/// H. Kuhn, *The Hungarian method for the assignment problem*, 1955, by shortest augmenting paths
/// (R. Jonker and A. Volgenant, 1987): O(n² m) of the smaller and the larger count. Of equally good
/// matchings always the same one.
///
/// # Errors
/// [`KernelError::Shape`] when the rows are not all as long.
pub fn best_matching(overlaps: &[Vec<u64>]) -> Result<Vec<Option<usize>>, KernelError> {
    let columns = overlaps.first().map_or(0, Vec::len);
    if let Some(other) = overlaps.iter().find(|row| row.len() != columns) {
        return Err(KernelError::Shape {
            what: "overlaps of a row",
            expected: columns,
            actual: other.len(),
        });
    }
    let overlap = |row: usize, column: usize| overlaps[row][column];
    let mut matched = vec![None; overlaps.len()];
    if overlaps.len() <= columns {
        let assigned = assign(overlaps.len(), columns, overlap);
        for (row, column) in assigned.into_iter().enumerate() {
            matched[row] = Some(column).filter(|column| overlap(row, *column) > 0);
        }
    } else {
        let assigned = assign(columns, overlaps.len(), |column, row| overlap(row, column));
        for (column, row) in assigned.into_iter().enumerate() {
            matched[row] = Some(column).filter(|column| overlap(row, *column) > 0);
        }
    }
    Ok(matched)
}

/// For each of `few` its own one of `many`, which are no fewer, with the largest sum of worths.
fn assign(few: usize, many: usize, worth: impl Fn(usize, usize) -> u64) -> Vec<usize> {
    // Costs are negative worths; potentials stay below the sum of all worths in magnitude.
    let mut row_potential = vec![0_i128; few + 1];
    let mut column_potential = vec![0_i128; many + 1];
    // The row that each column has; both are counted from 1.
    let mut row_of = vec![NONE; many + 1];
    for row in 1..=few {
        row_of[NONE] = row;
        let mut from = vec![NONE; many + 1];
        let mut slack = vec![i128::MAX; many + 1];
        let mut is_reached = vec![false; many + 1];
        let mut column = NONE;
        // Grows the tree of tight edges until it reaches a free column.
        while row_of[column] != NONE || column == NONE {
            is_reached[column] = true;
            let row = row_of[column];
            let mut step = i128::MAX;
            let mut next = NONE;
            for other in 1..=many {
                if is_reached[other] {
                    continue;
                }
                let cost = -i128::from(worth(row - 1, other - 1));
                let reduced = cost - row_potential[row] - column_potential[other];
                if reduced < slack[other] {
                    slack[other] = reduced;
                    from[other] = column;
                }
                if slack[other] < step {
                    step = slack[other];
                    next = other;
                }
            }
            for other in 0..=many {
                if is_reached[other] {
                    row_potential[row_of[other]] += step;
                    column_potential[other] -= step;
                } else {
                    slack[other] = slack[other].saturating_sub(step);
                }
            }
            column = next;
        }
        // Turns the path that led there.
        while column != NONE {
            row_of[column] = row_of[from[column]];
            column = from[column];
        }
    }
    let mut column_of = vec![NONE; few];
    for (column, row) in row_of.into_iter().enumerate().skip(1) {
        if row != NONE {
            column_of[row - 1] = column - 1;
        }
    }
    column_of
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(overlaps: &[Vec<u64>], matched: &[Option<usize>]) -> u64 {
        let pairs = matched.iter().enumerate();
        pairs
            .filter_map(|(row, column)| Some(overlaps[row][(*column)?]))
            .sum()
    }

    /// The best of all matchings, by trying them.
    fn best(overlaps: &[Vec<u64>], taken: &mut Vec<usize>) -> u64 {
        let Some((row, rest)) = overlaps.split_first() else {
            return 0;
        };
        let mut found = best(rest, taken);
        for column in 0..row.len() {
            if !taken.contains(&column) {
                taken.push(column);
                found = found.max(row[column] + best(rest, taken));
                taken.pop();
            }
        }
        found
    }

    #[test]
    fn the_sum_counts_and_not_the_single_largest() {
        // Greedily 10 + 0; better 9 + 8.
        let overlaps = vec![vec![10, 9], vec![8, 0]];
        assert_eq!(best_matching(&overlaps), Ok(vec![Some(1), Some(0)]));
    }

    #[test]
    fn what_does_not_overlap_is_not_matched() {
        let overlaps = vec![vec![0, 5, 0], vec![0, 7, 0]];
        assert_eq!(best_matching(&overlaps), Ok(vec![None, Some(1)]));
        assert_eq!(best_matching(&[]), Ok(Vec::new()));
        assert_eq!(best_matching(&[Vec::new()]), Ok(vec![None]));
        assert!(best_matching(&[vec![1], vec![1, 2]]).is_err());
    }

    proptest! {
        #[test]
        fn it_is_the_best_of_all_and_one_to_one(
            (rows, columns, cells) in (1_usize..5, 1_usize..5, prop::collection::vec(0_u64..20, 16)),
        ) {
            let overlaps: Vec<Vec<u64>> =
                (0..rows).map(|row| cells[row * 4..row * 4 + columns].to_vec()).collect();
            let matched = best_matching(&overlaps).unwrap();
            let mut used: Vec<usize> = matched.iter().flatten().copied().collect();
            used.sort_unstable();
            prop_assert!(used.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(total(&overlaps, &matched), best(&overlaps, &mut Vec::new()));
        }
    }
}
