//! Reading and adjusting the syntax tree of an expression.
//!
//! rhai parses; this module finds what an expression refers to, checks that the functions it calls
//! exist, and makes `&&`, `||` take null as false by wrapping their operands in `is_true`.

use std::sync::OnceLock;

use rhai::{AST, ASTFlags, ASTNode, Engine, Expr, FnCallExpr, Position, Stmt};

use crate::error::{DISABLED, unavailable};
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
    "asin",
    "atan",
    "ceiling",
    "contains",
    "cos",
    "dedup",
    "ends_with",
    "exp",
    "extract",
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
    "max",
    "min",
    "pad",
    "parse_float",
    "parse_int",
    "range",
    "replace",
    "reverse",
    "round",
    "sign",
    "sin",
    "sort",
    "split",
    "sqrt",
    "starts_with",
    "sub_string",
    "sum",
    "tan",
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

/// Where the first character that is no white space stands.
pub(crate) fn first_character(source: &str) -> Position {
    let counted = |count: usize| u16::try_from(count + 1).ok();
    let mut starts = source.lines().enumerate().filter_map(|(line, text)| {
        let column = text
            .chars()
            .position(|character| !character.is_whitespace())?;
        Some(Position::new(counted(line)?, counted(column)?))
    });
    starts.next().unwrap_or(Position::NONE)
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
        Expr::DynamicConstant(_, position) => return Err(function_in_place(*position)),
        Expr::Stmt(block) => {
            // The `${…}` inside a backtick string makes blocks in an expression; so do functions that
            // read what is around them.
            for statement in block.statements() {
                match statement {
                    Stmt::Share(_) => return Err(function_in_place(block.position())),
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
                        .at(other.position())
                        .help(
                            "write one value, as in `x > 0 && y > 0`; statements are for scripts",
                        ));
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// `|x| x > 1`. An expression stays without loops, so that its cost is bounded by its length.
fn function_in_place(position: Position) -> ScriptError {
    let message = "an expression holds no functions of its own";
    ScriptError::new(ScriptErrorKind::Syntax, message)
        .at(position)
        .help("test for one of many values with `x in [\"a\", \"b\"]`; more is for scripts")
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
            if STATUS_FUNCTIONS.contains(&name.as_str()) {
                return Err(error
                    .help("`always()`, `success()` and `failure()` are for the `if` of a stage"));
            }
            let status: &[&str] = if with_status_functions {
                &STATUS_FUNCTIONS
            } else {
                &[]
            };
            let candidates = FUNCTIONS.iter().chain(status).copied();
            return Err(match nearest(name, candidates) {
                Some(other) => error.help(format!("did you mean `{other}`?")),
                None => error,
            });
        }
    }
    Ok(())
}

/// Functions that only scripts may call, beside those of [`FUNCTIONS`] and their own.
const SCRIPT_FUNCTIONS: &[&str] = &[
    "E",
    "PI",
    "acosh",
    "all",
    "append",
    "asinh",
    "atanh",
    "bytes",
    "call",
    "chars",
    "chop",
    "clear",
    "cosh",
    "crop",
    "drain",
    "end",
    "fill_with",
    "filter",
    "find",
    "find_map",
    "for_each",
    "fraction",
    "hypot",
    "insert",
    "is_exclusive",
    "is_inclusive",
    "make_lower",
    "make_upper",
    "map",
    "mixin",
    "order",
    "order_by",
    "order_desc",
    "pop",
    "push",
    "reduce",
    "reduce_rev",
    "remove",
    "retain",
    "set",
    "shift",
    "sinh",
    "some",
    "sort_by",
    "sort_desc",
    "splice",
    "split_rev",
    "start",
    "take",
    "tanh",
    "to_binary",
    "to_hex",
    "to_octal",
    "truncate",
    "zip",
];

/// Refuses in a script: a call of a function that is neither on the lists nor its own, and a function
/// in place that keeps a variable from around it. The latter would let a script build chains and
/// circles of functions, whose memory no limit counts.
pub(crate) fn check_script(script: &AST) -> Result<(), ScriptError> {
    let own: Vec<&str> = script
        .iter_functions()
        .map(|function| function.name)
        .collect();
    let mut wrong = None;
    let mut check = |path: &[ASTNode<'_>]| {
        wrong = match path.last() {
            Some(ASTNode::Stmt(Stmt::Share(kept))) => kept.first().map(|(name, _)| keeps(name)),
            Some(
                ASTNode::Stmt(Stmt::FnCall(call, position))
                | ASTNode::Expr(Expr::FnCall(call, position) | Expr::MethodCall(call, position)),
            ) if call.op_token.is_none() => unknown_in_script(call, *position, &own),
            _ => None,
        };
        wrong.is_none()
    };
    script.walk(&mut check);
    wrong.map_or(Ok(()), Err)
}

fn keeps(name: &rhai::Ident) -> ScriptError {
    let message = format!(
        "a function in place does not see `{}`, which is around it",
        name.name
    );
    ScriptError::new(ScriptErrorKind::Syntax, message)
        .at(name.pos)
        .help("loop over the list with `for`, or test with `x in list`")
}

fn unknown_in_script(call: &FnCallExpr, position: Position, own: &[&str]) -> Option<ScriptError> {
    let name = call.name.as_str();
    if own.contains(&name) {
        return None;
    }
    if DISABLED.contains(&name) {
        return Some(unavailable(name).at(position));
    }
    if FUNCTIONS.contains(&name) || SCRIPT_FUNCTIONS.contains(&name) {
        return None;
    }
    let message = format!("there is no function `{name}`");
    let error = ScriptError::new(ScriptErrorKind::Syntax, message).at(position);
    let known = FUNCTIONS.iter().chain(SCRIPT_FUNCTIONS);
    Some(match nearest(name, known.chain(own).copied()) {
        Some(other) => error.help(format!("did you mean `{other}`?")),
        None => error.help(format!("define it in the script: `fn {name}(…) {{ … }}`")),
    })
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
        Expr::Array(parts, _) => parts.iter_mut().for_each(adjust),
        Expr::InterpolatedString(parts, _) => {
            for part in parts.iter_mut() {
                unwrap_block(part);
                adjust(part);
            }
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

/// `${x}` in a backtick string is a block of one statement: takes the expression out of it.
fn unwrap_block(part: &mut Expr) {
    let Expr::Stmt(block) = part else { return };
    let inner = match block.statements() {
        [Stmt::Expr(inner)] => (**inner).clone(),
        [Stmt::FnCall(call, position)] => Expr::FnCall(call.clone(), *position),
        _ => return,
    };
    *part = inner;
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
