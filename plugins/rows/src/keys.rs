//! Keys of rows: integers or texts.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use marquetry_kernels::{draw_of_integer, draw_of_text};
use marquetry_plugin::StageError;
use marquetry_types::codes;

use crate::faults::invalid;

/// The keys of some rows: ascending, each once, none missing.
#[derive(Debug, Clone)]
pub struct Keys {
    name: String,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    Int(Int64Array),
    Text(StringArray),
}

impl Keys {
    /// The keys in a column that is sorted, nulls first.
    ///
    /// # Errors
    /// The column holds neither integers nor texts, or a null, or a key twice.
    pub fn new(input: &str, name: &str, column: &ArrayRef) -> Result<Self, StageError> {
        let values = Self::normalised(input, name, column)?;
        let keys = Self {
            name: name.to_owned(),
            values,
        };
        let nulls = column.null_count();
        if nulls > 0 {
            let rows = if nulls == 1 {
                "1 row".to_owned()
            } else {
                format!("{nulls} rows")
            };
            return Err(invalid(
                codes::BAD_VALUE,
                format!("{rows} of `{input}` have no `{name}`"),
                "rows are told apart by their key: filter those without, or name another `key`",
            ));
        }
        let repeated =
            (1..keys.len()).find(|row| keys.compare(row - 1, &keys, *row) == Ordering::Equal);
        match repeated {
            None => Ok(keys),
            Some(row) => Err(invalid(
                codes::BAD_VALUE,
                format!("{} stands in `{input}` more than once", keys.shown(row)),
                "there must be one row per key: aggregate with features/customer or features/sql",
            )),
        }
    }

    /// The type that keys of this type become: `int64` or text.
    ///
    /// # Errors
    /// They are neither integers nor texts.
    pub fn kind(input: &str, name: &str, column: &DataType) -> Result<DataType, StageError> {
        let kind = match column {
            DataType::Dictionary(_, values) => values.as_ref(),
            other => other,
        };
        match kind {
            other if other.is_integer() => Ok(DataType::Int64),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(DataType::Utf8),
            _ => Err(invalid(
                codes::COLUMN_MISMATCH,
                format!("the key `{name}` of `{input}` is of type {column}"),
                "a key is an integer or a text: cast it in ingest/files or features/sql",
            )),
        }
    }

    fn normalised(input: &str, name: &str, column: &ArrayRef) -> Result<Values, StageError> {
        // A table without rows may know no types.
        let target = match column.data_type() {
            DataType::Null if column.is_empty() => DataType::Int64,
            kind => Self::kind(input, name, kind)?,
        };
        let wrong = || {
            invalid(
                codes::COLUMN_MISMATCH,
                format!(
                    "the key `{name}` of `{input}` is of type {}",
                    column.data_type()
                ),
                "a key is an integer or a text: cast it in ingest/files or features/sql",
            )
        };
        let cast = cast(column, &target).map_err(|_| wrong())?;
        // A cast makes a null of what does not fit, such as an unsigned integer beyond 2^63.
        if cast.null_count() > column.null_count() {
            return Err(wrong());
        }
        let any = cast.as_any();
        if let Some(integers) = any.downcast_ref::<Int64Array>() {
            Ok(Values::Int(integers.clone()))
        } else if let Some(texts) = any.downcast_ref::<StringArray>() {
            Ok(Values::Text(texts.clone()))
        } else {
            Err(wrong())
        }
    }

