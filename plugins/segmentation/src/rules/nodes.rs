//! Comparisons and logic of scripts as DataFusion expressions.
//!
//! DataFusion's own differ from what scripts mean: they order floats totally (NaN equals NaN and is
//! above all, -0.0 is below 0.0), and give null for a comparison with null. These two give true or
//! false for every row, by the semantics of [`Operator`].

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, RecordBatch};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema};
use arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use marquetry_script::Operator;

/// An expression of DataFusion.
pub(super) type Expr = Arc<dyn PhysicalExpr>;

/// A comparison of two values of one type: truth values, `int64`, `float64` or texts.
#[derive(Debug, Eq, Hash)]
pub(super) struct Compare {
    operator: Operator,
    left: Expr,
    right: Expr,
}

// Derived, it would move what it compares: rust-lang/rust#78808.
impl PartialEq for Compare {
    fn eq(&self, other: &Self) -> bool {
        self.operator == other.operator && self.left.eq(&other.left) && self.right.eq(&other.right)
    }
}

impl Compare {
    pub(super) fn new(operator: Operator, left: Expr, right: Expr) -> Self {
        Self {
            operator,
            left,
            right,
        }
    }
}

impl fmt::Display for Compare {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbol = self.operator.symbol();
        write!(formatter, "({} {symbol} {})", self.left, self.right)
    }
}

