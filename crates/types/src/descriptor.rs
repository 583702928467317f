//! What a stage kind says of itself, as plain data: enough to check a workflow without running it.

use serde::{Deserialize, Serialize};

use crate::StageKind;

/// The key in an options schema that marks a property as more than its JSON type; its value is a
/// [`SchemaMark`].
pub const SCHEMA_MARK: &str = "x-marquetry";

/// What a marked property of an options schema holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaMark {
    /// A dataset: in YAML a reference such as `${{ stages.orders }}`, at run time a
    /// [`DatasetRef`](crate::DatasetRef) under [`DATASET_KEY`](crate::DATASET_KEY).
    Dataset,
    /// A path, relative to the workflow file, of a file that travels with the workflow.
    File,
    /// A rhai expression over the columns of a row, checked for syntax when the workflow is read.
    Script,
    /// The name of a policy, written out; at run time the version that was published when the run
    /// began, as a [`PolicyVersion`](crate::PolicyVersion) under [`POLICY_KEY`](crate::POLICY_KEY).
    Policy,
    /// The same for a stage that learns: it gets the newest version, and its output
    /// [`POLICY_OUTPUT`](crate::POLICY_OUTPUT) becomes the next one. A stage has one such option at
    /// most.
    PolicyUpdate,
}

/// A stage kind: its name, version, options and outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageDescriptor {
    /// The name that `uses` takes.
    pub kind: StageKind,
    /// Grows when the same options and inputs would give other outputs.
    pub version: u32,
    /// One line: what it does.
    pub summary: String,
    /// A paragraph or more: the algorithm, its complexity, its source.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of `with`.
    pub options: serde_json::Value,
    /// Datasets that it writes; the first is what `${{ stages.NAME }}` means.
    pub outputs: Vec<OutputDescriptor>,
    /// Metrics that it reports, by name: what each one is, with its unit.
    #[serde(default)]
    pub metrics: Vec<OutputDescriptor>,
    /// A `with` block that works, as YAML.
    #[serde(default)]
    pub example: String,
    /// Whether its outputs follow from its options, its inputs, the files that it names and its seed, and
    /// from nothing else, so that they may be used again. What reads the world outside, what decides and
    /// what learns is not.
    #[serde(default)]
    pub is_pure: bool,
}

/// A named thing that a stage gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputDescriptor {
    /// Its name, as expressions use it.
    pub name: String,
    /// What it holds.
    pub description: String,
}

impl OutputDescriptor {
    /// A named output or metric.
    #[must_use]
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
        }
    }
}
