//! A direct evaluator for the expressions that rules are mostly made of.
//!
//! rhai looks every operator up anew in each evaluation, which costs microseconds; a rule over
//! millions of rows has tens of nanoseconds. Columns, constants, arithmetic, comparisons, logic, `??`
//! and membership in a list of constants are therefore evaluated here, by the same functions that
//! rhai's operators call, and a property test holds the two ways together. Everything else goes to
//! rhai.

use rhai::{Dynamic, Expr, Position};

use crate::error::{ScriptError, mismatch, too_large};
use crate::operators::{self, Binary, OperatorError};
use crate::{Limits, ScriptErrorKind, value};

/// What an expression is evaluated over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    /// The cells, which stand where `column` said in [`translate`].
    pub(crate) cells: &'a [Dynamic],
    /// Of these, texts have a say: a tree without loops visits fewer nodes than it has bytes.
    pub(crate) limits: &'a Limits,
}

/// An expression over columns, by their places in the row.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Constant(Dynamic),
    Column(usize),
    Binary(Binary, Box<(Node, Node)>, Position),
    Negate(Box<Node>, Position),
    Not(Box<Node>, Position),
    And(Vec<(Node, Position)>),
    Or(Vec<(Node, Position)>),
    Coalesce(Vec<Node>),
    IsNull(Box<Node>),
    IsTrue(Box<Node>, Position),
    /// Whether a value is one of some constants.
    In(Box<Node>, Vec<Dynamic>, Position),
}

/// The expression as a tree of nodes, or nothing where it holds what only rhai can do. `column` gives
/// the place of a column.
pub(crate) fn translate(
    expression: &Expr,
    column: &impl Fn(&str) -> Option<usize>,
) -> Option<Node> {
    let each = |parts: &[Expr]| -> Option<Vec<(Node, Position)>> {
        parts
            .iter()
            .map(|part| Some((translate(part, column)?, part.position())))
            .collect()
    };
    Some(match expression {
        Expr::BoolConstant(..)
        | Expr::IntegerConstant(..)
        | Expr::FloatConstant(..)
        | Expr::CharConstant(..)
        | Expr::StringConstant(..)
        | Expr::Unit(..) => Node::Constant(expression.get_literal_value(None)?),
        Expr::Variable(variable, ..) => Node::Column(column(&variable.1)?),
        Expr::And(parts, _) => Node::And(each(parts)?),
        Expr::Or(parts, _) => Node::Or(each(parts)?),
        Expr::Coalesce(parts, _) => {
            Node::Coalesce(each(parts)?.into_iter().map(|(node, _)| node).collect())
        }
        Expr::FnCall(call, position) => match (call.args.as_slice(), call.op_token.is_some()) {
            // `x in [1, 2]`, which the parser has turned around.
            ([Expr::Array(items, _), value], true) if call.name == "contains" => {
                let constant = |item: &Expr| match translate(item, column)? {
                    Node::Constant(value) => Some(value),
                    _ => None,
                };
                let items = items.iter().map(constant).collect::<Option<Vec<_>>>()?;
                Node::In(Box::new(translate(value, column)?), items, *position)
            }
            ([left, right], true) => {
                let operator = Binary::from_symbol(&call.name)?;
                let operands = (translate(left, column)?, translate(right, column)?);
                Node::Binary(operator, Box::new(operands), *position)
            }
            ([operand], true) if call.name == "-" => {
                Node::Negate(Box::new(translate(operand, column)?), *position)
            }
            ([operand], true) if call.name == "!" => {
                Node::Not(Box::new(translate(operand, column)?), *position)
            }
            ([operand], false) if call.name == "is_null" => {
                Node::IsNull(Box::new(translate(operand, column)?))
            }
            ([operand], false) if call.name == "is_true" => {
                Node::IsTrue(Box::new(translate(operand, column)?), *position)
            }
            _ => return None,
        },
        _ => return None,
    })
}

