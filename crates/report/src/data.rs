//! What a report is made of.

use std::collections::BTreeMap;

use marquetry_engine::{RunStatus, StageStatus};
use marquetry_plugin::Panel;
use marquetry_types::{Diagnostic, Timestamp};
use serde_json::{Map, Value};

/// A run, as its report tells it.
#[derive(Debug, Clone)]
pub struct ReportData {
    /// The workflow's name.
    pub workflow: String,
    /// What the workflow says about itself.
    pub description: Option<String>,
    /// The run's id.
    pub run: String,
    /// Where the run stands.
    pub status: RunStatus,
    /// The parameters, with defaults filled in, in the order of the workflow.
    pub params: Map<String, Value>,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it ended; `None` while it runs.
    pub finished_at: Option<Timestamp>,
    /// When the report is made: where a run that has not ended is drawn to.
    pub generated_at: Timestamp,
    /// Its stages, in the order of the workflow.
    pub stages: Vec<ReportStage>,
}

/// A stage of the run.
#[derive(Debug, Clone)]
pub struct ReportStage {
    /// Its name.
    pub name: String,
    /// What it does, as in `segmentation/kmeans`.
    pub kind: String,
    /// The kind's summary, one line.
    pub summary: Option<String>,
    /// Where it stands.
    pub status: StageStatus,
    /// The stages that it needs, by name.
    pub needs: Vec<String>,
    /// When the last stage that it needs had ended.
    pub ready_at: Option<Timestamp>,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When its last attempt ended.
    pub finished_at: Option<Timestamp>,
    /// How many attempts were made.
    pub attempts: u32,
    /// Rows of each output, by name.
    pub rows: BTreeMap<String, u64>,
    /// What it measured.
    pub metrics: BTreeMap<String, f64>,
    /// Why it failed.
    pub failure: Option<Diagnostic>,
    /// Why it was skipped.
    pub skip_reason: Option<String>,
    /// What it logged as a warning.
    pub warnings: Vec<String>,
    /// What it has to show, in its order.
    pub panels: Vec<Panel>,
}
