//! An expression: compiled once, shared, evaluated over a scope of JSON values.

use std::sync::Arc;

use rhai::{AST, Dynamic, Position, Scope};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::room::with_room;
use crate::sandbox::Language;
use crate::suggest::{listed, nearest};
use crate::{Sandbox, ScriptError, ScriptErrorKind, operators, syntax, value};

/// An expression over named values, such as `stages.quality.metrics.silhouette > 0.2`.
///
/// It is cheap to clone, equal to another with the same source, and serialised as its source. The
/// meaning of its operators over null and over numbers of different kinds is the crate's, not rhai's:
/// see the crate's documentation and `docs/workflows.md`.
#[derive(Clone)]
pub struct Expression {
    compiled: Arc<Compiled>,
    /// Where the source begins in the scalar that it was cut from, in characters.
    offset: usize,
    /// Line and column there, counted from 1.
    start: (u32, u32),
}

struct Compiled {
    source: String,
    /// Where the first character that is no white space stands.
    first: Position,
    ast: AST,
    references: Vec<Reference>,
    calls: Vec<String>,
}

/// A dotted name that an expression reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The names, root first: `stages`, `orders`, `metrics`, `rows`. The path ends where a name is
    /// computed or a method is called.
    pub path: Vec<String>,
    /// Where it begins, in characters from the start of the source.
    pub offset: usize,
}