impl Node {
    /// The value over a row.
    pub(crate) fn evaluate(&self, row: &Row<'_>) -> Result<Dynamic, ScriptError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Column(index) => Ok(row.cells.get(*index).cloned().unwrap_or(Dynamic::UNIT)),
            Self::Binary(operator, operands, position) => {
                let (left, right) = &**operands;
                let result = match (left.peek(row), right.peek(row)) {
                    (Some(left), Some(right)) => operator.apply(left, right),
                    (Some(left), None) => operator.apply(left, &right.evaluate(row)?),
                    (None, Some(right)) => operator.apply(&left.evaluate(row)?, right),
                    (None, None) => operator.apply(&left.evaluate(row)?, &right.evaluate(row)?),
                };
                let result = result.map_err(|error| failed(error, *position))?;
                if *operator == Binary::Add && is_too_long(&result, row.limits) {
                    return Err(too_large("Length of string", row.limits).at(*position));
                }
                Ok(result)
            }
            Self::Negate(operand, position) => {
                operators::negate(&operand.evaluate(row)?).map_err(|error| failed(error, *position))
            }
            Self::Not(operand, position) => operand
                .holds(row, *position)
                .map(|holds| Dynamic::from_bool(!holds)),
            Self::IsTrue(operand, position) => {
                operand.holds(row, *position).map(Dynamic::from_bool)
            }
            Self::And(parts) => {
                for (part, position) in parts {
                    if !part.holds(row, *position)? {
                        return Ok(Dynamic::FALSE);
                    }
                }
                Ok(Dynamic::TRUE)
            }
            Self::Or(parts) => {
                for (part, position) in parts {
                    if part.holds(row, *position)? {
                        return Ok(Dynamic::TRUE);
                    }
                }
                Ok(Dynamic::FALSE)
            }
            Self::Coalesce(parts) => {
                for part in parts {
                    let value = part.evaluate(row)?;
                    if !value.is_unit() {
                        return Ok(value);
                    }
                }
                Ok(Dynamic::UNIT)
            }
            Self::In(operand, items, position) => {
                let value = operand.evaluate(row)?;
                for item in items {
                    if operators::equal(item, &value).map_err(|error| failed(error, *position))? {
                        return Ok(Dynamic::TRUE);
                    }
                }
                Ok(Dynamic::FALSE)
            }
            Self::IsNull(operand) => Ok(Dynamic::from_bool(operand.evaluate(row)?.is_unit())),
        }
    }

    /// A value that is there without computing or copying.
    #[inline]
    fn peek<'a>(&'a self, row: &Row<'a>) -> Option<&'a Dynamic> {
        match self {
            Self::Constant(value) => Some(value),
            Self::Column(index) => row.cells.get(*index),
            _ => None,
        }
    }

    fn holds(&self, row: &Row<'_>, position: Position) -> Result<bool, ScriptError> {
        operators::condition(&self.evaluate(row)?).map_err(|error| failed(error, position))
    }
}

fn is_too_long(value: &Dynamic, limits: &Limits) -> bool {
    let text = value.as_immutable_string_ref();
    text.is_ok_and(|text| text.len() > limits.string_bytes)
}

fn failed(error: OperatorError, position: Position) -> ScriptError {
    let error = match error {
        OperatorError::Mismatch(message) => mismatch(message),
        OperatorError::Arithmetic(message) => ScriptError::new(ScriptErrorKind::Runtime, message),
    };
    error.at(position)
}

/// Whether a result is a match: true is, false and null are not.
pub(crate) fn is_match(result: &Dynamic) -> Result<bool, ScriptError> {
    operators::condition(result).map_err(|_| {
        let name = value::type_name(result);
        let message = format!("a rule must give true or false, got {name}");
        ScriptError::new(ScriptErrorKind::Type, message)
            .help("compare the value with something, as in `x > 0`")
    })
}

#[cfg(test)]
mod tests {
    use super::{Row, translate};
    use crate::sandbox::Language;
    use crate::{Limits, Sandbox, syntax};
    use rhai::Dynamic;

    /// The value over `a` = 2 and `b` = null, or nothing where rhai must evaluate it.
    fn direct(source: &str) -> Option<Dynamic> {
        let ast = Sandbox::shared()
            .compile(Language::Expression, source, |engine| {
                engine.compile_expression(source)
            })
            .ok()?;
        let mut root = syntax::root(&ast)?;
        syntax::adjust(&mut root);
        let node = translate(&root, &|name| {
            ["a", "b"].iter().position(|known| *known == name)
        })?;
        let cells = [Dynamic::from_int(2), Dynamic::UNIT];
        let limits = &Limits::default();
        let row = Row {
            cells: &cells,
            limits,
        };
        node.evaluate(&row).ok()
    }

    #[test]
    fn what_rules_are_made_of_needs_no_rhai() {
        for source in [
            "a + 1 * 2 - 3 / 4.0 % 5 == 3.25",
            "a < 3 && a <= 2 && a > 1 && a >= 2 && a != 3",
            "!(a == 1) || b",
            "(b ?? a) == 2",
            "-a == -2",
            "is_null(b) && is_true(a == 2)",
        ] {
            let value = direct(source).map(|value| value.as_bool());
            assert_eq!(value, Some(Ok(true)), "{source}");
        }
    }

    #[test]
    fn the_rest_is_left_to_rhai() {
        for source in [
            "[a]",
            "a.abs()",
            "a in [a]",
            "a in 1..3",
            "`${a}`",
            "a ** 2",
            "c",
        ] {
            assert!(direct(source).is_none(), "{source}");
        }
    }
}