    /// The keys of some of the rows.
    ///
    /// # Panics
    /// When there are no such rows, as slicing does.
    #[must_use]
    pub fn slice(&self, first: usize, count: usize) -> Self {
        let values = match &self.values {
            Values::Int(integers) => Values::Int(integers.slice(first, count)),
            Values::Text(texts) => Values::Text(texts.slice(first, count)),
        };
        Self {
            name: self.name.clone(),
            values,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Int(integers) => integers.len(),
            Values::Text(texts) => texts.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the column that they come from.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The column for an output: `int64` or text, not null.
    #[must_use]
    pub fn field(&self) -> Field {
        let kind = match &self.values {
            Values::Int(_) => DataType::Int64,
            Values::Text(_) => DataType::Utf8,
        };
        Field::new(&self.name, kind, false)
    }

    /// Their values for an output.
    #[must_use]
    pub fn array(&self) -> ArrayRef {
        match &self.values {
            Values::Int(integers) => Arc::new(integers.clone()),
            Values::Text(texts) => Arc::new(texts.clone()),
        }
    }

    /// A key as messages show it, as in `customer_id 17`.
    #[must_use]
    pub fn shown(&self, row: usize) -> String {
        match &self.values {
            Values::Int(integers) if row < integers.len() => {
                format!("{} {}", self.name, integers.value(row))
            }
            Values::Text(texts) if row < texts.len() => {
                format!("{} {:?}", self.name, texts.value(row))
            }
            _ => format!("row {row}"),
        }
    }

    /// Whether both are integers or both texts, so that they may be equal at all.
    #[must_use]
    pub const fn is_like(&self, other: &Self) -> bool {
        matches!(
            (&self.values, &other.values),
            (Values::Int(_), Values::Int(_)) | (Values::Text(_), Values::Text(_))
        )
    }

    /// A number for each of them that the seed and the key name: whoever has the least are a sample.
    #[must_use]
    pub fn draws(&self, seed: u64) -> Vec<u64> {
        match &self.values {
            Values::Int(integers) => {
                let keys = integers.values().iter();
                keys.map(|key| draw_of_integer(seed, *key)).collect()
            }
            Values::Text(texts) => {
                let keys = texts.iter().flatten();
                keys.map(|key| draw_of_text(seed, key)).collect()
            }
        }
    }

    /// Those `size` rows that have the least draws, ascending; all where there are no more.
    #[must_use]
    pub fn sample(&self, size: usize, seed: u64) -> Vec<usize> {
        let rows = 0..self.len();
        if self.len() <= size {
            return rows.collect();
        }
        let draws = self.draws(seed);
        let mut order: Vec<usize> = rows.collect();
        if size > 0 {
            order.select_nth_unstable_by_key(size - 1, |row| (draws[*row], *row));
        }
        order.truncate(size);
        order.sort_unstable();
        order
    }

    /// For each of these keys the row of the equal one in `other`, by one pass over both.
    #[must_use]
    pub fn find_in(&self, other: &Self) -> Vec<Option<usize>> {
        let mut place = 0;
        (0..self.len())
            .map(|row| {
                while place < other.len() && self.compare(row, other, place) == Ordering::Greater {
                    place += 1;
                }
                let found =
                    place < other.len() && self.compare(row, other, place) == Ordering::Equal;
                found.then_some(place)
            })
            .collect()
    }

    /// How the key of a row compares with one of `other`; integers come before texts.
    fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        match (&self.values, &other.values) {
            (Values::Int(left), Values::Int(right)) => left.value(row).cmp(&right.value(other_row)),
            (Values::Text(left), Values::Text(right)) => {
                left.value(row).cmp(right.value(other_row))
            }
            (Values::Int(_), Values::Text(_)) => Ordering::Less,
            (Values::Text(_), Values::Int(_)) => Ordering::Greater,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, UInt64Array};

    fn message(column: ArrayRef) -> String {
        match Keys::new("rows", "id", &column) {
            Err(StageError::Invalid(diagnostic)) => diagnostic.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_are_found_by_value() {
        let keys = |values: Vec<i64>| {
            Keys::new(
                "rows",
                "id",
                &(Arc::new(Int64Array::from(values)) as ArrayRef),
            )
        };
        let left = keys(vec![-3, 1, 4, 9]).unwrap();
        let right = keys(vec![1, 2, 9, 10]).unwrap();
        assert_eq!(left.find_in(&right), [None, Some(0), None, Some(2)]);
        assert_eq!(left.shown(0), "id -3");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert_eq!(
            message(Arc::new(Float64Array::from(vec![1.0]))),
            "the key `id` of `rows` is of type Float64"
        );
        assert_eq!(
            message(Arc::new(UInt64Array::from(vec![u64::MAX]))),
            "the key `id` of `rows` is of type UInt64"
        );
        assert_eq!(
            message(Arc::new(StringArray::from(vec![None, Some("a")]))),
            "1 row of `rows` have no `id`"
        );
        assert_eq!(
            message(Arc::new(StringArray::from(vec!["a", "b", "b"]))),
            "id \"b\" stands in `rows` more than once"
        );
    }
}
