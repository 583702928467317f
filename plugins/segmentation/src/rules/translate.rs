//! Rules as DataFusion expressions.
//!
//! A rule is translated where the types of its columns say that no row can be an error of types, and
//! where every part has a counterpart with the same values. Arithmetic of integers may still fail for
//! a row (overflow, division by zero): it is checked, and who evaluates a batch that fails leaves the
//! whole batch to the interpreter, which finds the row and the place, or finds that the rule never
//! comes to it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator as Sql;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NegativeExpr,
    NotExpr,
};
use marquetry_script::{Constant, Formula, Operator};

use super::nodes::{Compare, Expr, Junction};

/// A condition that DataFusion evaluates.
#[derive(Debug, Clone)]
pub(super) struct Translated {
    pub(super) condition: Expr,
    /// Whether integers may overflow or be divided by zero.
    pub(super) may_fail: bool,
}

/// Alternatives that one value may have, see [`Value::Choice`]. Each doubles what is made of it.
const MOST_ALTERNATIVES: usize = 16;

/// Items of a list that are compared one by one; more are looked up.
const FEW: usize = 3;

/// The rule over a batch whose columns are those of `schema`, of the types that
/// [`cells`](super::cells) makes; a column's number in the rule is its place there.
pub(super) fn translate(formula: &Formula, schema: &Schema) -> Option<Translated> {
    let translator = Translator { schema };
    let value = translator.value(formula)?;
    let condition = translator.condition(value)?;
    Some(Translated {
        condition: condition.expr,
        may_fail: condition.may_fail,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Bool,
    Int,
    Float,
    Text,
}

/// An expression whose values are all of one kind, or null.
#[derive(Debug, Clone)]
struct Typed {
    kind: Kind,
    expr: Expr,
    constant: Option<Constant>,
    is_nullable: bool,
    may_fail: bool,
    /// Whether it is a column of texts by views.
    is_view: bool,
}

/// A value, which `??` may make one of two kinds: `gap ?? 0` is a float or the integer 0. What is
/// computed from it is computed from both, so that each keeps its own arithmetic.
#[derive(Debug, Clone)]
enum Value {
    One(Typed),
    /// The first where the condition holds, otherwise the second.
    Choice(Typed, Box<(Value, Value)>),
}

impl Value {
    fn alternatives(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Choice(_, sides) => sides.0.alternatives() + sides.1.alternatives(),
        }
    }
}

struct Translator<'a> {
    schema: &'a Schema,
}

