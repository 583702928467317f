//! A checked workflow, as the engine runs it and the journal keeps it.
//!
//! Every type here is written to journals: add fields with a default, never rename.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use marquetry_schedule::Schedule;
use marquetry_script::{Expression, ScriptError, Template};
use marquetry_types::{
    FailureClass, POLICY_KEY, Parallelism, PolicyUse, PublishedKind, PublishedName, QueueName,
    ScheduleName, StageKind, StageName,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{ParamSpec, Throttle, secrets};

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
    /// How many of its runs, and of those of others, run at a time; without one, as many as come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// When it runs by itself, in the order of the file; each under a name of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleSpec>,
    /// What a run that succeeded gives to whoever asked for it, in the order of the file.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub outputs: IndexMap<String, WorkflowOutput>,
}

/// What a run gives under a name: a dataset or a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowOutput {
    /// An expression.
    pub value: ConfigValue,
    /// The stages that it reads.
    #[serde(default)]
    pub needs: BTreeSet<StageName>,
}

/// A schedule by which a workflow runs by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleSpec {
    /// Its name within the workflow.
    pub name: ScheduleName,
    /// When.
    pub schedule: Schedule,
    /// The values that its runs give to parameters, checked against their types; the others have their
    /// defaults.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// Whether it makes runs.
    pub enabled: bool,
}

/// A group of runs of which a few run at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Concurrency {
    /// The group's name, perhaps with `${{ … }}` over `params` and `run`.
    pub group: Template,
    /// How many of the group run at a time; at least 1.
    pub limit: u32,
    /// What becomes of a run that comes while the group is full.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// What becomes of a run that comes while its concurrency group is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// It waits until those before it have ended.
    #[default]
    Queue,
    /// Those before it are cancelled, and it begins when they have ended.
    CancelRunning,
    /// It is refused.
    Reject,
}

impl Workflow {
    /// The stage of that name, or the one that an item of that name is of.
    #[must_use]
    pub fn stage(&self, name: &StageName) -> Option<&Stage> {
        self.stages.get(name.stage())
    }

    /// The concurrency group of a run with these parameters, if its workflow has one.
    ///
    /// # Errors
    /// The expression in its name fails.
    pub fn group(&self, params: &Map<String, Value>) -> Result<Option<String>, ScriptError> {
        let Some(concurrency) = &self.concurrency else {
            return Ok(None);
        };
        let scope = Map::from_iter([("params".to_owned(), Value::Object(params.clone()))]);
        Ok(Some(match concurrency.group.evaluate(&scope)? {
            Value::String(name) => name,
            other => other.to_string(),
        }))
    }

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
    /// The version of that kind when the workflow was read: a worker must have it, or a later one.
    #[serde(default)]
    pub version: u32,
    /// The options of that kind; a [`ConfigValue::Map`].
    pub with: ConfigValue,
    /// The stages that must end before it starts: those that it names, and those that its options
    /// and its condition read.
    #[serde(default)]
    pub needs: BTreeSet<StageName>,
    /// When it runs; without one, when everything that it needs succeeded.
    #[serde(default)]
    pub condition: Option<Condition>,
    /// It runs once for each item of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// How often and how soon it is tried.
    #[serde(default)]
    pub retry: Retry,
    /// How long an attempt may take; without one, as long as it likes.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// How long the stage may take from the moment that all it needs has ended, with all attempts, the
    /// pauses between them and the wait for workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_timeout: Option<Duration>,
    /// Where it runs, and before which others.
    #[serde(default)]
    pub placement: Placement,
    /// What holds it back though a worker is free: stages of all runs that share a group.
    #[serde(default, skip_serializing_if = "Throttle::is_none")]
    pub throttle: Throttle,
    /// How much memory an attempt may use, in bytes; without one, the worker's own limit holds.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Whether its queries are spread over workers.
    #[serde(default)]
    pub parallelism: Parallelism,
    /// The names of its outputs, in the order of its kind. The first is what `stages.NAME` means.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// The outputs that become versions of published things together with its success.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<Publish>,
    /// Whether what it gave before, of the same content, is used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
}

/// A stage whose outputs are used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// How long ago they may have been computed; without one, however long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// Digests of the files that its options name, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

/// Where a stage runs, and before which others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Placement {
    /// The queue in which it waits for a worker.
    #[serde(default)]
    pub queue: QueueName,
    /// Labels that its worker must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Of stages that wait for the same workers the one with the highest goes first; from -100 to 100.
    #[serde(default)]
    pub priority: i32,
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

/// A list, for each item of which a stage runs once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForEach {
    /// The list: an expression, or written out.
    pub items: ConfigValue,
    /// How many run at a time; without one, as many as there are slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
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
    /// The failures after which it is tried again.
    #[serde(default)]
    pub on: RetryOn,
}

/// Classes of failures after which a stage is tried again. The others never are: the author of the
/// workflow must act, or somebody cancelled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryOn {
    /// What may pass by itself: a store that did not answer, a process that died, a timeout.
    pub transient: bool,
    /// Too little memory: another worker may have more.
    pub resource_exhausted: bool,
}

impl Default for RetryOn {
    fn default() -> Self {
        Self {
            transient: true,
            resource_exhausted: true,
        }
    }
}

impl RetryOn {
    /// Whether a failure of that class is tried again.
    #[must_use]
    pub const fn includes(self, class: FailureClass) -> bool {
        match class {
            FailureClass::Transient => self.transient,
            FailureClass::ResourceExhausted => self.resource_exhausted,
            FailureClass::Invalid | FailureClass::Cancelled => false,
        }
    }
}

impl Default for Retry {
    /// Three attempts, a second and then two seconds apart.
    fn default() -> Self {
        Self {
            attempts: 3,
            initial: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(60),
            on: RetryOn::default(),
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
    /// Its value over the names in `scope`: `params`, `stages`, `tables` and `run`. A text with secrets in
    /// it becomes a reference to them, see [`SECRET_KEY`](marquetry_types::SECRET_KEY).
    ///
    /// # Errors
    /// The first expression that fails, and a value that only looks like such a reference.
    pub fn evaluate(&self, scope: &Map<String, Value>) -> Result<Value, ScriptError> {
        match self {
            Self::Scalar(template) => secrets::evaluate(template, scope),
            Self::List(items) => items.iter().map(|item| item.evaluate(scope)).collect(),
            Self::Map(entries) => entries
                .iter()
                .map(|(key, value)| {
                    secrets::check_key(key)?;
                    Ok((key.clone(), value.evaluate(scope)?))
                })
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
            Self::Policy(policy) => Ok(json!({POLICY_KEY: policy})),
        }
    }

    /// Whether it holds a secret.
    pub(crate) fn has_secret(&self) -> bool {
        match self {
            Self::Scalar(template) => template.expressions().any(secrets::reads_secret),
            Self::List(items) => items.iter().any(Self::has_secret),
            Self::Map(entries) => entries.values().any(Self::has_secret),
            Self::Policy(_) => false,
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
