//! What commands print: results to the standard output, everything else to the standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use marquetry_types::{Diagnostics, Timestamp, thousands};
use marquetry_workflow::render;
use serde::Serialize;

use crate::arguments::Format;
use crate::failure::Failure;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const RED: Style = AnsiColor::Red.on_default();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();

/// Prints a line of the result. A reader that went away, as `head` does, ends the program quietly.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    quietly(writeln!(anstream::stdout().lock(), "{text}"))
}

/// Prints a line beside the result.
pub(crate) fn note(text: impl std::fmt::Display) {
    // There is nowhere else to say that the standard error is closed.
    drop(writeln!(anstream::stderr().lock(), "{text}"));
}

/// Prints the result as one JSON document.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::internal)?;
    quietly(writeln!(io::stdout().lock(), "{text}"))
}

/// Takes a closed pipe for success.
pub(crate) fn quietly(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints why a command failed: for people on the standard error, for programs as JSON on the
/// standard output.
pub(crate) fn failure(failure: &Failure, format: Format) {
    let Some((diagnostics, source)) = failure.diagnostics() else {
        return;
    };
    match format {
        Format::Json => {
            #[derive(Serialize)]
            struct Errors<'a> {
                errors: &'a Diagnostics,
            }
            drop(json(&Errors {
                errors: diagnostics,
            }));
        }
        Format::Text => {
            let text = render(diagnostics, source, colours());
            note(text.trim_end());
        }
    }
}

/// Whether the standard error shows colours.
fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A duration as people say it: `45 ms`, `1.4 s`, `12 s`, `3 min 5 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Time between two instants.
pub(crate) fn between(start: Timestamp, end: Timestamp) -> String {
    duration(end.saturating_since(start))
}

/// A figure with as many digits as a person reads.
pub(crate) fn figure(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and below 2^53"
    )]
    if value.fract() == 0.0 && (0.0..9e15).contains(&value) {
        thousands(value as u64)
    } else if value.abs() >= 1000.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.4}")
    }
}

/// A table without borders.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(figure(4372.0), "4,372");
        assert_eq!(figure(0.314_16), "0.3142");
        assert_eq!(duration(Duration::from_millis(42)), "42 ms");
        assert_eq!(duration(Duration::from_millis(1_420)), "1.4 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 5 s");
    }
}