impl Translator<'_> {
    fn value(&self, formula: &Formula) -> Option<Value> {
        let value = match formula {
            Formula::Constant(constant) => Value::One(literal(constant)),
            Formula::Column(place) => Value::One(self.column(*place)?),
            Formula::Binary(operator, operands) => {
                let (left, right) = (self.value(&operands.0)?, self.value(&operands.1)?);
                self.binary(*operator, left, right)?
            }
            Formula::Negate(operand) => each(self.value(operand)?, &negated)?,
            Formula::Not(operand) => {
                let operand = self.condition(self.value(operand)?)?;
                Value::One(not(operand))
            }
            Formula::IsTrue(operand) => Value::One(self.condition(self.value(operand)?)?),
            Formula::And(parts) => Value::One(self.junction(false, parts)?),
            Formula::Or(parts) => Value::One(self.junction(true, parts)?),
            Formula::Coalesce(parts) => self.coalesce(parts)?,
            Formula::IsNull(operand) => each(self.value(operand)?, &|value| Some(is_null(&value)))?,
            Formula::In(operand, items) => {
                let contained = |value: Typed| self.contained(value, items);
                each(self.value(operand)?, &contained)?
            }
        };
        (value.alternatives() <= MOST_ALTERNATIVES).then_some(value)
    }

    fn column(&self, place: usize) -> Option<Typed> {
        let field = self.schema.fields().get(place)?;
        let kind = match field.data_type() {
            DataType::Boolean => Kind::Bool,
            DataType::Int64 => Kind::Int,
            DataType::Float64 => Kind::Float,
            DataType::Utf8 | DataType::Utf8View => Kind::Text,
            _ => return None,
        };
        Some(Typed {
            kind,
            expr: Arc::new(Column::new(field.name(), place)),
            constant: None,
            is_nullable: true,
            may_fail: false,
            is_view: *field.data_type() == DataType::Utf8View,
        })
    }

    /// A condition that is true or false for every row.
    fn condition(&self, value: Value) -> Option<Typed> {
        match value {
            Value::One(value) => match value.kind {
                Kind::Null => Some(literal(&Constant::Bool(false))),
                Kind::Bool if !value.is_nullable => Some(value),
                Kind::Bool => Some(junction(false, vec![value])),
                _ => None,
            },
            Value::Choice(guard, sides) => {
                let (then, otherwise) = *sides;
                let then = junction(false, vec![guard.clone(), self.condition(then)?]);
                let otherwise = junction(false, vec![not(guard), self.condition(otherwise)?]);
                Some(junction(true, vec![then, otherwise]))
            }
        }
    }

    fn junction(&self, is_any: bool, parts: &[Formula]) -> Option<Typed> {
        let mut conditions = Vec::with_capacity(parts.len());
        for part in parts {
            conditions.push(self.condition(self.value(part)?)?);
        }
        Some(junction(is_any, conditions))
    }

    fn coalesce(&self, parts: &[Formula]) -> Option<Value> {
        let (first, rest) = parts.split_first()?;
        let first = self.value(first)?;
        if rest.is_empty() {
            return Some(first);
        }
        let rest = self.coalesce(rest)?;
        let missing = self.condition(each(first.clone(), &|value| Some(is_null(&value)))?)?;
        Some(match &first {
            Value::One(value) if value.kind == Kind::Null => rest,
            Value::One(value) if !value.is_nullable => first,
            _ => Value::Choice(not(missing), Box::new((first, rest))),
        })
    }

    fn binary(&self, operator: Operator, left: Value, right: Value) -> Option<Value> {
        if left.alternatives() * right.alternatives() > MOST_ALTERNATIVES {
            return None;
        }
        match (left, right) {
            (Value::Choice(guard, sides), right) => {
                let then = self.binary(operator, sides.0, right.clone())?;
                let otherwise = self.binary(operator, sides.1, right)?;
                self.chosen(guard, then, otherwise)
            }
            (left, Value::Choice(guard, sides)) => {
                let then = self.binary(operator, left.clone(), sides.0)?;
                let otherwise = self.binary(operator, left, sides.1)?;
                self.chosen(guard, then, otherwise)
            }
            (Value::One(left), Value::One(right)) if operator.is_comparison() => {
                compare(operator, left, right).map(Value::One)
            }
            (Value::One(left), Value::One(right)) => {
                arithmetic(operator, left, right).map(Value::One)
            }
        }
    }

    /// A choice between two values; one condition where both are conditions.
    fn chosen(&self, guard: Typed, then: Value, otherwise: Value) -> Option<Value> {
        let is_condition = |value: &Value| match value {
            Value::One(value) => value.kind == Kind::Bool && !value.is_nullable,
            Value::Choice(..) => false,
        };
        let is_one = is_condition(&then) && is_condition(&otherwise);
        let choice = Value::Choice(guard, Box::new((then, otherwise)));
        if is_one {
            self.condition(choice).map(Value::One)
        } else {
            Some(choice)
        }
    }

    /// `value in [items]`. Every item must be of a kind that compares with the value, whether or not
    /// one before it is found.
    fn contained(&self, value: Typed, items: &[Constant]) -> Option<Typed> {
        let same = |item: &Constant| {
            matches!(
                (value.kind, item),
                (Kind::Int, Constant::Int(_)) | (Kind::Text, Constant::Text(_))
            )
        };
        let (alike, others): (Vec<&Constant>, Vec<&Constant>) =
            items.iter().partition(|item| same(item));
        let mut parts = Vec::with_capacity(items.len());
        if alike.len() > FEW {
            let kind = value.expr.data_type(self.schema).ok()?;
            let list = alike
                .iter()
                .map(|item| lit(scalar(item, &kind)))
                .collect::<Vec<_>>();
            let found = InListExpr::try_new(Arc::clone(&value.expr), list, false, self.schema);
            parts.push(Typed {
                kind: Kind::Bool,
                expr: Arc::new(found.ok()?),
                constant: None,
                is_nullable: true,
                may_fail: value.may_fail,
                is_view: false,
            });
        } else {
            for item in alike {
                parts.push(compare(Operator::Equal, value.clone(), literal(item))?);
            }
        }
        for item in others {
            parts.push(compare(Operator::Equal, value.clone(), literal(item))?);
        }
        if parts.is_empty() && value.may_fail {
            return None;
        }
        Some(junction(true, parts))
    }
}

