//! Rules, compiled for the columns of their input, and what they say of a row.

use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Schema;
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::{Cells, invalid, readable, seen};
use marquetry_script::{RowScript, ScriptError};
use marquetry_types::{Diagnostic, Location, codes};
use serde_json::Value;

use super::names::Names;
use super::nodes;
use super::options::{Matching, RulesOptions};
use super::translate::{Translated, translate};

/// Segments that a script may put one customer into.
const MOST: usize = 1000;

/// Characters of a value that a message shows.
const SHOWN: usize = 100;

/// Compiled rules.
#[derive(Debug)]
pub(super) struct Program {
    body: Body,
    pub(super) matching: Matching,
    otherwise: String,
    /// The names that rules give; those of a script are known only by running it.
    pub(super) names: Names,
    /// The columns that scripts can read: their places in the input and their names.
    pub(super) readable: Vec<(usize, String)>,
    /// Whether any rule reads each of them.
    pub(super) is_read: Vec<bool>,
}

#[derive(Debug)]
enum Body {
    Rules(Vec<CompiledRule>),
    Script { file: String, script: RowScript },
}

#[derive(Debug)]
struct CompiledRule {
    name: String,
    /// The number of the name; several rules may have the same.
    number: usize,
    when: RowScript,
    /// The rule over whole columns, where it can be said so.
    translated: Option<Translated>,
}

/// What evaluating asks and tells on its way.
pub(super) trait Watch {
    /// Fails if somebody wants the work to end.
    fn check_cancelled(&self) -> Result<(), StageError>;
    /// A row of the batch as messages name it.
    fn shown(&self, row: usize) -> String;
}

/// The segments of some rows.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The rows, each as often as it has segments and at least once; none where every row has one.
    pub(super) rows: Option<Vec<u32>>,
    /// The numbers of the names, by row and then in the order of the rules.
    pub(super) names: Vec<u32>,
    /// The rows for which no rule holds, or of which a script says nothing.
    pub(super) unmatched: usize,
}

impl Program {
    /// Compiles what the options hold.
    pub(super) fn new(
        stage: &StageContext,
        options: &RulesOptions,
        schema: &Schema,
    ) -> Result<Self, StageError> {
        let otherwise = options.otherwise.clone();
        match (&options.rules, &options.script) {
            (Some(rules), None) => {
                let rules = rules
                    .iter()
                    .map(|rule| (rule.name.as_str(), rule.when.0.as_str()));
                Self::of_rules(rules, options.matching, otherwise, schema)
            }
            (None, Some(file)) => {
                let text = stage.file(file)?;
                Self::of_script(&file.0, text, options.matching, otherwise, schema)
            }
            (rules, _) => {
                let which = if rules.is_some() {
                    "both `rules` and"
                } else {
                    "neither `rules` nor"
                };
                Err(invalid(
                    codes::STAGE_OPTIONS,
                    format!("there is {which} `script`"),
                    "write the rules in the workflow, or in a file with `fn segment(row)`: one of them",
                ))
            }
        }
    }

