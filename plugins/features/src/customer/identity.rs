//! Values of a column as numbers that are equal where the values are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use arrow::error::ArrowError;

/// How values of a column are told apart.
#[derive(Debug)]
pub(super) enum Identity {
    /// By themselves.
    Integer { kind: DataType },
    /// By the order in which they were first met.
    Text { kind: DataType, met: Mutex<Met> },
}

/// The texts that were met, and their numbers.
#[derive(Debug, Default)]
pub(super) struct Met {
    numbers: HashMap<Arc<str>, u64>,
    texts: Vec<Arc<str>>,
}

impl Met {
    fn number(&mut self, text: &str) -> u64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u64;
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }
}

/// Numbers of rows, and which rows have a value.
pub(super) struct Read {
    pub(super) numbers: Vec<u64>,
    /// None where each row has one.
    pub(super) nulls: Option<NullBuffer>,
}

impl Read {
    /// The number of a row, if it has a value.
    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<u64> {
        match &self.nulls {
            Some(nulls) if nulls.is_null(row) => None,
            _ => self.numbers.get(row).copied(),
        }
    }
}

/// Which rows are null, if any is.
fn nulls_of(column: &dyn Array) -> Option<NullBuffer> {
    column.nulls().filter(|it| it.null_count() > 0).cloned()
}

impl Identity {
    /// For integers and texts; none for other types.
    pub(super) fn of(kind: &DataType) -> Option<Self> {
        match kind {
            kind if kind.is_integer() => Some(Self::Integer { kind: kind.clone() }),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Self::Text {
                kind: kind.clone(),
                met: Mutex::default(),
            }),
            _ => None,
        }
    }

    /// The numbers of a column's values.
    pub(super) fn read(&self, column: &ArrayRef) -> Result<Read, ArrowError> {
        match self {
            Self::Integer { kind } if *kind == DataType::UInt64 => {
                let column = column.as_primitive::<UInt64Type>();
                Ok(Read {
                    numbers: column.values().to_vec(),
                    nulls: nulls_of(column),
                })
            }
            Self::Integer { .. } => {
                let column = cast(column, &DataType::Int64)?;
                let column = column.as_primitive::<Int64Type>();
                let numbers = column.values().iter().map(|it| it.cast_unsigned());
                Ok(Read {
                    numbers: numbers.collect(),
                    nulls: nulls_of(column),
                })
            }
            Self::Text { met, .. } => {
                let column = cast(column, &DataType::Utf8)?;
                let column = column.as_string::<i32>();
                let mut met = met.lock().unwrap_or_else(PoisonError::into_inner);
                // Lines of an order stand together, so the value before is often the value again.
                let mut last: Option<(&str, u64)> = None;
                let numbers = column.iter().map(|text| match (text, last) {
                    (None, _) => 0,
                    (Some(text), Some((before, number))) if text == before => number,
                    (Some(text), _) => {
                        let number = met.number(text);
                        last = Some((text, number));
                        number
                    }
                });
                Ok(Read {
                    numbers: numbers.collect(),
                    nulls: nulls_of(column),
                })
            }
        }
    }

    /// Ranks by which numbers compare as their values do.
    pub(super) fn ranks(&self) -> Ranks {
        match self {
            Self::Integer { kind } => Ranks::Integer {
                is_signed: *kind != DataType::UInt64,
            },
            Self::Text { met, .. } => {
                let met = met.lock().unwrap_or_else(PoisonError::into_inner);
                let mut order: Vec<usize> = (0..met.texts.len()).collect();
                order.sort_unstable_by_key(|number| &met.texts[*number]);
                let mut ranks = vec![0; order.len()];
                for (rank, number) in (0..).zip(order) {
                    ranks[number] = rank;
                }
                Ranks::Text(ranks)
            }
        }
    }

    /// The values of numbers, in the type of the column.
    pub(super) fn values(
        &self,
        numbers: impl Iterator<Item = Option<u64>>,
    ) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Integer { kind } if *kind == DataType::UInt64 => {
                let column: arrow::array::UInt64Array = numbers.collect();
                Ok(Arc::new(column))
            }
            Self::Integer { kind } => {
                let column: Int64Array = numbers.map(|it| it.map(u64::cast_signed)).collect();
                cast(&column, kind)
            }
            Self::Text { kind, met } => {
                let met = met.lock().unwrap_or_else(PoisonError::into_inner);
                let text = |number: u64| met.texts.get(usize::try_from(number).ok()?);
                let column: StringArray = numbers.map(|it| it.and_then(text)).collect();
                cast(&column, kind)
            }
        }
    }
}

/// How numbers compare.
#[derive(Debug)]
pub(super) enum Ranks {
    Integer { is_signed: bool },
    Text(Vec<u64>),
}

impl Ranks {
    /// The rank of a number that was read.
    pub(super) fn of(&self, number: u64) -> u64 {
        match self {
            // Flips the sign, so that the negative ones come first.
            Self::Integer { is_signed: true } => number ^ (1 << 63),
            Self::Integer { is_signed: false } => number,
            Self::Text(ranks) => usize::try_from(number)
                .ok()
                .and_then(|number| ranks.get(number).copied())
                .unwrap_or(u64::MAX),
        }
    }
}
