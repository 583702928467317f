//! Which centre is nearest to each row, iteration after iteration, without looking at most of them.
//!
//! Each row has an upper bound of its distance to its own centre and, for each panel of centres, a lower
//! bound of its distance to the others there. When centres move, bounds move with them (Y. Ding et al.,
//! *Yinyang K-Means*, 2015; with one panel, G. Hamerly, *Making k-means even faster*, 2010): a panel whose
//! lower bound stays above the upper bound holds no nearer centre and is not looked at. The others are
//! scored in single precision; where that does not tell two centres apart, all are compared anew in double
//! precision. So the labels are those of the plain algorithm in double precision, ties included, and
//! only the time depends on the bounds.

use super::panels::{GROUP, Panels, WIDTH, single, two_least};
use super::way::{Change, UNKNOWN, Way};
use crate::Matrix;
use crate::assign::{nearest, pack_centres};
use crate::distance::Packed;
use crate::wide::{self, FusedLoop};

/// Rows that are looked at together: their single-precision form stays in the cache.
const BLOCK: usize = 128;

/// Makes up for rounding when single-precision bounds are added: a few units in the last place.
const OUTWARD: f32 = 4.0 * f32::EPSILON;

/// What the rows of a part are known by from pass to pass.
#[derive(Debug)]
pub(super) struct Bounds {
    /// At least the distance to the centre of the label.
    upper: Vec<f32>,
    /// For each row and panel at most the distance to any centre there but the label's.
    lower: Vec<f32>,
}

impl Way for Bounds {
    type Target<'a> = Target<'a>;

    fn new(rows: &[f64], origin: &[f64], clusters: usize) -> Self {
        let rows = rows.len() / origin.len();
        Self {
            upper: vec![f32::INFINITY; rows],
            lower: vec![0.0; rows * clusters.div_ceil(WIDTH)],
        }
    }

    fn target<'a>(centres: &'a Matrix, origin: &'a [f64], moves: &[f64]) -> Target<'a> {
        let moves: Vec<f32> = moves.iter().map(|far| above(*far)).collect();
        let farthest = moves
            .chunks(WIDTH)
            .map(|panel| panel.iter().copied().fold(0.0, f32::max))
            .collect();
        Target {
            centres,
            origin,
            panels: Panels::new(centres, origin),
            exact: pack_centres(centres),
            moves,
            farthest,
        }
    }

    fn label(&mut self, rows: &[f64], target: &Target<'_>, labels: &mut [u32]) -> Vec<Change> {
        wide::run_fused(Pass {
            rows,
            target,
            labels,
            upper: &mut self.upper,
            lower: &mut self.lower,
        })
    }
}

/// The centres of a pass, and how far they are from those of the pass before.
#[derive(Debug)]
pub(super) struct Target<'a> {
    centres: &'a Matrix,
    origin: &'a [f64],
    panels: Panels,
    exact: Packed,
    /// How far each centre moved, rounded up.
    moves: Vec<f32>,
    /// The farthest move in each panel.
    farthest: Vec<f32>,
}

/// One pass over some rows.
#[derive(Debug)]
struct Pass<'a> {
    rows: &'a [f64],
    target: &'a Target<'a>,
    labels: &'a mut [u32],
    upper: &'a mut [f32],
    lower: &'a mut [f32],
}

/// A row of a block that must be looked at.
#[derive(Debug, Clone, Copy)]
struct Open {
    row: usize,
    /// The squared norm, seen from the origin.
    square: f64,
    /// What a score may be off by.
    error: f64,
    best: f32,
    label: u32,
    /// The least score in the panel of `best` but for `best` itself.
    beside: f32,
    /// The least score in other panels.
    elsewhere: f32,
}

impl FusedLoop for Pass<'_> {
    type Output = Vec<Change>;

    #[inline(always)]
    fn run<const FUSED: bool>(mut self) -> Vec<Change> {
        let columns = self.target.centres.columns();
        let count = self.target.panels.len();
        let mut changes = Vec::new();
        let mut narrow = vec![0.0_f32; BLOCK * columns];
        let mut open: Vec<Open> = Vec::with_capacity(BLOCK);
        let mut lists: Vec<Vec<usize>> = vec![Vec::with_capacity(BLOCK); count];
        let rows = self.labels.len();
        for first in (0..rows).step_by(BLOCK) {
            open.clear();
            for row in first..(first + BLOCK).min(rows) {
                self.open::<FUSED>(row, &mut open, &mut narrow, &mut lists);
            }
            for (panel, list) in lists.iter_mut().enumerate() {
                let mut groups = list.chunks_exact(GROUP);
                for group in &mut groups {
                    let mut places = [0; GROUP];
                    places.copy_from_slice(group);
                    self.score::<GROUP, FUSED>(panel, places, &mut open, &narrow);
                }
                for place in groups.remainder() {
                    self.score::<1, FUSED>(panel, [*place], &mut open, &narrow);
                }
                list.clear();
            }
            for open in &open {
                self.close(open, &mut changes);
            }
        }
        changes
    }
}

