//! Which centre is nearest, told in 32-bit arithmetic where that is sure and in 64-bit arithmetic where
//! it is not, so that every label is the one that [`crate::assign`] gives.
//!
//! Of `|x - c|² = |x|² + 2 (|c|²/2 - x·c)` only the bracket depends on the centre. It is computed for
//! rows and centres moved to a common origin and rounded to 32 bits, which takes one fused operation for
//! each coordinate, eight to an instruction. Rounding displaces it by at most
//! `u (d + 8) (|x| C + C²/2)`, with `u = 2^-24`, `d` coordinates and `C` the norm of the farthest centre: `d`
//! steps of the sum, the rounding of both factors, of `|c|²/2`, and the products where they are rounded on their
//! own (N. Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, section 3.1). Where the two least
//! brackets are farther apart than twice that, the first is the nearest centre in any precision. The
//! other rows, ties among them, are compared in 64 bits with every centre.

#[cfg(target_arch = "x86_64")]
mod avx2;

use super::way::{Change, Way};
use crate::Matrix;
use crate::assign::{Nearest, pack_centres};
use crate::distance::Packed;
use crate::wide;

/// Rows side by side, two AVX registers.
const LANES: usize = 16;
/// Centres that rows are compared with at a time: eight sums in registers hide the latency of an addition.
const GROUP: usize = 4;
/// Beyond this a sum in 32 bits might overflow, and no bound holds.
const SAFE: f32 = 1e36;
/// The rows of a part as the screen needs them, [`LANES`] in a panel, column after column: half their
/// memory again.
#[derive(Debug)]
pub(super) struct Screen {
    panels: Vec<[f32; LANES]>,
    norms: Vec<[f32; LANES]>,
    /// Whether most rows turned out to need 64 bits, so that the screen only costs.
    gave_up: bool,
}

/// The centres of a pass.
pub(super) struct Target {
    screened: Centres,
    exact: Packed,
}

impl Way for Screen {
    type Target<'a> = Target;

    fn new(rows: &[f64], origin: &[f64], _clusters: usize) -> Self {
        let columns = origin.len();
        let count = (rows.len() / columns).div_ceil(LANES);
        let mut panels = vec![[0.0; LANES]; count * columns];
        let mut norms = vec![[0.0; LANES]; count];
        let rows = rows.chunks(LANES * columns);
        let panel = panels.chunks_mut(columns).zip(&mut norms);
        for (rows, (panel, norms)) in rows.zip(panel) {
            fill(rows, origin, panel, norms);
        }
        Self {
            panels,
            norms,
            gave_up: false,
        }
    }

    fn target<'a>(centres: &'a Matrix, origin: &'a [f64], _moves: &[f64]) -> Target {
        Target {
            screened: Centres::new(centres, origin),
            exact: pack_centres(centres),
        }
    }

    fn label(&mut self, rows: &[f64], target: &Target, labels: &mut [u32]) -> Vec<Change> {
        let mut found = Found::default();
        let columns = rows.len() / labels.len();
        if self.gave_up {
            found.doubtful = (0..labels.len()).collect();
        } else {
            let work = Labelling {
                panels: &self.panels,
                norms: &self.norms,
                centres: &target.screened,
                columns,
                labels,
                found: &mut found,
            };
            work.with_the_widest();
        }
        settle(rows, &target.exact, columns, labels, &mut found);
        self.gave_up = found.doubtful.len() > labels.len() / 2;
        found.changes
    }
}

/// Fills a panel with at most [`LANES`] rows, and their norms.
fn fill(rows: &[f64], origin: &[f64], panel: &mut [[f32; LANES]], norms: &mut [f32; LANES]) {
    for (lane, row) in rows.chunks_exact(origin.len()).enumerate() {
        let mut square = 0.0;
        for ((value, origin), cells) in row.iter().zip(origin).zip(panel.iter_mut()) {
            let moved = value - origin;
            square += moved * moved;
            cells[lane] = narrow(moved);
        }
        norms[lane] = narrow(square.sqrt() * (1.0 + 1e-6));
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what it is for"
)]
const fn narrow(value: f64) -> f32 {
    value as f32
}

/// Centres in groups of [`GROUP`], column after column, with their signs changed.
struct Centres {
    groups: Vec<[f32; GROUP]>,
    /// Half the squared norm of each; infinite for what pads the last group.
    halves: Vec<[f32; GROUP]>,
    bound: Bound,
}

