//! Reading and adjusting the syntax tree of an expression.
//!
//! rhai parses; this module finds what an expression refers to, checks that the functions it calls
//! exist, and makes `&&`, `||` take null as false by wrapping their operands in `is_true`.

use std::sync::OnceLock;

use rhai::{AST, ASTFlags, Engine, Expr, FnCallExpr, Position, Stmt};

use crate::operators::Binary;
use crate::suggest::nearest;
use crate::{ScriptError, ScriptErrorKind};

/// What an expression reads: `stages.orders.metrics.rows` is the path `stages`, `orders`, `metrics`,
/// `rows`. A path ends where a name is computed or a method is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) names: Vec<String>,
    pub(crate) position: Position,
}

/// The status functions, which only the condition of a stage may call.
pub(crate) const STATUS_FUNCTIONS: [&str; 3] = ["always", "failure", "success"];

/// The functions that an expression may call. A list of what is allowed, so that a function that a
/// new version of rhai brings is not reachable before somebody looked at it.
pub(crate) const FUNCTIONS: &[&str] = &[
    "abs",
    "acos",
    "all",
    "asin",
    "atan",
    "ceiling",
    "chars",
    "contains",
    "cos",
    "crop",
    "dedup",
    "ends_with",
    "exp",
    "extract",
    "filter",
    "find",
    "first",
    "floor",
    "get",
    "index_of",
    "int",
    "is_empty",
    "is_even",
    "is_finite",
    "is_infinite",
    "is_nan",
    "is_null",
    "is_odd",
    "is_true",
    "is_zero",
    "keys",
    "last",
    "len",
    "ln",
    "log",
    "make_lower",
    "make_upper",
    "map",
    "max",
    "min",
    "pad",
    "parse_float",
    "parse_int",
    "range",
    "reduce",
    "replace",
    "reverse",
    "round",
    "sign",
    "sin",
    "some",
    "sort",
    "split",
    "sqrt",
    "starts_with",
    "sub_string",
    "sum",
    "tan",
    "to_array",
    "to_chars",
    "to_degrees",
    "to_float",
    "to_int",
    "to_lower",
    "to_radians",
    "to_string",
    "to_upper",
    "trim",
    "type_of",
    "values",
];

/// Levels of nesting that the walks below follow. The parser allows fewer, so that this is not met.
const MAX_DEPTH: usize = 512;

/// The one expression that an AST of `compile_expression` holds.
pub(crate) fn root(ast: &AST) -> Option<Expr> {
    match ast.statements() {
        [Stmt::Expr(expression)] => Some((**expression).clone()),
        [Stmt::FnCall(call, position)] => Some(Expr::FnCall(call.clone(), *position)),
        _ => None,
    }
}

/// An AST that evaluates the expression.
pub(crate) fn ast_of(expression: Expr) -> AST {
    AST::new([Stmt::Expr(Box::new(expression))], rhai::Module::new())
}

/// What a walk over an expression finds.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) paths: Vec<Path>,
    pub(crate) calls: Vec<(String, Position)>,
}

/// Finds every path and every function call, in the order of the source.
pub(crate) fn survey(expression: &Expr) -> Result<Findings, ScriptError> {
    let mut findings = Findings::default();
    walk(expression, &mut findings, 0)?;
    findings.paths.sort_by_key(|path| path.position);
    Ok(findings)
}

