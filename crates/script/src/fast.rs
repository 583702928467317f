//! A direct evaluator for the expressions that rules are mostly made of.
//!
//! rhai looks every operator up anew in each evaluation, which costs microseconds; a rule over
//! millions of rows has tens of nanoseconds. Columns, constants, arithmetic, comparisons, logic, `??`
//! and membership in a list of constants are therefore evaluated here, by the same functions that
//! rhai's operators call, and a property test holds the two ways together. Everything else goes to
//! rhai. The expressions in compiled scripts are made of the same nodes, and of some more.

use rhai::{ASTFlags, Dynamic, Expr, ImmutableString, Position};

use crate::builtins::Builtin;
use crate::compiled::{self, Work};
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
    /// The variables of the function around the expression; none in a rule.
    pub(crate) locals: &'a [Dynamic],
    /// The script around the expression; none in a rule.
    pub(crate) work: Option<&'a Work<'a>>,
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
    // What only compiled scripts have; where one of these cannot say, rhai evaluates the row.
    /// A variable of the function.
    Local(usize),
    /// A condition that must be true or false.
    Strict(Box<Node>),
    /// A text in backticks.
    Join(Vec<Node>),
    /// A function of the language.
    Builtin(Builtin, Vec<Node>),
    /// A function of the script.
    Call(usize, Vec<Node>),
}

/// What the names in an expression are.
pub(crate) trait Names {
    /// A variable: in a rule a column.
    fn variable(&mut self, name: &str) -> Option<Node>;

    /// `of.name`.
    fn property(&mut self, _of: &Expr, _name: &str) -> Option<Node> {
        None
    }

    /// `name(arguments)`.
    fn call(&mut self, _name: &str, _arguments: &[Expr]) -> Option<Node> {
        None
    }

    /// `of.name(arguments)`.
    fn method(&mut self, _name: &str, _of: Node, _arguments: &[Expr]) -> Option<Node> {
        None
    }

    /// Whether the operands of `&&` and `||` must be true or false; in a rule the tree was adjusted
    /// so that they are.
    fn is_strict(&self) -> bool {
        false
    }
}

/// The names of a rule: its columns, by their places.
pub(crate) struct ColumnNames<F>(pub(crate) F);

impl<F: Fn(&str) -> Option<usize>> Names for ColumnNames<F> {
    fn variable(&mut self, name: &str) -> Option<Node> {
        (self.0)(name).map(Node::Column)
    }
}

/// A function of the language with these arguments.
pub(crate) fn builtin(name: &str, arguments: &[Expr], names: &mut impl Names) -> Option<Node> {
    let function = Builtin::named(name, arguments.len())?;
    let nodes = all(arguments, names)?;
    Some(Node::Builtin(function, nodes))
}

/// A function of the language as a method.
pub(crate) fn builtin_method(
    name: &str,
    of: Node,
    arguments: &[Expr],
    names: &mut impl Names,
) -> Option<Node> {
    let function = Builtin::named(name, arguments.len() + 1)?;
    let mut nodes = vec![of];
    nodes.extend(all(arguments, names)?);
    Some(Node::Builtin(function, nodes))
}

fn all(parts: &[Expr], names: &mut impl Names) -> Option<Vec<Node>> {
    parts.iter().map(|part| translate(part, names)).collect()
}

/// The operands of `&&` and `||`.
fn conditions(parts: &[Expr], names: &mut impl Names) -> Option<Vec<(Node, Position)>> {
    let mut nodes = Vec::with_capacity(parts.len());
    for part in parts {
        let node = translate(part, names)?;
        let node = if names.is_strict() {
            Node::Strict(Box::new(node))
        } else {
            node
        };
        nodes.push((node, part.position()));
    }
    Some(nodes)
}

