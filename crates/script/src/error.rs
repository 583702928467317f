//! What goes wrong in a script, told to the person who wrote it.

use std::fmt;

use marquetry_types::{Diagnostic, ErrorCode, codes};
use rhai::{EvalAltResult, ParseError, ParseErrorType, Position};

use crate::Limits;
use crate::sandbox::MAX_DEFINITIONS;

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
    /// An error without a place and advice.
    pub fn new(kind: ScriptErrorKind, message: impl Into<String>) -> Self {
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

    /// The error with what to do instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
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

    pub(crate) fn from_eval(error: &EvalAltResult, limits: &Limits) -> Self {
        explain_eval(error, limits)
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
        ParseErrorType::UnexpectedEOF => text("it ends too early".to_owned())
            .help("look for an operator without a value after it, or a `(`, `[` or `{` left open"),
        ParseErrorType::ExprTooDeep => ScriptError::new(Limit, "it is nested too deeply")
            .help("split it, or test for one of many values with `x in [\"a\", \"b\"]`"),
        ParseErrorType::LiteralTooLarge(what, limit) => ScriptError::new(
            Limit,
            format!(
                "a literal is too large: {}, limit {limit}",
                lower_first(what)
            ),
        )
        .help("split it: data does not belong into a script"),
        ParseErrorType::TooManyFunctions => {
            ScriptError::new(Limit, "it defines too many functions")
                .help(format!("a script may define {MAX_DEFINITIONS}"))
        }
        ParseErrorType::Reserved(symbol) if DISABLED.contains(&symbol.as_str()) => {
            unavailable(symbol)
        }
        ParseErrorType::BadInput(error) => {
            let message = lower_first(&error.to_string());
            // As in "reserved keyword 'eval' is disabled".
            let quoted = message.split('\'').nth(1).unwrap_or_default();
            if message.ends_with(" is disabled") && DISABLED.contains(&quoted) {
                unavailable(quoted)
            } else {
                advised(message)
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
        other => advised(lower_first(&other.to_string())),
    }
}

/// A message of rhai's parser with advice, where the mistake is a usual one.
fn advised(message: String) -> ScriptError {
    let text = |message: String| ScriptError::new(ScriptErrorKind::Syntax, message);
    // As in "unexpected ''===' is not a valid operator. This is not JavaScript! Should it be '=='?".
    if let Some((_, rest)) = message.split_once("hould it be ") {
        let symbol = message
            .trim_start_matches("unexpected ")
            .split('\'')
            .find(|part| !part.is_empty());
        let meant: String = rest
            .trim_matches(|c| matches!(c, '\'' | '?' | ' ' | '.'))
            .to_owned();
        let meant = meant.strip_prefix("simply '").unwrap_or(&meant);
        let message = format!("`{}` is no operator", symbol.unwrap_or_default());
        // Where `=` is meant, `==` is what an expression has.
        let meant = if meant == "=" { "==" } else { meant };
        return text(message).help(format!("did you mean `{meant}`?"));
    }
    let after = |start: &str| {
        let rest = message.strip_prefix(start)?.strip_suffix('\'')?;
        Some(rest.to_owned())
    };
    let help = match after("unexpected '").as_deref() {
        Some("=") => Some("to compare, write `==`"),
        Some("and") => Some("write `&&`"),
        Some("or") => Some("write `||`"),
        Some("is") => Some("to compare, write `==`; to ask for null, `is_null(x)`"),
        Some(
            "let" | "const" | "loop" | "for" | "while" | "do" | "fn" | "return" | "throw" | "try",
        ) => Some("write one value, as in `x > 0 && y > 0`; statements are for scripts"),
        _ if message.starts_with("invalid character") => {
            Some("write text in double quotes or backticks, as in `\"gold\"`")
        }
        _ if message.starts_with("expecting a boolean expression") => Some(COMPARE),
        _ if message.starts_with("'null' is") => Some("write `()` for null, or ask `is_null(x)`"),
        _ if message == "unknown operator: '?'" => {
            Some("there is no `? :`; for a value instead of null write `x ?? default`")
        }
        _ if matches!(
            message.as_str(),
            "unknown operator: '++'" | "unknown operator: '--'"
        ) =>
        {
            Some("write `x += 1`, `x -= 1`")
        }
        _ if message.starts_with("open string is not terminated") => {
            Some("close the text with the quote that opens it")
        }
        _ if message.starts_with("invalid escape sequence") => Some("write `\\\\` for a backslash"),
        _ => None,
    };
    match help {
        Some(help) => text(message).help(help),
        None => text(message),
    }
}

/// A name that the sandbox takes out of the language is used.
pub(crate) fn unavailable(symbol: &str) -> ScriptError {
    let message = format!("`{symbol}` is not available in scripts");
    ScriptError::new(ScriptErrorKind::Syntax, message).help(match symbol {
        "Fn" | "curry" => "write the function where it is used, as in `|x| x > 1`",
        _ => "scripts read their inputs and give a value; they reach no file, clock or console",
    })
}

/// Names that the sandbox takes out of the language. `sleep` would spend time without operations;
/// `Fn` calls what the check of a script has not seen; a function that `curry` gives itself doubles
/// without a limit.
pub(crate) const DISABLED: [&str; 10] = [
    "Fn",
    "curry",
    "eval",
    "import",
    "export",
    "print",
    "debug",
    "sleep",
    "parse_json",
    "exit",
];

fn explain_eval(error: &EvalAltResult, limits: &Limits) -> ScriptError {
    use EvalAltResult as E;
    use ScriptErrorKind::{Limit, Runtime, Type};
    let position = error.position();
    let explained = match error {
        E::ErrorParsing(kind, _) => explain_parse(kind),
        E::ErrorInFunctionCall(name, _, inner, _) => {
            let within = explain_eval(inner, limits);
            // The innermost that has a name says where; the way there may be long.
            let is_innermost = !matches!(**inner, E::ErrorInFunctionCall(..));
            if name.starts_with("anon$") || !is_innermost {
                within
            } else {
                let message = format!("{} (in function `{name}`)", within.message);
                ScriptError { message, ..within }
            }
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
        E::ErrorFunctionNotFound(signature, _) => not_found(signature),
        E::ErrorMismatchDataType(expected, actual, _)
        | E::ErrorMismatchOutputType(expected, actual, _) => {
            let (expected, actual) = (words(expected), words(actual));
            let explained = ScriptError::new(Type, format!("expected {expected}, got {actual}"));
            match actual.as_str() {
                "null" if expected == "bool" => explained.help(
                    "a value is null here: ask `is_true(x)`, or give a default, as in `x ?? false`",
                ),
                _ => explained,
            }
        }
        E::ErrorIndexingType(name, _) => {
            // As in "null [string]": the type, and that of the index.
            let name = words(name.split(" [").next().unwrap_or(name));
            ScriptError::new(Type, format!("a value of type {name} has no elements"))
        }
        E::ErrorArrayBounds(len, index, _) => ScriptError::new(
            Runtime,
            format!("there is no element {index}: the list has {len}"),
        )
        .help("the first is 0, the last -1; `x.get(n)` gives null where there is none"),
        E::ErrorStringBounds(len, index, _) => ScriptError::new(
            Runtime,
            format!("there is no character {index}: the text has {len}"),
        )
        .help("the first is 0, the last -1; `x.get(n)` gives null where there is none"),
        E::ErrorDotExpr(message, _) => no_property(message),
        E::ErrorArithmetic(message, _) => ScriptError::new(Runtime, lower_first(message)),
        E::ErrorTooManyOperations(_) => ScriptError::new(Limit, "it runs for too long")
            .help("look for a loop without an end; a script has a fixed number of operations"),
        E::ErrorStackOverflow(_) => ScriptError::new(Limit, "functions call each other too deeply")
            .help("look for a function that calls itself without an end"),
        E::ErrorDataTooLarge(what, _) => too_large(what, limits),
        E::ErrorTooManyVariables(_) => ScriptError::new(Limit, "it declares too many variables")
            .help(format!(
                "a script may hold {MAX_DEFINITIONS} at once; keep many values in a list or map"
            )),
        E::ErrorRuntime(value, _) => match crate::operators::mismatch_of(value) {
            Some(message) => mismatch(message),
            None if value.is_unit() => ScriptError::new(Runtime, "it was stopped by `throw`"),
            None => ScriptError::new(Runtime, beginning(&value.to_string())),
        },
        other => {
            let text = other.to_string();
            // rhai appends the position to its text; it is kept apart here.
            let message = text.split(" (line ").next().unwrap_or(&text);
            ScriptError::new(Runtime, lower_first(message))
        }
    };
    explained.at(position)
}

/// The first 500 characters: a script may throw a text as large as a text may be.
fn beginning(text: &str) -> String {
    match text.char_indices().nth(500) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

const COMPARE: &str = "compare the value with something, as in `x > 0`";

/// An operator whose operands do not go together.
pub(crate) fn mismatch(message: String) -> ScriptError {
    let is_number = message.contains("type int") || message.contains("type float");
    let help = if message.starts_with("expected true or false") {
        Some(COMPARE)
    } else if is_number && message.contains("type string") {
        Some(
            "write a number without quotes; `parse_int(x)`, `parse_float(x)` and `to_string(x)` convert",
        )
    } else {
        None
    };
    let error = ScriptError::new(ScriptErrorKind::Type, message);
    match help {
        Some(help) => error.help(help),
        None => error,
    }
}

/// A text, list or map that exceeds its limit; `what` in rhai's words.
pub(crate) fn too_large(what: &str, limits: &Limits) -> ScriptError {
    let (what, help) = match what {
        "Length of string" => (
            "a text",
            format!("a text may have {} bytes", limits.string_bytes),
        ),
        "Size of object map" => (
            "a map",
            format!("a map may have {} entries", limits.map_len),
        ),
        _ => (
            "a list",
            format!("a list may have {} elements", limits.array_len),
        ),
    };
    let message = format!("a value grows too large: {what}");
    let inner = "with those inside it";
    ScriptError::new(ScriptErrorKind::Limit, message).help(format!("{help}, {inner}"))
}

/// A function that is not there for these types, as in `abs (&str | ImmutableString | String)`.
fn not_found(signature: &str) -> ScriptError {
    let Some((name, types)) = signature.strip_suffix(')').and_then(|s| s.split_once(" (")) else {
        // `sort` puts a sentence here.
        return ScriptError::new(ScriptErrorKind::Type, lower_first(signature));
    };
    let types: Vec<String> = types.split(", ").map(words).collect();
    let message = format!("there is no function `{name} ({})`", types.join(", "));
    let explained = ScriptError::new(ScriptErrorKind::Type, message);
    if types.iter().any(|name| name == "null") {
        explained.help("a value is null here: give a default, as in `x ?? 0` or `x ?? \"\"`")
    } else if crate::syntax::FUNCTIONS.contains(&name) {
        explained.help(format!(
            "`{name}` is there for other values, or another number of them"
        ))
    } else {
        explained
    }
}

/// As in "Unknown property 'first' - a getter is not registered for type 'array'".
fn no_property(message: &str) -> ScriptError {
    let mut quoted = message.split('\'').skip(1).step_by(2);
    let (Some(property), Some(kind)) = (quoted.next(), quoted.next()) else {
        return ScriptError::new(ScriptErrorKind::Type, lower_first(message));
    };
    let kind = words(kind);
    let message = format!("a value of type {kind} has no `{property}`");
    let explained = ScriptError::new(ScriptErrorKind::Type, message);
    if kind == "null" {
        explained.help(format!("`x?.{property}` is null where `x` is"))
    } else if crate::syntax::FUNCTIONS.contains(&property) {
        explained.help(format!("call it, as in `x.{property}()`"))
    } else {
        explained
    }
}

/// The name that rhai has for a type in the words of JSON and YAML.
fn words(name: &str) -> String {
    let word = match name {
        "&str | ImmutableString | String" | "ImmutableString" | "char" => "string",
        "i64" => "int",
        "f64" => "float",
        "()" | "" => "null",
        "array" => "list",
        "Fn" => "function",
        other => other,
    };
    word.to_owned()
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}
