//! A run as `show` and `--output json` show it: a shape of its own, which journals and wires may
//! outgrow. It is made from a run in a journal, or from one that a coordinator sent.

mod from_journal;
mod from_wire;

use std::collections::BTreeMap;

use marquetry_types::{Diagnostic, PublishedKind, Timestamp};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// A line of a list of runs.
#[derive(Debug, Serialize)]
pub(crate) struct SummaryView {
    pub(crate) id: String,
    pub(crate) workflow: String,
    pub(crate) status: &'static str,
    #[serde(serialize_with = "as_text")]
    pub(crate) submitted_at: Timestamp,
    #[serde(serialize_with = "as_optional_text")]
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) stages: u32,
    pub(crate) stages_succeeded: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Diagnostic>,
    /// It has left the journal, and is in the archive alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_archived: bool,
}

/// A run with its stages.
#[derive(Debug, Serialize)]
pub(crate) struct RunView {
    pub(crate) id: String,
    pub(crate) workflow: String,
    pub(crate) status: &'static str,
    #[serde(serialize_with = "as_text")]
    pub(crate) submitted_at: Timestamp,
    #[serde(serialize_with = "as_optional_text")]
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) params: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Diagnostic>,
    /// The stage of another run that it is part of, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<ParentView>,
    /// The datasets that its workflow names as outputs, once it succeeded.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) outputs: BTreeMap<String, OutputView>,
    /// The numbers that its workflow names as outputs, once it succeeded.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metrics: BTreeMap<String, f64>,
    /// In an order in which they can run.
    pub(crate) stages: Vec<StageView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ParentView {
    pub(crate) run: String,
    pub(crate) stage: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ChildView {
    pub(crate) run: String,
    pub(crate) workflow: String,
    pub(crate) version: u64,
}

/// What an attempt that computed nothing looked at.
#[derive(Debug, Serialize)]
pub(crate) struct ReusedView {
    pub(crate) run: String,
    pub(crate) stage: String,
    pub(crate) attempt: u32,
    #[serde(serialize_with = "as_text")]
    pub(crate) computed_at: Timestamp,
}

#[derive(Debug, Serialize)]
pub(crate) struct StageView {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) status: &'static str,
    pub(crate) needs: Vec<String>,
    /// When its first attempt began, or its first item's, since it was last opened.
    #[serde(serialize_with = "as_optional_text")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(serialize_with = "as_optional_text")]
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) attempts: Vec<AttemptView>,
    pub(crate) outputs: BTreeMap<String, OutputView>,
    pub(crate) metrics: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) published: Vec<PublishedView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) withheld: Vec<WithheldView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Diagnostic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skip_reason: Option<String>,
    /// What it waits for, while it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waiting_for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approval: Option<ApprovalView>,
    /// How its items stand, if it has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) items: Option<ItemsView>,
    /// The run that it began last, if it runs a workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) child: Option<ChildView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ItemsView {
    pub(crate) total: u32,
    pub(crate) running: u32,
    pub(crate) succeeded: u32,
    pub(crate) failed: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct ApprovalView {
    pub(crate) by: String,
    pub(crate) comment: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct AttemptView {
    pub(crate) attempt: u32,
    pub(crate) worker: String,
    #[serde(serialize_with = "as_text")]
    pub(crate) started_at: Timestamp,
    #[serde(serialize_with = "as_optional_text")]
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) end: Option<&'static str>,
    /// Why it did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// The code of that, which `docs/errors` explains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
    /// What was computed before and it looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reused: Option<ReusedView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PublishedView {
    pub(crate) kind: PublishedKind,
    pub(crate) name: String,
    pub(crate) version: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct WithheldView {
    pub(crate) output: String,
    pub(crate) reason: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutputView {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) manifest: String,
}

impl RunView {
    /// The stage whose failure is the run's.
    pub(crate) fn failed_stage(&self) -> Option<&str> {
        let mut stages = self.stages.iter();
        let failed = stages.find(|stage| stage.error.is_some() && stage.error == self.error)?;
        Some(&failed.name)
    }
}

/// Datasets by name.
fn outputs<D: Into<OutputView>>(
    datasets: impl IntoIterator<Item = (String, D)>,
) -> BTreeMap<String, OutputView> {
    let outputs = datasets.into_iter();
    outputs.map(|(name, it)| (name, it.into())).collect()
}

fn as_text<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn as_optional_text<S: Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.collect_str(at),
        None => serializer.serialize_none(),
    }
}