    /// Rules by name and condition, in order of precedence.
    pub(super) fn of_rules<'a>(
        rules: impl IntoIterator<Item = (&'a str, &'a str)>,
        matching: Matching,
        otherwise: String,
        schema: &Schema,
    ) -> Result<Self, StageError> {
        let readable = readable(schema);
        let columns: Vec<&str> = readable.iter().map(|(_, name)| name.as_str()).collect();
        let seen = seen(schema, &readable);
        let mut names = Names::default();
        let mut compiled = Vec::new();
        for (name, when) in rules {
            let when = RowScript::expression(when, &columns)
                .map_err(|error| in_rule(name, &error, None))?;
            let translated = when
                .formula()
                .and_then(|formula| translate(&formula, &seen));
            compiled.push(CompiledRule {
                name: name.to_owned(),
                number: names.number(name),
                when,
                translated,
            });
        }
        let body = Body::Rules(compiled);
        Ok(Self::of_body(body, names, readable, matching, otherwise))
    }

    /// The script of a file.
    pub(super) fn of_script(
        file: &str,
        text: &str,
        matching: Matching,
        otherwise: String,
        schema: &Schema,
    ) -> Result<Self, StageError> {
        let readable = readable(schema);
        let columns: Vec<&str> = readable.iter().map(|(_, name)| name.as_str()).collect();
        let script =
            RowScript::script(text, &columns).map_err(|error| in_file(file, &error, None))?;
        let body = Body::Script {
            file: file.to_owned(),
            script,
        };
        let names = Names::default();
        Ok(Self::of_body(body, names, readable, matching, otherwise))
    }

    fn of_body(
        body: Body,
        names: Names,
        readable: Vec<(usize, String)>,
        matching: Matching,
        otherwise: String,
    ) -> Self {
        let mut is_read = vec![false; readable.len()];
        let scripts: Vec<&RowScript> = match &body {
            Body::Rules(rules) => rules.iter().map(|rule| &rule.when).collect(),
            Body::Script { script, .. } => vec![script],
        };
        for column in scripts.into_iter().flat_map(RowScript::columns) {
            if let Some(is_read) = is_read.get_mut(column) {
                *is_read = true;
            }
        }
        Self {
            body,
            matching,
            otherwise,
            names,
            readable,
            is_read,
        }
    }

    /// The rules that run over whole columns, and the others, by name.
    pub(super) fn ways(&self) -> (Vec<&str>, Vec<&str>) {
        match &self.body {
            Body::Rules(rules) => {
                let (whole, others): (Vec<&CompiledRule>, Vec<_>) =
                    rules.iter().partition(|rule| rule.translated.is_some());
                let names = |rules: Vec<&'_ CompiledRule>| -> Vec<usize> {
                    rules.iter().map(|rule| rule.number).collect()
                };
                let texts = |numbers: Vec<usize>| -> Vec<&str> {
                    numbers
                        .iter()
                        .map(|number| self.names.text(*number))
                        .collect()
                };
                (texts(names(whole)), texts(names(others)))
            }
            Body::Script { file, .. } => (Vec::new(), vec![file]),
        }
    }

    /// The script's file, and whether it runs without the interpreter.
    pub(super) fn script(&self) -> Option<(&str, bool)> {
        match &self.body {
            Body::Rules(_) => None,
            Body::Script { file, script } => Some((file, script.is_compiled())),
        }
    }

    /// Takes every rule row by row, as where none could be translated.
    #[cfg(test)]
    pub(super) fn by_row(mut self) -> Self {
        if let Body::Rules(rules) = &mut self.body {
            rules.iter_mut().for_each(|rule| rule.translated = None);
        }
        self
    }

    /// The names of the columns that are read.
    pub(super) fn columns(&self) -> Vec<String> {
        let columns = self.readable.iter().zip(&self.is_read);
        columns
            .filter(|(_, is_read)| **is_read)
            .map(|((_, name), _)| name.clone())
            .collect()
    }

    /// The segments of every row. `names` has those of the program and of the rows before, and gets
    /// what is new.
    pub(super) fn evaluate(
        &self,
        batch: &RecordBatch,
        names: &mut Names,
        watch: &dyn Watch,
    ) -> Result<Found, StageError> {
        watch.check_cancelled()?;
        let cells = Cells::new(batch, &self.readable, &self.is_read)?;
        let rules = match &self.body {
            Body::Script { file, script } => {
                return self.by_script(file, script, &cells, names, watch);
            }
            Body::Rules(rules) => rules,
        };
        if rules.iter().any(|rule| rule.translated.is_some()) {
            match self.by_columns(rules, &cells, names, watch) {
                Ok(found) => return Ok(found),
                Err(Stopped::Cancelled(error)) => return Err(error),
                // Some rule fails for some row, or would if the row came to it. The first row that
                // does is the one to name, whichever rule it is.
                Err(Stopped::Failed) => {}
            }
        }
        self.by_rows(rules, &cells, names, watch)
    }

    /// Rule by rule over whole columns; the rules that cannot be said so, over the rows that are left
    /// to them.
    fn by_columns(
        &self,
        rules: &[CompiledRule],
        cells: &Cells,
        names: &mut Names,
        watch: &dyn Watch,
    ) -> Result<Found, Stopped> {
        let rows = cells.batch().num_rows();
        let mut found = Found {
            names: vec![0; rows],
            ..Found::default()
        };
        let mut open = BooleanBuffer::new_set(rows);
        let mut columns = Vec::new();
        for rule in rules {
            watch.check_cancelled().map_err(Stopped::Cancelled)?;
            match self.matching {
                Matching::First => {
                    if open.count_set_bits() == 0 {
                        break;
                    }
                    let holds = &rule.holds(cells, &open, watch)? & &open;
                    let number = number_of(rule.number);
                    for row in holds.set_indices() {
                        if let Some(name) = found.names.get_mut(row) {
                            *name = number;
                        }
                    }
                    open = &open & &!&holds;
                }
                Matching::All => columns.push((rule.number, rule.holds(cells, &open, watch)?)),
            }
        }
        if self.matching == Matching::All {
            return Ok(self.together(&columns, rows, names));
        }
        found.unmatched = open.count_set_bits();
        if found.unmatched > 0 {
            let number = number_of(names.number(&self.otherwise));
            for row in open.set_indices() {
                if let Some(name) = found.names.get_mut(row) {
                    *name = number;
                }
            }
        }
        Ok(found)
    }

    /// The segments of rows by the rules that hold for them.
    fn together(
        &self,
        columns: &[(usize, BooleanBuffer)],
        rows: usize,
        names: &mut Names,
    ) -> Found {
        let mut found = Found::by_row(rows);
        for row in 0..rows {
            let first = found.names.len();
            for (number, holds) in columns {
                if holds.value(row) {
                    found.put(first, row, *number);
                }
            }
            self.close(&mut found, first, row, names);
        }
        found
    }

    /// Row by row.
    fn by_rows(
        &self,
        rules: &[CompiledRule],
        cells: &Cells,
        names: &mut Names,
        watch: &dyn Watch,
    ) -> Result<Found, StageError> {
        let rows = cells.batch().num_rows();
        let mut found = Found::by_row(rows);
        let mut evaluators: Vec<_> = rules.iter().map(|rule| rule.when.evaluator()).collect();
        for row in 0..rows {
            // A row may take all the operations that it has, so look at each.
            watch.check_cancelled()?;
            let first = found.names.len();
            for (rule, evaluator) in rules.iter().zip(&mut evaluators) {
                let holds = evaluator
                    .is_match(cells, row)
                    .map_err(|error| in_rule(&rule.name, &error, Some(&watch.shown(row))))?;
                if holds {
                    found.put(first, row, rule.number);
                    if self.matching == Matching::First {
                        break;
                    }
                }
            }
            self.close(&mut found, first, row, names);
        }
        Ok(found)
    }

    fn by_script(
        &self,
        file: &str,
        script: &RowScript,
        cells: &Cells,
        names: &mut Names,
        watch: &dyn Watch,
    ) -> Result<Found, StageError> {
        let rows = cells.batch().num_rows();
        let mut found = Found::by_row(rows);
        let mut evaluator = script.evaluator();
        for row in 0..rows {
            watch.check_cancelled()?;
            let first = found.names.len();
            match evaluator.value(cells, row) {
                // By far the most there are.
                Ok(Value::String(name)) if !name.is_empty() => {
                    found.put(first, row, names.number(&name));
                }
                value => value
                    .and_then(|value| self.check(script, value))
                    .map_err(|error| in_file(file, &error, Some(&watch.shown(row))))?
                    .iter()
                    .for_each(|name| found.put(first, row, names.number(name))),
            }
            self.close(&mut found, first, row, names);
        }
        Ok(found)
    }

    /// Puts a row that is in no segment into `otherwise`.
    fn close(&self, found: &mut Found, first: usize, row: usize, names: &mut Names) {
        if found.names.len() == first {
            found.unmatched += 1;
            found.put(first, row, names.number(&self.otherwise));
        }
    }

    /// The names in a script's value.
    fn check(&self, script: &RowScript, value: Value) -> Result<Vec<String>, ScriptError> {
        let named = match value {
            Value::Null => Ok(Vec::new()),
            Value::String(name) if !name.is_empty() => Ok(vec![name]),
            Value::Array(values) if self.matching == Matching::All => names_of(values),
            other => Err(other),
        };
        match named {
            Ok(names) if names.len() > MOST => Err(script.value_error(
                format!("`segment` gives {} names", names.len()),
                format!("a customer may be in {MOST} segments at most"),
            )),
            Ok(names) => Ok(names),
            Err(value) => {
                let expected = match self.matching {
                    Matching::First => "the name of a segment, a text of a letter or more, or null",
                    Matching::All => "the name of a segment, an array of names, or null",
                };
                Err(script.value_error(
                    format!("`segment` gives {}", shortened(&value)),
                    format!("it must give {expected}"),
                ))
            }
        }
    }
}

