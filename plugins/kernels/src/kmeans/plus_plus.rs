//! Greedy k-means++: each next centre is the best of a few rows, drawn with a probability
//! proportional to their squared distance from the centres so far.

use crate::distance::{LANES, Packed, Visitor, by_rows, squared_distances};
use crate::random::Random;
use crate::wide::{self, Loop};
use crate::{Matrix, parallel};

/// Chooses rows to start from. O(rows x columns x clusters x ln clusters); the memory of one number
/// per row.
pub(super) fn choose(
    rows: &Matrix,
    clusters: usize,
    random: &mut Random,
    threads: usize,
) -> Matrix {
    let trials = trials(clusters);
    let mut chosen = vec![random.below(rows.rows())];
    let mut nearest = vec![f64::INFINITY; rows.rows()];
    let mut potentials = take(rows, chosen[0], &mut nearest, threads);
    while chosen.len() < clusters {
        let candidates: Vec<usize> = (0..trials)
            .map(|_| draw(&nearest, &potentials, random.unit()))
            .collect();
        let best = best_candidate(rows, &candidates, &nearest, threads);
        potentials = take(rows, best, &mut nearest, threads);
        chosen.push(best);
    }
    rows.select(&chosen)
}

/// How many rows are tried for each centre: `2 + ⌊ln k⌋`, as Arthur and Vassilvitskii did.
fn trials(clusters: usize) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the logarithm of a size is small and not negative"
    )]
    let logarithm = (clusters as f64).ln() as usize;
    2 + logarithm
}

/// The row at which the running sum of squared distances reaches the share `unit` of the whole.
fn draw(nearest: &[f64], potentials: &[f64], unit: f64) -> usize {
    let goal = unit * potentials.iter().sum::<f64>();
    let chunk = parallel::chunk_rows(nearest.len());
    let mut passed = 0.0;
    for (number, potential) in potentials.iter().enumerate() {
        if passed + potential < goal {
            passed += potential;
            continue;
        }
        let first = number * chunk;
        let last = (first + chunk).min(nearest.len());
        for (offset, distance) in nearest[first..last].iter().enumerate() {
            passed += distance;
            if passed >= goal {
                return first + offset;
            }
        }
    }
    // Rounding may leave the sum a little short of the goal.
    nearest.len() - 1
}

/// Makes a row a centre: what is nearest for every row is brought up to date. Gives the sum of the
/// squared distances by chunk.
fn take(rows: &Matrix, centre: usize, nearest: &mut [f64], threads: usize) -> Vec<f64> {
    let columns = rows.columns();
    let packed = Packed::new([rows.row(centre)].into_iter(), columns, 0.0);
    let chunk = parallel::chunk_rows(rows.rows());
    let tasks = rows
        .data()
        .chunks(chunk * columns)
        .zip(nearest.chunks_mut(chunk))
        .collect();
    parallel::map(tasks, threads, |(rows, nearest)| {
        wide::run(Take {
            rows,
            columns,
            centre: &packed,
            nearest,
        })
    })
}

/// The candidate that leaves the least sum of squared distances; of equal ones the first drawn.
fn best_candidate(rows: &Matrix, candidates: &[usize], nearest: &[f64], threads: usize) -> usize {
    let columns = rows.columns();
    let chunk = parallel::chunk_rows(rows.rows());
    let mut best = (candidates[0], f64::INFINITY);
    for some in candidates.chunks(LANES) {
        let packed = Packed::new(some.iter().map(|row| rows.row(*row)), columns, 0.0);
        let tasks = rows
            .data()
            .chunks(chunk * columns)
            .zip(nearest.chunks(chunk))
            .collect();
        let chunks = parallel::map(tasks, threads, |(rows, nearest)| {
            wide::run(Try {
                rows,
                columns,
                candidates: &packed,
                nearest,
                sums: [0.0; LANES],
            })
        });
        for (lane, candidate) in some.iter().enumerate() {
            let potential: f64 = chunks.iter().map(|sums| sums[lane]).sum();
            if potential < best.1 {
                best = (*candidate, potential);
            }
        }
    }
    best.0
}

/// Brings the nearest distances of a chunk up to date with one new centre, and sums them.
struct Take<'a> {
    rows: &'a [f64],
    columns: usize,
    centre: &'a Packed,
    nearest: &'a mut [f64],
}

impl Loop for Take<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(mut self) -> f64 {
        by_rows(self.rows, self.columns, &mut self);
        self.nearest.iter().sum()
    }
}

impl Visitor for Take<'_> {
    #[inline(always)]
    fn visit<const R: usize>(&mut self, first: usize, rows: [&[f64]; R]) {
        for block in self.centre.blocks() {
            for (offset, lanes) in squared_distances(rows, block).iter().enumerate() {
                let nearest = &mut self.nearest[first + offset];
                *nearest = nearest.min(lanes[0]);
            }
        }
    }
}

/// Sums what the nearest distances of a chunk would be with each of a block of candidates.
struct Try<'a> {
    rows: &'a [f64],
    columns: usize,
    candidates: &'a Packed,
    nearest: &'a [f64],
    sums: [f64; LANES],
}

impl Loop for Try<'_> {
    type Output = [f64; LANES];

    #[inline(always)]
    fn run(mut self) -> [f64; LANES] {
        by_rows(self.rows, self.columns, &mut self);
        self.sums
    }
}

impl Visitor for Try<'_> {
    #[inline(always)]
    fn visit<const R: usize>(&mut self, first: usize, rows: [&[f64]; R]) {
        for block in self.candidates.blocks() {
            for (offset, lanes) in squared_distances(rows, block).iter().enumerate() {
                let nearest = self.nearest[first + offset];
                for (sum, distance) in self.sums.iter_mut().zip(lanes) {
                    *sum += if *distance < nearest {
                        *distance
                    } else {
                        nearest
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_distances() {
        let nearest = [0.0, 1.0, 0.0, 3.0];
        assert_eq!(draw(&nearest, &[4.0], 0.2), 1);
        assert_eq!(draw(&nearest, &[4.0], 0.25), 1);
        assert_eq!(draw(&nearest, &[4.0], 0.26), 3);
        assert_eq!(draw(&nearest, &[4.0], 0.999), 3);
    }

    #[test]
    fn a_draw_finds_its_chunk() {
        let rows = 3000;
        let nearest = vec![1.0; rows];
        let chunk = parallel::chunk_rows(rows);
        let sums: Vec<f64> = nearest
            .chunks(chunk)
            .map(|chunk| chunk.iter().sum())
            .collect();
        assert_eq!(draw(&nearest, &sums, 0.5), 1499);
        assert_eq!(draw(&nearest, &sums, 0.999_999), 2999);
        assert_eq!(draw(&nearest, &sums, 0.0), 0);
    }

    #[test]
    fn far_groups_all_get_a_start() {
        let values: Vec<f64> = (0..3000_u32)
            .map(|i| f64::from(i % 5) * 1e6 + f64::from(i) * 1e-3)
            .collect();
        let rows = Matrix::new(values, 3000, 1).unwrap();
        for seed in 0..20 {
            let centres = choose(&rows, 5, &mut Random::new(seed, 0), 2);
            let mut groups: Vec<i64> = centres
                .data()
                .iter()
                .map(|x| (x / 1e6).round() as i64)
                .collect();
            groups.sort_unstable();
            assert_eq!(groups, [0, 1, 2, 3, 4]);
        }
    }
}