impl PhysicalExpr for Compare {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let left = self.left.evaluate(batch)?;
        let right = self.right.evaluate(batch)?;
        let rows = batch.num_rows();
        let compared = match (&left, &right) {
            (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)) => {
                let left = ColumnarValue::Array(left.into_array(rows)?);
                compared(self.operator, &left, &right, rows)?
            }
            _ => compared(self.operator, &left, &right, rows)?,
        };
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(
            compared, None,
        ))))
    }

    fn children(&self) -> Vec<&Expr> {
        vec![&self.left, &self.right]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Expr>) -> Result<Expr> {
        match <[Expr; 2]>::try_from(children) {
            Ok([left, right]) => Ok(Arc::new(Self::new(self.operator, left, right))),
            Err(_) => internal_err!("a comparison has two operands"),
        }
    }

    fn fmt_sql(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// Where both operands are there, and where both are null.
struct Presence {
    both: Option<NullBuffer>,
    neither: Option<BooleanBuffer>,
}

fn compared(
    operator: Operator,
    left: &ColumnarValue,
    right: &ColumnarValue,
    rows: usize,
) -> Result<BooleanBuffer> {
    let (left_nulls, right_nulls) = (nulls(left, rows), nulls(right, rows));
    let presence = Presence {
        neither: match (&left_nulls, &right_nulls) {
            (Some(left), Some(right)) => Some(&!left.inner() & &!right.inner()),
            _ => None,
        },
        both: NullBuffer::union(left_nulls.as_ref(), right_nulls.as_ref()),
    };
    // Under a null the values of an array are anything.
    let positive = match operator {
        Operator::NotEqual => Operator::Equal,
        other => other,
    };
    let mut holds = match left.data_type() {
        DataType::Float64 => numbers::<Float64Type>(positive, left, right)?,
        DataType::Int64 => numbers::<Int64Type>(positive, left, right)?,
        _ => others(positive, left, right)?,
    };
    if let Some(both) = &presence.both {
        holds = &holds & both.inner();
    }
    if positive == Operator::Equal
        && let Some(neither) = &presence.neither
    {
        holds = &holds | neither;
    }
    Ok(match operator {
        Operator::NotEqual => !&holds,
        _ => holds,
    })
}

/// Which values are there; none where all are.
fn nulls(value: &ColumnarValue, rows: usize) -> Option<NullBuffer> {
    match value {
        ColumnarValue::Array(array) if array.null_count() > 0 => array.nulls().cloned(),
        ColumnarValue::Scalar(scalar) if scalar.is_null() => Some(NullBuffer::new_null(rows)),
        _ => None,
    }
}

fn numbers<T>(
    operator: Operator,
    left: &ColumnarValue,
    right: &ColumnarValue,
) -> Result<BooleanBuffer>
where
    T: arrow::datatypes::ArrowPrimitiveType,
    T::Native: PartialOrd + Default,
{
    let scalar = |scalar: &ScalarValue| -> Result<T::Native> {
        let one = scalar.to_array()?;
        let one = one.as_primitive_opt::<T>();
        Ok(one
            .filter(|one| one.is_valid(0))
            .map_or_else(T::Native::default, |one| one.value(0)))
    };
    let array = |array: &ArrayRef| match array.as_primitive_opt::<T>() {
        Some(array) => Ok(array.clone()),
        None => internal_err!("operands of a comparison are of different types"),
    };
    match (left, right) {
        (ColumnarValue::Array(left), ColumnarValue::Array(right)) => {
            let (left, right) = (array(left)?, array(right)?);
            if left.len() != right.len() {
                return internal_err!("operands of a comparison have different lengths");
            }
            Ok(packed_pairs(operator, left.values(), right.values()))
        }
        (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => {
            Ok(packed(operator, array(left)?.values(), scalar(right)?))
        }
        (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => {
            let turned = match operator {
                Operator::Less => Operator::Greater,
                Operator::LessOrEqual => Operator::GreaterOrEqual,
                Operator::Greater => Operator::Less,
                Operator::GreaterOrEqual => Operator::LessOrEqual,
                other => other,
            };
            Ok(packed(turned, array(right)?.values(), scalar(left)?))
        }
        _ => internal_err!("a comparison needs an array"),
    }
}

fn packed<N: PartialOrd + Copy>(operator: Operator, values: &[N], with: N) -> BooleanBuffer {
    match operator {
        Operator::Less => pack(values, |value| value < with),
        Operator::LessOrEqual => pack(values, |value| value <= with),
        Operator::Greater => pack(values, |value| value > with),
        Operator::GreaterOrEqual => pack(values, |value| value >= with),
        _ => pack(values, |value| value == with),
    }
}

fn packed_pairs<N: PartialOrd + Copy>(
    operator: Operator,
    left: &[N],
    right: &[N],
) -> BooleanBuffer {
    match operator {
        Operator::Less => pack_pairs(left, right, |left, right| left < right),
        Operator::LessOrEqual => pack_pairs(left, right, |left, right| left <= right),
        Operator::Greater => pack_pairs(left, right, |left, right| left > right),
        Operator::GreaterOrEqual => pack_pairs(left, right, |left, right| left >= right),
        _ => pack_pairs(left, right, |left, right| left == right),
    }
}

/// Truth values in a word of the buffer.
const WORD: usize = 64;

fn pack<N: Copy>(values: &[N], test: impl Fn(N) -> bool) -> BooleanBuffer {
    let word = |chunk: &[N]| {
        let tested = chunk.iter().enumerate();
        tested.fold(0_u64, |bits, (place, value)| {
            bits | (u64::from(test(*value)) << place)
        })
    };
    let words: Vec<u64> = values.chunks(WORD).map(word).collect();
    BooleanBuffer::new(Buffer::from_vec(words), 0, values.len())
}

fn pack_pairs<N: Copy>(left: &[N], right: &[N], test: impl Fn(N, N) -> bool) -> BooleanBuffer {
    let word = |(left, right): (&[N], &[N])| {
        let tested = left.iter().zip(right).enumerate();
        tested.fold(0_u64, |bits, (place, (left, right))| {
            bits | (u64::from(test(*left, *right)) << place)
        })
    };
    let chunks = left.chunks(WORD).zip(right.chunks(WORD));
    let words: Vec<u64> = chunks.map(word).collect();
    BooleanBuffer::new(Buffer::from_vec(words), 0, left.len())
}

/// Texts by their bytes, which is by code points, and truth values.
fn others(
    operator: Operator,
    left: &ColumnarValue,
    right: &ColumnarValue,
) -> Result<BooleanBuffer> {
    type Kernel = fn(&dyn Datum, &dyn Datum) -> std::result::Result<BooleanArray, ArrowError>;
    let kernel: Kernel = match operator {
        Operator::Less => cmp::lt,
        Operator::LessOrEqual => cmp::lt_eq,
        Operator::Greater => cmp::gt,
        Operator::GreaterOrEqual => cmp::gt_eq,
        _ => cmp::eq,
    };
    let datum = |value: &ColumnarValue| -> Result<Box<dyn Datum>> {
        Ok(match value {
            ColumnarValue::Array(array) => Box::new(Arc::clone(array)),
            ColumnarValue::Scalar(scalar) => Box::new(scalar.to_scalar()?),
        })
    };
    let compared = kernel(&*datum(left)?, &*datum(right)?)?;
    Ok(compared.values().clone())
}

/// Whether all, or any, of some conditions hold; null counts as false. What may fail for a row is
/// evaluated only for the rows that those before it leave open, as scripts do.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Junction {
    is_any: bool,
    /// The conditions, and whether each may fail.
    parts: Vec<(Expr, bool)>,
}

impl Junction {
    pub(super) fn new(is_any: bool, parts: Vec<(Expr, bool)>) -> Self {
        Self { is_any, parts }
    }
}

impl fmt::Display for Junction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if self.is_any { " || " } else { " && " };
        formatter.write_str("(")?;
        for (place, (part, _)) in self.parts.iter().enumerate() {
            if place > 0 {
                formatter.write_str(between)?;
            }
            write!(formatter, "{part}")?;
        }
        formatter.write_str(")")
    }
}

