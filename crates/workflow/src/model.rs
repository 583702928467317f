//! A checked workflow, as the engine runs it and the journal keeps it.
//!
//! Every type here is written to journals: add fields with a default, never rename.

use std::collections::BTreeSet;
use std::time::Duration;

use indexmap::IndexMap;
use marquetry_script::{Expression, ScriptError, Template};
use marquetry_types::{StageKind, StageName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ParamSpec;

/// A workflow: parameters and a graph of stages without cycles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// Its name, as `marquetry runs` shows it.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// What a run may set, in the order of the file.
    #[serde(default)]
    pub params: IndexMap<String, ParamSpec>,
    /// What a run does, in the order of the file.
    pub stages: IndexMap<StageName, Stage>,
}

/// One stage of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name within the workflow.
    pub name: StageName,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// What it does.
    pub uses: StageKind,
    /// The options of that kind; a [`ConfigValue::Map`].
    pub with: ConfigValue,
    /// The stages that must end before it starts: those that it names, and those that its options
    /// and its condition read.
    #[serde(default)]
    pub needs: BTreeSet<StageName>,
    /// When it runs; without one, when everything that it needs succeeded.
    #[serde(default)]
    pub condition: Option<Condition>,
    /// How often and how soon it is tried.
    #[serde(default)]
    pub retry: Retry,
    /// How long an attempt may take; without one, as long as it likes.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// How much memory an attempt may use, in bytes; without one, the worker's own limit holds.
    #[serde(default)]
    pub memory: Option<u64>,
    /// The names of its outputs, in the order of its kind. The first is what `stages.NAME` means.
    #[serde(default)]
    pub outputs: Vec<String>,
}

/// When a stage runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// `if: always()`: when everything that it needs has ended, however it ended.
    Always,
    /// `if: failure()`: when everything that it needs has ended and something of it failed.
    Failure,
    /// When the expression holds over what it needs.
    When(Expression),
}

/// How a stage is tried again after a failure that another attempt may survive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all, at least 1; 1 means that nothing is tried again.
    pub attempts: u32,
    /// The pause before the second attempt.
    pub initial: Duration,
    /// By how much each pause is longer than the one before it; at least 1.
    pub factor: f64,
    /// The longest pause.
    pub max: Duration,
}

impl Default for Retry {
    /// Three attempts, a second and then two seconds apart.
    fn default() -> Self {
        Self {
            attempts: 3,
            initial: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(60),
        }
    }
}

/// A value of `with`: YAML in which scalars may hold expressions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigValue {
    /// A scalar, perhaps with `${{ … }}` in it.
    Scalar(Template),
    /// A list.
    List(Vec<ConfigValue>),
    /// A mapping, in the order of the file.
    Map(IndexMap<String, ConfigValue>),
}

impl ConfigValue {
    /// Its value over the names in `scope`: `params`, `stages` and `run`.
    ///
    /// # Errors
    /// The first expression that fails.
    pub fn evaluate(&self, scope: &Map<String, Value>) -> Result<Value, ScriptError> {
        match self {
            Self::Scalar(template) => template.evaluate(scope),
            Self::List(items) => items.iter().map(|item| item.evaluate(scope)).collect(),
            Self::Map(entries) => entries
                .iter()
                .map(|(key, value)| Ok((key.clone(), value.evaluate(scope)?)))
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
        }
    }
}
