//! Rules, compiled for the columns of their input, and what they say of a row.

use arrow::datatypes::Schema;
use marquetry_plugin::{Reporter, StageContext, StageError};
use marquetry_rows::{Keys, invalid, readable};
use marquetry_script::{Columns, RowScript, ScriptError};
use marquetry_types::{Diagnostic, Location, codes};
use serde_json::Value;

use super::names::Names;
use super::options::{Matching, RulesOptions};

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
}

/// The segments of some rows.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Pairs of a row and the number of a name, by row and then in the order of the rules. Every row
    /// has one at least.
    pub(super) places: Vec<(usize, usize)>,
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
        let readable = readable(schema);
        let columns: Vec<&str> = readable.iter().map(|(_, name)| name.as_str()).collect();
        let mut names = Names::default();
        let body = match (&options.rules, &options.script) {
            (Some(rules), None) => {
                let mut compiled = Vec::with_capacity(rules.len());
                for rule in rules {
                    let when = RowScript::expression(&rule.when.0, &columns)
                        .map_err(|error| in_rule(&rule.name, &error, None))?;
                    compiled.push(CompiledRule {
                        name: rule.name.clone(),
                        number: names.number(&rule.name),
                        when,
                    });
                }
                Body::Rules(compiled)
            }
            (None, Some(file)) => {
                let script = RowScript::script(stage.file(file)?, &columns)
                    .map_err(|error| in_file(&file.0, &error, None))?;
                Body::Script {
                    file: file.0.clone(),
                    script,
                }
            }
            (rules, _) => {
                let which = if rules.is_some() {
                    "both `rules` and"
                } else {
                    "neither `rules` nor"
                };
                return Err(invalid(
                    codes::STAGE_OPTIONS,
                    format!("there is {which} `script`"),
                    "write the rules in the workflow, or in a file with `fn segment(row)`: one of them",
                ));
            }
        };
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
        Ok(Self {
            body,
            matching: options.matching,
            otherwise: options.otherwise.clone(),
            names,
            readable,
            is_read,
        })
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
        cells: &dyn Columns,
        keys: &Keys,
        names: &mut Names,
        reporter: &Reporter,
    ) -> Result<Found, StageError> {
        let mut found = Found::default();
        found.places.reserve(cells.rows());
        match &self.body {
            Body::Rules(rules) => {
                let mut evaluators: Vec<_> =
                    rules.iter().map(|rule| rule.when.evaluator()).collect();
                for row in 0..cells.rows() {
                    // A row may take all the operations that it has, so look at each.
                    reporter.check_cancelled()?;
                    let first = found.places.len();
                    for (rule, evaluator) in rules.iter().zip(&mut evaluators) {
                        let holds = evaluator
                            .is_match(cells, row)
                            .map_err(|error| in_rule(&rule.name, &error, Some(&keys.shown(row))))?;
                        if holds {
                            found.put(first, row, rule.number);
                            if self.matching == Matching::First {
                                break;
                            }
                        }
                    }
                    self.close(&mut found, first, row, names);
                }
            }
            Body::Script { file, script } => {
                let mut evaluator = script.evaluator();
                for row in 0..cells.rows() {
                    reporter.check_cancelled()?;
                    let first = found.places.len();
                    evaluator
                        .value(cells, row)
                        .and_then(|value| self.check(script, value))
                        .map_err(|error| in_file(file, &error, Some(&keys.shown(row))))?
                        .iter()
                        .for_each(|name| found.put(first, row, names.number(name)));
                    self.close(&mut found, first, row, names);
                }
            }
        }
        Ok(found)
    }

    /// Puts a row that is in no segment into `otherwise`.
    fn close(&self, found: &mut Found, first: usize, row: usize, names: &mut Names) {
        if found.places.len() == first {
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

impl Found {
    /// Adds a segment of the row whose segments begin at `first`, if it is not there.
    fn put(&mut self, first: usize, row: usize, name: usize) {
        if self.places[first..].iter().all(|(_, other)| *other != name) {
            self.places.push((row, name));
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
