//! A checked workflow, as the engine runs it and the journal keeps it.
//!
//! Every type here is written to journals: add fields with a default, never rename.

use std::collections::BTreeSet;
use std::time::Duration;

use indexmap::IndexMap;
use marquetry_script::{Expression, ScriptError, Template};
use marquetry_types::{POLICY_KEY, PolicyUse, PublishedKind, PublishedName, StageKind, StageName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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
    /// The published tables that its expressions read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tables: BTreeSet<PublishedName>,
}

impl Workflow {
    /// Every published thing that it reads or publishes: a run is pinned to their versions when it
    /// begins.
    #[must_use]
    pub fn published(&self) -> BTreeSet<(PublishedKind, PublishedName)> {
        let tables = self.tables.iter().cloned();
        let mut all: BTreeSet<_> = tables.map(|name| (PublishedKind::Table, name)).collect();
        for stage in self.stages.values() {
            let publishes = stage.publish.iter();
            all.extend(publishes.map(|publish| (publish.kind, publish.name.clone())));
            stage.with.each_policy(&mut |policy| {
                all.insert((PublishedKind::Policy, policy.name.clone()));
            });
        }
        all
    }
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
    /// The outputs that become versions of published things together with its success.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<Publish>,
}

/// An output that becomes the next version of a published thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// The output.
    pub output: String,
    /// Table or policy.
    pub kind: PublishedKind,
    /// Under which name.
    pub name: PublishedName,
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
    /// A policy by its name. Which version of it is decided when the stage runs.
    Policy(PolicyUse),
}

impl ConfigValue {
    /// Its value over the names in `scope`: `params`, `stages`, `tables` and `run`.
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
            Self::Policy(policy) => Ok(json!({POLICY_KEY: policy})),
        }
    }

    /// Visits the policies in it.
    pub(crate) fn each_policy(&self, visit: &mut impl FnMut(&PolicyUse)) {
        match self {
            Self::Scalar(_) => {}
            Self::List(items) => items.iter().for_each(|item| item.each_policy(visit)),
            Self::Map(entries) => entries.values().for_each(|value| value.each_policy(visit)),
            Self::Policy(policy) => visit(policy),
        }
    }
}
