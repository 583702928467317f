//! A scalar that may hold `${{ … }}`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{Expression, ScriptError, ScriptErrorKind};

/// A value as a workflow file writes it.
///
/// A text that is one placeholder and nothing else keeps the type of its value: `"${{ params.k }}"`
/// is an integer where `k` is one. Placeholders inside other text are interpolated. `$${{` stands for
/// the text `${{`. Serialised as the scalar that it was read from.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// A value without placeholders.
    Literal(Value),
    /// One placeholder: the value keeps its type.
    Whole(Expression),
    /// Text with placeholders in it.
    Mixed(Vec<Piece>),
}

/// A part of interpolated text.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// The text of a value.
    Expression(Expression),
}

const OPEN: &str = "${{";
const ESCAPED_OPEN: &str = "$${{";
const CLOSE: &str = "}}";

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// A placeholder is not closed, or does not parse. Line and column are those within `text`.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(OPEN) {
            let before = &rest[..at];
            let after = &rest[at + OPEN.len()..];
            if let Some(unescaped) = before.strip_suffix('$') {
                plain.push_str(unescaped);
                plain.push_str(OPEN);
                rest = after;
                continue;
            }
            plain.push_str(before);
            let open = text.len() - rest.len() + at;
            let length = placeholder_length(after).ok_or_else(|| unclosed(text, open))?;
            let source = &after[..length];
            let start = open + OPEN.len();
            let expression = Expression::compile(source)
                .map_err(|error| shifted(error, text, start))?
                .at_offset(text[..start].chars().count());
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Expression(expression));
            rest = &after[length + CLOSE.len()..];
        }
        plain.push_str(rest);
        if pieces.is_empty() {
            return Ok(Self::Literal(Value::String(plain)));
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(match whole(&pieces) {
            Some(expression) => Self::Whole(expression.clone()),
            None => Self::Mixed(pieces),
        })
    }

    /// Its expressions, in the order of the text.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let (whole, pieces) = match self {
            Self::Literal(_) => (None, &[][..]),
            Self::Whole(expression) => (Some(expression), &[][..]),
            Self::Mixed(pieces) => (None, pieces.as_slice()),
        };
        whole
            .into_iter()
            .chain(pieces.iter().filter_map(|piece| match piece {
                Piece::Text(_) => None,
                Piece::Expression(expression) => Some(expression),
            }))
    }

    /// Its value over the names in `scope`.
    ///
    /// # Errors
    /// As [`Expression::evaluate`]; and a value without a text, such as null or a list, inside text.
    pub fn evaluate(&self, scope: &Map<String, Value>) -> Result<Value, ScriptError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Whole(expression) => expression.evaluate(scope),
            Self::Mixed(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(plain) => text.push_str(plain),
                        Piece::Expression(expression) => {
                            text.push_str(&interpolated(expression, scope)?);
                        }
                    }
                }
                Ok(Value::String(text))
            }
        }
    }

    /// The scalar that reads as this template.
    fn to_scalar(&self) -> Value {
        match self {
            Self::Literal(Value::String(text)) => Value::String(escape(text)),
            Self::Literal(value) => value.clone(),
            Self::Whole(expression) => {
                Value::String(format!("{OPEN}{}{CLOSE}", expression.source()))
            }
            Self::Mixed(pieces) => Value::String(
                pieces
                    .iter()
                    .map(|piece| match piece {
                        Piece::Text(plain) => escape(plain),
                        Piece::Expression(expression) => {
                            format!("{OPEN}{}{CLOSE}", expression.source())
                        }
                    })
                    .collect(),
            ),
        }
    }
}

fn escape(text: &str) -> String {
    text.replace(OPEN, ESCAPED_OPEN)
}

/// The expression, if it stands alone but for white space.
fn whole(pieces: &[Piece]) -> Option<&Expression> {
    let mut found = None;
    for piece in pieces {
        match piece {
            Piece::Text(plain) if plain.trim().is_empty() => {}
            Piece::Expression(expression) if found.is_none() => found = Some(expression),
            _ => return None,
        }
    }
    found
}

fn interpolated(
    expression: &Expression,
    scope: &Map<String, Value>,
) -> Result<String, ScriptError> {
    let source = expression.source().trim();
    let (noun, help) = match expression.evaluate(scope)? {
        Value::String(text) => return Ok(text),
        Value::Number(number) => return Ok(number.to_string()),
        Value::Bool(flag) => return Ok(flag.to_string()),
        Value::Null => ("null", "give a default, as in `x ?? \"\"`"),
        Value::Array(_) => ("a list", "let the placeholder stand alone to keep the list"),
        Value::Object(_) => ("a map", "let the placeholder stand alone to keep the value"),
    };
    let message = format!("`{source}` is {noun}, which cannot stand inside text");
    Err(ScriptError::new(ScriptErrorKind::Type, message).help(help))
}

/// How many bytes lie before the `}}` that closes a placeholder. Braces of maps nest, and braces
/// inside strings do not count.
fn placeholder_length(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut characters = text.char_indices().peekable();
    while let Some((index, character)) = characters.next() {
        if let Some(open_quote) = quote {
            match character {
                '\\' if open_quote != '`' => {
                    characters.next();
                }
                _ if character == open_quote => quote = None,
                _ => {}
            }
            continue;
        }
        match character {
            '"' | '\'' | '`' => quote = Some(character),
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' if characters.peek().is_some_and(|(_, next)| *next == '}') => return Some(index),
            _ => {}
        }
    }
    None
}

fn unclosed(text: &str, open: usize) -> ScriptError {
    let error = ScriptError::new(ScriptErrorKind::Syntax, "`${{` is not closed by `}}`")
        .help("close it, or write `$${{` for the text `${{`");
    place(error, text, open)
}

/// The error of an expression that begins at byte `start` of `text`, placed within `text`.
fn shifted(mut error: ScriptError, text: &str, start: usize) -> ScriptError {
    let (Some(line), Some(column)) = (error.line, error.column) else {
        return place(error, text, start);
    };
    let (start_line, start_column) = line_and_column(text, start);
    error.line = Some(line.saturating_add(start_line).saturating_sub(1));
    if line == 1 {
        error.column = Some(column.saturating_add(start_column).saturating_sub(1));
    }
    error
}

fn place(mut error: ScriptError, text: &str, byte: usize) -> ScriptError {
    let (line, column) = line_and_column(text, byte);
    error.line = Some(line);
    error.column = Some(column);
    error
}

/// Line and column, counted from 1, of a byte of the text.
fn line_and_column(text: &str, byte: usize) -> (u32, u32) {
    let before = text.get(..byte).unwrap_or(text);
    let lines = before.matches('\n').count();
    let last_line = before.rsplit('\n').next().unwrap_or(before);
    let count = |n: usize| u32::try_from(n.saturating_add(1)).unwrap_or(u32::MAX);
    (count(lines), count(last_line.chars().count()))
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_scalar().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Self::parse(&text).map_err(serde::de::Error::custom),
            value => Ok(Self::Literal(value)),
        }
    }
}