impl Centres {
    fn new(centres: &Matrix, origin: &[f64]) -> Self {
        let columns = centres.columns();
        let count = centres.rows().div_ceil(GROUP);
        let mut groups = vec![[0.0; GROUP]; count * columns];
        let mut halves = vec![[f32::INFINITY; GROUP]; count];
        let mut farthest = 0.0_f64;
        for (index, centre) in centres.iter_rows().enumerate() {
            let (group, place) = (index / GROUP, index % GROUP);
            let mut square = 0.0;
            let cells = groups[group * columns..].iter_mut();
            for ((value, origin), cell) in centre.iter().zip(origin).zip(cells) {
                let moved = value - origin;
                square += moved * moved;
                cell[place] = -narrow(moved);
            }
            halves[group][place] = narrow(square / 2.0);
            farthest = farthest.max(square);
        }
        Self {
            groups,
            halves,
            bound: Bound::new(farthest.sqrt(), columns),
        }
    }
}

/// How far apart two brackets must be.
#[derive(Clone, Copy)]
struct Bound {
    /// The norm of the farthest centre, rounded up.
    farthest: f32,
    /// What 32 bits may displace, as a multiple of `|x| C + C²/2`.
    narrow: f32,
    /// What 64 bits may displace, as a multiple of `(|x| + C)²`: it counts for rows very far from all centres.
    wide: f32,
    /// What is lost below the least normal number, as a multiple of `1 + |x| + C`.
    tiny: f32,
}

impl Bound {
    fn new(farthest: f64, columns: usize) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            reason = "columns are far fewer than 2^24"
        )]
        let steps = (columns + 8) as f32;
        Self {
            farthest: narrow(farthest * (1.0 + 1e-6)),
            // 2.2 rather than 2 for the roundings of the bound itself.
            narrow: 2.2 * steps * (f32::EPSILON / 2.0),
            wide: 2.2 * steps * narrow(f64::EPSILON),
            tiny: steps * f32::MIN_POSITIVE,
        }
    }

    /// Whether brackets that are `gap` apart are those of centres at different distances from a row of
    /// this norm. What is not a number is not sure.
    #[inline(always)]
    fn is_sure(&self, gap: f32, norm: f32) -> bool {
        let scale = norm * self.farthest + self.farthest * self.farthest * 0.5;
        let reach = norm + self.farthest;
        let needed = self.narrow * scale + self.wide * (reach * reach) + self.tiny * (1.0 + reach);
        (gap > needed) & (scale < SAFE)
    }
}

/// What a chunk gave.
#[derive(Default)]
struct Found {
    changes: Vec<Change>,
    /// Rows that need 64 bits.
    doubtful: Vec<usize>,
}

/// Labels the rows of a chunk that the screen is sure of.
struct Labelling<'a> {
    panels: &'a [[f32; LANES]],
    norms: &'a [[f32; LANES]],
    centres: &'a Centres,
    columns: usize,
    labels: &'a mut [u32],
    found: &'a mut Found,
}

impl Labelling<'_> {
    fn with_the_widest(self) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            #[expect(unsafe_code, reason = "the processor was asked just above")]
            return unsafe { avx2::label(self) };
        }
        self.label(compare);
    }

    /// `compare` finds the two least brackets of a panel.
    #[inline(always)]
    fn label(self, compare: impl Fn(&[[f32; LANES]], &Centres) -> Best) {
        let panels = self.panels.chunks_exact(self.columns).zip(self.norms);
        let mut first = 0;
        for ((panel, norms), labels) in panels.zip(self.labels.chunks_mut(LANES)) {
            let best = compare(panel, self.centres);
            let mut sure = [false; LANES];
            for lane in 0..LANES {
                let gap = best.second[lane] - best.first[lane];
                sure[lane] = self.centres.bound.is_sure(gap, norms[lane]);
            }
            let is_quiet = *labels == best.label[..labels.len()] && sure == [true; LANES];
            if !is_quiet {
                self.found.take(first, labels, &best.label, &sure);
            }
            first += LANES;
        }
    }
}

impl Found {
    /// Takes the labels of a panel of which some are new or doubtful. Not inlined, to keep the loop small.
    #[inline(never)]
    fn take(&mut self, first: usize, labels: &mut [u32], new: &[u32; LANES], sure: &[bool; LANES]) {
        for (row, ((label, new), sure)) in (first..).zip(labels.iter_mut().zip(new).zip(sure)) {
            if !sure {
                self.doubtful.push(row);
            } else if label != new {
                let (old, new) = (std::mem::replace(label, *new), *new);
                self.changes.push(Change { row, old, new });
            }
        }
    }
}

/// The two least brackets of each row of a panel.
struct Best {
    first: [f32; LANES],
    second: [f32; LANES],
    label: [u32; LANES],
}