fn walk(expression: &Expr, findings: &mut Findings, depth: usize) -> Result<(), ScriptError> {
    if depth > MAX_DEPTH {
        return Err(ScriptError::new(
            ScriptErrorKind::Limit,
            "it is nested too deeply",
        ));
    }
    let deeper = depth + 1;
    match expression {
        Expr::Variable(..) => {
            let (name, position) = variable(expression);
            findings.paths.push(Path {
                names: vec![name],
                position,
            });
        }
        Expr::Dot(..) | Expr::Index(..) => walk_chain(expression, findings, deeper)?,
        Expr::FnCall(call, position) | Expr::MethodCall(call, position) => {
            note_call(call, *position, findings);
            for argument in &call.args {
                walk(argument, findings, deeper)?;
            }
        }
        Expr::And(parts, _) | Expr::Or(parts, _) | Expr::Coalesce(parts, _) => {
            for part in parts.iter() {
                walk(part, findings, deeper)?;
            }
        }
        Expr::Array(parts, _) | Expr::InterpolatedString(parts, _) => {
            for part in parts.iter() {
                walk(part, findings, deeper)?;
            }
        }
        Expr::Map(entries, _) => {
            for (_, value) in &entries.0 {
                walk(value, findings, deeper)?;
            }
        }
        Expr::Stmt(block) => {
            // Only the `${…}` inside a backtick string makes blocks in an expression.
            for statement in block.statements() {
                match statement {
                    Stmt::Expr(inner) => walk(inner, findings, deeper)?,
                    Stmt::FnCall(call, position) => {
                        note_call(call, *position, findings);
                        for argument in &call.args {
                            walk(argument, findings, deeper)?;
                        }
                    }
                    Stmt::Noop(_) => {}
                    other => {
                        return Err(ScriptError::new(
                            ScriptErrorKind::Syntax,
                            "an expression holds no statements",
                        )
                        .at(other.position()));
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// `a.b["c"].d`: the tree leans right, each node holding the next name at the left of its right side.
fn walk_chain(expression: &Expr, findings: &mut Findings, depth: usize) -> Result<(), ScriptError> {
    let mut path = None;
    let mut node = expression;
    let mut first = true;
    loop {
        let (pair, flags, is_index) = match node {
            Expr::Dot(pair, flags, _) => (pair, *flags, false),
            Expr::Index(pair, flags, _) => (pair, *flags, true),
            _ => break,
        };
        if first {
            if matches!(pair.lhs, Expr::Variable(..)) {
                let (name, position) = variable(&pair.lhs);
                path = Some(findings.paths.len());
                findings.paths.push(Path {
                    names: vec![name],
                    position,
                });
            } else {
                walk(&pair.lhs, findings, depth)?;
            }
            first = false;
        }
        let goes_on = !flags.contains(ASTFlags::BREAK);
        let (head, next) = match &pair.rhs {
            Expr::Dot(inner, ..) | Expr::Index(inner, ..) if goes_on => {
                (&inner.lhs, Some(&pair.rhs))
            }
            last => (last, None),
        };
        let name = match head {
            Expr::Property(property, _) if !is_index => Some(property.2.to_string()),
            Expr::StringConstant(text, _) if is_index => Some(text.to_string()),
            _ => None,
        };
        match (name, path) {
            (Some(name), Some(index)) => {
                if let Some(path) = findings.paths.get_mut(index) {
                    path.names.push(name);
                }
            }
            (Some(_), None) => {}
            (None, _) => {
                path = None;
                walk(head, findings, depth)?;
            }
        }
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    Ok(())
}

fn variable(expression: &Expr) -> (String, Position) {
    let name = match expression {
        Expr::Variable(variable, ..) => variable.1.to_string(),
        _ => String::new(),
    };
    (name, expression.position())
}

fn note_call(call: &FnCallExpr, position: Position, findings: &mut Findings) {
    if call.op_token.is_none() {
        findings.calls.push((call.name.to_string(), position));
    }
}

/// Refuses a call of a function that is not on the list.
pub(crate) fn check_calls(
    findings: &Findings,
    with_status_functions: bool,
) -> Result<(), ScriptError> {
    for (name, position) in &findings.calls {
        let known = FUNCTIONS.contains(&name.as_str())
            || (with_status_functions && STATUS_FUNCTIONS.contains(&name.as_str()));
        if !known {
            let message = format!("there is no function `{name}`");
            let error = ScriptError::new(ScriptErrorKind::Syntax, message).at(*position);
            let candidates = FUNCTIONS.iter().chain(&STATUS_FUNCTIONS).copied();
            return Err(match nearest(name, candidates) {
                Some(other) => error.help(format!("did you mean `{other}`?")),
                None => error,
            });
        }
    }
    Ok(())
}

/// The variable that stands for a status function once the tree is adjusted.
pub(crate) fn status_variable(function: &str) -> String {
    format!("{function}__")
}

/// Parts that the adjusted tree is made of, parsed once: their hashes are rhai's own business.
struct Parts {
    /// `is_true(())`.
    is_true: FnCallExpr,
    /// The status functions with the variables that replace them.
    status: Vec<(&'static str, Expr)>,
}

fn parts() -> Option<&'static Parts> {
    static PARTS: OnceLock<Option<Parts>> = OnceLock::new();
    PARTS
        .get_or_init(|| {
            let engine = Engine::new_raw();
            let parse = |source: &str| root(&engine.compile_expression(source).ok()?);
            let Expr::FnCall(is_true, _) = parse("is_true(x)")? else {
                return None;
            };
            let status = STATUS_FUNCTIONS
                .iter()
                .map(|name| Some((*name, parse(&status_variable(name))?)))
                .collect::<Option<Vec<_>>>()?;
            Some(Parts {
                is_true: *is_true,
                status,
            })
        })
        .as_ref()
}

/// Makes `&&` and `||` take null as false, and status functions read their variables. The nesting was
/// bounded by [`survey`].
pub(crate) fn adjust(expression: &mut Expr) {
    match expression {
        Expr::And(parts, _) | Expr::Or(parts, _) => {
            for part in parts.iter_mut() {
                adjust(part);
                if !is_boolean(part) {
                    wrap_in_is_true(part);
                }
            }
        }
        Expr::Coalesce(parts, _) => parts.iter_mut().for_each(adjust),
        Expr::Array(parts, _) | Expr::InterpolatedString(parts, _) => {
            parts.iter_mut().for_each(adjust);
        }
        Expr::Map(entries, _) => entries.0.iter_mut().for_each(|(_, value)| adjust(value)),
        Expr::Dot(pair, ..) | Expr::Index(pair, ..) => {
            adjust(&mut pair.lhs);
            adjust(&mut pair.rhs);
        }
        Expr::MethodCall(call, _) => call.args.iter_mut().for_each(adjust),
        Expr::FnCall(call, _) => {
            let status = parts().and_then(|parts| {
                parts
                    .status
                    .iter()
                    .find(|(name, _)| *name == call.name && call.args.is_empty())
            });
            match status {
                Some((_, variable)) => *expression = variable.clone(),
                None => call.args.iter_mut().for_each(adjust),
            }
        }
        _ => {}
    }
}

fn is_boolean(expression: &Expr) -> bool {
    match expression {
        Expr::BoolConstant(..) | Expr::And(..) | Expr::Or(..) => true,
        Expr::FnCall(call, _) if call.op_token.is_some() => {
            call.name == "!" || Binary::from_symbol(&call.name).is_some_and(Binary::is_comparison)
        }
        _ => false,
    }
}

fn wrap_in_is_true(expression: &mut Expr) {
    let Some(parts) = parts() else { return };
    let position = expression.position();
    let mut call = parts.is_true.clone();
    if let Some(argument) = call.args.first_mut() {
        *argument = std::mem::take(expression);
        *expression = Expr::FnCall(Box::new(call), position);
    }
}
