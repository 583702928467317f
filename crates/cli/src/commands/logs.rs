//! `logs`: what the stages said, from a coordinator where one is named, and otherwise from the lake.

use std::collections::HashSet;
use std::time::Duration;

use marquetry_proto::v1;
use marquetry_types::{LogLevel, LogLine, RunId};
use serde::Serialize;

use crate::arguments::{Common, Format, Logs};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output::{self, CYAN, DIM, RED, YELLOW};
use crate::place::Place;

/// The pause before a coordinator is asked again for what it did not tell to the end.
const PAUSE: Duration = Duration::from_millis(100);

/// A line with where it comes from.
#[derive(Serialize)]
struct Entry {
    stage: String,
    attempt: u32,
    line: LogLine,
}

/// `marquetry logs`
pub(crate) async fn print(common: &Common, arguments: &Logs) -> Result<(), Failure> {
    let entries = match Cluster::named(common)? {
        Some(cluster) if arguments.follow => return follow(common, &cluster, arguments).await,
        Some(cluster) => of_cluster(&cluster, arguments).await?,
        None if arguments.follow => {
            let message = "`--follow` asks a coordinator, and none is named".to_owned();
            let help = "name one with `--coordinator`; `marquetry run` shows what its run does";
            return Err(Failure::no_match(message, help));
        }
        None => of_lake(common, arguments).await?,
    };
    if common.output == Format::Json {
        return output::json(&entries);
    }
    let width = entries.iter().map(|entry| entry.stage.len()).max();
    for entry in &entries {
        print_text(entry, width.unwrap_or(0))?;
    }
    Ok(())
}

async fn of_lake(common: &Common, arguments: &Logs) -> Result<Vec<Entry>, Failure> {
    let place = Place::of(common)?;
    let run = place.load(&arguments.run).await?;
    if let Some(stage) = &arguments.stage
        && !run.stages.contains_key(stage.as_str())
    {
        let stages = run.stages.keys().filter(|name| name.place().is_none());
        let stages: Vec<&str> = stages.map(|name| name.as_str()).collect();
        let message = format!("run {} has no stage `{stage}`", run.id());
        return Err(Failure::no_match(
            message,
            format!("its stages are {}", stages.join(", ")),
        ));
    }
    let lake = place.lake().await?;
    let mut entries = Vec::new();
    for (name, stage) in &run.stages {
        if arguments
            .stage
            .as_ref()
            .is_some_and(|only| only != name.as_str() && only != name.stage())
        {
            continue;
        }
        for attempt in &stage.attempts {
            let id = &attempt.token.attempt;
            for line in marquetry_worker::read_log(&lake, id).await? {
                entries.push(Entry {
                    stage: name.to_string(),
                    attempt: id.attempt.0,
                    line,
                });
            }
        }
    }
    entries.sort_by_key(|entry| entry.line.at);
    if let Some(tail) = arguments.tail {
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        entries.drain(..entries.len().saturating_sub(tail));
    }
    Ok(entries)
}

fn request(run: &RunId, arguments: &Logs) -> v1::StreamLogsRequest {
    v1::StreamLogsRequest {
        run_id: run.to_string(),
        stage: arguments.stage.clone().unwrap_or_default(),
        follow: arguments.follow,
        tail: arguments.tail,
        ..v1::StreamLogsRequest::default()
    }
}

async fn stream(
    cluster: &Cluster,
    request: &v1::StreamLogsRequest,
) -> Result<tonic::Streaming<v1::StreamLogsResponse>, Failure> {
    cluster
        .call(|mut runs| {
            let request = request.clone();
            async move { runs.stream_logs(request).await }
        })
        .await
}

async fn of_cluster(cluster: &Cluster, arguments: &Logs) -> Result<Vec<Entry>, Failure> {
    let run = cluster.find(&arguments.run).await?;
    let mut messages = stream(cluster, &request(&run, arguments)).await?;
    let mut entries = Vec::new();
    loop {
        match messages.message().await {
            Ok(Some(message)) => entries.extend(message.lines.into_iter().filter_map(read)),
            Ok(None) => return Ok(entries),
            Err(status) => return Err(crate::embedded::refused(&status)),
        }
    }
}

/// Prints lines as they come, whichever coordinator tells them, each once.
async fn follow(common: &Common, cluster: &Cluster, arguments: &Logs) -> Result<(), Failure> {
    let run = cluster.find(&arguments.run).await?;
    let mut request = request(&run, arguments);
    let mut printed: HashSet<String> = HashSet::new();
    let mut width = 0;
    let mut earliest = None;
    loop {
        let mut messages = stream(cluster, &request).await?;
        // The coordinator stops, or leads no longer: the next one is asked for everything once more, since
        // an earlier line than the last one may not have come.
        while let Ok(message) = messages.message().await {
            let Some(message) = message else {
                return Ok(());
            };
            for line in message.lines {
                let at = line.at;
                let Some(entry) = read(line) else {
                    continue;
                };
                if earliest.is_none_or(|(earliest, _)| entry.line.at < earliest) {
                    earliest = Some((entry.line.at, at));
                }
                let text = serde_json::to_string(&entry).map_err(Failure::internal)?;
                if !printed.insert(text.clone()) {
                    continue;
                }
                width = width.max(entry.stage.len());
                match common.output {
                    Format::Json => output::line(text)?,
                    Format::Text => print_text(&entry, width)?,
                }
            }
        }
        if let Some((_, earliest)) = earliest
            && request.tail.take().is_some()
        {
            // What stood before the tail is not wanted now either.
            request.since = earliest;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A line from the wire; one of a level that this version does not know is passed over.
fn read(wire: v1::AttemptLog) -> Option<Entry> {
    let (stage, attempt) = (wire.stage.clone(), wire.attempt);
    let line = LogLine::try_from(wire).ok()?;
    Some(Entry {
        stage,
        attempt,
        line,
    })
}

fn print_text(entry: &Entry, width: usize) -> Result<(), Failure> {
    let Entry {
        stage,
        attempt,
        line,
    } = entry;
    let (colour, level) = match line.level {
        LogLevel::Debug => (DIM, "debug"),
        LogLevel::Info => (CYAN, "info "),
        LogLevel::Warn => (YELLOW, "warn "),
        LogLevel::Error => (RED, "error"),
    };
    let fields: Vec<String> = line
        .fields
        .iter()
        .map(|(name, value)| format!(" {DIM}{name}={DIM:#}{value}"))
        .collect();
    output::line(format!(
        "{DIM}{}{DIM:#} {colour}{level}{colour:#} {stage:width$}#{attempt} {}{}",
        line.at,
        line.message,
        fields.concat(),
    ))
}