/// `a.b["c"].d()`, whose tree leans right.
fn chain(expression: &Expr, names: &mut impl Names) -> Option<Node> {
    let (pair, flags, is_index) = match expression {
        Expr::Dot(pair, flags, _) => (pair, *flags, false),
        Expr::Index(pair, flags, _) => (pair, *flags, true),
        _ => return None,
    };
    // `?.` and `?[`, of which null is the value where there is nothing.
    if flags.contains(ASTFlags::NEGATED) {
        return None;
    }
    let (head, mut rest) = match &pair.rhs {
        Expr::Dot(inner, ..) | Expr::Index(inner, ..) if !flags.contains(ASTFlags::BREAK) => {
            (&inner.lhs, Some(&pair.rhs))
        }
        last => (last, None),
    };
    let mut node = match (head, is_index) {
        (Expr::Property(property, _), false) => names.property(&pair.lhs, &property.2)?,
        (Expr::StringConstant(text, _), true) => names.property(&pair.lhs, text)?,
        (Expr::MethodCall(call, _), false) if is_plain(call) => {
            let of = translate(&pair.lhs, names)?;
            names.method(&call.name, of, &call.args)?
        }
        _ => return None,
    };
    while let Some(Expr::Dot(pair, flags, _)) = rest {
        if flags.contains(ASTFlags::NEGATED) {
            return None;
        }
        let head;
        (head, rest) = match &pair.rhs {
            Expr::Dot(inner, ..) | Expr::Index(inner, ..) if !flags.contains(ASTFlags::BREAK) => {
                (&inner.lhs, Some(&pair.rhs))
            }
            last => (last, None),
        };
        let Expr::MethodCall(call, _) = head else {
            return None;
        };
        if !is_plain(call) {
            return None;
        }
        node = names.method(&call.name, node, &call.args)?;
    }
    // An index into what a column holds.
    rest.is_none().then_some(node)
}

/// Whether a call is one of a function by its name alone.
fn is_plain(call: &rhai::FnCallExpr) -> bool {
    call.op_token.is_none() && !call.capture_parent_scope && call.namespace.is_empty()
}

/// The expression as a tree of nodes, or nothing where it holds what only rhai can do.
pub(crate) fn translate(expression: &Expr, names: &mut impl Names) -> Option<Node> {
    Some(match expression {
        Expr::BoolConstant(..)
        | Expr::IntegerConstant(..)
        | Expr::FloatConstant(..)
        | Expr::CharConstant(..)
        | Expr::StringConstant(..)
        | Expr::Unit(..) => Node::Constant(expression.get_literal_value(None)?),
        Expr::Variable(variable, ..) => names.variable(&variable.1)?,
        Expr::And(parts, _) => Node::And(conditions(parts, names)?),
        Expr::Or(parts, _) => Node::Or(conditions(parts, names)?),
        Expr::Coalesce(parts, _) => Node::Coalesce(all(parts, names)?),
        Expr::Dot(..) | Expr::Index(..) if names.is_strict() => chain(expression, names)?,
        Expr::InterpolatedString(parts, _) if names.is_strict() => {
            let mut nodes = Vec::with_capacity(parts.len());
            for part in parts {
                nodes.push(match part {
                    Expr::Stmt(block) => match block.statements() {
                        [rhai::Stmt::Expr(inner)] => translate(inner, names)?,
                        [rhai::Stmt::FnCall(call, position)] => {
                            translate(&Expr::FnCall(call.clone(), *position), names)?
                        }
                        _ => return None,
                    },
                    plain => translate(plain, names)?,
                });
            }
            Node::Join(nodes)
        }
        Expr::FnCall(call, position) => match (call.args.as_slice(), call.op_token.is_some()) {
            // `x in [1, 2]`, which the parser has turned around.
            ([Expr::Array(items, _), value], true) if call.name == "contains" => {
                let mut constants = Vec::with_capacity(items.len());
                for item in items {
                    match translate(item, names)? {
                        Node::Constant(value) => constants.push(value),
                        _ => return None,
                    }
                }
                Node::In(Box::new(translate(value, names)?), constants, *position)
            }
            ([left, right], true) => {
                let operator = Binary::from_symbol(&call.name)?;
                let operands = (translate(left, names)?, translate(right, names)?);
                Node::Binary(operator, Box::new(operands), *position)
            }
            ([operand], true) if call.name == "-" => {
                Node::Negate(Box::new(translate(operand, names)?), *position)
            }
            ([operand], true) if call.name == "!" => {
                Node::Not(Box::new(translate(operand, names)?), *position)
            }
            (arguments, false) if names.is_strict() => {
                if !is_plain(call) {
                    return None;
                }
                names.call(&call.name, arguments)?
            }
            ([operand], false) if call.name == "is_null" => {
                Node::IsNull(Box::new(translate(operand, names)?))
            }
            ([operand], false) if call.name == "is_true" => {
                Node::IsTrue(Box::new(translate(operand, names)?), *position)
            }
            _ => return None,
        },
        _ => return None,
    })
}