/// For processors without vectors of their own here.
fn compare(panel: &[[f32; LANES]], centres: &Centres) -> Best {
    let mut best = Best {
        first: [f32::INFINITY; LANES],
        second: [f32::INFINITY; LANES],
        label: [0; LANES],
    };
    let groups = centres.groups.chunks_exact(panel.len());
    for (number, (group, halves)) in groups.zip(&centres.halves).enumerate() {
        for (place, half) in halves.iter().enumerate() {
            let mut sums = [*half; LANES];
            for (values, points) in panel.iter().zip(group) {
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += value * points[place];
                }
            }
            let label = (number * GROUP + place) as u32;
            for (lane, sum) in sums.into_iter().enumerate() {
                let (first, second) = (best.first[lane], best.second[lane]);
                best.second[lane] = second.min(first.max(sum));
                best.first[lane] = first.min(sum);
                best.label[lane] = if sum < first { label } else { best.label[lane] };
            }
        }
    }
    best
}

/// Labels the doubtful rows of a chunk, in 64 bits.
fn settle(rows: &[f64], centres: &Packed, columns: usize, labels: &mut [u32], found: &mut Found) {
    let Found { changes, doubtful } = found;
    let mut gathered = Vec::with_capacity(doubtful.len() * columns);
    for row in &*doubtful {
        let first = row * columns;
        gathered.extend_from_slice(&rows[first..first + columns]);
    }
    let mut nearest = vec![0; doubtful.len()];
    let mut distances = vec![0.0; doubtful.len()];
    wide::run(Nearest {
        rows: &gathered,
        centres,
        columns,
        labels: &mut nearest,
        distances: &mut distances,
    });
    for (row, new) in doubtful.iter().copied().zip(nearest) {
        let old = std::mem::replace(&mut labels[row], new);
        if old != new {
            changes.push(Change { row, old, new });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::way::UNKNOWN;
    use super::*;
    use crate::assign;
    use crate::random::Random;
    use proptest::prelude::*;

    /// Labels by the screen must be those of 64 bits, and the changes must say so.
    fn check(rows: &Matrix, centres: &Matrix) {
        let expected = assign(rows, centres, 1).unwrap().labels;
        let origin = centres.column_means();
        let mut screen = Screen::new(rows.data(), &origin, centres.rows());
        let target = Screen::target(centres, &origin, &[]);
        let mut labels = vec![UNKNOWN; rows.rows()];
        let changes = screen.label(rows.data(), &target, &mut labels);
        assert_eq!(labels, expected);
        assert_eq!(changes.len(), rows.rows());
        assert!(
            changes
                .iter()
                .all(|it| it.old == UNKNOWN && it.new == labels[it.row])
        );
        let again = screen.label(rows.data(), &target, &mut labels);
        assert!(again.is_empty());
        assert_eq!(labels, expected);
    }

    #[test]
    fn a_row_between_two_centres_is_told_by_64_bits() {
        // The middle of the centres is beyond what 32 bits resolve.
        let centres = Matrix::new(vec![0.0, 1.0], 2, 1).unwrap();
        let rows = [0.5 - 1e-12, 0.5, 0.5 + 1e-12, 0.25, 0.75].to_vec();
        let rows = Matrix::new(rows, 5, 1).unwrap();
        check(&rows, &centres);
        assert_eq!(assign(&rows, &centres, 1).unwrap().labels, [0, 0, 1, 0, 1]);
    }

    #[test]
    fn sizes_that_fit_no_panel_and_no_group_are_labelled_too() {
        let mut random = Random::new(3, 1);
        for (rows, columns, clusters) in [
            (1, 1, 1),
            (15, 3, 2),
            (17, 11, 5),
            (2500, 7, 9),
            (3000, 40, 33),
        ] {
            let data = (0..rows * columns).map(|_| random.unit()).collect();
            let rows = Matrix::new(data, rows, columns).unwrap();
            let chosen: Vec<usize> = (0..clusters).map(|index| index % rows.rows()).collect();
            check(&rows, &rows.select(&chosen));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn labels_are_those_of_64_bits(
            seed in 0_u64..1000,
            columns in 1_usize..12,
            clusters in 1_usize..11,
            scale in -170_i32..170,
            shift in -20_i32..20,
            whole in any::<bool>(),
        ) {
            // Far from the origin, near it, beyond what 32 bits can hold, and with ties.
            let mut random = Random::new(seed, 2);
            let size = 10.0_f64.powi(scale);
            let shift = size * 10.0_f64.powi(shift);
            let mut value = || {
                let unit = random.unit() * 4.0;
                let stretch = 10.0_f64.powf(random.unit() * 3.0);
                shift + size * if whole { unit.round() } else { unit * stretch }
            };
            let data = (0..90 * columns).map(|_| value()).collect();
            let rows = Matrix::new(data, 90, columns).unwrap();
            let data = (0..clusters * columns).map(|_| value()).collect();
            let centres = Matrix::new(data, clusters, columns).unwrap();
            check(&rows, &centres);
        }
    }
}
