//! Errors of the YAML scanner in words that say what to do.
//!
//! The scanner tells what it expected; the usual mistakes behind that are few, and the line itself
//! often shows which one it is.

use marquetry_types::codes;
use saphyr_parser::ScanError;

use super::{Problem, Span};
use crate::source::Source;

/// The scanner's error, explained.
pub(super) fn explain(error: &ScanError, source: &Source<'_>) -> Problem {
    let marker = error.marker();
    let span = within(Span::point(marker.line(), marker.col() + 1), source);
    let problem = |span, message: &str| Problem::new(span, codes::YAML_SYNTAX, message);
    if let Some(tab) = tab_near(span.line, source) {
        return problem(tab, "a tab in the indentation").help("indent with spaces");
    }
    let info = error.info();
    if let Some(place) = bare_placeholder(span.line, source) {
        return problem(
            place,
            "an expression without quotes breaks the YAML around it",
        )
        .help("put it in quotes: `\"${{ … }}\"`");
    }
    if info.contains("escape") || info.contains("hexadecimal") {
        return problem(span, "an unknown escape in a text in double quotes")
            .help("write `\\\\` for a backslash, or use single quotes");
    }
    let unclosed = ["end of stream", "document indicator", "indentation"];
    if info.contains("quoted scalar") && unclosed.iter().any(|reason| info.contains(reason)) {
        return problem(span, "a quote is opened and never closed")
            .help("close it, or remove the one that opens it");
    }
    if info.contains("trailing content") {
        return problem(span, "something stands after the closing quote")
            .help("put all of the value into the quotes, or only a remark with ` #` after it");
    }
    if info.contains("document start") {
        return problem(span, "something that belongs to nothing above it")
            .help("look for a stray character, or for a line with too little indentation");
    }
    if info.contains("mapping values are not allowed") {
        return problem(span, "a `:` where no key can stand")
            .help("put a text that holds `: ` in quotes, or begin a new line");
    }
    if info.contains("simple key expect") {
        return problem(span, "a line that is neither `key: value` nor `- item`")
            .help("keys end in `:` and a blank; look at this line and the one before it");
    }
    if info.contains("anchor") && info.contains("unknown") {
        return problem(span, "an alias to an anchor that does not exist")
            .help("`*name` stands for what `&name` marks earlier in the file; a text that begins with `*` needs quotes");
    }
    if info.contains("cannot start any token") || info.contains("unexpected character") {
        return problem(span, "a character that cannot begin a value")
            .help("put the value in quotes");
    }
    if info.contains("flow") || info.contains("',' or") || info.contains("bracket") {
        return problem(span, "a `[` or `{` that is not closed, or closed too early")
            .help("look for the bracket without its partner, and for a missing comma");
    }
    if info.contains("indentation") || info.contains("did not find expected key") {
        return problem(span, "a line whose indentation fits nothing above it")
            .help("begin it under the key or item that it belongs with");
    }
    if info.contains("recursion limit") {
        return Problem::new(span, codes::YAML_TOO_BIG, super::load::TOO_DEEP)
            .help(super::load::TOO_DEEP_HELP);
    }
    problem(span, &format!("malformed YAML: {info}"))
        .help("look at this line and the one before it")
}

/// The scanner reports the end of a text one line below it; the last line with something on it says
/// more.
fn within(span: Span, source: &Source<'_>) -> Span {
    if span.line < source.lines() || !source.line(span.line).trim().is_empty() {
        return span;
    }
    let last = (1..=source.lines())
        .rev()
        .find(|number| !source.line(*number).trim().is_empty());
    match last {
        Some(line) => Span::point(
            line as usize,
            source.line(line).trim_end().chars().count() + 1,
        ),
        None => Span::point(1, 1),
    }
}

/// A tab in the indentation of the line or of the one before it, where the scanner stumbled.
fn tab_near(line: u32, source: &Source<'_>) -> Option<Span> {
    [line, line.saturating_sub(1)]
        .into_iter()
        .find_map(|number| {
            let text = source.line(number);
            let indentation = text.len() - text.trim_start_matches([' ', '\t']).len();
            let column = text.get(..indentation)?.find('\t')?;
            Some(Span {
                length: 1,
                ..Span::point(number as usize, column + 1)
            })
        })
}

/// A `${{` on the line that no quote opens: within `[…]` and `{…}` its braces are YAML's.
fn bare_placeholder(line: u32, source: &Source<'_>) -> Option<Span> {
    [line, line.saturating_sub(1)]
        .into_iter()
        .find_map(|number| {
            let text = source.line(number);
            let at = text.find("${{")?;
            let before = text.get(..at)?;
            let open = |quote: char| before.matches(quote).count() % 2 == 1;
            (!open('"') && !open('\'')).then(|| Span {
                length: 3,
                ..Span::point(number as usize, before.chars().count() + 1)
            })
        })
}