/// What is made of every alternative.
fn each(value: Value, make: &dyn Fn(Typed) -> Option<Typed>) -> Option<Value> {
    Some(match value {
        Value::One(value) => Value::One(make(value)?),
        Value::Choice(guard, sides) => {
            let (then, otherwise) = *sides;
            let sides = (each(then, make)?, each(otherwise, make)?);
            Value::Choice(guard, Box::new(sides))
        }
    })
}

fn lit(value: ScalarValue) -> Expr {
    Arc::new(Literal::new(value))
}

/// A constant as DataFusion has it; texts as they are in a column of type `kind`.
fn scalar(constant: &Constant, kind: &DataType) -> ScalarValue {
    match constant {
        Constant::Null => ScalarValue::Null,
        Constant::Bool(flag) => ScalarValue::Boolean(Some(*flag)),
        Constant::Int(integer) => ScalarValue::Int64(Some(*integer)),
        Constant::Float(float) => ScalarValue::Float64(Some(*float)),
        Constant::Text(text) if *kind == DataType::Utf8View => {
            ScalarValue::Utf8View(Some(text.clone()))
        }
        Constant::Text(text) => ScalarValue::Utf8(Some(text.clone())),
    }
}

fn literal(constant: &Constant) -> Typed {
    let kind = match constant {
        Constant::Null => Kind::Null,
        Constant::Bool(_) => Kind::Bool,
        Constant::Int(_) => Kind::Int,
        Constant::Float(_) => Kind::Float,
        Constant::Text(_) => Kind::Text,
    };
    Typed {
        kind,
        expr: lit(scalar(constant, &DataType::Utf8)),
        constant: Some(constant.clone()),
        is_nullable: kind == Kind::Null,
        may_fail: false,
        is_view: false,
    }
}

/// A condition without null.
fn boolean(expr: Expr, may_fail: bool) -> Typed {
    Typed {
        kind: Kind::Bool,
        expr,
        constant: None,
        is_nullable: false,
        may_fail,
        is_view: false,
    }
}

fn junction(is_any: bool, parts: Vec<Typed>) -> Typed {
    let may_fail = parts.iter().any(|part| part.may_fail);
    let parts = parts
        .into_iter()
        .map(|part| (part.expr, part.may_fail))
        .collect();
    boolean(Arc::new(Junction::new(is_any, parts)), may_fail)
}

/// The opposite of a condition without null.
fn not(condition: Typed) -> Typed {
    boolean(Arc::new(NotExpr::new(condition.expr)), condition.may_fail)
}

fn is_null(value: &Typed) -> Typed {
    if value.kind == Kind::Null {
        return literal(&Constant::Bool(true));
    }
    boolean(
        Arc::new(IsNullExpr::new(Arc::clone(&value.expr))),
        value.may_fail,
    )
}

fn compare(operator: Operator, left: Typed, right: Typed) -> Option<Typed> {
    let is_equality = matches!(operator, Operator::Equal | Operator::NotEqual);
    let may_fail = left.may_fail || right.may_fail;
    let compared = |left: Expr, right: Expr| {
        Some(boolean(
            Arc::new(Compare::new(operator, left, right)),
            may_fail,
        ))
    };
    match (left.kind, right.kind) {
        (Kind::Null, Kind::Null) if is_equality => {
            Some(literal(&Constant::Bool(operator == Operator::Equal)))
        }
        (Kind::Null, _) if is_equality => Some(against_null(operator, &right)),
        (_, Kind::Null) if is_equality => Some(against_null(operator, &left)),
        (Kind::Int, Kind::Int) | (Kind::Float, Kind::Float) => compared(left.expr, right.expr),
        (Kind::Int | Kind::Float, Kind::Int | Kind::Float) => compared(float(&left), float(&right)),
        (Kind::Bool, Kind::Bool) if is_equality => compared(left.expr, right.expr),
        (Kind::Text, Kind::Text) => {
            let (left, right) = alike(left, right);
            compared(left, right)
        }
        _ => None,
    }
}

