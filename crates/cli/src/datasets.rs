//! Outputs of stages and published tables, found by name and read.

use datafusion::error::DataFusionError;
use datafusion::prelude::{DataFrame, SessionContext};
use marquetry_engine::RunState;
use marquetry_lake::{Lake, SessionOptions};
use marquetry_types::{DatasetRef, PublishedKind};

use crate::failure::Failure;
use crate::place::Place;
use crate::published;

/// The dataset that `RUN/STAGE[/OUTPUT]` or `TABLE[@VERSION]` names.
pub(crate) async fn find(place: &Place, name: &str) -> Result<DatasetRef, Failure> {
    let mut parts = name.split('/');
    let (Some(run), Some(stage)) = (parts.next(), parts.next()) else {
        let publication = published::find(place, PublishedKind::Table, name).await?;
        return Ok(publication.published.dataset);
    };
    let output = parts.next();
    let run = place.load(run).await?;
    output_of(&run, stage, output)
}

fn output_of(run: &RunState, stage: &str, output: Option<&str>) -> Result<DatasetRef, Failure> {
    let listed = |names: Vec<&str>| names.join(", ");
    let Some(state) = run.stages.get(stage) else {
        let stages = run.stages.keys().filter(|name| name.place().is_none());
        let stages = stages.map(|name| name.as_str()).collect();
        let message = format!("run {} has no stage `{stage}`", run.id());
        return Err(Failure::no_match(
            message,
            format!("its stages are {}", listed(stages)),
        ));
    };
    let Some(outcome) = &state.outcome else {
        let message = format!(
            "stage `{stage}` has no outputs: its status is {}",
            state.status.as_str()
        );
        return Err(Failure::no_match(
            message,
            format!("see `marquetry show {}`", run.id()),
        ));
    };
    let declared = run.stages.get_key_value(stage);
    let declared = declared.and_then(|(name, _)| run.workflow().stage(name)?.outputs.first());
    let wanted = output.or(declared.map(String::as_str)).unwrap_or_default();
    outcome.outputs.get(wanted).cloned().ok_or_else(|| {
        let outputs = outcome.outputs.keys().map(String::as_str).collect();
        let message = format!("stage `{stage}` has no output `{wanted}`");
        Failure::no_match(message, format!("its outputs are {}", listed(outputs)))
    })
}

/// The rows of a dataset. The session must live as long as they are read.
pub(crate) async fn read(
    place: &Place,
    dataset: &DatasetRef,
) -> Result<(SessionContext, DataFrame), Failure> {
    let lake: Lake = place.lake().await?;
    let options = SessionOptions {
        memory_limit: 1024 * 1024 * 1024,
        spill_dir: place.spill_path(),
        // One partition, so that rows come in the order in which they were written.
        threads: 1,
    };
    let session = marquetry_lake::session(&lake, &options)?;
    let table = marquetry_lake::table(&lake, &session, dataset).await?;
    let rows = session.read_table(table)?;
    Ok((session, rows))
}

/// The first rows of what is planned; so many as no plan can count are all of them.
pub(crate) fn first(rows: DataFrame, count: usize) -> Result<DataFrame, DataFusionError> {
    match i64::try_from(count) {
        Ok(_) => rows.limit(0, Some(count)),
        Err(_) => Ok(rows),
    }
}
