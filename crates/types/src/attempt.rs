//! What an attempt of a stage says while it runs and when it ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{DatasetRef, Diagnostic, Timestamp};

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptResult {
    /// It did its work, and everything that it names is durable.
    Succeeded(Outcome),
    /// It did not.
    Failed(StageFailure),
}

/// What a successful attempt gives.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Output datasets by name.
    #[serde(default)]
    pub outputs: BTreeMap<String, DatasetRef>,
    /// Figures by name. They are finite.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// Files beside the datasets: fitted parameters, report panels.
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
}

/// A file that a stage leaves beside its datasets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name, unique within the attempt.
    pub name: String,
    /// Its media type, as in `application/json`.
    pub media_type: String,
    /// Its path below the lake's root.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its bytes, in hexadecimal.
    pub digest: String,
}

/// Why an attempt failed, and so who must act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageFailure {
    /// Who must act.
    pub class: FailureClass,
    /// What happened.
    pub diagnostic: Diagnostic,
}

/// Who must act on a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The author of the workflow or the owner of the data: another attempt would fail the same way.
    Invalid,
    /// Nobody: another attempt may succeed.
    Transient,
    /// The operator: another attempt needs more memory or another machine.
    ResourceExhausted,
    /// Nobody: somebody asked for it.
    Cancelled,
}

impl FailureClass {
    /// Whether another attempt may succeed.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Transient | Self::ResourceExhausted)
    }
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is doing, as in `reading orders`.
    pub phase: String,
    /// Units done in this phase.
    pub done: u64,
    /// Units in this phase, where known.
    #[serde(default)]
    pub total: Option<u64>,
    /// What a unit is, as in `rows`.
    pub unit: String,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For who looks closely.
    Debug,
    /// What it does.
    Info,
    /// Something to look at; the attempt goes on.
    Warn,
    /// Why it failed.
    Error,
}

/// A line of an attempt's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// How much it matters.
    pub level: LogLevel,
    /// What, in lower case.
    pub message: String,
    /// With which values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, serde_json::Value>,
}
