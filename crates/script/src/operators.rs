//! What operators mean: the one place that decides about null, about integers and floats, and about
//! values that do not go together.
//!
//! - **Null** (`()` in scripts) is a value of its own for `==` and `!=`: `x == ()` asks for it, and
//!   `country != "UK"` holds for a customer without a country (SQL: `IS NOT DISTINCT FROM`,
//!   `IS DISTINCT FROM`). An ordering with a null operand is false (SQL: `(a < b) IS TRUE`).
//!   Arithmetic with a null operand is null. Where a condition is asked for, null counts as false.
//! - **Integers and floats** mix: an integer beside a float is converted to a float, as DataFusion
//!   does. Two integers stay integers: `7 / 2` is 3, `%` takes the sign of the dividend. Overflow and
//!   division by zero of integers are errors; floats follow IEEE 754.
//! - **Text** is compared by code points. `+` with text on one side appends the other side's text;
//!   null appends nothing.
//! - Values of other pairs of types are not compared: `recency_days > "30"` is an error, not false.

use std::cmp::Ordering;

use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Position};

use crate::value::type_name;

/// Why an operator has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OperatorError {
    /// The operands do not go together.
    Mismatch(String),
    /// The result is out of range.
    Arithmetic(String),
}

/// Marks a type error on its way through rhai, whose own errors carry only a value.
const MISMATCH: &str = "\u{1}type: ";

impl From<OperatorError> for Box<EvalAltResult> {
    fn from(error: OperatorError) -> Self {
        Box::new(match error {
            OperatorError::Arithmetic(message) => {
                EvalAltResult::ErrorArithmetic(message, Position::NONE)
            }
            OperatorError::Mismatch(message) => {
                EvalAltResult::ErrorRuntime(format!("{MISMATCH}{message}").into(), Position::NONE)
            }
        })
    }
}

/// The message of a type error that came through rhai.
pub(crate) fn mismatch_of(thrown: &Dynamic) -> Option<String> {
    let text = thrown.as_immutable_string_ref().ok()?;
    text.strip_prefix(MISMATCH).map(str::to_owned)
}

/// The binary operators.
///
/// Null is a value of its own for `==` and `!=`, and in no order with anything: `x < ()` is false.
/// Arithmetic with null is null. An integer beside a float becomes a float, and floats follow IEEE 754
/// (NaN equals nothing, -0.0 equals 0.0). Integers that overflow, a division of integers by zero, and
/// values of types that do not go together are errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `+`, which appends texts too.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
    /// `/`; of two integers the whole part, towards zero.
    Divide,
    /// `%`, with the sign of the dividend; `i64::MIN % -1` is 0.
    Remainder,
    /// `==`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `<`; texts by code points, true and false not at all.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
}

impl Binary {
    pub(crate) const ALL: [Self; 11] = [
        Self::Add,
        Self::Subtract,
        Self::Multiply,
        Self::Divide,
        Self::Remainder,
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
    ];

    /// As it is written.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    pub(crate) fn from_symbol(symbol: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operator| operator.symbol() == symbol)
    }

    /// Whether it gives true or false.
    #[must_use]
    pub const fn is_comparison(self) -> bool {
        !matches!(
            self,
            Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Remainder
        )
    }

    /// The operator's result.
    #[inline]
    pub(crate) fn apply(self, left: &Dynamic, right: &Dynamic) -> Result<Dynamic, OperatorError> {
        if !self.is_comparison() {
            return arithmetic(self, left, right);
        }
        let holds = match self {
            Self::Equal => equal(left, right)?,
            Self::NotEqual => !equal(left, right)?,
            ordering => match compare(ordering, left, right)? {
                None => false,
                Some(order) => match ordering {
                    Self::Less => order.is_lt(),
                    Self::LessOrEqual => order.is_le(),
                    Self::Greater => order.is_gt(),
                    _ => order.is_ge(),
                },
            },
        };
        Ok(Dynamic::from_bool(holds))
    }
}

/// A number as scripts know it.
enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    #[inline]
    fn of(value: &Dynamic) -> Option<Self> {
        match value.as_int() {
            Ok(integer) => Some(Self::Int(integer)),
            Err(_) => value.as_float().ok().map(Self::Float),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "an integer beside a float becomes a float"
    )]
    const fn as_float(&self) -> f64 {
        match self {
            Self::Int(integer) => *integer as f64,
            Self::Float(float) => *float,
        }
    }
}

