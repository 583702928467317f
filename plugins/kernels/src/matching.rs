//! Which clusters of one clustering are which of another.

/// Pairs rows with columns, one to one, so that the sum of the paired cells is as large as it can be:
/// the column of each row, none where there are too few columns or the cell is 0. `overlap` holds rows
/// of equal length, such as how many customers two clusterings share.
///
/// H. Kuhn, *The Hungarian method for the assignment problem*, 1955, in the form with potentials and
/// shortest augmenting paths (R. Jonker and A. Volgenant, 1987); in integers, so that it is exact. The
/// sum is that of SciPy's `linear_sum_assignment(maximize=True)`. O(n^2 m) for n, the fewer of rows and
/// columns, and m, the more.
#[must_use]
pub fn maximum_overlap(overlap: &[Vec<u64>]) -> Vec<Option<usize>> {
    let rows = overlap.len();
    let columns = overlap.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: usize, column: usize| -> u64 {
        overlap
            .get(row)
            .and_then(|cells| cells.get(column))
            .copied()
            .unwrap_or(0)
    };
    let mut of_row = vec![None; rows];
    if rows <= columns {
        for (column, row) in shortest_paths(rows, columns, cell).into_iter().enumerate() {
            if let Some(row) = row {
                of_row[row] = Some(column);
            }
        }
    } else {
        let turned = |row: usize, column: usize| cell(column, row);
        of_row = shortest_paths(columns, rows, turned);
    }
    for (row, column) in of_row.iter_mut().enumerate() {
        // A pair that shares nothing is none.
        *column = column.filter(|column| cell(row, *column) > 0);
    }
    of_row
}

/// The row of each column where there are no more rows than columns. Costs are the negative cells.
fn shortest_paths(
    rows: usize,
    columns: usize,
    cell: impl Fn(usize, usize) -> u64,
) -> Vec<Option<usize>> {
    let mut row_potential = vec![0_i128; rows];
    let mut column_potential = vec![0_i128; columns];
    let mut row_of = vec![None::<usize>; columns];
    for first in 0..rows {
        // The shortest path from `first` to a free column, by reduced costs.
        let mut distance = vec![i128::MAX; columns];
        let mut before = vec![None::<usize>; columns];
        let mut is_done = vec![false; columns];
        let (mut row, mut at) = (first, None::<usize>);
        let free = loop {
            let travelled = at.map_or(0, |column| distance[column]);
            let mut nearest = None::<usize>;
            for column in (0..columns).filter(|column| !is_done[*column]) {
                let reduced =
                    -i128::from(cell(row, column)) - row_potential[row] - column_potential[column];
                if travelled + reduced < distance[column] {
                    distance[column] = travelled + reduced;
                    before[column] = at;
                }
                if nearest.is_none_or(|other| distance[column] < distance[other]) {
                    nearest = Some(column);
                }
            }
            // There is one: fewer rows have a column than there are columns.
            let Some(column) = nearest else { break None };
            is_done[column] = true;
            match row_of[column] {
                None => break Some(column),
                Some(taken) => {
                    row = taken;
                    at = Some(column);
                }
            }
        };
        let Some(free) = free else { continue };
        let length = distance[free];
        row_potential[first] += length;
        for column in (0..columns).filter(|column| is_done[*column] && *column != free) {
            let change = length - distance[column];
            column_potential[column] -= change;
            if let Some(row) = row_of[column] {
                row_potential[row] += change;
            }
        }
        // Along the path each column hands its row on.
        let mut column = free;
        while let Some(earlier) = before[column] {
            row_of[column] = row_of[earlier];
            column = earlier;
        }
        row_of[column] = Some(first);
    }
    row_of
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn total(overlap: &[Vec<u64>], pairs: &[Option<usize>]) -> u64 {
        let cells = pairs.iter().zip(overlap);
        cells
            .filter_map(|(column, cells)| column.map(|column| cells[column]))
            .sum()
    }

    /// The largest sum of all pairings, by trying them.
    fn largest(overlap: &[Vec<u64>], row: usize, taken: &mut Vec<bool>) -> u64 {
        if row == overlap.len() {
            return 0;
        }
        let mut best = largest(overlap, row + 1, taken);
        for column in 0..taken.len() {
            if !taken[column] {
                taken[column] = true;
                best = best.max(overlap[row][column] + largest(overlap, row + 1, taken));
                taken[column] = false;
            }
        }
        best
    }

    #[test]
    fn a_greedy_choice_is_not_good_enough() {
        // Taking 10 first leaves 1; 9 and 8 are more together.
        let overlap = vec![vec![10, 9], vec![8, 1]];
        assert_eq!(maximum_overlap(&overlap), [Some(1), Some(0)]);
    }

    #[test]
    fn what_shares_nothing_is_not_paired() {
        assert_eq!(maximum_overlap(&[vec![5, 0], vec![3, 0]]), [Some(0), None]);
        assert_eq!(
            maximum_overlap(&[vec![2], vec![5], vec![3]]),
            [None, Some(0), None]
        );
        assert_eq!(maximum_overlap(&[vec![2, 7, 3]]), [Some(1)]);
        assert_eq!(maximum_overlap(&[]), []);
        assert_eq!(maximum_overlap(&[Vec::new()]), [None]);
    }

    #[test]
    fn no_pairing_has_a_larger_sum() {
        let mut random = Random::new(5, 0);
        for _ in 0..300 {
            let (rows, columns) = (1 + random.below(5), 1 + random.below(5));
            let overlap: Vec<Vec<u64>> = (0..rows)
                .map(|_| (0..columns).map(|_| random.below(12) as u64).collect())
                .collect();
            let pairs = maximum_overlap(&overlap);
            let mut columns_taken: Vec<usize> = pairs.iter().flatten().copied().collect();
            let paired = columns_taken.len();
            columns_taken.sort_unstable();
            columns_taken.dedup();
            assert_eq!(columns_taken.len(), paired, "one to one: {pairs:?}");
            let best = largest(&overlap, 0, &mut vec![false; columns]);
            assert_eq!(total(&overlap, &pairs), best, "{overlap:?}");
        }
    }
}
