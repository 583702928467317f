//! Which segment each customer is in.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError};
use marquetry_rows::{KeyedRows, Keys, Wanted, invalid, texts_of};
use marquetry_types::codes;
use serde_json::json;

/// The column of an assignment that names the segment.
pub(crate) const SEGMENT: &str = "segment";

/// An assignment, joined to rows.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    /// The rows that have a segment, ascending.
    pub(crate) rows: Vec<usize>,
    /// The segment of each of them: its number in `names`.
    pub(crate) labels: Vec<u32>,
    /// The segments that have rows.
    pub(crate) names: Names,
    /// The rows of each segment.
    pub(crate) sizes: Vec<usize>,
}

/// What segments are called. Integers ascend; texts are by size, the largest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    Int(Vec<i64>),
    Text(Vec<String>),
}

impl Names {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Int(names) => names.len(),
            Self::Text(names) => names.len(),
        }
    }

    /// A name as charts and sentences show it: numbers alone say too little.
    pub(crate) fn shown(&self, segment: usize) -> String {
        match self {
            Self::Int(names) => format!("segment {}", names[segment]),
            Self::Text(names) => names[segment].clone(),
        }
    }

    /// The type of a column of names.
    pub(crate) const fn kind(&self) -> DataType {
        match self {
            Self::Int(_) => DataType::Int64,
            Self::Text(_) => DataType::Utf8,
        }
    }

    /// A column of the names of these segments, null where there is none.
    pub(crate) fn nullable(&self, segments: impl Iterator<Item = Option<usize>>) -> ArrayRef {
        match self {
            Self::Int(names) => Arc::new(
                segments
                    .map(|segment| names.get(segment?).copied())
                    .collect::<Int64Array>(),
            ),
            Self::Text(names) => Arc::new(
                segments
                    .map(|segment| names.get(segment?).map(String::as_str))
                    .collect::<StringArray>(),
            ),
        }
    }

    /// A column of the names of these segments.
    pub(crate) fn column(&self, segments: impl Iterator<Item = usize>) -> ArrayRef {
        match self {
            Self::Int(names) => Arc::new(Int64Array::from_iter_values(
                segments.map(|index| names[index]),
            )),
            Self::Text(names) => Arc::new(StringArray::from_iter_values(
                segments.map(|index| names[index].as_str()),
            )),
        }
    }
}

impl Assignment {
    /// Reads all of the assignment that an option names: its keys, and the segments of them.
    pub(crate) async fn read_all(
        stage: &StageContext,
        option: &str,
        input: &Input,
        key: &str,
    ) -> Result<(Keys, Self), StageError> {
        let columns = [SEGMENT.to_owned()];
        let wanted = Wanted {
            option,
            input,
            key,
            columns: Some(&columns),
        };
        let read = KeyedRows::read(stage, wanted).await?;
        let every: Vec<Option<usize>> = (0..read.len()).map(Some).collect();
        let assignment = Segments::new(option, &read)?.join(&every);
        if assignment.rows.len() < read.len() {
            let without = read.len() - assignment.rows.len();
            let fields = [("option", json!(option)), ("customers", json!(without))];
            stage.log(
                LogLevel::Warn,
                "customers without a segment are left out",
                fields,
            );
        }
        Ok((read.keys().clone(), assignment))
    }

    /// The segment of each of so many rows; none of those without one.
    pub(crate) fn label_of_rows(&self, rows: usize) -> Vec<Option<u32>> {
        let mut of_row = vec![None; rows];
        for (row, label) in self.rows.iter().zip(&self.labels) {
            of_row[*row] = Some(*label);
        }
        of_row
    }

    /// Reads the assignment that an option names, and joins it to rows by their keys. Customers that
    /// only one of both has are left out, and the log says how many.
    pub(crate) async fn read(
        stage: &StageContext,
        option: &str,
        input: &Input,
        rows: &Keys,
    ) -> Result<Self, StageError> {
        let columns = [SEGMENT.to_owned()];
        let wanted = Wanted {
            option,
            input,
            key: rows.name(),
            columns: Some(&columns),
        };
        let read = KeyedRows::read(stage, wanted).await?;
        check_alike(("rows", rows), (option, read.keys()))?;
        let segments = Segments::new(option, &read)?;
        let found = rows.find_in(read.keys());
        let joined = found.iter().flatten().count();
        if joined == 0 && !rows.is_empty() {
            return Err(invalid(
                codes::TOO_FEW_ROWS,
                format!("no customer of `rows` is in `{option}`"),
                "both must come from the same customers, with the same `key`",
            ));
        }
        let assignment = segments.join(&found);
        let fields = [
            ("option", json!(option)),
            ("without segment", json!(rows.len() - assignment.rows.len())),
            ("not in rows", json!(read.len() - joined)),
        ];
        if assignment.rows.len() < rows.len() || joined < read.len() {
            stage.log(
                LogLevel::Warn,
                "customers are left out that only one input has",
                fields,
            );
        }
        Ok(assignment)
    }
}

