//! From the scanner's events to the tree, under limits. Nothing here is recursive over the input:
//! its depth is bounded before it is followed.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use marquetry_types::codes;
use saphyr_parser::{Event, Parser, ScalarStyle as ScannedStyle, ScanError, Span as Range, Tag};

use super::{Entry, Loaded, Node, Plain, Problem, ScalarStyle, Span, Yaml, resolve, syntax};
use crate::source::{Source, as_u32};
use crate::words::quoted;

/// Bytes in a workflow file. One of a thousand stages has about a fifth of it.
const MAX_BYTES: usize = 1024 * 1024;
/// Levels of nesting.
const MAX_DEPTH: usize = 64;
/// Nodes of the tree once aliases are expanded.
const MAX_NODES: usize = 300_000;
/// Problems after which reading stops.
const MAX_PROBLEMS: usize = 50;

pub(super) const TOO_DEEP: &str = "nested more than 64 levels deep";
pub(super) const TOO_DEEP_HELP: &str =
    "a workflow needs fewer than ten; look for a bracket too many";

/// Loads a text. The first error of the scanner ends the reading; other problems are collected.
pub(crate) fn load(text: &str) -> Loaded {
    let fail = |problem| Loaded {
        root: None,
        problems: vec![problem],
    };
    if text.len() > MAX_BYTES {
        let megabytes = text.len() / 100_000;
        let message = format!(
            "the file has {}.{} MB, and a workflow file may have 1 MB",
            megabytes / 10,
            megabytes % 10
        );
        return fail(
            Problem::new(Span::point(1, 1), codes::YAML_TOO_BIG, message).help(
                "move SQL and scripts into files of their own and name them; data never stands here",
            ),
        );
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source::new(text);
    let stray = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    if let Some((byte, character)) = text.char_indices().find(|(_, c)| stray(*c)) {
        let message = format!("a control character, U+{:04X}", u32::from(character));
        return fail(
            Problem::new(source.place_of_byte(byte), codes::YAML_SYNTAX, message)
                .help("remove it, or write it as an escape in double quotes, as in `\"\\x1b\"`"),
        );
    }
    // The scanner is the work of others and holds assertions; a file must not take a process down.
    let loaded = catch_unwind(AssertUnwindSafe(|| Loader::new(&source).run(text)));
    loaded.unwrap_or_else(|_| {
        fail(
            Problem::new(
                Span::point(1, 1),
                codes::YAML_SYNTAX,
                "the YAML reader failed on this file",
            )
            .help("write it in plainer YAML, and please report the file"),
        )
    })
}

/// A mapping or list whose end has not come.
struct Open {
    span: Span,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        /// The line on which each key stands.
        lines: HashMap<String, u32>,
        key: Option<(String, Span)>,
        /// A key was refused, so its value is passed over.
        pass_over: bool,
    },
}

struct Loader<'a> {
    source: &'a Source<'a>,
    open: Vec<Open>,
    /// Anchored nodes with the number of nodes in them.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    root: Option<Node>,
    problems: Vec<Problem>,
}

impl<'a> Loader<'a> {
    fn new(source: &'a Source<'a>) -> Self {
        Self {
            source,
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            root: None,
            problems: Vec::new(),
        }
    }

    fn run(mut self, text: &str) -> Loaded {
        let mut documents = 0;
        for event in Parser::new_from_str(text) {
            let outcome = match event {
                Err(error) => Err(self.explain(&error)),
                Ok((Event::DocumentStart(_), range)) => {
                    documents += 1;
                    if documents > 1 {
                        let message = "a second document begins here";
                        Err(Problem::new(start_of(range), codes::YAML_SYNTAX, message)
                            .help("keep one workflow in a file; remove the `---`"))
                    } else {
                        Ok(())
                    }
                }
                Ok((event, range)) => self.take(event, range),
            };
            if let Err(problem) = outcome {
                self.problems.push(problem);
                self.root = None;
                break;
            }
            if self.problems.len() >= MAX_PROBLEMS {
                self.root = None;
                break;
            }
        }
        Loaded {
            root: self.root,
            problems: self.problems,
        }
    }

    fn explain(&self, error: &ScanError) -> Problem {
        syntax::explain(error, self.source)
    }

