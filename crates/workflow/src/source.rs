//! The text of a workflow file by lines, and where a character of a scalar stands in it.

use crate::yaml::{Node, ScalarStyle, Span, Yaml};

/// A text and the beginnings of its lines. A line ends as YAML says: LF, CRLF or a lone CR.
pub(crate) struct Source<'a> {
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let after_breaks = bytes.iter().enumerate().filter_map(|(index, byte)| {
            let ends_line = match byte {
                b'\n' => true,
                b'\r' => bytes.get(index + 1) != Some(&b'\n'),
                _ => false,
            };
            ends_line.then_some(index + 1)
        });
        Self {
            text,
            line_starts: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    /// A line, counted from 1, without its break; empty beyond the end.
    pub(crate) fn line(&self, number: u32) -> &'a str {
        let index = (number as usize).saturating_sub(1);
        let Some(start) = self.line_starts.get(index) else {
            return "";
        };
        let end = self
            .line_starts
            .get(index + 1)
            .copied()
            .unwrap_or(self.text.len());
        let line = self.text.get(*start..end).unwrap_or("");
        line.trim_end_matches(['\n', '\r'])
    }

    /// How many lines there are.
    pub(crate) fn lines(&self) -> u32 {
        u32::try_from(self.line_starts.len()).unwrap_or(u32::MAX)
    }

    /// The place of a byte of the text.
    pub(crate) fn place_of_byte(&self, byte: usize) -> Span {
        let index = self
            .line_starts
            .partition_point(|start| *start <= byte)
            .saturating_sub(1);
        let start = self.line_starts.get(index).copied().unwrap_or(0);
        let before = self.text.get(start..byte).unwrap_or("");
        Span::point(index + 1, before.chars().count() + 1)
    }

    /// Where a part of a text scalar stands in the file: `length` characters from the character
    /// `offset` of its value on. The whole scalar where escapes or folding hide the place.
    pub(crate) fn place_in_scalar(&self, node: &Node, offset: usize, length: usize) -> Span {
        let Yaml::Text { text, style } = &node.value else {
            return node.span;
        };
        let Some(wanted) = text.chars().nth(offset) else {
            return node.span;
        };
        let found = match style {
            ScalarStyle::Literal => self.place_in_literal(node.span, text, offset),
            ScalarStyle::Folded => None,
            ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                self.place_in_flow(node.span, text, *style, offset)
            }
        };
        let Some((line, column)) = found else {
            return node.span;
        };
        let source_line = self.line(line);
        if source_line.chars().nth(column) != Some(wanted) {
            return node.span;
        }
        let rest = source_line.chars().count().saturating_sub(column);
        Span {
            line,
            column: as_u32(column + 1),
            length: as_u32(length.min(rest)),
        }
    }

    /// In a `|` scalar each line of the value is the end of a line of the file. The scanner places the
    /// scalar at its first line that is not empty.
    fn place_in_literal(&self, span: Span, text: &str, offset: usize) -> Option<(u32, usize)> {
        let empty_lines = text.chars().take_while(|c| *c == '\n').count();
        let first = span.line.checked_sub(as_u32(empty_lines))?;
        let mut remaining = offset;
        for (index, value_line) in text.split('\n').enumerate() {
            let length = value_line.chars().count();
            if remaining <= length {
                let line = first.checked_add(as_u32(index))?;
                let indentation = self.line(line).chars().count().checked_sub(length)?;
                return Some((line, indentation + remaining));
            }
            remaining -= length + 1;
        }
        None
    }

    /// In plain and quoted scalars the value follows the file's characters, but for escapes, and for
    /// line breaks, which become a blank or, before empty lines, breaks.
    fn place_in_flow(
        &self,
        span: Span,
        text: &str,
        style: ScalarStyle,
        offset: usize,
    ) -> Option<(u32, usize)> {
        let mut line = span.line;
        let mut characters: Vec<char> = self.line(line).chars().collect();
        let quoted = style != ScalarStyle::Plain;
        let mut column = (span.column as usize).checked_sub(1)? + usize::from(quoted);
        let total = text.chars().count();
        let mut at = 0;
        while at <= offset && at < total {
            let rest = characters.get(column..).unwrap_or_default();
            if rest.iter().all(|c| c.is_whitespace()) {
                let mut breaks = 0;
                loop {
                    line += 1;
                    if line > self.lines() {
                        return None;
                    }
                    characters = self.line(line).chars().collect();
                    if characters.iter().any(|c| !c.is_whitespace()) {
                        break;
                    }
                    breaks += 1;
                }
                column = characters.iter().take_while(|c| c.is_whitespace()).count();
                if at == offset {
                    return None;
                }
                at += breaks.max(1);
                continue;
            }
            if at == offset {
                return Some((line, column));
            }
            column += match (style, rest) {
                (ScalarStyle::SingleQuoted, ['\'', '\'', ..]) => 2,
                (ScalarStyle::DoubleQuoted, ['\\', kind, ..]) => match kind {
                    'x' => 4,
                    'u' => 6,
                    'U' => 10,
                    _ => 2,
                },
                _ => 1,
            };
            at += 1;
        }
        None
    }
}

/// The character offset of a line and column, both counted from 1, within a text.
pub(crate) fn offset_in_text(text: &str, line: u32, column: u32) -> usize {
    let before: usize = text
        .split('\n')
        .take((line as usize).saturating_sub(1))
        .map(|line| line.chars().count() + 1)
        .sum();
    before.saturating_add((column as usize).saturating_sub(1))
}

pub(crate) fn as_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::Source;
    use crate::yaml::{self, Node, Yaml};

    /// The place of `word` in the value of the only key of a document.
    fn place(text: &str, word: &str) -> Option<(u32, u32)> {
        let loaded = yaml::load(text);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let root: Node = loaded.root?;
        let Yaml::Map(entries) = root.value else {
            return None;
        };
        let node = entries.into_iter().next()?.value;
        let Yaml::Text { text: value, .. } = &node.value else {
            return None;
        };
        let byte = value.find(word)?;
        let offset = value.get(..byte)?.chars().count();
        let span = Source::new(text).place_in_scalar(&node, offset, word.chars().count());
        Some((span.line, span.column))
    }

    #[test]
    fn a_word_of_a_scalar_is_found_in_every_style() {
        assert_eq!(place("a: one two", "two"), Some((1, 8)));
        assert_eq!(place("a: \"one two\"", "two"), Some((1, 9)));
        assert_eq!(place("a: 'it''s two'", "two"), Some((1, 11)));
        assert_eq!(place("a: \"\\u00e4 two\"", "two"), Some((1, 12)));
        assert_eq!(place("a: |\n  one\n\n   two\n", "two"), Some((4, 4)));
        assert_eq!(place("a: |-\n\n\n  one two\n", "two"), Some((4, 7)));
        assert_eq!(place("a: \"one\n\n   two\"", "two"), Some((3, 4)));
        assert_eq!(place("a: one\n  two three", "three"), Some((2, 7)));
        assert_eq!(place("ä: über zwei", "zwei"), Some((1, 9)));
    }

    #[test]
    fn lines_end_in_any_of_three_ways() {
        let source = Source::new("one\r\ntwo\rthree\nfour");
        let lines: Vec<_> = (1..=5).map(|number| source.line(number)).collect();
        assert_eq!(lines, ["one", "two", "three", "four", ""]);
        assert_eq!(source.place_of_byte(6).column, 2);
    }
}
