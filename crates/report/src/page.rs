//! The page as a whole: what stands on it, in which order.

use std::time::Duration;

use marquetry_engine::{RunStatus, StageStatus};
use marquetry_types::{Diagnostic, Timestamp};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value as Markup};
use serde::Serialize;

use crate::ReportError;
use crate::chart::{GanttRow, gantt};
use crate::data::{ReportData, ReportStage};
use crate::format::{NOTHING, duration, instant, number};
use crate::graph::{self, Graph, NODE_HEIGHT, NODE_WIDTH};
use crate::palette::Paint;
use crate::panel_view::{PanelView, shown};
use crate::prose::prose;

/// Makes the report: one HTML file that needs nothing beside it.
///
/// The same data gives the same bytes. Whatever the names and texts hold, they are shown as text.
///
/// # Errors
///
/// [`ReportError`], which is a bug in this crate and nothing in the data.
pub fn render(data: &ReportData) -> Result<String, ReportError> {
    let mut environment = Environment::new();
    // Every file goes into the page, whatever its name ends in.
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    // A line of nothing but a tag leaves no line.
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.add_filter("prose", prose);
    environment.add_template("report.html", include_str!("templates/report.html"))?;
    environment.add_template("panel.html", include_str!("templates/panel.html"))?;
    environment.add_template("graph.svg", include_str!("templates/graph.svg"))?;
    let page = Page::new(data)?;
    let page = environment
        .get_template("report.html")?
        .render(Serde(&page))?;
    Ok(page)
}

#[derive(Debug, Serialize)]
struct Page<'a> {
    style: Markup,
    workflow: &'a str,
    description: Option<&'a str>,
    run: &'a str,
    status: &'static str,
    submitted: String,
    took: String,
    summary: String,
    generated: String,
    version: &'static str,
    failures: Vec<FailureView<'a>>,
    sections: Vec<Section<'a>>,
    graph: Graph,
    node_width: i32,
    node_height: i32,
    timeline: Option<Markup>,
    stages: Vec<StageRow<'a>>,
    params: Vec<(&'a str, String)>,
}

/// What a stage has to show.
#[derive(Debug, Serialize)]
struct Section<'a> {
    name: &'a str,
    title: String,
    kind: &'a str,
    summary: Option<&'a str>,
    warnings: &'a [String],
    panels: Vec<PanelView>,
}

#[derive(Debug, Serialize)]
struct FailureView<'a> {
    stage: &'a str,
    code: String,
    message: &'a str,
    location: Option<String>,
    help: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct StageRow<'a> {
    name: &'a str,
    kind: &'a str,
    status: &'static str,
    why: Option<&'a str>,
    attempts: u32,
    took: String,
    rows: Vec<(&'a str, String)>,
    metrics: Vec<(&'a str, String)>,
    /// Whether the page has a section for it.
    has_section: bool,
}

impl<'a> Page<'a> {
    fn new(data: &'a ReportData) -> Result<Self, ReportError> {
        let end = data.finished_at.unwrap_or(data.generated_at);
        let mut to_show: Vec<_> = data.stages.iter().filter(|it| has_section(it)).collect();
        to_show.sort_by_key(|stage| place(&stage.kind));
        let sections = to_show
            .into_iter()
            .map(Section::new)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            style: Markup::from_safe_string(include_str!("templates/style.css").to_owned()),
            workflow: &data.workflow,
            description: data.description.as_deref(),
            run: &data.run,
            status: data.status.as_str(),
            submitted: instant(data.submitted_at),
            took: duration(end.saturating_since(data.submitted_at)),
            summary: summary(data),
            generated: instant(data.generated_at),
            version: env!("CARGO_PKG_VERSION"),
            failures: failures(&data.stages),
            sections,
            graph: graph::draw(&data.stages),
            node_width: NODE_WIDTH,
            node_height: NODE_HEIGHT,
            timeline: timeline(data, end)?,
            stages: data.stages.iter().map(StageRow::new).collect(),
            params: data
                .params
                .iter()
                .map(|(name, value)| (name.as_str(), shown(value)))
                .collect(),
        })
    }
}

/// Where the section of a stage of that kind stands; sections of one family keep their order. First who the
/// customers are and whether that holds, then what was earned and what was done, last what all of it rests on.
fn place(kind: &str) -> usize {
    const FAMILIES: [&str; 4] = ["segmentation", "evaluation", "feedback", "personalization"];
    const GROUNDS: [&str; 2] = ["features", "ingest"];
    let family = kind.split_once('/').map_or(kind, |(family, _)| family);
    let within = |families: &[&str]| families.iter().position(|it| *it == family);
    let of_grounds = within(&GROUNDS).map(|place| FAMILIES.len() + 1 + place);
    within(&FAMILIES).or(of_grounds).unwrap_or(FAMILIES.len())
}

