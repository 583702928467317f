//! A rule as a tree that other evaluators can read.
//!
//! Who holds rows by column may evaluate a rule for thousands of rows at a time. What the parts of the
//! tree mean is what [`Operator`] says; whoever evaluates it differently must give the same values, or
//! leave the rule to [`RowScript`](crate::RowScript).

use rhai::Dynamic;

use crate::fast::Node;
use crate::operators::Binary as Operator;

/// An expression over columns: what a rule says, without the places of its parts.
#[derive(Debug, Clone, PartialEq)]
pub enum Formula {
    /// The same for every row.
    Constant(Constant),
    /// A column, by its number among those that the rule was compiled for.
    Column(usize),
    /// An operator between two values.
    Binary(Operator, Box<(Formula, Formula)>),
    /// `-x`; null stays null.
    Negate(Box<Formula>),
    /// `!x` of a condition, in which null counts as false.
    Not(Box<Formula>),
    /// Whether all conditions hold; those after the first that does not are not looked at.
    And(Vec<Formula>),
    /// Whether any condition holds; those after the first that does are not looked at.
    Or(Vec<Formula>),
    /// The first value that is not null; those after it are not looked at.
    Coalesce(Vec<Formula>),
    /// Whether a value is null.
    IsNull(Box<Formula>),
    /// A condition, in which null counts as false.
    IsTrue(Box<Formula>),
    /// Whether a value equals one of some constants.
    In(Box<Formula>, Vec<Constant>),
}

/// A value in the text of a rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    /// `()`.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text, or a character.
    Text(String),
}

impl Constant {
    fn of(value: &Dynamic) -> Option<Self> {
        if value.is_unit() {
            return Some(Self::Null);
        }
        if let Ok(flag) = value.as_bool() {
            return Some(Self::Bool(flag));
        }
        if let Ok(integer) = value.as_int() {
            return Some(Self::Int(integer));
        }
        if let Ok(float) = value.as_float() {
            return Some(Self::Float(float));
        }
        if let Ok(character) = value.as_char() {
            return Some(Self::Text(character.to_string()));
        }
        let text = value.as_immutable_string_ref().ok()?;
        Some(Self::Text(text.to_string()))
    }
}

/// The tree of a node; nothing where it holds what a formula does not have. `reads` has the numbers of
/// the columns in the places that the node knows.
pub(crate) fn formula_of(node: &Node, reads: &[(usize, String)]) -> Option<Formula> {
    let one = |node: &Node| formula_of(node, reads).map(Box::new);
    Some(match node {
        Node::Constant(value) => Formula::Constant(Constant::of(value)?),
        Node::Column(place) => Formula::Column(reads.get(*place)?.0),
        Node::Binary(operator, operands, _) => {
            let (left, right) = (
                formula_of(&operands.0, reads)?,
                formula_of(&operands.1, reads)?,
            );
            Formula::Binary(*operator, Box::new((left, right)))
        }
        Node::Negate(operand, _) => Formula::Negate(one(operand)?),
        Node::Not(operand, _) => Formula::Not(one(operand)?),
        Node::And(parts) => Formula::And(
            parts
                .iter()
                .map(|(part, _)| formula_of(part, reads))
                .collect::<Option<_>>()?,
        ),
        Node::Or(parts) => Formula::Or(
            parts
                .iter()
                .map(|(part, _)| formula_of(part, reads))
                .collect::<Option<_>>()?,
        ),
        Node::Coalesce(parts) => Formula::Coalesce(
            parts
                .iter()
                .map(|part| formula_of(part, reads))
                .collect::<Option<_>>()?,
        ),
        Node::IsNull(operand) => Formula::IsNull(one(operand)?),
        Node::IsTrue(operand, _) => Formula::IsTrue(one(operand)?),
        Node::In(operand, items, _) => Formula::In(
            one(operand)?,
            items.iter().map(Constant::of).collect::<Option<_>>()?,
        ),
        Node::Local(_) | Node::Strict(_) | Node::Join(_) | Node::Builtin(..) | Node::Call(..) => {
            return None;
        }
    })
}