/// Refuses keys of which those of one input are integers and those of the other texts: no two are equal.
pub(crate) fn check_alike(left: (&str, &Keys), right: (&str, &Keys)) -> Result<(), StageError> {
    if left.1.is_empty() || right.1.is_empty() || left.1.is_like(right.1) {
        return Ok(());
    }
    Err(invalid(
        codes::COLUMN_MISMATCH,
        format!(
            "`{}` is an integer in one of `{}` and `{}`, and a text in the other",
            left.1.name(),
            left.0,
            right.0
        ),
        "cast one of them in ingest/files or features/sql",
    ))
}

/// The segment of each row of an assignment.
enum Segments {
    Int(Vec<Option<i64>>),
    Text(Vec<Option<String>>),
}

impl Segments {
    fn new(option: &str, read: &KeyedRows) -> Result<Self, StageError> {
        let wrong = |kind: &DataType| {
            invalid(
                codes::COLUMN_MISMATCH,
                format!("`{SEGMENT}` of `{option}` is of type {kind}"),
                "a segment is an integer or a text, as the stages of segmentation make them",
            )
        };
        let Some(column) = read.batch().column_by_name(SEGMENT) else {
            return Err(wrong(&DataType::Null));
        };
        let kind = column.data_type();
        if !kind.is_integer() {
            return match kind {
                DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Dictionary(..) => Ok(Self::Text(texts_of(SEGMENT, column)?)),
                _ => Err(wrong(kind)),
            };
        }
        let integers = cast(column, &DataType::Int64)?;
        match integers.as_any().downcast_ref::<Int64Array>() {
            Some(integers) => Ok(Self::Int(integers.iter().collect())),
            None => Err(wrong(kind)),
        }
    }

    /// The assignment of rows that were found at these places.
    fn join(&self, found: &[Option<usize>]) -> Assignment {
        match self {
            Self::Int(segments) => {
                let (rows, of_rows) = present(segments, found);
                let mut sizes = BTreeMap::<i64, usize>::new();
                for segment in &of_rows {
                    *sizes.entry(**segment).or_default() += 1;
                }
                let names: Vec<i64> = sizes.keys().copied().collect();
                let labels = numbered(&of_rows, &names);
                Assignment {
                    rows,
                    labels,
                    names: Names::Int(names),
                    sizes: sizes.into_values().collect(),
                }
            }
            Self::Text(segments) => {
                let (rows, of_rows) = present(segments, found);
                let mut sizes = BTreeMap::<&String, usize>::new();
                for segment in &of_rows {
                    *sizes.entry(segment).or_default() += 1;
                }
                let mut by_size: Vec<(&String, usize)> = sizes.into_iter().collect();
                by_size.sort_by_key(|(_, size)| Reverse(*size));
                let names: Vec<String> = by_size.iter().map(|(name, _)| (*name).clone()).collect();
                let labels = numbered(&of_rows, &names);
                let sizes = by_size.into_iter().map(|(_, size)| size).collect();
                Assignment {
                    rows,
                    labels,
                    names: Names::Text(names),
                    sizes,
                }
            }
        }
    }
}

/// The rows that were found and have a segment, and their segments.
fn present<'a, T>(segments: &'a [Option<T>], found: &[Option<usize>]) -> (Vec<usize>, Vec<&'a T>) {
    let with_segment = |(row, place): (usize, &Option<usize>)| {
        let segment = segments.get((*place)?)?.as_ref()?;
        Some((row, segment))
    };
    found.iter().enumerate().filter_map(with_segment).unzip()
}

fn numbered<T: Ord>(segments: &[&T], names: &[T]) -> Vec<u32> {
    let numbers: BTreeMap<&T, u32> = names.iter().zip(0..).collect();
    segments
        .iter()
        .map(|segment| numbers.get(segment).copied().unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_ascend_and_texts_are_by_size() {
        let found: Vec<Option<usize>> = vec![Some(0), None, Some(1), Some(2), Some(3)];
        let integers = Segments::Int(vec![Some(7), Some(-1), Some(7), None]).join(&found);
        assert_eq!(integers.names, Names::Int(vec![-1, 7]));
        assert_eq!(
            (integers.rows, integers.labels),
            (vec![0, 2, 3], vec![1, 0, 1])
        );
        assert_eq!(integers.sizes, [1, 2]);

        let text = |name: &str| Some(name.to_owned());
        let texts = Segments::Text(vec![text("a"), text("b"), text("b"), text("c")]).join(&found);
        let names = ["b", "a", "c"].map(str::to_owned).to_vec();
        assert_eq!(texts.names, Names::Text(names));
        assert_eq!(
            (texts.labels, texts.sizes),
            (vec![1, 0, 0, 2], vec![2, 1, 1])
        );
    }
}