impl PhysicalExpr for Junction {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        // The rows that are not decided: those that hold so far, or for `any` those that do not.
        let mut open = BooleanBuffer::new_set(rows);
        for (part, may_fail) in &self.parts {
            let holds = if *may_fail {
                holds_among(part, batch, &open)?
            } else {
                holds(part, batch)?
            };
            open = if self.is_any {
                &open & &!&holds
            } else {
                &open & &holds
            };
            if open.count_set_bits() == 0 {
                break;
            }
        }
        let result = if self.is_any { !&open } else { open };
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(
            result, None,
        ))))
    }

    fn children(&self) -> Vec<&Expr> {
        self.parts.iter().map(|(part, _)| part).collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Expr>) -> Result<Expr> {
        let may_fail = self.parts.iter().map(|(_, may_fail)| *may_fail);
        let parts = children.into_iter().zip(may_fail).collect();
        Ok(Arc::new(Self::new(self.is_any, parts)))
    }

    fn fmt_sql(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// The rows for which a condition holds; null counts as false.
pub(super) fn holds(condition: &Expr, batch: &RecordBatch) -> Result<BooleanBuffer> {
    bits(condition.evaluate(batch)?, batch.num_rows())
}

/// The rows among `open` for which a condition holds, which is evaluated for no others.
pub(super) fn holds_among(
    condition: &Expr,
    batch: &RecordBatch,
    open: &BooleanBuffer,
) -> Result<BooleanBuffer> {
    if open.count_set_bits() == 0 {
        return Ok(BooleanBuffer::new_unset(batch.num_rows()));
    }
    let selection = BooleanArray::new(open.clone(), None);
    let holds = bits(
        condition.evaluate_selection(batch, &selection)?,
        batch.num_rows(),
    )?;
    Ok(&holds & open)
}

fn bits(value: ColumnarValue, rows: usize) -> Result<BooleanBuffer> {
    match value {
        ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))) => Ok(BooleanBuffer::new_set(rows)),
        ColumnarValue::Scalar(_) => Ok(BooleanBuffer::new_unset(rows)),
        ColumnarValue::Array(array) => match array.as_boolean_opt() {
            Some(array) => Ok(match array.nulls() {
                Some(nulls) => array.values() & nulls.inner(),
                None => array.values().clone(),
            }),
            None => internal_err!("a condition is neither true nor false"),
        },
    }
}
