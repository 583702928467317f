//! Who was where and is where, and which segments are the same.

use std::collections::BTreeMap;

use marquetry_kernels::best_matching;
use marquetry_plugin::StageError;
use marquetry_rows::{Keys, from_kernel, invalid};
use marquetry_types::codes;

use super::Matching;
use crate::assignment::{Assignment, Names};
use crate::float;

/// Of more segments on a side the matching by overlap would take minutes; people have dozens.
const MOST_MATCHED: usize = 1000;

/// The segments of one side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) keys: &'a Keys,
    pub(super) assignment: &'a Assignment,
}

impl Side<'_> {
    /// The segment of each row.
    fn labels(&self) -> Vec<Option<u32>> {
        let mut labels = vec![None; self.keys.len()];
        let labelled = self.assignment.rows.iter().zip(&self.assignment.labels);
        for (row, label) in labelled {
            labels[*row] = Some(*label);
        }
        labels
    }
}

/// A customer who has a segment before or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Move {
    /// The customer's row.
    pub(super) row: Place,
    pub(super) before: Option<usize>,
    pub(super) after: Option<usize>,
    pub(super) moved: bool,
}

/// Where the key of a customer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In this row of `before`; `after` does not have it.
    Before(usize),
    /// In this row of `after`.
    After(usize),
}

/// Everybody's move, and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moves {
    /// Those that `after` has by its order, then those that only `before` has by its own.
    pub(super) all: Vec<Move>,
    /// For each segment of before, the one of after that is the same.
    pub(super) same: Vec<Option<usize>>,
    /// How many customers went from one segment to another, staying included; none for no segment.
    pub(super) counts: BTreeMap<(Option<usize>, Option<usize>), usize>,
    pub(super) compared: usize,
    pub(super) moved: usize,
    pub(super) new: usize,
    pub(super) gone: usize,
}

impl Moves {
    /// Compares both sides, and says how segments were matched, if there is a side before.
    pub(super) fn new(
        before: Option<Side<'_>>,
        after: Side<'_>,
        matching: Option<Matching>,
    ) -> Result<(Self, Option<Matching>), StageError> {
        let mut all = places(before, after);
        let mut counts = BTreeMap::<_, usize>::new();
        for one in &all {
            *counts.entry((one.before, one.after)).or_default() += 1;
        }
        let (same, matching) = match before {
            None => (Vec::new(), None),
            Some(before) => {
                let matching = matching.unwrap_or_else(|| usual(before, after));
                (same(before, after, matching, &counts)?, Some(matching))
            }
        };
        let (mut compared, mut moved, mut new, mut gone) = (0, 0, 0, 0);
        for one in &mut all {
            match (one.before, one.after) {
                (Some(before), Some(after)) => {
                    compared += 1;
                    one.moved = same[before] != Some(after);
                    moved += usize::from(one.moved);
                }
                (None, _) => new += 1,
                (Some(_), None) => gone += 1,
            }
        }
        let moves = Self {
            all,
            same,
            counts,
            compared,
            moved,
            new,
            gone,
        };
        Ok((moves, matching))
    }

    /// Of those who can be compared; 0 where there are none.
    pub(super) fn moved_share(&self) -> f64 {
        if self.compared == 0 {
            return 0.0;
        }
        float(self.moved) / float(self.compared)
    }

    /// Whether both are the same segment.
    pub(super) fn is_same(&self, before: Option<usize>, after: Option<usize>) -> bool {
        let same = before.and_then(|before| self.same.get(before).copied().flatten());
        same.is_some() && same == after
    }
}

/// Everybody who has a segment on a side; who moved is not known yet.
fn places(before: Option<Side<'_>>, after: Side<'_>) -> Vec<Move> {
    let labels_before = before.map_or_else(Vec::new, |before| before.labels());
    let label = |place: usize| labels_before.get(place).copied().flatten();
    let found = match before {
        Some(before) => after.keys.find_in(before.keys),
        None => vec![None; after.keys.len()],
    };
    let as_index = |label: Option<u32>| label.map(|label| label as usize);
    let mut all = Vec::with_capacity(after.keys.len());
    for (row, (now, place)) in after.labels().into_iter().zip(found).enumerate() {
        let earlier = place.and_then(label);
        if earlier.is_some() || now.is_some() {
            all.push(Move {
                row: Place::After(row),
                before: as_index(earlier),
                after: as_index(now),
                moved: false,
            });
        }
    }
    if let Some(before) = before {
        let found = before.keys.find_in(after.keys);
        for (row, place) in found.into_iter().enumerate() {
            if let (None, Some(earlier)) = (place, label(row)) {
                all.push(Move {
                    row: Place::Before(row),
                    before: as_index(Some(earlier)),
                    after: None,
                    moved: false,
                });
            }
        }
    }
    all
}

/// How segments are matched where nobody says it: texts are names, integers are numbers of k-means.
fn usual(before: Side<'_>, after: Side<'_>) -> Matching {
    match (&before.assignment.names, &after.assignment.names) {
        (Names::Text(_), Names::Text(_)) => Matching::Names,
        _ => Matching::Overlap,
    }
}

fn same(
    before: Side<'_>,
    after: Side<'_>,
    matching: Matching,
    counts: &BTreeMap<(Option<usize>, Option<usize>), usize>,
) -> Result<Vec<Option<usize>>, StageError> {
    let (earlier, now) = (&before.assignment.names, &after.assignment.names);
    match matching {
        Matching::Names => match (earlier, now) {
            (Names::Int(earlier), Names::Int(now)) => Ok(by_name(earlier, now)),
            (Names::Text(earlier), Names::Text(now)) => Ok(by_name(earlier, now)),
            _ if earlier.len() == 0 || now.len() == 0 => Ok(vec![None; earlier.len()]),
            _ => Err(invalid(
                codes::COLUMN_MISMATCH,
                "`segment` is an integer in one of `before` and `after`, and a text in the other",
                "no names can be the same: write `match: overlap`",
            )),
        },
        Matching::Overlap => {
            let most = earlier.len().max(now.len());
            if most > MOST_MATCHED {
                return Err(invalid(
                    codes::STAGE_OPTIONS,
                    format!("{most} segments are too many to match by overlap"),
                    format!("it takes up to {MOST_MATCHED}: write `match: names`"),
                ));
            }
            let mut overlaps = vec![vec![0; now.len()]; earlier.len()];
            for ((before, after), count) in counts {
                if let (Some(before), Some(after)) = (before, after) {
                    overlaps[*before][*after] = *count as u64;
                }
            }
            best_matching(&overlaps).map_err(|error| from_kernel(&error, after.keys, &[]))
        }
    }
}

fn by_name<T: Ord>(earlier: &[T], now: &[T]) -> Vec<Option<usize>> {
    let places: BTreeMap<&T, usize> = now.iter().zip(0..).collect();
    let place = |name| places.get(name).copied();
    earlier.iter().map(place).collect()
}