    fn take(&mut self, event: Event<'_>, range: Range) -> Result<(), Problem> {
        let span = Self::span_of(range);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_key = self.awaits_key();
                let value = self.scalar(&text, style, tag.as_deref(), span, is_key);
                self.count(1, span)?;
                self.finish(Node { value, span }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                self.begin(span, anchor, Items::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                let items = Items::Map {
                    entries: Vec::new(),
                    lines: HashMap::new(),
                    key: None,
                    pass_over: false,
                };
                self.begin(span, anchor, items)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(done) => {
                    let value = match done.items {
                        Items::List(items) => Yaml::List(items),
                        Items::Map { entries, .. } => Yaml::Map(entries),
                    };
                    let node = Node {
                        value,
                        span: done.span,
                    };
                    self.finish(node, done.anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, span: Span, anchor: usize, items: Items) -> Result<(), Problem> {
        self.count(1, span)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(span));
        }
        // The scanner's ranges of lists and mappings take in blanks after the bracket.
        let span = Span {
            length: span.length.min(1),
            ..span
        };
        self.open.push(Open {
            span,
            anchor,
            items,
        });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Problem> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            let message = "an alias inside what it stands for";
            return Err(Problem::new(span, codes::YAML_SYNTAX, message)
                .help("an alias may only stand for something that ended before it"));
        };
        let (mut node, size) = (node.clone(), *size);
        self.count(size, span)?;
        if self.open.len() + depth(&node) > MAX_DEPTH {
            return Err(too_deep(span));
        }
        node.span = span;
        self.finish(node, 0)
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            let message =
                format!("more than {MAX_NODES} values, counting those that aliases stand for");
            return Err(Problem::new(span, codes::YAML_TOO_BIG, message)
                .help("a workflow needs far fewer; data stands in files of its own"));
        }
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if anchor > 0 {
            let size = size(&node);
            // The copy counts too: anchors nest.
            self.count(size, node.span)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let mut found = None;
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map {
                entries,
                lines,
                key,
                pass_over,
            }) => match key.take() {
                Some((key, key_span)) => entries.push(Entry {
                    key,
                    key_span,
                    value: node,
                }),
                None if std::mem::take(pass_over) => {}
                None => match as_key(node) {
                    Ok((name, span)) => match lines.get(&name) {
                        Some(line) => {
                            *pass_over = true;
                            let message =
                                format!("the key {} stands on line {line} too", quoted(&name));
                            found = Some(
                                Problem::new(span, codes::DUPLICATE_KEY, message)
                                    .help("remove or rename one of the two"),
                            );
                        }
                        None => {
                            lines.insert(name.clone(), span.line);
                            *key = Some((name, span));
                        }
                    },
                    Err(problem) => {
                        *pass_over = true;
                        found = Some(problem);
                    }
                },
            },
        }
        self.problems.extend(found);
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        matches!(
            self.open.last().map(|open| &open.items),
            Some(Items::Map {
                key: None,
                pass_over: false,
                ..
            })
        )
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScannedStyle,
        tag: Option<&Tag>,
        span: Span,
        is_key: bool,
    ) -> Yaml {
        let is_text_tag = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        if !is_text_tag {
            self.refuse_tag(tag, span);
        }
        let style = match style {
            ScannedStyle::Plain => ScalarStyle::Plain,
            ScannedStyle::SingleQuoted => ScalarStyle::SingleQuoted,
            ScannedStyle::DoubleQuoted => ScalarStyle::DoubleQuoted,
            ScannedStyle::Literal => ScalarStyle::Literal,
            ScannedStyle::Folded => ScalarStyle::Folded,
        };
        let as_text = || Yaml::Text {
            text: text.to_owned(),
            style,
        };
        if style != ScalarStyle::Plain || is_text_tag {
            return as_text();
        }
        match resolve(text) {
            Plain::Null => Yaml::Null,
            Plain::Bool(flag) => Yaml::Bool(flag),
            Plain::Int(integer) => Yaml::Int(integer),
            Plain::Float(float) => Yaml::Float(float),
            Plain::Text => as_text(),
            Plain::OutOfRange if is_key => Yaml::Refused,
            Plain::OutOfRange => {
                let message = format!("{} is no number of 64 bits", quoted(text));
                self.problems.push(
                    Problem::new(span, codes::WRONG_VALUE, message)
                        .help("put it in quotes if it is a text"),
                );
                Yaml::Refused
            }
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: Span) {
        if let Some(tag) = tag {
            let name = if tag.is_yaml_core_schema() {
                format!("!!{}", tag.suffix)
            } else {
                format!("{}{}", tag.handle, tag.suffix)
            };
            let message = format!("the YAML tag {} means nothing here", quoted(&name));
            self.problems
                .push(Problem::new(span, codes::YAML_SYNTAX, message).help("remove the tag"));
        }
    }

    /// The place of a node; its length is known where it ends on the line on which it begins.
    fn span_of(range: Range) -> Span {
        let start = start_of(range);
        if range.start.line() != range.end.line() {
            return start;
        }
        Span {
            length: as_u32(range.len()),
            ..start
        }
    }
}

fn start_of(range: Range) -> Span {
    Span::point(range.start.line(), range.start.col() + 1)
}

fn too_deep(span: Span) -> Problem {
    Problem::new(span, codes::YAML_TOO_BIG, TOO_DEEP).help(TOO_DEEP_HELP)
}

fn as_key(node: Node) -> Result<(String, Span), Problem> {
    let wrong = |message: &str| Problem::new(node.span, codes::YAML_SYNTAX, message);
    match &node.value {
        Yaml::Text { text, .. } if text == "<<" => Err(wrong("merge keys are not supported")
            .help("write the keys out, or put what stages share into `defaults`")),
        Yaml::Text { text, .. } => Ok((text.clone(), node.span)),
        Yaml::Null => Err(wrong("a key is missing before the `:`").help("write `key: value`")),
        Yaml::List(_) => {
            Err(wrong("a key must be a text, not a list").help("write one entry for each element"))
        }
        Yaml::Map(_) => Err(wrong("a key must be a text, not a mapping")
            .help("put an expression in quotes: `\"${{ … }}\"`")),
        Yaml::Bool(_) | Yaml::Int(_) | Yaml::Float(_) | Yaml::Refused => {
            let message = format!("a key must be a text, not {}", node.value.describe());
            Err(wrong(&message).help("put it in quotes"))
        }
    }
}

/// Nodes in a tree, itself included. Trees are at most `MAX_DEPTH` deep.
fn size(node: &Node) -> usize {
    let inside: usize = match &node.value {
        Yaml::List(items) => items.iter().map(size).sum(),
        Yaml::Map(entries) => entries.iter().map(|entry| 1 + size(&entry.value)).sum(),
        _ => 0,
    };
    1 + inside
}

/// Levels of lists and mappings in a tree.
fn depth(node: &Node) -> usize {
    match &node.value {
        Yaml::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Yaml::Map(entries) => {
            1 + entries
                .iter()
                .map(|entry| depth(&entry.value))
                .max()
                .unwrap_or(0)
        }
        _ => 0,
    }
}
