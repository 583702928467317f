//! Rules, compiled for the columns of their input, and what they say of a row.

use arrow::datatypes::Schema;
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::{Keys, invalid};
use marquetry_script::{Columns, RowScript, ScriptError};
use marquetry_types::{Diagnostic, Location, codes};
use serde_json::Value;

use super::cells;
use super::options::{Matching, RulesOptions};

/// Compiled rules.
#[derive(Debug)]
pub(super) struct Program {
    body: Body,
    matching: Matching,
    otherwise: String,
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
    when: RowScript,
}

impl Program {
    /// Compiles what the options hold.
    pub(super) fn new(
        stage: &StageContext,
        options: &RulesOptions,
        schema: &Schema,
    ) -> Result<Self, StageError> {
        let readable = cells::readable(schema);
        let names: Vec<&str> = readable.iter().map(|(_, name)| name.as_str()).collect();
        let body = match (&options.rules, &options.script) {
            (Some(rules), None) => {
                let mut compiled = Vec::with_capacity(rules.len());
                for rule in rules {
                    let when = RowScript::expression(&rule.when.0, &names)
                        .map_err(|error| in_rule(&rule.name, &error, None))?;
                    compiled.push(CompiledRule {
                        name: rule.name.clone(),
                        when,
                    });
                }
                Body::Rules(compiled)
            }
            (None, Some(file)) => {
                let script = RowScript::script(stage.file(file)?, &names)
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

    /// The segments of every row: pairs of a row and a name, by row and then in the order of the
    /// rules. Every row has one at least.
    pub(super) fn evaluate(
        &self,
        cells: &dyn Columns,
        keys: &Keys,
    ) -> Result<Vec<(usize, String)>, StageError> {
        match &self.body {
            Body::Rules(rules) => self.by_rules(rules, cells, keys),
            Body::Script { file, script } => self.by_script(file, script, cells, keys),
        }
    }

    fn by_rules(
        &self,
        rules: &[CompiledRule],
        cells: &dyn Columns,
        keys: &Keys,
    ) -> Result<Vec<(usize, String)>, StageError> {
        let mut evaluators: Vec<_> = rules.iter().map(|rule| rule.when.evaluator()).collect();
        let mut found = Vec::with_capacity(cells.rows());
        for row in 0..cells.rows() {
            let first = found.len();
            for (rule, evaluator) in rules.iter().zip(&mut evaluators) {
                let holds = evaluator
                    .is_match(cells, row)
                    .map_err(|error| in_rule(&rule.name, &error, Some(&keys.shown(row))))?;
                let is_new = found[first..].iter().all(|(_, name)| *name != rule.name);
                if holds && is_new {
                    found.push((row, rule.name.clone()));
                    if self.matching == Matching::First {
                        break;
                    }
                }
            }
            if found.len() == first {
                found.push((row, self.otherwise.clone()));
            }
        }
        Ok(found)
    }

    fn by_script(
        &self,
        file: &str,
        script: &RowScript,
        cells: &dyn Columns,
        keys: &Keys,
    ) -> Result<Vec<(usize, String)>, StageError> {
        let mut evaluator = script.evaluator();
        let mut found = Vec::with_capacity(cells.rows());
        for row in 0..cells.rows() {
            let value = evaluator
                .value(cells, row)
                .map_err(|error| in_file(file, &error, Some(&keys.shown(row))))?;
            let mut names = self.names(value).map_err(|value| {
                let expected = match self.matching {
                    Matching::First => "the name of a segment, a text of a letter or more, or null",
                    Matching::All => "the name of a segment, an array of names, or null",
                };
                let shown = keys.shown(row);
                invalid(
                    codes::SCRIPT_TYPE,
                    format!("{file}: `segment` gives {value}, at {shown}"),
                    format!("it must give {expected}"),
                )
            })?;
            if names.is_empty() {
                names.push(self.otherwise.clone());
            }
            found.extend(names.into_iter().map(|name| (row, name)));
        }
        Ok(found)
    }

    /// The names in a script's value, each once; the value itself if it is none.
    fn names(&self, value: Value) -> Result<Vec<String>, Value> {
        match value {
            Value::Null => Ok(Vec::new()),
            Value::String(name) if !name.is_empty() => Ok(vec![name]),
            Value::Array(values) if self.matching == Matching::All => {
                let mut names: Vec<String> = Vec::with_capacity(values.len());
                for value in &values {
                    match value {
                        Value::String(name) if !name.is_empty() => {
                            if !names.contains(name) {
                                names.push(name.clone());
                            }
                        }
                        _ => return Err(Value::Array(values)),
                    }
                }
                Ok(names)
            }
            other => Err(other),
        }
    }

    /// The names of the segments that there may be, in the order in which people wrote them; those of
    /// a script are known only by running it.
    pub(super) fn known_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        if let Body::Rules(rules) = &self.body {
            for rule in rules {
                if !names.contains(&rule.name.as_str()) {
                    names.push(&rule.name);
                }
            }
        }
        names
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
