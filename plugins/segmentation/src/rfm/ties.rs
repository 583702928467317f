//! Customers with equal values and unequal scores.

use super::table::BEST;

/// How far apart the scores of equal values may be before it is worth a word: neighbouring scores
/// divide equal values wherever the border of a fifth falls among them.
const APART: u32 = 2;

/// A value that customers with different scores have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tie {
    pub(super) value: f64,
    pub(super) customers: usize,
    pub(super) lowest: u32,
    pub(super) highest: u32,
}

/// The tie of the most customers among those whose scores are two or more apart.
pub(super) fn widest(values: &[f64], scores: &[u32]) -> Option<Tie> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|left, right| values[*left].total_cmp(&values[*right]));
    let mut widest: Option<Tie> = None;
    for tied in order.chunk_by(|left, right| values[*left] == values[*right]) {
        let lowest = tied.iter().map(|row| scores[*row]).min().unwrap_or(1);
        let highest = tied.iter().map(|row| scores[*row]).max().unwrap_or(BEST);
        let is_wider = widest.is_none_or(|other| tied.len() > other.customers);
        if highest - lowest >= APART && is_wider {
            widest = Some(Tie {
                value: values[tied[0]],
                customers: tied.len(),
                lowest,
                highest,
            });
        }
    }
    widest
}

/// The same of what is known of some values: how many customers come before each, how many have it, and
/// which score the customer at a place has.
pub(super) fn widest_of(
    values: impl Iterator<Item = (f64, usize, usize)>,
    score_at: impl Fn(usize) -> u32,
) -> Option<Tie> {
    let mut widest: Option<Tie> = None;
    for (value, before, customers) in values.filter(|(.., customers)| *customers > 0) {
        let tie = Tie {
            value,
            customers,
            lowest: score_at(before),
            highest: score_at(before + customers - 1),
        };
        let is_wider = widest.is_none_or(|other| {
            // Of ties of as many customers that of the least value.
            (customers, -value) > (other.customers, -other.value)
        });
        if tie.highest - tie.lowest >= APART && is_wider {
            widest = Some(tie);
        }
    }
    widest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ties_over_several_scores_are_told() {
        assert_eq!(widest(&[], &[]), None);
        assert_eq!(widest(&[1.0, 1.0, 2.0, 2.0], &[1, 2, 2, 3]), None);
        let tie = widest(&[4.0, 1.0, 1.0, 1.0, 3.0, 3.0], &[5, 1, 2, 3, 3, 5]);
        let expected = Tie {
            value: 1.0,
            customers: 3,
            lowest: 1,
            highest: 3,
        };
        assert_eq!(tie, Some(expected));
    }
}
