//! A run as it goes: bars on a terminal, plain lines elsewhere, nothing where a program reads.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use marquetry_proto::v1;
use marquetry_proto::v1::StageStatus;
use marquetry_proto::v1::watch_run_response::Event;
use marquetry_types::thousands;

use crate::output::{self, DIM, GREEN, RED, YELLOW};

/// Shows a run's events on the standard error.
pub(crate) struct Progress {
    bars: Option<MultiProgress>,
    running: HashMap<String, ProgressBar>,
    told: HashMap<String, StageStatus>,
    waits: HashMap<String, String>,
    width: usize,
    is_silent: bool,
}

impl Progress {
    /// Bars if the standard error is a terminal; nothing at all if `is_silent`.
    pub(crate) fn new(is_silent: bool) -> Self {
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let bars = (is_terminal && !is_silent).then(MultiProgress::new);
        Self {
            bars,
            running: HashMap::new(),
            told: HashMap::new(),
            waits: HashMap::new(),
            width: 0,
            is_silent,
        }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        if self.is_silent {
            return;
        }
        match event {
            Event::Run(run) => {
                self.width = run
                    .stages
                    .iter()
                    .map(|stage| stage.name.len())
                    .max()
                    .unwrap_or(0);
                run.stages.iter().for_each(|stage| self.stage(stage));
            }
            Event::Stage(stage) => self.stage(stage),
            Event::Progress(progress) => self.progress(progress),
            Event::Log(line) if line.level() == v1::LogLevel::Warn => {
                self.say(&format!(
                    "{YELLOW}{:width$}  {}{YELLOW:#}",
                    line.stage,
                    line.message,
                    width = self.width
                ));
            }
            Event::Log(_) | Event::Summary(_) => {}
        }
    }

    /// Tells, once, what stages wait for that could run but for something outside the run.
    pub(crate) fn waiting(&mut self, run: &v1::Run) {
        if self.is_silent {
            return;
        }
        for stage in &run.stages {
            let Some(waiting) = &stage.waiting else {
                continue;
            };
            let is_news = self.waits.get(&stage.name) != Some(&waiting.message);
            if waiting.waiting_for() != v1::WaitingFor::Needs && is_news {
                let name = format!("{:width$}", stage.name, width = self.width);
                self.say(&format!(
                    "{DIM}{name}  waiting for {}{DIM:#}",
                    waiting.message
                ));
                self.waits
                    .insert(stage.name.clone(), waiting.message.clone());
            }
        }
    }

    fn stage(&mut self, stage: &v1::Stage) {
        let status = stage.status();
        if self.told.insert(stage.name.clone(), status) == Some(status) {
            return;
        }
        if status != StageStatus::Running
            && let Some(bar) = self.running.remove(&stage.name)
        {
            bar.finish_and_clear();
        }
        let name = format!("{:width$}", stage.name, width = self.width);
        match status {
            StageStatus::Running => match &self.bars {
                Some(bars) => {
                    let bar = bars.add(ProgressBar::new_spinner());
                    bar.set_style(spinner());
                    bar.set_prefix(name);
                    bar.enable_steady_tick(Duration::from_millis(120));
                    self.running.insert(stage.name.clone(), bar);
                }
                None => self.say(&format!("{DIM}{name}  started{DIM:#}")),
            },
            StageStatus::Succeeded => {
                self.say(&format!("{GREEN}{name}  ✓{GREEN:#} {}", success(stage)));
            }
            StageStatus::Failed => {
                let why = stage
                    .failure
                    .as_ref()
                    .and_then(|failure| failure.diagnostic.as_ref());
                let why = why.map(|why| why.message.clone()).unwrap_or_default();
                self.say(&format!("{RED}{name}  ✗ {why}{RED:#}"));
            }
            StageStatus::Skipped => self.say(&format!(
                "{DIM}{name}  – skipped: {}{DIM:#}",
                stage.skip_reason
            )),
            StageStatus::Cancelled => self.say(&format!("{YELLOW}{name}  cancelled{YELLOW:#}")),
            StageStatus::Queued => {
                let last = stage
                    .attempts
                    .last()
                    .and_then(|attempt| attempt.failure.as_ref());
                let why = last.and_then(|failure| failure.diagnostic.as_ref());
                let why = why.map(|why| why.message.clone()).unwrap_or_default();
                self.say(&format!("{YELLOW}{name}  tries again: {why}{YELLOW:#}"));
            }
            StageStatus::Pending | StageStatus::Unspecified => {}
        }
    }

    fn progress(&self, progress: &v1::AttemptProgress) {
        let Some(bar) = self.running.get(&progress.stage) else {
            return;
        };
        let done = thousands(progress.done);
        let message = match progress.total {
            Some(total) => format!(
                "{} {done} of {} {}",
                progress.phase,
                thousands(total),
                progress.unit
            ),
            None => format!("{} {done} {}", progress.phase, progress.unit),
        };
        bar.set_message(message);
    }

    /// Lets something else have the terminal for a while.
    pub(crate) fn suspend<T>(&self, during: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.suspend(during),
            None => during(),
        }
    }

    fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.running
            .values()
            .for_each(ProgressBar::finish_and_clear);
    }
}

fn spinner() -> ProgressStyle {
    // A template that does not parse costs its look, not the run.
    ProgressStyle::with_template("{prefix}  {spinner} {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// How long it took and what came out.
fn success(stage: &v1::Stage) -> String {
    let (start, end) = (stage.started_at.as_ref(), stage.finished_at.as_ref());
    let took = start.zip(end).map(|(start, end)| {
        let [start, end] = [start, end].map(marquetry_proto::timestamp_from_wire);
        output::between(start, end)
    });
    let mut parts: Vec<String> = took.into_iter().collect();
    let outputs = stage.outcome.iter().flat_map(|outcome| &outcome.outputs);
    let mut outputs: Vec<_> = outputs.collect();
    outputs.sort_by_key(|(name, _)| name.as_str());
    for (name, dataset) in outputs {
        parts.push(format!("{name}: {} rows", thousands(dataset.rows)));
    }
    let reused = stage.attempts.last().and_then(|last| last.reused.as_ref());
    parts.extend(reused.map(|reused| format!("as in run {}", reused.run_id)));
    parts.join(", ")
}
