//! A scalar that may hold `${{ … }}`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::too_large;
use crate::{Expression, Limits, ScriptError, ScriptErrorKind};

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
        let mut place = Place::default();
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
            let length = placeholder_length(after).ok_or_else(|| {
                place.advance(text, open);
                unclosed(&place)
            })?;
            let source = &after[..length];
            place.advance(text, open + OPEN.len());
            let start = (place.line, place.column);
            let expression = Expression::compile(source)
                .map_err(|error| shifted(error, start))?
                .placed(place.offset, start);
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
    /// As [`Expression::evaluate`], with line and column within the text that it was read from; a
    /// value without a text, such as null or a list, inside text; and a text that grows too large.
    pub fn evaluate(&self, scope: &Map<String, Value>) -> Result<Value, ScriptError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Whole(expression) => evaluated(expression, scope),
            Self::Mixed(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(plain) => text.push_str(plain),
                        Piece::Expression(expression) => {
                            text.push_str(&interpolated(expression, scope)?);
                        }
                    }
                    let limits = Limits::default();
                    if text.len() > limits.string_bytes {
                        return Err(too_large("Length of string", &limits));
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

fn evaluated(expression: &Expression, scope: &Map<String, Value>) -> Result<Value, ScriptError> {
    let start = expression.start();
    expression
        .evaluate(scope)
        .map_err(|error| shifted(error, start))
}

fn interpolated(
    expression: &Expression,
    scope: &Map<String, Value>,
) -> Result<String, ScriptError> {
    let source = expression.source().trim();
    let (noun, help) = match evaluated(expression, scope)? {
        Value::String(text) => return Ok(text),
        Value::Number(number) => return Ok(number.to_string()),
        Value::Bool(flag) => return Ok(flag.to_string()),
        Value::Null => ("null", "give a default, as in `x ?? \"\"`"),
        Value::Array(_) => ("a list", "let the placeholder stand alone to keep the list"),
        Value::Object(_) => ("a map", "let the placeholder stand alone to keep the value"),
    };
    let message = format!("`{source}` is {noun}, which cannot stand inside text");
    let error = ScriptError::new(ScriptErrorKind::Type, message).help(help);
    Err(shifted(error, expression.start()))
}

/// How many bytes lie before the `}}` that closes a placeholder. Braces of maps nest; braces inside
/// texts and comments do not count.
fn placeholder_length(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let first = rest.chars().next()?;
        at += match first {
            '"' | '\'' | '`' => quoted_length(rest, first)?,
            '#' => raw_text_length(rest)?,
            '/' if rest.starts_with("/*") => comment_length(rest)?,
            '/' if rest.starts_with("//") => rest.find(['\n', '}']).unwrap_or(rest.len()),
            '{' => {
                depth += 1;
                1
            }
            '}' if depth > 0 => {
                depth -= 1;
                1
            }
            '}' if rest.starts_with(CLOSE) => return Some(at),
            _ => first.len_utf8(),
        };
    }
}

/// The length of a text that begins with its quote. In backticks a backslash is a backslash.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut characters = text.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        if character == quote {
            return Some(index + 1);
        }
        if character == '\\' && quote != '`' {
            characters.next();
        }
    }
    None
}

/// The length of `#"…"#`, or of as many `#` around it; 1 for the `#` of a map.
fn raw_text_length(text: &str) -> Option<usize> {
    let inner = text.trim_start_matches('#');
    let hashes = text.len() - inner.len();
    let Some(inner) = inner.strip_prefix('"') else {
        return Some(1);
    };
    let end = format!("\"{}", &text[..hashes]);
    Some(hashes + 1 + inner.find(&end)? + end.len())
}

/// The length of a comment, in which others nest.
fn comment_length(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest.chars().next()?.len_utf8();
        }
    }
}

fn unclosed(place: &Place) -> ScriptError {
    let mut error = ScriptError::new(ScriptErrorKind::Syntax, "`${{` is not closed by `}}`")
        .help("close it, or write `$${{` for the text `${{`");
    error.line = Some(place.line);
    error.column = Some(place.column);
    error
}

/// The error of an expression that begins at `start` of a text, placed within the text.
fn shifted(mut error: ScriptError, start: (u32, u32)) -> ScriptError {
    let (line, column) = match (error.line, error.column) {
        (Some(line), Some(column)) => (line, column),
        _ => (1, 1),
    };
    error.line = Some(line.saturating_add(start.0).saturating_sub(1));
    error.column = Some(match line {
        1 => column.saturating_add(start.1).saturating_sub(1),
        _ => column,
    });
    error
}

/// A place in a text, which only goes forward: a text may hold thousands of placeholders.
struct Place {
    byte: usize,
    /// In characters from the beginning.
    offset: usize,
    line: u32,
    column: u32,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            byte: 0,
            offset: 0,
            line: 1,
            column: 1,
        }
    }
}

impl Place {
    fn advance(&mut self, text: &str, byte: usize) {
        for character in text.get(self.byte..byte).unwrap_or_default().chars() {
            self.offset += 1;
            if character == '\n' {
                self.line = self.line.saturating_add(1);
                self.column = 1;
            } else {
                self.column = self.column.saturating_add(1);
            }
        }
        self.byte = byte;
    }
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