/// How the stages that a condition waits for ended: what `success()` and `failure()` answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusFlags {
    /// Whether any needed stage failed.
    pub failed: bool,
    /// Whether any needed stage was skipped.
    pub skipped: bool,
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// It does not parse, is nested too deeply, or calls a function that does not exist.
    pub fn compile(source: &str) -> Result<Self, ScriptError> {
        let sandbox = Sandbox::shared();
        if source.trim().is_empty() {
            return Err(ScriptError::new(
                ScriptErrorKind::Syntax,
                "the expression is empty",
            ));
        }
        let ast = sandbox.compile(Language::Expression, source, |engine| {
            engine.compile_expression(source)
        })?;
        let mut root = syntax::root(&ast).ok_or_else(|| {
            ScriptError::new(ScriptErrorKind::Syntax, "it is no expression with a value")
        })?;
        let findings = syntax::survey(&root)?;
        syntax::check_calls(&findings, true)?;
        syntax::adjust(&mut root);
        let lines = LineStarts::of(source);
        let references = findings
            .paths
            .into_iter()
            .map(|path| Reference {
                offset: lines.offset(path.position),
                path: path.names,
            })
            .collect();
        let calls = findings.calls.into_iter().map(|(name, _)| name).collect();
        let compiled = Compiled {
            source: source.to_owned(),
            first: syntax::first_character(source),
            ast: syntax::ast_of(root),
            references,
            calls,
        };
        Ok(Self {
            compiled: Arc::new(compiled),
            offset: 0,
            start: (1, 1),
        })
    }

    /// The expression as one that begins there in a longer text.
    pub(crate) const fn placed(mut self, offset: usize, start: (u32, u32)) -> Self {
        self.offset = offset;
        self.start = start;
        self
    }

    /// Line and column, counted from 1, where it begins in the text that it was cut from.
    pub(crate) const fn start(&self) -> (u32, u32) {
        self.start
    }

    /// The text that it was compiled from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.compiled.source
    }

    /// Where the source begins in the text that it was cut from, in characters; 0 for an expression
    /// that stands alone.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// What it reads, in the order of the source.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        &self.compiled.references
    }

    /// The status function that it calls first, if any: `always`, `failure` or `success`. Only the
    /// condition of a stage may call them; a condition that does is evaluated even when a needed
    /// stage failed or was skipped, and one that does not is not.
    #[must_use]
    pub fn status_function(&self) -> Option<&str> {
        let is_status = |name: &&String| syntax::STATUS_FUNCTIONS.contains(&name.as_str());
        self.compiled
            .calls
            .iter()
            .find(is_status)
            .map(String::as_str)
    }

    /// Whether the expression is nothing but a path, and which.
    #[must_use]
    pub fn as_reference(&self) -> Option<&Reference> {
        match self.references() {
            [only] if only.path.join(".") == self.source().trim() => Some(only),
            _ => None,
        }
    }

    /// Its value over the names in `scope`.
    ///
    /// # Errors
    /// A name is missing, an operand has the wrong type, a limit is exceeded, or the result has no
    /// place in JSON. `success()` is true here and `failure()` false.
    pub fn evaluate(&self, scope: &Map<String, Value>) -> Result<Value, ScriptError> {
        with_room(|| value::to_json(&self.run(scope, StatusFlags::default())?))
            .map_err(|error| error.at(self.compiled.first))
    }

    /// Whether it holds as a condition, given how the needed stages ended. Null counts as false.
    ///
    /// # Errors
    /// As [`Expression::evaluate`]; and a result that is neither true, false nor null.
    pub fn holds(
        &self,
        scope: &Map<String, Value>,
        flags: StatusFlags,
    ) -> Result<bool, ScriptError> {
        with_room(|| {
            let result = self.run(scope, flags)?;
            operators::condition(&result).map_err(|_| {
                let name = value::type_name(&result);
                ScriptError::new(
                    crate::ScriptErrorKind::Type,
                    format!("a condition must be true or false, got {name}"),
                )
                .help("compare the value with something, as in `x > 0`")
            })
        })
        .map_err(|error| error.at(self.compiled.first))
    }

    fn run(&self, scope: &Map<String, Value>, flags: StatusFlags) -> Result<Dynamic, ScriptError> {
        let mut variables = Scope::new();
        if self.status_function().is_some() {
            let succeeded = !flags.failed && !flags.skipped;
            for (name, answer) in [
                ("always", true),
                ("failure", flags.failed),
                ("success", succeeded),
            ] {
                variables.push_constant(syntax::status_variable(name), answer);
            }
        }
        for reference in self.references() {
            // Only the roots that it reads: a scope may hold the results of hundreds of stages.
            if let Some(root) = reference.path.first()
                && !variables.contains(root)
                && let Some(value) = scope.get(root)
            {
                // Not as a constant: rhai then refuses functions that might change it. None does.
                variables.push_dynamic(root.as_str(), value::to_dynamic(value));
            }
        }
        let ast = &self.compiled.ast;
        Sandbox::shared()
            .evaluate(Language::Expression, |engine| {
                engine.eval_ast_with_scope::<Dynamic>(&mut variables, ast)
            })
            .map_err(|error| self.suggest(error, scope))
    }

    /// Adds "did you mean" to an error about a name that the scope does not have.
    fn suggest(&self, error: ScriptError, scope: &Map<String, Value>) -> ScriptError {
        if error.help.is_some() {
            return error;
        }
        for reference in self.references() {
            let mut names = Some(scope);
            for name in &reference.path {
                let Some(known) = names else { break };
                match known.get(name) {
                    Some(value) => names = value.as_object(),
                    None if error.message.contains(&format!("`{name}`")) => {
                        return match nearest(name, known.keys().map(String::as_str)) {
                            Some(other) => error.help(format!("did you mean `{other}`?")),
                            None if known.is_empty() => error,
                            None => {
                                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                                let verb = if names.len() == 1 { "is" } else { "are" };
                                error.help(format!("there {verb} {}", listed(&names)))
                            }
                        };
                    }
                    None => break,
                }
            }
        }
        error
    }
}

/// Where the lines of a text begin, to turn a line and column into an offset.
struct LineStarts(Vec<usize>);

impl LineStarts {
    fn of(text: &str) -> Self {
        let after_breaks = text
            .chars()
            .enumerate()
            .filter(|(_, c)| *c == '\n')
            .map(|(index, _)| index + 1);
        Self(std::iter::once(0).chain(after_breaks).collect())
    }

    fn offset(&self, position: rhai::Position) -> usize {
        let line = position.line().unwrap_or(1).saturating_sub(1);
        let column = position.position().unwrap_or(1).saturating_sub(1);
        self.0
            .get(line)
            .copied()
            .unwrap_or(0)
            .saturating_add(column)
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Expression")
            .field(&self.source())
            .finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Eq for Expression {}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.source())
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Self::compile(&source).map_err(serde::de::Error::custom)
    }
}
