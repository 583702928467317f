//! Errors as a person reads them: what, where, the line with a caret, and what instead.
//!
//! ```text
//! error[MQ0104]: a stage has no key `usess`
//!   --> retail.yaml:4:5
//!    |
//!  4 |     usess: ingest/files
//!    |     ^^^^^
//!    = help: did you mean `uses`?
//! ```

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use marquetry_types::{Diagnostic, Diagnostics, Location};

use crate::source::Source;

/// Columns of a source line that are shown; of a longer one, those around the place.
const SHOWN: usize = 100;
/// Columns before the place that are shown of a long line.
const BEFORE: usize = 40;

struct Styles {
    error: Style,
    message: Style,
    frame: Style,
    help: Style,
}

impl Styles {
    fn new(colour: bool) -> Self {
        if !colour {
            let plain = Style::new();
            return Self {
                error: plain,
                message: plain,
                frame: plain,
                help: plain,
            };
        }
        Self {
            error: AnsiColor::Red.on_default().bold(),
            message: Style::new().bold(),
            frame: AnsiColor::Blue.on_default().bold(),
            help: AnsiColor::Green.on_default(),
        }
    }
}

/// Errors as text, with an empty line between them and a line break at the end. `source` is the text
/// of the file that their locations name; without it no lines are shown. Control characters of the
/// file do not reach the terminal.
#[must_use]
pub fn render(diagnostics: &Diagnostics, source: Option<&str>, colour: bool) -> String {
    let styles = Styles::new(colour);
    let source = source.map(|text| Source::new(text.strip_prefix('\u{feff}').unwrap_or(text)));
    let mut out = String::new();
    for (index, diagnostic) in diagnostics.0.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        one(&mut out, diagnostic, source.as_ref(), &styles);
    }
    out
}

fn one(out: &mut String, diagnostic: &Diagnostic, source: Option<&Source<'_>>, styles: &Styles) {
    let Styles {
        error,
        message,
        frame,
        help,
    } = styles;
    let text = without_controls(&diagnostic.message);
    let code = &diagnostic.code;
    line(
        out,
        format_args!("{error}error[{code}]{error:#}{message}: {text}{message:#}"),
    );
    let mut gutter = 1;
    if let Some(location) = &diagnostic.location {
        gutter = location.line.to_string().len() + 1;
        let file = without_controls(&location.file);
        let place = format!("{file}:{}:{}", location.line, location.column);
        line(
            out,
            format_args!("{:gutter$}{frame}-->{frame:#} {place}", ""),
        );
        let shown = source
            .filter(|source| location.line <= source.lines())
            .map(|source| excerpt(source.line(location.line), location))
            .filter(|(text, _)| !text.trim().is_empty());
        if let Some((text, marks)) = shown {
            let number = location.line;
            line(out, format_args!("{:gutter$} {frame}|{frame:#}", ""));
            line(
                out,
                format_args!("{frame}{number:>gutter$} |{frame:#} {text}"),
            );
            line(
                out,
                format_args!("{:gutter$} {frame}|{frame:#} {error}{marks}{error:#}", ""),
            );
        }
    }
    if let Some(advice) = &diagnostic.help {
        let advice = without_controls(advice);
        line(
            out,
            format_args!(
                "{:gutter$} {frame}={frame:#} {help}help{help:#}: {advice}",
                ""
            ),
        );
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{text}");
}

/// The line, or the part around the place, and the marks below it.
fn excerpt(line: &str, location: &Location) -> (String, String) {
    let characters: Vec<char> = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let at = (location.column as usize)
        .saturating_sub(1)
        .min(characters.len());
    let is_long = characters.len() > SHOWN;
    let start = if is_long {
        at.saturating_sub(BEFORE)
    } else {
        0
    };
    let end = characters.len().min(start + SHOWN);
    let mut text = String::new();
    let mut indent = at - start;
    if start > 0 {
        text.push('…');
        indent += 1;
    }
    text.extend(characters.iter().take(end).skip(start));
    if end < characters.len() {
        text.push('…');
    }
    let length = (location.length as usize).clamp(1, end.saturating_sub(at).max(1));
    let marks = format!("{}{}", " ".repeat(indent), "^".repeat(length));
    (text.trim_end().to_owned(), marks)
}

fn without_controls(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use marquetry_types::{Diagnostic, Diagnostics, Location, codes};

    use super::render;

    fn at(line: u32, column: u32, length: u32) -> Diagnostics {
        let location = Location {
            file: "retail.yaml".to_owned(),
            line,
            column,
            length,
        };
        Diagnostic::new(codes::UNKNOWN_KEY, "a stage has no key `usess`")
            .at(location)
            .help("did you mean `uses`?")
            .into()
    }

    #[test]
    fn an_error_shows_its_line() {
        let source = "stages:\n  orders:\n\tusess: a\n";
        assert_eq!(
            render(&at(3, 2, 5), Some(source), false),
            "error[MQ0104]: a stage has no key `usess`\n  --> retail.yaml:3:2\n   |\n 3 |  usess: a\n   \
             |  ^^^^^\n   = help: did you mean `uses`?\n"
        );
    }

    #[test]
    fn a_place_outside_the_text_shows_no_line() {
        for (line, column) in [(9, 9), (u32::MAX, u32::MAX), (0, 0)] {
            let text = render(&at(line, column, u32::MAX), Some("a: b\n"), false);
            assert!(text.contains("retail.yaml"), "{text}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let source = format!("{}key{}", "x".repeat(5000), "y".repeat(5000));
        let text = render(&at(1, 5001, 3), Some(&source), false);
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines.iter().all(|line| line.chars().count() < 120),
            "{text}"
        );
        let marked = lines.iter().position(|line| line.contains("^^^"));
        let column = marked.and_then(|index| lines[index].find("^^^"));
        let shown = marked.and_then(|index| {
            let above = lines[index - 1];
            above.find("key").map(|byte| above[..byte].chars().count())
        });
        assert_eq!(column, shown);
    }

    #[test]
    fn colours_are_asked_for() {
        let source = "a: b";
        assert!(render(&at(1, 1, 1), Some(source), true).contains("\u{1b}["));
        assert!(!render(&at(1, 1, 1), Some("\u{1b}[31m"), false).contains('\u{1b}'));
    }
}
