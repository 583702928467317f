//! YAML as a tree in which every node knows its place.
//!
//! Only the part of YAML that a workflow needs: one document of mappings with text keys, lists and
//! scalars by the core schema of YAML 1.2 (so `no` and `on` are texts), and aliases within limits.
//! Everything else is refused with its place rather than guessed at.

mod load;
mod scalar;
mod syntax;

use marquetry_types::{Diagnostic, ErrorCode};

pub(crate) use load::load;
pub(crate) use scalar::{Plain, resolve};

use crate::source::as_u32;

/// A place in the file: line and column in characters, counted from 1, and a length on that line; 0
/// where only a point is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) length: u32,
}

impl Span {
    pub(crate) fn point(line: usize, column: usize) -> Self {
        Self {
            line: as_u32(line),
            column: as_u32(column),
            length: 0,
        }
    }
}

/// A node of the tree.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Yaml,
    pub(crate) span: Span,
}

impl Node {
    /// What stands in it, if it is a mapping.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Yaml::Map(entries) => entries,
            _ => &[],
        }
    }
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Yaml {
    Null,
    Bool(bool),
    Int(i64),
    /// Finite.
    Float(f64),
    Text {
        text: String,
        style: ScalarStyle,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// A scalar that was refused; the problem is already told.
    Refused,
}

/// How a text scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarStyle {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
    Folded,
}

/// A key of a mapping with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

/// The outcome of loading: a tree as far as there is one, and what is wrong.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) root: Option<Node>,
    pub(crate) problems: Vec<Problem>,
}

/// Something wrong at a place.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) span: Span,
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(crate) fn new(span: Span, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            span,
            code,
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn into_diagnostic(self, file: &str) -> Diagnostic {
        let location = marquetry_types::Location {
            file: file.to_owned(),
            line: self.span.line.max(1),
            column: self.span.column.max(1),
            length: self.span.length,
        };
        let diagnostic = Diagnostic::new(self.code, self.message).at(location);
        match self.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
}

impl Yaml {
    /// What it is, for "expected …, got …".
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(flag) => format!("`{flag}`"),
            Self::Int(integer) => format!("the number `{integer}`"),
            Self::Float(float) => format!("the number `{float}`"),
            Self::Text { text, .. } => format!("the text {}", crate::words::quoted(text)),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
            Self::Refused => "an unreadable value".to_owned(),
        }
    }
}
