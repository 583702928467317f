//! Cycles among stages, named with the whole way around.

use std::collections::{BTreeSet, HashMap, HashSet};

use indexmap::IndexMap;
use marquetry_types::{PublishedName, codes};

use crate::words::quoted;
use crate::yaml::{Entry, Problem, Span};

/// Who needs whom, by the names in the file.
#[derive(Default)]
pub(super) struct Graph<'a> {
    stages: IndexMap<&'a str, Needs>,
}

/// What a stage needs. Names that no stage has are passed over: they are told elsewhere.
#[derive(Default)]
pub(super) struct Needs {
    span: Span,
    /// In the order in which they are met.
    names: Vec<String>,
    known: HashSet<String>,
    /// The published tables that it reads.
    tables: BTreeSet<PublishedName>,
}

impl Needs {
    pub(super) fn add(&mut self, name: &str) {
        if self.known.insert(name.to_owned()) {
            self.names.push(name.to_owned());
        }
    }

    pub(super) fn read_table(&mut self, name: PublishedName) {
        self.tables.insert(name);
    }

    /// Takes in what something else needs.
    pub(super) fn absorb(&mut self, other: Self) {
        other.names.iter().for_each(|name| self.add(name));
        self.tables.extend(other.tables);
    }

    /// The published tables that it reads.
    pub(super) fn tables(&self) -> impl Iterator<Item = &PublishedName> {
        self.tables.iter()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Open,
    Done,
}

impl<'a> Graph<'a> {
    /// Adds a stage; its needs are to be filled in.
    pub(super) fn begin(&mut self, entry: &'a Entry) -> &mut Needs {
        let needs = self.stages.entry(entry.key.as_str()).or_default();
        needs.span = entry.key_span;
        needs
    }

    /// The published tables that any stage reads.
    pub(super) fn tables(&self) -> BTreeSet<PublishedName> {
        let stages = self.stages.values();
        stages.flat_map(|needs| needs.tables().cloned()).collect()
    }

    /// One problem for each cycle that a depth-first walk meets; a stage is in at most one of them.
    pub(super) fn cycles(&self) -> Vec<Problem> {
        let mut marks: HashMap<&str, Mark> = HashMap::new();
        let mut told: HashSet<&str> = HashSet::new();
        let mut problems = Vec::new();
        for start in self.stages.keys() {
            if marks.contains_key(start) {
                continue;
            }
            // The way from `start` with how many needs of each stage are looked at. Not recursive: a
            // chain of stages may be as long as the file.
            let mut way: Vec<(&str, usize)> = vec![(start, 0)];
            marks.insert(start, Mark::Open);
            while let Some((name, looked_at)) = way.last_mut() {
                let name = *name;
                let next = self
                    .stages
                    .get(name)
                    .and_then(|needs| needs.names.get(*looked_at));
                *looked_at += 1;
                let Some(need) = next else {
                    marks.insert(name, Mark::Done);
                    way.pop();
                    continue;
                };
                let Some((need, _)) = self.stages.get_key_value(need.as_str()) else {
                    continue;
                };
                match marks.get(need) {
                    None => {
                        marks.insert(need, Mark::Open);
                        way.push((need, 0));
                    }
                    // A stage that needs itself is told where it says so.
                    Some(Mark::Open) if *need != name => {
                        let around: Vec<&str> = way
                            .iter()
                            .map(|(name, _)| *name)
                            .skip_while(|name| name != need)
                            .collect();
                        if !around.iter().any(|name| told.contains(name)) {
                            problems.push(self.cycle(&around));
                            told.extend(around);
                        }
                    }
                    Some(_) => {}
                }
            }
        }
        problems
    }

    /// The problem of a cycle, beginning with the stage that stands first in the file.
    fn cycle(&self, around: &[&str]) -> Problem {
        let place = |name: &&&str| self.stages.get_index_of(**name);
        let first = around
            .iter()
            .enumerate()
            .min_by_key(|(_, name)| place(name))
            .map_or(0, |(index, _)| index);
        let in_order: Vec<&str> = around
            .iter()
            .cycle()
            .skip(first)
            .take(around.len() + 1)
            .copied()
            .collect();
        let span = in_order
            .first()
            .and_then(|name| self.stages.get(name))
            .map_or_else(Span::default, |needs| needs.span);
        let shown = if in_order.len() > 20 {
            let head = in_order.get(..10).unwrap_or_default().join(" → ");
            let tail = in_order.last().copied().unwrap_or_default();
            format!("{head} → … → {tail}")
        } else {
            in_order.join(" → ")
        };
        let message = format!("these stages wait for each other: {shown}");
        let name = quoted(in_order.first().copied().unwrap_or_default());
        Problem::new(span, codes::CYCLE, message).help(format!(
            "each waits for the one after it; let {name} or another of them do without"
        ))
    }
}
