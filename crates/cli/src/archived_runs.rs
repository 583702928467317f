//! Runs of the archive in the lake, as a line each.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{TimestampMillisecondType, UInt64Type};
use marquetry_engine::RunStatus;
use marquetry_history::Catalogue;
use marquetry_types::{Diagnostic, ErrorCode, Timestamp};

use crate::failure::Failure;
use crate::keeping::session_options;
use crate::place::Place;
use crate::run_view::SummaryView;

/// The latest runs that are archived, of a status and of a workflow where they are given.
pub(crate) async fn list(
    place: &Place,
    status: Option<RunStatus>,
    workflow: Option<&str>,
    limit: usize,
) -> Result<Vec<SummaryView>, Failure> {
    let status = status.map(|status| format!("state = {}", quoted(status.as_str())));
    let workflow = workflow.map(|name| format!("workflow = {}", quoted(name)));
    let conditions: Vec<String> = status.into_iter().chain(workflow).collect();
    let filter = match conditions.is_empty() {
        true => String::new(),
        false => format!("WHERE {}", conditions.join(" AND ")),
    };
    let sql = format!(
        "SELECT run, workflow, state, submitted_at, finished_at, stages, stages_succeeded, failure_code, \
         failure_message FROM runs {filter} ORDER BY run DESC LIMIT {limit}"
    );
    let catalogue = Catalogue::new(place.lake().await?, None);
    let rows = catalogue.query(&sql, &session_options(place)).await?;
    let batches = rows.collect().await?;
    Ok(batches.iter().flat_map(views).collect())
}

/// A text as SQL writes it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn views(batch: &RecordBatch) -> Vec<SummaryView> {
    let text = |name: &str, row: usize| {
        let column = batch.column_by_name(name)?.as_string_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let at = |name: &str, row: usize| {
        let column = batch.column_by_name(name)?;
        let column = column.as_primitive_opt::<TimestampMillisecondType>()?;
        column
            .is_valid(row)
            .then(|| Timestamp::from_millis(column.value(row)))
    };
    let count = |name: &str, row: usize| {
        let column = batch
            .column_by_name(name)?
            .as_primitive_opt::<UInt64Type>()?;
        u32::try_from(column.value(row)).ok()
    };
    let view = |row: usize| SummaryView {
        id: text("run", row).unwrap_or_default(),
        workflow: text("workflow", row).unwrap_or_default(),
        status: status(&text("state", row).unwrap_or_default()),
        submitted_at: at("submitted_at", row).unwrap_or(Timestamp::from_millis(0)),
        finished_at: at("finished_at", row),
        stages: count("stages", row).unwrap_or_default(),
        stages_succeeded: count("stages_succeeded", row).unwrap_or_default(),
        error: text("failure_code", row).map(|code| {
            let message = text("failure_message", row).unwrap_or_default();
            Diagnostic::new(ErrorCode::from_text(&code), message)
        }),
        is_archived: true,
    };
    (0..batch.num_rows()).map(view).collect()
}

fn status(text: &str) -> &'static str {
    let all = [
        RunStatus::Running,
        RunStatus::Succeeded,
        RunStatus::Failed,
        RunStatus::Cancelled,
    ];
    let found = all.iter().find(|status| status.as_str() == text);
    found.map_or("unknown", |status| status.as_str())
}