/// A number as a float; NaN where it is none.
pub(crate) fn as_float(value: &Dynamic) -> f64 {
    Number::of(value).map_or(f64::NAN, |number| number.as_float())
}

/// The text of a string or character.
fn text(value: &Dynamic) -> Option<std::borrow::Cow<'_, str>> {
    match value.as_char() {
        Ok(character) => Some(character.to_string().into()),
        Err(_) if value.is_string() => value.clone().into_string().ok().map(Into::into),
        Err(_) => None,
    }
}

/// Whether two values are equal; values of other types than each other's are not compared.
pub(crate) fn equal(left: &Dynamic, right: &Dynamic) -> Result<bool, OperatorError> {
    if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
        return Ok(match (a, b) {
            (Number::Int(a), Number::Int(b)) => a == b,
            (a, b) => a.as_float() == b.as_float(),
        });
    }
    if left.is_unit() || right.is_unit() {
        return Ok(left.is_unit() && right.is_unit());
    }
    if let (Ok(a), Ok(b)) = (
        left.as_immutable_string_ref(),
        right.as_immutable_string_ref(),
    ) {
        return Ok(*a == *b);
    }
    if let (Ok(a), Ok(b)) = (left.as_bool(), right.as_bool()) {
        return Ok(a == b);
    }
    if let (Some(a), Some(b)) = (text(left), text(right)) {
        return Ok(a == b);
    }
    if let (Ok(a), Ok(b)) = (left.as_array_ref(), right.as_array_ref()) {
        if a.len() != b.len() {
            return Ok(false);
        }
        for (a, b) in a.iter().zip(b.iter()) {
            if !equal(a, b)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if let (Ok(a), Ok(b)) = (left.as_map_ref(), right.as_map_ref()) {
        if a.len() != b.len() {
            return Ok(false);
        }
        for ((name_a, a), (name_b, b)) in a.iter().zip(b.iter()) {
            if name_a != name_b || !equal(a, b)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    Err(incomparable(left, right))
}

/// The order of two values; none where one is null or NaN.
fn compare(
    operator: Binary,
    left: &Dynamic,
    right: &Dynamic,
) -> Result<Option<Ordering>, OperatorError> {
    if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
        return Ok(match (a, b) {
            (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
            (a, b) => a.as_float().partial_cmp(&b.as_float()),
        });
    }
    if left.is_unit() || right.is_unit() {
        return Ok(None);
    }
    if let (Ok(a), Ok(b)) = (
        left.as_immutable_string_ref(),
        right.as_immutable_string_ref(),
    ) {
        return Ok(Some(a.as_str().cmp(b.as_str())));
    }
    if let (Some(a), Some(b)) = (text(left), text(right)) {
        return Ok(Some(a.cmp(&b)));
    }
    if left.is_bool() && right.is_bool() {
        let symbol = operator.symbol();
        return Err(OperatorError::Mismatch(format!(
            "`{symbol}` does not order true and false"
        )));
    }
    Err(incomparable(left, right))
}

fn incomparable(left: &Dynamic, right: &Dynamic) -> OperatorError {
    let (left, right) = (type_name(left), type_name(right));
    OperatorError::Mismatch(format!(
        "a value of type {left} cannot be compared with one of type {right}"
    ))
}

fn arithmetic(operator: Binary, left: &Dynamic, right: &Dynamic) -> Result<Dynamic, OperatorError> {
    if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
        return match (a, b) {
            (Number::Int(a), Number::Int(b)) => integers(operator, a, b).map(Dynamic::from_int),
            (a, b) => Ok(Dynamic::from_float(floats(
                operator,
                a.as_float(),
                b.as_float(),
            ))),
        };
    }
    if operator == Binary::Add && (text(left).is_some() || text(right).is_some()) {
        return Ok(format!("{}{}", appended(left)?, appended(right)?).into());
    }
    if left.is_unit() || right.is_unit() {
        return Ok(Dynamic::UNIT);
    }
    let (symbol, left, right) = (operator.symbol(), type_name(left), type_name(right));
    Err(OperatorError::Mismatch(format!(
        "`{symbol}` does not work on {left} and {right}"
    )))
}

/// What `+` appends for a value beside text.
fn appended(value: &Dynamic) -> Result<String, OperatorError> {
    if value.is_unit() {
        return Ok(String::new());
    }
    if value.is_array() || value.is_map() || value.is_fnptr() {
        let name = type_name(value);
        return Err(OperatorError::Mismatch(format!(
            "`+` does not append a {name} to text"
        )));
    }
    Ok(value.to_string())
}

fn integers(operator: Binary, a: i64, b: i64) -> Result<i64, OperatorError> {
    let result = match operator {
        Binary::Add => a.checked_add(b),
        Binary::Subtract => a.checked_sub(b),
        Binary::Multiply => a.checked_mul(b),
        Binary::Divide | Binary::Remainder if b == 0 => {
            return Err(OperatorError::Arithmetic(format!(
                "division of {a} by zero"
            )));
        }
        Binary::Divide => a.checked_div(b),
        // The one overflow, `i64::MIN % -1`, has the result 0 in mathematics and in Arrow.
        _ => Some(a.wrapping_rem(b)),
    };
    let symbol = operator.symbol();
    result.ok_or_else(|| {
        OperatorError::Arithmetic(format!("{a} {symbol} {b} is out of range for integers"))
    })
}

fn floats(operator: Binary, a: f64, b: f64) -> f64 {
    match operator {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        _ => a % b,
    }
}

/// `-x`; null stays null.
pub(crate) fn negate(value: &Dynamic) -> Result<Dynamic, OperatorError> {
    match Number::of(value) {
        Some(Number::Int(integer)) => {
            integer.checked_neg().map(Dynamic::from_int).ok_or_else(|| {
                OperatorError::Arithmetic(format!("-({integer}) is out of range for integers"))
            })
        }
        Some(Number::Float(float)) => Ok(Dynamic::from_float(-float)),
        None if value.is_unit() => Ok(Dynamic::UNIT),
        None => Err(OperatorError::Mismatch(format!(
            "`-` does not work on {}",
            type_name(value)
        ))),
    }
}

/// Whether a condition holds: null counts as false, and anything but true and false is an error.
pub(crate) fn condition(value: &Dynamic) -> Result<bool, OperatorError> {
    if value.is_unit() {
        return Ok(false);
    }
    value.as_bool().map_err(|_| {
        OperatorError::Mismatch(format!("expected true or false, got {}", type_name(value)))
    })
}

/// Gives the engine these operators in place of its own.
pub(crate) fn register(engine: &mut Engine) {
    // rhai would otherwise decide pairs of built-in types itself, and answer false for a comparison
    // of a number with a text.
    engine.set_fast_operators(false);
    for operator in Binary::ALL {
        engine.register_fn(
            operator.symbol(),
            move |left: Dynamic, right: Dynamic| -> Result<Dynamic, Box<EvalAltResult>> {
                operator.apply(&left, &right).map_err(Into::into)
            },
        );
    }
    type Outcome = Result<Dynamic, Box<EvalAltResult>>;
    // rhai prefers a function of the very types to one of any, and has some of its own for these.
    engine.register_fn("+", |left: ImmutableString, right: Dynamic| -> Outcome {
        let sum = Binary::Add.apply(&left.into(), &right);
        sum.map_err(Into::into)
    });
    engine.register_fn("+", |left: Dynamic, right: ImmutableString| -> Outcome {
        let sum = Binary::Add.apply(&left, &right.into());
        sum.map_err(Into::into)
    });
    engine.register_fn("-", |value: i64| -> Outcome {
        negate(&value.into()).map_err(Into::into)
    });
    engine.register_fn("-", |value: f64| -> Outcome {
        negate(&value.into()).map_err(Into::into)
    });
    engine.register_fn("-", |value: Dynamic| -> Outcome {
        negate(&value).map_err(Into::into)
    });
    engine.register_fn("!", |value: Dynamic| -> Result<bool, Box<EvalAltResult>> {
        condition(&value).map(|holds| !holds).map_err(Into::into)
    });
    engine.register_fn(
        "is_true",
        |value: Dynamic| -> Result<bool, Box<EvalAltResult>> {
            condition(&value).map_err(Into::into)
        },
    );
    engine.register_fn("is_null", |value: Dynamic| value.is_unit());
}