impl<'a> Section<'a> {
    fn new(stage: &'a ReportStage) -> Result<Self, ReportError> {
        Ok(Self {
            name: &stage.name,
            title: stage.name.replace('_', " "),
            kind: &stage.kind,
            summary: stage.summary.as_deref(),
            warnings: &stage.warnings,
            panels: stage
                .panels
                .iter()
                .map(PanelView::new)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl<'a> FailureView<'a> {
    fn new(stage: &'a str, diagnostic: &'a Diagnostic) -> Self {
        Self {
            stage,
            code: diagnostic.code.to_string(),
            message: &diagnostic.message,
            location: diagnostic.location.as_ref().map(ToString::to_string),
            help: diagnostic.help.as_deref(),
        }
    }
}

impl<'a> StageRow<'a> {
    fn new(stage: &'a ReportStage) -> Self {
        let why = stage.skip_reason.as_deref();
        Self {
            name: &stage.name,
            kind: &stage.kind,
            status: stage.status.as_str(),
            why: why.filter(|_| stage.status == StageStatus::Skipped),
            attempts: stage.attempts,
            took: ran_for(stage).map_or_else(|| NOTHING.to_owned(), duration),
            rows: stage
                .rows
                .iter()
                .map(|(name, rows)| (name.as_str(), number(*rows as f64)))
                .collect(),
            metrics: stage
                .metrics
                .iter()
                .map(|(name, value)| (name.as_str(), number(*value)))
                .collect(),
            has_section: has_section(stage),
        }
    }
}

fn has_section(stage: &ReportStage) -> bool {
    !stage.panels.is_empty() || !stage.warnings.is_empty()
}

fn ran_for(stage: &ReportStage) -> Option<Duration> {
    let finished = stage.finished_at?;
    Some(finished.saturating_since(stage.started_at?))
}

fn failures(stages: &[ReportStage]) -> Vec<FailureView<'_>> {
    stages
        .iter()
        .filter_map(|stage| {
            let diagnostic = stage.failure.as_ref()?;
            Some(FailureView::new(&stage.name, diagnostic))
        })
        .collect()
}

/// How many stages stand where, as in `5 stages succeeded, 1 was skipped`.
fn summary(data: &ReportData) -> String {
    const ORDER: [StageStatus; 7] = [
        StageStatus::Succeeded,
        StageStatus::Failed,
        StageStatus::Skipped,
        StageStatus::Cancelled,
        StageStatus::Running,
        StageStatus::Retrying,
        StageStatus::Pending,
    ];
    let counts = ORDER.iter().filter_map(|status| {
        let of_status = |stage: &&ReportStage| stage.status == *status;
        let count = data.stages.iter().filter(of_status).count();
        (count > 0).then(|| format!("{count} {}", status.as_str()))
    });
    let counts: Vec<_> = counts.collect();
    if counts.is_empty() {
        "no stages".to_owned()
    } else {
        counts.join(", ")
    }
}

fn timeline(data: &ReportData, end: Timestamp) -> Result<Option<Markup>, ReportError> {
    let since_submission = |at: Timestamp| {
        let elapsed = at.saturating_since(data.submitted_at).as_millis();
        u64::try_from(elapsed).unwrap_or(u64::MAX)
    };
    let rows: Vec<_> = data
        .stages
        .iter()
        .map(|stage| gantt_row(stage, end, data.status, &since_submission))
        .collect();
    let latest = rows
        .iter()
        .filter_map(|row| row.ran)
        .map(|(_, to)| to)
        .max();
    let Some(latest) = latest else {
        return Ok(None);
    };
    let span = latest.max(since_submission(end));
    gantt(&rows, span).map(|svg| Some(Markup::from_safe_string(svg)))
}

fn gantt_row(
    stage: &ReportStage,
    end: Timestamp,
    run: RunStatus,
    since_submission: &impl Fn(Timestamp) -> u64,
) -> GanttRow {
    let paint = match stage.status {
        StageStatus::Succeeded => Paint::Good,
        StageStatus::Failed => Paint::Bad,
        StageStatus::Running | StageStatus::Retrying => Paint::Busy,
        StageStatus::Pending | StageStatus::Skipped | StageStatus::Cancelled => Paint::Muted,
    };
    let ran = stage.started_at.map(|started| {
        let finished = stage.finished_at.unwrap_or(end);
        (since_submission(started), since_submission(finished))
    });
    let mut note = match (ran, stage.status) {
        (None, StageStatus::Pending) if run == RunStatus::Running => "waits".to_owned(),
        (None, status) => status.as_str().to_owned(),
        (Some((from, to)), status) => {
            let took = duration(Duration::from_millis(to.saturating_sub(from)));
            match status {
                StageStatus::Succeeded => took,
                status => format!("{took}, {}", status.as_str()),
            }
        }
    };
    if stage.attempts > 1 {
        note.push_str(&format!(", {} attempts", stage.attempts));
    }
    GanttRow {
        name: stage.name.clone(),
        note,
        paint,
        ready: stage.ready_at.map(since_submission),
        ran,
    }
}
