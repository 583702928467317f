//! The actions that may be chosen, and for whom.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use marquetry_plugin::{RowExpression, StageError};
use marquetry_rows::{Cells, Keys, invalid, readable};
use marquetry_script::{RowScript, ScriptError, with_room};
use marquetry_types::{Diagnostic, codes};
use schemars::JsonSchema;
use serde::Deserialize;

/// Actions of one catalogue.
const MOST: usize = 1000;

/// Something that can be done for a customer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Its name, as decisions and the policy have it.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Who it is for: an expression over the columns of a customer and `segment`, as in
    /// `segment == "vip" && recency_days > 30`. Everybody, if not given; a null result is no.
    #[serde(default)]
    pub when: Option<RowExpression>,
    /// How many customers of one run may get it; without one, all.
    #[serde(default)]
    pub cap: Option<u64>,
}

/// A catalogue, compiled for the columns of the customers.
#[derive(Debug)]
pub struct Catalogue {
    names: Vec<String>,
    caps: Vec<Option<u64>>,
    rules: Vec<Option<RowScript>>,
    readable: Vec<(usize, String)>,
    is_read: Vec<bool>,
}

/// Which actions each customer may get: a number of one of the sets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Eligibility {
    /// Sets of actions, each once and ascending. A set may be empty.
    pub(crate) sets: Vec<Vec<usize>>,
    /// The set of each customer.
    pub(crate) of: Vec<usize>,
}

impl Catalogue {
    /// The catalogue for customers with these columns.
    ///
    /// # Errors
    /// There are no actions, two have one name, or a rule does not compile.
    pub fn new(actions: &[Action], schema: &Schema) -> Result<Self, StageError> {
        if actions.is_empty() {
            return Err(invalid(
                codes::STAGE_OPTIONS,
                "`actions` is empty: there is nothing to choose from",
                "list what may be done, as in `- { name: discount }`",
            ));
        }
        if actions.len() > MOST {
            let message = format!(
                "`actions` has {} of them, and may have {MOST}",
                actions.len()
            );
            return Err(invalid(codes::STAGE_OPTIONS, message, "leave some out"));
        }
        let readable = readable(schema);
        let columns: Vec<&str> = readable.iter().map(|(_, name)| name.as_str()).collect();
        let mut rules = Vec::with_capacity(actions.len());
        for (place, action) in actions.iter().enumerate() {
            let earlier = actions.iter().take(place);
            if earlier.clone().any(|other| other.name == action.name) {
                let message = format!("`actions` names `{}` twice", action.name);
                return Err(invalid(
                    codes::STAGE_OPTIONS,
                    message,
                    "name each action once; join its rules with `||`",
                ));
            }
            let rule = action.when.as_ref().map(|when| {
                RowScript::expression(&when.0, &columns)
                    .map_err(|error| in_action(&action.name, &error, None))
            });
            rules.push(rule.transpose()?);
        }
        let mut is_read = vec![false; readable.len()];
        for column in rules.iter().flatten().flat_map(RowScript::columns) {
            if let Some(is_read) = is_read.get_mut(column) {
                *is_read = true;
            }
        }
        Ok(Self {
            names: actions.iter().map(|action| action.name.clone()).collect(),
            caps: actions.iter().map(|action| action.cap).collect(),
            rules,
            readable,
            is_read,
        })
    }

    /// The names of the actions.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    /// How many customers may get each.
    pub(crate) fn caps(&self) -> &[Option<u64>] {
        &self.caps
    }

    /// The columns that the rules read.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        let columns = self.readable.iter().zip(&self.is_read);
        columns.filter_map(|((_, name), is_read)| is_read.then_some(name.as_str()))
    }

    /// Which actions each row may get.
    pub(crate) fn eligible(
        &self,
        batch: &RecordBatch,
        keys: &Keys,
    ) -> Result<Eligibility, StageError> {
        let cells = Cells::new(batch, &self.readable, &self.is_read)?;
        let mut evaluators: Vec<_> = self
            .rules
            .iter()
            .map(|rule| rule.as_ref().map(RowScript::evaluator))
            .collect();
        let mut eligibility = Eligibility::default();
        let mut numbers: HashMap<Vec<usize>, usize> = HashMap::new();
        with_room(|| {
            for row in 0..batch.num_rows() {
                let mut set = Vec::with_capacity(self.names.len());
                for (action, evaluator) in evaluators.iter_mut().enumerate() {
                    let holds = match evaluator {
                        None => true,
                        Some(evaluator) => evaluator.is_match(&cells, row).map_err(|error| {
                            in_action(&self.names[action], &error, Some(&keys.shown(row)))
                        })?,
                    };
                    if holds {
                        set.push(action);
                    }
                }
                let number = match numbers.get(&set) {
                    Some(number) => *number,
                    None => {
                        let number = eligibility.sets.len();
                        eligibility.sets.push(set.clone());
                        numbers.insert(set, number);
                        number
                    }
                };
                eligibility.of.push(number);
            }
            Ok(eligibility)
        })
    }
}

fn in_action(action: &str, error: &ScriptError, customer: Option<&str>) -> StageError {
    let place = match (error.line, error.column) {
        (Some(line), Some(column)) => format!(" at line {line}, column {column}"),
        _ => String::new(),
    };
    let who = customer
        .map(|who| format!(" for {who}"))
        .unwrap_or_default();
    let message = format!("`when` of action `{action}`{place}{who}: {}", error.message);
    let diagnostic = Diagnostic::new(error.code(), message);
    StageError::Invalid(match &error.help {
        Some(help) => diagnostic.help(help.clone()),
        None => diagnostic,
    })
}
