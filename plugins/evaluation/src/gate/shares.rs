//! Whether every segment is large enough, and none too large.

use arrow::array::{Array, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::prelude::{ident, lit};
use marquetry_plugin::{Input, StageContext, StageError};
use marquetry_rows::{invalid, missing_column};
use marquetry_types::codes;

use super::checks::Verdict;
use super::options::SegmentLimits;
use crate::assignment::SEGMENT;

/// The checks of the segments of rows: each segment that keeps a threshold not, or where all keep it the
/// one that is nearest to it.
pub(super) async fn verdicts(
    stage: &StageContext,
    rows: &Input,
    limits: &SegmentLimits,
) -> Result<Vec<Verdict>, StageError> {
    Ok(judge(&sizes(stage, rows).await?, limits))
}

/// The segments of the rows and their sizes; none is those without a segment.
type Sizes = Vec<(Option<String>, u64)>;

async fn sizes(stage: &StageContext, rows: &Input) -> Result<Sizes, StageError> {
    let frame = stage.table(rows).await?;
    let schema = frame.schema().as_arrow().clone();
    let Some((_, field)) = schema.column_with_name(SEGMENT) else {
        return Err(missing_column("rows", SEGMENT, &schema));
    };
    let kind = field.data_type().clone();
    let is_text = |kind: &DataType| {
        matches!(
            kind,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        )
    };
    let is_fit = match &kind {
        DataType::Dictionary(_, values) => is_text(values),
        other => other.is_integer() || is_text(other),
    };
    if !is_fit {
        return Err(invalid(
            codes::COLUMN_MISMATCH,
            format!("`{SEGMENT}` of `rows` is of type {kind}"),
            "a segment is an integer or a text, as the stages of segmentation make them",
        ));
    }
    let counted = frame
        .aggregate(vec![ident(SEGMENT)], vec![count(lit(1)).alias("n")])?
        .sort(vec![ident(SEGMENT).sort(true, true)])?
        .collect()
        .await?;
    let mut sizes = Vec::new();
    for batch in counted {
        let names = cast(batch.column(0), &DataType::Utf8)?;
        let counts: Option<&Int64Array> = batch.column(1).as_primitive_opt::<Int64Type>();
        let (Some(names), Some(counts)) = (names.as_string_opt::<i32>(), counts) else {
            return Err(StageError::invalid(
                codes::STAGE_INTERNAL,
                "a count of rows has no result",
            ));
        };
        for (row, count) in counts.values().iter().enumerate() {
            let name = names.is_valid(row).then(|| names.value(row).to_owned());
            sizes.push((name, u64::try_from(*count).unwrap_or(0)));
        }
    }
    Ok(sizes)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn judge(sizes: &Sizes, limits: &SegmentLimits) -> Vec<Verdict> {
    let all: u64 = sizes.iter().map(|(_, size)| *size).sum();
    let segments: Vec<(&str, u64)> = sizes
        .iter()
        .filter_map(|(name, size)| Some((name.as_deref()?, *size)))
        .collect();
    let share = |size: u64| size as f64 / all as f64;
    let smallest = segments.iter().min_by_key(|(_, size)| *size).copied();
    // Of equally large ones the first, as of equally small ones.
    let largest = segments.iter().rev().max_by_key(|(_, size)| *size).copied();
    let rule = |what: &str,
                value: &dyn Fn(u64) -> f64,
                min: Option<f64>,
                max: Option<f64>,
                nearest: Option<(&str, u64)>| {
        if min.is_none() && max.is_none() {
            return Vec::new();
        }
        let verdict = |name: String, value: Option<f64>| Verdict {
            name,
            value,
            min,
            max,
        };
        let Some((nearest, size)) = nearest else {
            // There are no segments at all, which is no good segmentation.
            return vec![verdict(format!("{what} of a segment"), None)];
        };
        let of = |(name, size): (&str, u64)| {
            verdict(format!("{what} of segment `{name}`"), Some(value(size)))
        };
        let failed: Vec<Verdict> = segments
            .iter()
            .map(|segment| of(*segment))
            .filter(|verdict| !verdict.holds())
            .collect();
        if failed.is_empty() {
            return vec![of((nearest, size))];
        }
        failed
    };
    let min_count = limits.min_count.map(|count| count as f64);
    let mut verdicts = rule("share", &share, limits.min_share, None, smallest);
    verdicts.extend(rule("share", &share, None, limits.max_share, largest));
    verdicts.extend(rule("size", &|size| size as f64, min_count, None, smallest));
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(of: &[(Option<&str>, u64)]) -> Sizes {
        of.iter()
            .map(|(name, size)| (name.map(str::to_owned), *size))
            .collect()
    }

    #[test]
    fn every_segment_beyond_a_threshold_is_named_and_else_the_nearest() {
        let limits = SegmentLimits {
            min_share: Some(0.1),
            max_share: Some(0.75),
            min_count: Some(1),
        };
        let found = judge(
            &sizes(&[(Some("0"), 90), (Some("1"), 5), (Some("2"), 5)]),
            &limits,
        );
        let names: Vec<_> = found
            .iter()
            .map(|one| (one.name.as_str(), one.holds()))
            .collect();
        let expected = [
            ("share of segment `1`", false),
            ("share of segment `2`", false),
            ("share of segment `0`", false),
            ("size of segment `1`", true),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn rows_without_a_segment_count_in_all_and_no_segments_hold_nothing() {
        let limits = SegmentLimits {
            min_share: Some(0.5),
            max_share: None,
            min_count: None,
        };
        let found = judge(&sizes(&[(None, 5), (Some("a"), 5)]), &limits);
        assert_eq!((found.len(), found[0].value), (1, Some(0.5)));
        for none in [sizes(&[]), sizes(&[(None, 3)])] {
            let found = judge(&none, &limits);
            assert_eq!(found[0].reason(), "share of a segment has no value");
        }
    }
}
