//! Squared Euclidean distances from rows to a few packed points, the inner loop of nearly all here.
//!
//! Distances are sums of squared differences, column after column. The expanded form
//! `|x|² - 2xc + |c|²` takes two operations instead of three, but cancels: equal points get distances
//! other than 0 and ties break by rounding. Here equal points are at distance 0 and points at equal
//! distance tie, whatever the number of threads or the width of the vectors.

/// Points in a packed block: two AVX registers.
pub(crate) const LANES: usize = 8;

/// Rows that are compared with a block at a time. Four rows keep eight sums in registers, enough to
/// hide the latency of an addition.
pub(crate) const ROWS: usize = 4;

/// Points in blocks of [`LANES`], each block column after column: what lies together is used together.
#[derive(Debug)]
pub(crate) struct Packed {
    cells: Vec<[f64; LANES]>,
    columns: usize,
    points: usize,
}

impl Packed {
    /// Packs points of `columns` numbers each. Places after the last point hold `padding`.
    pub(crate) fn new<'a>(
        points: impl ExactSizeIterator<Item = &'a [f64]>,
        columns: usize,
        padding: f64,
    ) -> Self {
        let count = points.len();
        let mut cells = vec![[padding; LANES]; count.div_ceil(LANES) * columns];
        for (index, point) in points.enumerate() {
            let first = index / LANES * columns;
            for (lanes, value) in cells[first..first + columns].iter_mut().zip(point) {
                lanes[index % LANES] = *value;
            }
        }
        Self {
            cells,
            columns,
            points: count,
        }
    }

    /// How many points there are, without padding.
    pub(crate) const fn points(&self) -> usize {
        self.points
    }

    /// The blocks, each of one array per column.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &[[f64; LANES]]> {
        self.cells.chunks_exact(self.columns)
    }
}

/// Squared distances of `R` rows to the points of a block.
#[inline(always)]
pub(crate) fn squared_distances<const R: usize>(
    rows: [&[f64]; R],
    block: &[[f64; LANES]],
) -> [[f64; LANES]; R] {
    let rows = rows.map(|row| &row[..block.len()]);
    let mut sums = [[0.0; LANES]; R];
    for (column, lanes) in block.iter().enumerate() {
        for (row, sum) in rows.iter().zip(&mut sums) {
            let value = row[column];
            for (total, point) in sum.iter_mut().zip(lanes) {
                let difference = value - point;
                *total += difference * difference;
            }
        }
    }
    sums
}

/// What is done with rows, a few at a time. A trait rather than closures: a closure may be left out of
/// line, and is then compiled without its caller's instruction set.
pub(crate) trait Visitor {
    /// Takes the rows numbered from `first`. Implementations mark it `#[inline(always)]`.
    fn visit<const R: usize>(&mut self, first: usize, rows: [&[f64]; R]);
}

/// Visits rows in order: in groups of [`ROWS`], and those that are left one by one.
#[inline(always)]
pub(crate) fn by_rows(rows: &[f64], columns: usize, visitor: &mut impl Visitor) {
    let groups = rows.chunks_exact(ROWS * columns);
    let rest = groups.remainder();
    let mut first = 0;
    for group in groups {
        let (a, bcd) = group.split_at(columns);
        let (b, cd) = bcd.split_at(columns);
        let (c, d) = cd.split_at(columns);
        visitor.visit::<ROWS>(first, [a, b, c, d]);
        first += ROWS;
    }
    for row in rest.chunks_exact(columns) {
        visitor.visit::<1>(first, [row]);
        first += 1;
    }
}

/// The squared distance of two points.
#[inline]
pub(crate) fn squared_distance(left: &[f64], right: &[f64]) -> f64 {
    let mut total = 0.0;
    for (a, b) in left.iter().zip(right) {
        total += (a - b) * (a - b);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_distances_are_those_of_pairs() {
        let points: Vec<Vec<f64>> = (0..11_u32)
            .map(|i| (0..3_u32).map(|j| f64::from(i * 7 + j) * 0.3).collect())
            .collect();
        let packed = Packed::new(points.iter().map(Vec::as_slice), 3, f64::INFINITY);
        assert_eq!((packed.points(), packed.blocks().count()), (11, 2));
        let row = [0.5, -1.0, 2.25];
        for (number, block) in packed.blocks().enumerate() {
            let [one] = squared_distances([&row], block);
            let four = squared_distances([&row; ROWS], block);
            for lane in 0..LANES {
                let expected = points
                    .get(number * LANES + lane)
                    .map_or(f64::INFINITY, |point| squared_distance(&row, point));
                assert_eq!(one[lane].to_bits(), expected.to_bits());
                assert!(
                    four.iter()
                        .all(|sums| sums[lane].to_bits() == expected.to_bits())
                );
            }
        }
    }
}