/// `value == ()`, or `!=`.
fn against_null(operator: Operator, value: &Typed) -> Typed {
    let expr = Arc::clone(&value.expr);
    let expr: Expr = match operator {
        Operator::Equal => Arc::new(IsNullExpr::new(expr)),
        _ => Arc::new(IsNotNullExpr::new(expr)),
    };
    boolean(expr, value.may_fail)
}

/// A number as a float.
#[expect(
    clippy::cast_precision_loss,
    reason = "an integer beside a float becomes a float"
)]
fn float(value: &Typed) -> Expr {
    match (&value.constant, value.kind) {
        (Some(Constant::Int(integer)), _) => lit(ScalarValue::Float64(Some(*integer as f64))),
        (_, Kind::Int) => Arc::new(CastExpr::new(
            Arc::clone(&value.expr),
            DataType::Float64,
            None,
        )),
        _ => Arc::clone(&value.expr),
    }
}

/// Texts of one type: a constant as the column beside it has them, and columns of two types as views.
fn alike(left: Typed, right: Typed) -> (Expr, Expr) {
    let view = |constant: &Constant| lit(scalar(constant, &DataType::Utf8View));
    let viewed = |expr| -> Expr { Arc::new(CastExpr::new(expr, DataType::Utf8View, None)) };
    match (left.is_view, right.is_view) {
        (true, false) => match &right.constant {
            Some(constant) => (left.expr, view(constant)),
            None => (left.expr, viewed(right.expr)),
        },
        (false, true) => match &left.constant {
            Some(constant) => (view(constant), right.expr),
            None => (viewed(left.expr), right.expr),
        },
        _ => (left.expr, right.expr),
    }
}

fn arithmetic(operator: Operator, left: Typed, right: Typed) -> Option<Typed> {
    let sql = match operator {
        Operator::Add => Sql::Plus,
        Operator::Subtract => Sql::Minus,
        Operator::Multiply => Sql::Multiply,
        Operator::Divide => Sql::Divide,
        Operator::Remainder => Sql::Modulo,
        _ => return None,
    };
    let is_nullable = left.is_nullable || right.is_nullable;
    let operands_may_fail = left.may_fail || right.may_fail;
    let (kind, expr, may_fail): (Kind, Expr, bool) = match (left.kind, right.kind) {
        (Kind::Int, Kind::Int) => {
            if let (Some(Constant::Int(left)), Some(Constant::Int(right))) =
                (&left.constant, &right.constant)
            {
                return folded(operator, *left, *right);
            }
            // `i64::MIN / -1`, and 0.
            let is_safe = match (operator, &right.constant) {
                (Operator::Divide | Operator::Remainder, Some(Constant::Int(by))) => {
                    !matches!(by, 0 | -1)
                }
                _ => false,
            };
            let checked = BinaryExpr::new(left.expr, sql, right.expr).with_fail_on_overflow(true);
            (Kind::Int, Arc::new(checked), !is_safe)
        }
        (Kind::Int | Kind::Float, Kind::Int | Kind::Float) => {
            let expr = BinaryExpr::new(float(&left), sql, float(&right));
            (Kind::Float, Arc::new(expr), false)
        }
        // Texts are appended within a limit, which is the interpreter's to watch.
        _ => return None,
    };
    Some(Typed {
        kind,
        expr,
        constant: None,
        is_nullable,
        may_fail: may_fail || operands_may_fail,
        is_view: false,
    })
}

/// The result for two constants; nothing where they fail, which they would for every row.
fn folded(operator: Operator, left: i64, right: i64) -> Option<Typed> {
    let result = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => left.checked_div(right),
        Operator::Remainder => left.checked_rem(right),
        _ => None,
    };
    result.map(|result| literal(&Constant::Int(result)))
}

fn negated(value: Typed) -> Option<Typed> {
    match (value.kind, &value.constant) {
        (Kind::Int, Some(Constant::Int(integer))) => integer
            .checked_neg()
            .map(|result| literal(&Constant::Int(result))),
        // Checked, unlike DataFusion's own negation.
        (Kind::Int, _) => arithmetic(Operator::Subtract, literal(&Constant::Int(0)), value),
        (Kind::Float, Some(Constant::Float(float))) => Some(literal(&Constant::Float(-float))),
        (Kind::Float, _) => Some(Typed {
            expr: Arc::new(NegativeExpr::new(value.expr)),
            ..value
        }),
        _ => None,
    }
}
