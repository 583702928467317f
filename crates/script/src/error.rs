//! What goes wrong in a script, told to the person who wrote it.

use std::fmt;

use marquetry_types::{Diagnostic, ErrorCode, codes};
use rhai::{EvalAltResult, ParseError, ParseErrorType, Position};

/// An error of a script or expression. Line and column count from 1 within the script's own text;
/// who knows the file, the stage or the row adds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError {
    /// What kind of error it is.
    pub kind: ScriptErrorKind,
    /// What is wrong, in lower case.
    pub message: String,
    /// The line within the script, where known.
    pub line: Option<u32>,
    /// The column in characters within that line, where known.
    pub column: Option<u32>,
    /// What to do instead.
    pub help: Option<String>,
}

/// The kinds of script error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScriptErrorKind {
    /// It does not parse, or names what does not exist.
    Syntax,
    /// It fails when it runs.
    Runtime,
    /// It exceeds its [`Limits`](crate::Limits).
    Limit,
    /// It gives or uses a value of the wrong type.
    Type,
}

impl ScriptError {
    pub(crate) fn new(kind: ScriptErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            line: None,
            column: None,
            help: None,
        }
    }

    pub(crate) fn at(mut self, position: Position) -> Self {
        if self.line.is_none() {
            self.line = position.line().and_then(|line| u32::try_from(line).ok());
            // A position at the beginning of a line has no column.
            self.column = self.line.map(|_| {
                position
                    .position()
                    .and_then(|n| u32::try_from(n).ok())
                    .unwrap_or(1)
            });
        }
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The error's stable code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self.kind {
            ScriptErrorKind::Syntax => codes::SCRIPT_SYNTAX,
            ScriptErrorKind::Runtime => codes::SCRIPT_RUNTIME,
            ScriptErrorKind::Limit => codes::SCRIPT_LIMIT,
            ScriptErrorKind::Type => codes::SCRIPT_TYPE,
        }
    }

    /// The error as a diagnostic without a location; its message says the place within the script.
    #[must_use]
    pub fn to_diagnostic(&self) -> Diagnostic {
        let diagnostic = Diagnostic::new(self.code(), self.to_string());
        match &self.help {
            Some(help) => diagnostic.help(help.clone()),
            None => diagnostic,
        }
    }

    pub(crate) fn from_parse(error: &ParseError) -> Self {
        explain_parse(error.err_type()).at(error.position())
    }

    pub(crate) fn from_eval(error: &EvalAltResult) -> Self {
        explain_eval(error)
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match (self.line, self.column) {
            (Some(line), Some(column)) => {
                write!(formatter, " (line {line}, column {column} of the script)")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ScriptError {}

/// rhai's messages in this house's words: lower case, no trailing period, and advice where the usual
/// mistake is known.
fn explain_parse(error: &ParseErrorType) -> ScriptError {
    use ScriptErrorKind::{Limit, Syntax};
    let text = |message: String| ScriptError::new(Syntax, message);
    match error {
        ParseErrorType::UnexpectedEOF => text("it ends too early".to_owned()),
        ParseErrorType::ExprTooDeep => ScriptError::new(Limit, "it is nested too deeply")
            .help("split it, or test for one of many values with `x in [\"a\", \"b\"]`"),
        ParseErrorType::LiteralTooLarge(what, limit) => ScriptError::new(
            Limit,
            format!("a literal is too large: {what}, limit {limit}"),
        ),
        ParseErrorType::TooManyFunctions => {
            ScriptError::new(Limit, "it defines too many functions")
        }
        ParseErrorType::Reserved(symbol) if DISABLED.contains(&symbol.as_str()) => text(format!(
            "`{symbol}` is not available in scripts"
        ))
        .help("scripts read their inputs and give a value; they reach no file, clock or console"),
        ParseErrorType::BadInput(error) => {
            let message = lower_first(&error.to_string());
            if message.starts_with("invalid character") {
                text(message).help("write text in double quotes or backticks, as in `\"gold\"`")
            } else {
                text(message)
            }
        }
        ParseErrorType::AssignmentToInvalidLHS(_) | ParseErrorType::AssignmentToConstant(_) => {
            text(lower_first(&error.to_string())).help("to compare, write `==`")
        }
        ParseErrorType::MissingToken(token, why) => text(
            format!("expected `{token}` {}", lower_first(why))
                .trim_end()
                .to_owned(),
        ),
        other => {
            let message = lower_first(&other.to_string());
            if message.contains("'='") {
                text(message).help("to compare, write `==`")
            } else {
                text(message)
            }
        }
    }
}

/// Names that the sandbox takes out of the language. `sleep` would spend time without operations.
pub(crate) const DISABLED: [&str; 8] = [
    "eval",
    "import",
    "export",
    "print",
    "debug",
    "sleep",
    "parse_json",
    "exit",
];

fn explain_eval(error: &EvalAltResult) -> ScriptError {
    use EvalAltResult as E;
    use ScriptErrorKind::{Limit, Runtime, Type};
    let position = error.position();
    let explained = match error {
        E::ErrorParsing(kind, _) => explain_parse(kind),
        E::ErrorInFunctionCall(name, _, inner, _) => {
            let inner = explain_eval(inner);
            let message = format!("{} (in function `{name}`)", inner.message);
            ScriptError { message, ..inner }
        }
        E::ErrorVariableNotFound(name, _) => {
            ScriptError::new(Runtime, format!("there is no variable `{name}`"))
        }
        E::ErrorPropertyNotFound(name, _) => {
            ScriptError::new(Runtime, format!("there is no `{name}` here"))
        }
        E::ErrorIndexNotFound(index, _) => {
            ScriptError::new(Runtime, format!("there is no element `{index}` here"))
        }
        E::ErrorFunctionNotFound(signature, _) => {
            let signature = readable_types(signature);
            let explained = ScriptError::new(Type, format!("there is no function `{signature}`"));
            if signature.contains("null") {
                explained
                    .help("a value is null here: give a default, as in `x ?? 0` or `x ?? \"\"`")
            } else {
                explained
            }
        }
        E::ErrorMismatchDataType(expected, actual, _)
        | E::ErrorMismatchOutputType(expected, actual, _) => ScriptError::new(
            Type,
            format!(
                "expected {}, got {}",
                readable_types(expected),
                readable_types(actual)
            ),
        ),
        E::ErrorIndexingType(name, _) => {
            ScriptError::new(Type, format!("{} has no elements", readable_types(name)))
        }
        E::ErrorDotExpr(message, _) => {
            ScriptError::new(Type, readable_types(&lower_first(message)))
        }
        E::ErrorArithmetic(message, _) => ScriptError::new(Runtime, lower_first(message)),
        E::ErrorTooManyOperations(_) => ScriptError::new(Limit, "it runs for too long")
            .help("look for a loop without an end; a script has a fixed number of operations"),
        E::ErrorStackOverflow(_) => ScriptError::new(Limit, "functions call each other too deeply")
            .help("look for a function that calls itself without an end"),
        E::ErrorDataTooLarge(what, _) => ScriptError::new(
            Limit,
            format!("a value grows too large: {}", lower_first(what)),
        ),
        E::ErrorTooManyVariables(_) => ScriptError::new(Limit, "it declares too many variables"),
        E::ErrorRuntime(value, _) => match crate::operators::mismatch_of(value) {
            Some(message) => ScriptError::new(Type, message),
            None if value.is_unit() => ScriptError::new(Runtime, "it was stopped by `throw`"),
            None => ScriptError::new(Runtime, value.to_string()),
        },
        other => {
            let text = other.to_string();
            // rhai appends the position to its text; it is kept apart here.
            let message = text.split(" (line ").next().unwrap_or(&text);
            ScriptError::new(Runtime, readable_types(&lower_first(message)))
        }
    };
    explained.at(position)
}

/// rhai's type names in the words of JSON and YAML.
fn readable_types(text: &str) -> String {
    text.replace("&str | ImmutableString | String", "string")
        .replace("ImmutableString", "string")
        .replace("i64", "int")
        .replace("f64", "float")
        .replace("()", "null")
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}