impl Node {
    /// The value over a row.
    pub(crate) fn evaluate(&self, row: &Row<'_>) -> Result<Dynamic, ScriptError> {
        if let Some(work) = row.work {
            work.step(row.limits)?;
        }
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
            Self::Local(_)
            | Self::Strict(_)
            | Self::Join(_)
            | Self::Builtin(..)
            | Self::Call(..) => self.evaluate_in_script(row),
        }
    }

    /// The value of a node that only scripts have.
    fn evaluate_in_script(&self, row: &Row<'_>) -> Result<Dynamic, ScriptError> {
        let each = |nodes: &[Self]| -> Result<Vec<Dynamic>, ScriptError> {
            nodes.iter().map(|node| node.evaluate(row)).collect()
        };
        match self {
            Self::Local(slot) => {
                let local = row.locals.get(*slot).cloned();
                local.ok_or_else(compiled::left_to_rhai)
            }
            Self::Strict(node) => match node.peek(row) {
                Some(value) => compiled::strict(value).map(Dynamic::from_bool),
                None => compiled::strict(&node.evaluate(row)?).map(Dynamic::from_bool),
            },
            Self::Join(parts) => {
                let mut text = String::new();
                for part in parts {
                    let value = part.evaluate(row)?;
                    if let Ok(part) = value.as_immutable_string_ref() {
                        text.push_str(part.as_str());
                    } else if let Ok(integer) = value.as_int() {
                        text.push_str(&integer.to_string());
                    } else {
                        return Err(compiled::left_to_rhai());
                    }
                    if text.len() > row.limits.string_bytes {
                        return Err(compiled::left_to_rhai());
                    }
                }
                Ok(ImmutableString::from(text).into())
            }
            Self::Builtin(function, arguments) => {
                let value = match arguments.as_slice() {
                    [argument] => match argument.peek(row) {
                        Some(value) => function.apply(std::slice::from_ref(value)),
                        None => function.apply(&[argument.evaluate(row)?]),
                    },
                    arguments => function.apply(&each(arguments)?),
                };
                // A text may grow as its letters change.
                let value = value.filter(|value| !is_too_long(value, row.limits));
                value.ok_or_else(compiled::left_to_rhai)
            }
            Self::Call(function, arguments) => {
                let arguments = each(arguments)?;
                let work = row.work.ok_or_else(compiled::left_to_rhai)?;
                work.call_deeper(*function, arguments, row)
            }
            _ => Err(compiled::left_to_rhai()),
        }
    }

    /// A value that is there without computing or copying.
    #[inline]
    fn peek<'a>(&'a self, row: &Row<'a>) -> Option<&'a Dynamic> {
        match self {
            Self::Constant(value) => Some(value),
            Self::Column(index) => row.cells.get(*index),
            Self::Local(slot) => row.locals.get(*slot),
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
    use super::{ColumnNames, Row, translate};
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
        let place = |name: &str| ["a", "b"].iter().position(|known| *known == name);
        let node = translate(&root, &mut ColumnNames(place))?;
        let cells = [Dynamic::from_int(2), Dynamic::UNIT];
        let limits = &Limits::default();
        let row = Row {
            cells: &cells,
            limits,
            locals: &[],
            work: None,
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