/// Why evaluating by columns ended.
enum Stopped {
    Cancelled(StageError),
    /// A rule fails for a row.
    Failed,
}

impl CompiledRule {
    /// The rows of `open` for which it holds; those of others may be there too.
    fn holds(
        &self,
        cells: &Cells,
        open: &BooleanBuffer,
        watch: &dyn Watch,
    ) -> Result<BooleanBuffer, Stopped> {
        if let Some(translated) = &self.translated {
            let condition = &translated.condition;
            let holds = if translated.may_fail {
                nodes::holds_among(condition, cells.batch(), open)
            } else {
                nodes::holds(condition, cells.batch())
            };
            return holds.map_err(|_| Stopped::Failed);
        }
        let mut evaluator = self.when.evaluator();
        let mut holds = vec![false; open.len()];
        for row in open.set_indices() {
            watch.check_cancelled().map_err(Stopped::Cancelled)?;
            let is_match = evaluator.is_match(cells, row);
            let is_match = is_match.map_err(|_| Stopped::Failed)?;
            if let Some(holds) = holds.get_mut(row) {
                *holds = is_match;
            }
        }
        Ok(holds.into())
    }
}

/// Numbers of names and rows are small: they count what is in memory.
fn number_of(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Found {
    /// None yet of so many rows.
    fn by_row(rows: usize) -> Self {
        Self {
            rows: Some(Vec::with_capacity(rows)),
            names: Vec::with_capacity(rows),
            unmatched: 0,
        }
    }

    /// Adds a segment of the row whose segments begin at `first`, if it is not there.
    fn put(&mut self, first: usize, row: usize, name: usize) {
        let name = number_of(name);
        let there = self.names.get(first..).unwrap_or_default();
        if !there.contains(&name) {
            self.names.push(name);
            if let Some(rows) = &mut self.rows {
                rows.push(number_of(row));
            }
        }
    }
}

/// The names in an array; the array itself if it holds anything else.
fn names_of(values: Vec<Value>) -> Result<Vec<String>, Value> {
    let is_name = |value: &Value| value.as_str().is_some_and(|name| !name.is_empty());
    if !values.iter().all(is_name) {
        return Err(Value::Array(values));
    }
    let names = values.iter().filter_map(Value::as_str);
    Ok(names.map(str::to_owned).collect())
}

/// A value as JSON, or its beginning.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// An error in a rule: which rule, where in it, and at which customer.
fn in_rule(rule: &str, error: &ScriptError, shown: Option<&str>) -> StageError {
    let at = shown
        .map(|shown| format!(", at {shown}"))
        .unwrap_or_default();
    let place = match (error.line, error.column) {
        (Some(line), Some(column)) => format!(" (line {line}, column {column} of the rule)"),
        _ => String::new(),
    };
    let message = format!("rule `{rule}`: {}{place}{at}", error.message);
    with_help(Diagnostic::new(error.code(), message), error)
}

/// An error in a script file: where in it, and at which customer.
fn in_file(file: &str, error: &ScriptError, shown: Option<&str>) -> StageError {
    let at = shown
        .map(|shown| format!(", at {shown}"))
        .unwrap_or_default();
    let mut diagnostic = Diagnostic::new(error.code(), format!("{}{at}", error.message));
    if let (Some(line), Some(column)) = (error.line, error.column) {
        diagnostic = diagnostic.at(Location {
            file: file.to_owned(),
            line,
            column,
            length: 0,
        });
    } else {
        diagnostic.message = format!("{file}: {}", diagnostic.message);
    }
    with_help(diagnostic, error)
}

fn with_help(diagnostic: Diagnostic, error: &ScriptError) -> StageError {
    StageError::Invalid(match &error.help {
        Some(help) => diagnostic.help(help.clone()),
        None => diagnostic,
    })
}
