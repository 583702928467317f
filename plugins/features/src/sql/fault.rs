//! What is wrong with a query, at its line and column.

use datafusion::error::DataFusionError;
use marquetry_plugin::{FileName, StageError};
use marquetry_types::{Diagnostic, Location, codes};

/// Where the engine puts tables that have a bare name.
const DEFAULT_SCHEMA: &str = "datafusion.public.";

/// A query and where it comes from.
#[derive(Debug)]
pub(super) struct Source {
    file: Option<String>,
    text: String,
}

impl Source {
    /// A query in the option `query`.
    pub(super) fn inline(text: &str) -> Self {
        Self {
            file: None,
            text: text.to_owned(),
        }
    }

    /// A query in a file.
    pub(super) fn file(name: &FileName, text: &str) -> Self {
        Self {
            file: Some(name.0.clone()),
            text: text.to_owned(),
        }
    }

    /// The query.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What the planner refuses, in the query's terms.
    pub(super) fn fault(&self, error: &DataFusionError, tables: &[&str]) -> StageError {
        let found = error.diagnostic();
        let start = found.and_then(|found| found.span).map(|span| span.start);
        let help = found.and_then(|found| {
            let helps = found.helps.iter().map(|help| &help.message);
            let mut all = helps.chain(found.notes.iter().map(|note| &note.message));
            all.next().cloned()
        });
        let (message, place_in_text) = split(&error.find_root().strip_backtrace());
        let place = start.map(|start| (start.line, start.column));
        // What would be right stands on a line of its own.
        let (message, advised) = match message.split_once('\n') {
            Some((message, advised)) => (message.trim_end_matches('.'), Some(lower_first(advised))),
            None => (message.as_str(), None),
        };
        let help = advised.or(help).unwrap_or_else(|| advice(tables));
        let message = message.replace(DEFAULT_SCHEMA, "");
        let diagnostic = Diagnostic::new(codes::QUERY, message).help(help);
        self.at(diagnostic, place.or(place_in_text))
    }

    /// An error about the query as a whole.
    pub(super) fn refuse(&self, message: &str, tables: &[&str]) -> StageError {
        self.at(
            Diagnostic::new(codes::QUERY, message).help(advice(tables)),
            None,
        )
    }

    /// An error while the query ran: with the name of its file, where the error is the query's own.
    pub(super) fn named_in(&self, error: StageError) -> StageError {
        match error {
            StageError::Invalid(diagnostic) if diagnostic.code == codes::QUERY => {
                self.at(diagnostic, None)
            }
            other => other,
        }
    }

    fn at(&self, mut diagnostic: Diagnostic, place: Option<(u64, u64)>) -> StageError {
        let place = place.and_then(|(line, column)| {
            let place = (u32::try_from(line).ok()?, u32::try_from(column).ok()?);
            (place.0 > 0 && place.1 > 0).then_some(place)
        });
        match (&self.file, place) {
            (Some(file), Some((line, column))) => {
                diagnostic.location = Some(Location {
                    file: file.clone(),
                    line,
                    column,
                    length: 0,
                });
            }
            (Some(file), None) => {
                diagnostic.message = format!("in {file}: {}", diagnostic.message);
            }
            (None, Some((line, column))) => {
                let place = format!("at line {line}, column {column} of `query`");
                diagnostic.message = format!("{} {place}", diagnostic.message);
            }
            (None, None) => {}
        }
        StageError::Invalid(diagnostic)
    }
}

fn advice(tables: &[&str]) -> String {
    let names: Vec<String> = tables.iter().map(|name| format!("`{name}`")).collect();
    let names = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    format!("write one SELECT; its tables are {names}")
}

/// Takes `at Line: 2, Column: 8` off the end of a parser's message.
fn split(message: &str) -> (String, Option<(u64, u64)>) {
    let message = message.trim().trim_end_matches('.');
    let message = lower_first(strip_kind(message));
    let Some((before, place)) = message.rsplit_once(" at Line: ") else {
        return (message, None);
    };
    let parsed = place.split_once(", Column: ").and_then(|(line, column)| {
        let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
        Some((line.parse().ok()?, digits.parse().ok()?))
    });
    match parsed {
        Some(place) => (before.to_owned(), Some(place)),
        None => (message.clone(), None),
    }
}

/// Takes the kinds of errors off the front, which say where in the engine an error was found.
fn strip_kind(message: &str) -> &str {
    const KINDS: [&str; 8] = [
        "SQL error: ",
        "ParserError(\"",
        "TokenizerError(\"",
        "Error during planning: ",
        "Schema error: ",
        "Execution error: ",
        "This feature is not implemented: ",
        "Arrow error: ",
    ];
    let mut rest = message;
    while let Some(stripped) = KINDS.iter().find_map(|kind| rest.strip_prefix(kind)) {
        rest = stripped;
    }
    rest.strip_suffix("\")").unwrap_or(rest)
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        // An acronym or an identifier stays.
        Some(first) if !characters.clone().next().is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}
