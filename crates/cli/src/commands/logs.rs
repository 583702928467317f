//! `logs`: what the stages said, read from the lake.

use marquetry_types::{LogLevel, LogLine};
use serde::Serialize;

use crate::arguments::{Common, Format, Logs};
use crate::failure::Failure;
use crate::output::{self, CYAN, DIM, RED, YELLOW};
use crate::place::Place;

/// A line with where it comes from.
#[derive(Serialize)]
struct Entry {
    stage: String,
    attempt: u32,
    line: LogLine,
}

/// `marquetry logs`
pub(crate) async fn print(common: &Common, arguments: &Logs) -> Result<(), Failure> {
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
    if common.output == Format::Json {
        return output::json(&entries);
    }
    let width = entries
        .iter()
        .map(|entry| entry.stage.len())
        .max()
        .unwrap_or(0);
    for Entry {
        stage,
        attempt,
        line,
    } in &entries
    {
        let colour = match line.level {
            LogLevel::Debug => DIM,
            LogLevel::Info => CYAN,
            LogLevel::Warn => YELLOW,
            LogLevel::Error => RED,
        };
        let level = match line.level {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info ",
            LogLevel::Warn => "warn ",
            LogLevel::Error => "error",
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
        ))?;
    }
    Ok(())
}
