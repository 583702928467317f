//! How each segment differs from the others, column by column.

use std::collections::BTreeMap;

use marquetry_kernels::{Moments, cohens_d, median};

use crate::assignment::Assignment;

/// Columns in order, each with an effect for every segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Profiled {
    pub(super) numbers: Vec<(String, Vec<NumberEffect>)>,
    pub(super) texts: Vec<(String, Vec<TextEffect>)>,
}

/// A numeric column in a segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NumberEffect {
    /// Customers of the segment that have a value.
    pub(super) count: usize,
    pub(super) mean: Option<f64>,
    pub(super) median: Option<f64>,
    /// Of all customers that have a segment and a value.
    pub(super) overall_mean: Option<f64>,
    /// Of the customers of all other segments.
    pub(super) rest_mean: Option<f64>,
    /// Cohen's d of the segment against all others; none where nothing varies within both.
    pub(super) d: Option<f64>,
}

impl NumberEffect {
    /// The effects of a column on every segment.
    pub(super) fn all(values: &[Option<f64>], assignment: &Assignment) -> Vec<Self> {
        let mut by_segment: Vec<Vec<f64>> = assignment
            .sizes
            .iter()
            .map(|size| Vec::with_capacity(*size))
            .collect();
        for (row, label) in assignment.rows.iter().zip(&assignment.labels) {
            if let Some(value) = values[*row] {
                by_segment[*label as usize].push(value);
            }
        }
        let moments: Vec<Moments> = by_segment
            .iter()
            .map(|values| Moments::of(values))
            .collect();
        let none = Moments::of(&[]);
        let merge =
            |all: Moments, one: &Moments| if one.count == 0 { all } else { all.merged(one) };
        let overall = moments.iter().fold(none, merge);
        let mean_of = |moments: &Moments| (moments.count > 0).then_some(moments.mean);
        moments
            .iter()
            .enumerate()
            .map(|(segment, own)| {
                let others = moments
                    .iter()
                    .enumerate()
                    .filter(|(other, _)| *other != segment);
                let rest = others.map(|(_, moments)| moments).fold(none, merge);
                Self {
                    count: own.count,
                    mean: mean_of(own),
                    median: median(&by_segment[segment]),
                    overall_mean: mean_of(&overall),
                    rest_mean: mean_of(&rest),
                    d: cohens_d(own, &rest).filter(|d| d.is_finite()),
                }
            })
            .collect()
    }
}

/// A text column in a segment: the value whose share exceeds its overall share by most.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TextEffect {
    /// Customers of the segment that have a value.
    pub(super) count: usize,
    /// The value, and none where the segment has none, or none that is over-represented.
    pub(super) value: Option<String>,
    /// Its share of the segment's values, 0 to 1.
    pub(super) share: Option<f64>,
    /// Its share of all values.
    pub(super) overall_share: Option<f64>,
}

impl TextEffect {
    /// How many times as frequent the value is in the segment as it is overall.
    pub(super) fn lift(&self) -> Option<f64> {
        let overall = self.overall_share.filter(|share| *share > 0.0)?;
        Some(self.share? / overall)
    }

    /// The effects of a column on every segment.
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
    pub(super) fn all(values: &[Option<String>], assignment: &Assignment) -> Vec<Self> {
        let segments = assignment.sizes.len();
        let mut counts = BTreeMap::<&str, Vec<usize>>::new();
        let mut totals = vec![0_usize; segments];
        for (row, label) in assignment.rows.iter().zip(&assignment.labels) {
            if let Some(value) = &values[*row] {
                counts.entry(value).or_insert_with(|| vec![0; segments])[*label as usize] += 1;
                totals[*label as usize] += 1;
            }
        }
        let all: usize = totals.iter().sum();
        (0..segments)
            .map(|segment| {
                let mut best: Option<(&str, f64, f64)> = None;
                for (value, by_segment) in &counts {
                    let share = by_segment[segment] as f64 / totals[segment].max(1) as f64;
                    let overall = by_segment.iter().sum::<usize>() as f64 / all.max(1) as f64;
                    let excess = share - overall;
                    // Values come in order: of equal excesses the first value stays.
                    if excess > best.map_or(0.0, |(_, share, overall)| share - overall) {
                        best = Some((value, share, overall));
                    }
                }
                Self {
                    count: totals[segment],
                    value: best.map(|(value, ..)| value.to_owned()),
                    share: best.map(|(_, share, _)| share),
                    overall_share: best.map(|(_, _, overall)| overall),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assignment::Names;

    fn assignment(labels: &[u32]) -> Assignment {
        let count = labels.iter().max().map_or(0, |most| *most as usize + 1);
        let sizes = (0..count)
            .map(|segment| {
                labels
                    .iter()
                    .filter(|label| **label as usize == segment)
                    .count()
            })
            .collect();
        Assignment {
            rows: (0..labels.len()).collect(),
            labels: labels.to_vec(),
            names: Names::Int((0..count as i64).collect()),
            sizes,
        }
    }

    #[test]
    fn effects_are_cohens_d_against_the_rest() {
        let values = [2.0, 4.0, 6.0, 1.0, 2.0, 3.0].map(Some);
        let effects = NumberEffect::all(&values, &assignment(&[0, 0, 0, 1, 1, 1]));
        assert!((effects[0].d.unwrap() - 2.0 / 2.5_f64.sqrt()).abs() < 1e-12);
        assert!((effects[1].d.unwrap() + 2.0 / 2.5_f64.sqrt()).abs() < 1e-12);
        assert_eq!((effects[0].mean, effects[0].median), (Some(4.0), Some(4.0)));
        assert_eq!(
            (effects[0].overall_mean, effects[0].rest_mean),
            (Some(3.0), Some(2.0))
        );
    }

    #[test]
    fn nulls_and_constant_columns_have_no_effect() {
        let effects = NumberEffect::all(
            &[Some(1.0), None, None, Some(1.0)],
            &assignment(&[0, 0, 1, 0]),
        );
        assert_eq!((effects[0].count, effects[0].d), (2, None));
        assert_eq!(
            (effects[1].count, effects[1].mean, effects[1].d),
            (0, None, None)
        );
        let one = NumberEffect::all(&[Some(1.0), Some(2.0)], &assignment(&[0, 0]));
        assert_eq!((one[0].d, one[0].rest_mean), (None, None));
    }

    #[test]
    fn the_value_with_the_largest_excess_is_found() {
        let text = |value: &str| Some(value.to_owned());
        let values = vec![
            text("UK"),
            text("UK"),
            text("DE"),
            text("UK"),
            text("DE"),
            None,
        ];
        let effects = TextEffect::all(&values, &assignment(&[0, 0, 0, 1, 1, 1]));
        assert_eq!(effects[0].value.as_deref(), Some("UK"));
        assert!((effects[0].lift().unwrap() - (2.0 / 3.0) / 0.6).abs() < 1e-12);
        assert_eq!(
            (effects[1].value.as_deref(), effects[1].count),
            (Some("DE"), 2)
        );
        let one = TextEffect::all(&values, &assignment(&[0; 6]));
        assert_eq!((one[0].value.as_deref(), one[0].lift()), (None, None));
    }
}