impl Pass<'_> {
    /// Moves the bounds of a row, and puts it on the lists of the panels that must be scored.
    #[inline(always)]
    fn open<const FUSED: bool>(
        &mut self,
        row: usize,
        open: &mut Vec<Open>,
        narrow: &mut [f32],
        lists: &mut [Vec<usize>],
    ) {
        let target = self.target;
        let columns = target.centres.columns();
        let count = lists.len();
        let lower = &mut self.lower[row * count..(row + 1) * count];
        let label = self.labels[row];
        let values = &self.rows[row * columns..(row + 1) * columns];
        let mut upper = f32::INFINITY;
        if label != UNKNOWN {
            upper = (self.upper[row] + target.moves[label as usize]) * (1.0 + OUTWARD);
            let mut least = f32::INFINITY;
            for (bound, far) in lower.iter_mut().zip(&target.farthest) {
                // Below zero it says nothing, and stays so.
                *bound -= far + bound.abs() * OUTWARD;
                least = if *bound < least { *bound } else { least };
            }
            self.upper[row] = upper;
            if upper < least {
                return;
            }
            // Worth its while where a pass over one centre is much less than one over all.
            if count > 1 {
                let square = distance(values, target.centres.row(label as usize));
                upper = above(square.sqrt());
                self.upper[row] = upper;
                if upper < least {
                    return;
                }
            }
        }
        let place = open.len();
        let mut square = 0.0;
        let mut squares = [0.0; 8];
        let narrow = &mut narrow[place * columns..(place + 1) * columns];
        let chunks = values.chunks_exact(8).zip(target.origin.chunks_exact(8));
        for (narrow, (values, zeros)) in narrow.chunks_exact_mut(8).zip(chunks) {
            for lane in 0..8 {
                let shifted = values[lane] - zeros[lane];
                squares[lane] += shifted * shifted;
                narrow[lane] = single(shifted);
            }
        }
        for column in columns / 8 * 8..columns {
            let shifted = values[column] - target.origin[column];
            square += shifted * shifted;
            narrow[column] = single(shifted);
        }
        square += squares.iter().sum::<f64>();
        open.push(Open {
            row,
            square,
            error: target.panels.error(square, FUSED),
            best: f32::INFINITY,
            label: 0,
            beside: f32::INFINITY,
            elsewhere: f32::INFINITY,
        });
        let own = label as usize / WIDTH;
        for (panel, (list, bound)) in lists.iter_mut().zip(lower).enumerate() {
            // Not above, rather than below or equal: bounds that overflowed say nothing.
            let is_farther = *bound > upper;
            if !is_farther || panel == own {
                list.push(place);
            }
        }
    }

    /// Scores rows against a panel.
    #[inline(always)]
    fn score<const R: usize, const FUSED: bool>(
        &mut self,
        panel: usize,
        places: [usize; R],
        open: &mut [Open],
        narrow: &[f32],
    ) {
        let columns = self.target.centres.columns();
        let count = self.target.panels.len();
        let rows = places.map(|place| &narrow[place * columns..(place + 1) * columns]);
        let scores = self.target.panels.scores::<R, FUSED>(panel, rows);
        for (place, scores) in places.into_iter().zip(&scores) {
            let (least, lane, second) = two_least(scores);
            let open = &mut open[place];
            self.lower[open.row * count + panel] = open.below(least);
            if least < open.best {
                open.elsewhere = open.elsewhere.min(open.best);
                open.best = least;
                open.beside = second;
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "centres are rows held in memory, fewer than 2^32"
                )]
                let label = (panel * WIDTH + lane) as u32;
                open.label = label;
            } else {
                open.elsewhere = open.elsewhere.min(least);
            }
        }
    }

    /// Decides on a row.
    #[inline(always)]
    fn close(&mut self, open: &Open, changes: &mut Vec<Change>) {
        let target = self.target;
        let columns = target.centres.columns();
        let count = target.panels.len();
        let gap = f64::from(open.beside.min(open.elsewhere)) - f64::from(open.best);
        let mut label = open.label;
        // Rows that have but one centre to choose from have an infinite gap.
        if gap > 2.0 * open.error {
            let panel = label as usize / WIDTH;
            self.lower[open.row * count + panel] = open.below(open.beside);
            let square = open.square + 2.0 * (f64::from(open.best) + open.error);
            self.upper[open.row] = above(square.max(0.0).sqrt());
        } else {
            let values = &self.rows[open.row * columns..(open.row + 1) * columns];
            let [(exact, square)] = nearest([values], &target.exact);
            label = exact;
            self.upper[open.row] = above(square.sqrt());
        }
        let old = std::mem::replace(&mut self.labels[open.row], label);
        if old != label {
            let row = open.row;
            let new = label;
            changes.push(Change { row, old, new });
        }
    }
}

impl Open {
    /// A distance that is no more than what the score stands for.
    #[inline(always)]
    fn below(&self, score: f32) -> f32 {
        let square = self.square + 2.0 * (f64::from(score) - self.error);
        // Not a number where the score and its error are infinite: then the maximum is 0.
        single(square.max(0.0).sqrt()) * (1.0 - OUTWARD)
    }
}

/// A single-precision number that is not below.
fn above(value: f64) -> f32 {
    single(value) * (1.0 + OUTWARD) + f32::MIN_POSITIVE
}

/// The squared distance of two points, summed in eight parts: for bounds, not for results.
#[inline(always)]
fn distance(left: &[f64], right: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (lefts, rights) = (left.chunks_exact(8), right.chunks_exact(8));
    let rest = lefts.remainder().iter().zip(rights.remainder());
    let rest: f64 = rest.map(|(a, b)| (a - b) * (a - b)).sum();
    for (left, right) in lefts.zip(rights) {
        for lane in 0..8 {
            let difference = left[lane] - right[lane];
            sums[lane] += difference * difference;
        }
    }
    sums.iter().sum::<f64>() + rest
}
