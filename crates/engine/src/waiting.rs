//! Why a stage that has not ended does not run: a run never hangs without saying for what it waits.

use std::fmt;

use marquetry_types::{RunId, StageName, Timestamp};
use marquetry_workflow::{ControlKind, wait_until};

use crate::backlog::Demand;
use crate::workers::Workers;
use crate::{Engine, RunState, RunStatus};

/// What a stage waits for. Shown as the end of a sentence that begins with "waiting for".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// Stages that it needs have not ended.
    Needs(Vec<StageName>),
    /// Runs of the same concurrency group.
    Group {
        /// The group.
        group: String,
        /// Those that run.
        runs: Vec<RunId>,
    },
    /// The pause before its next attempt.
    Retry(Timestamp),
    /// A person.
    Approval {
        /// What there is to decide.
        message: Option<String>,
    },
    /// A time.
    Until(Timestamp),
    /// A run of another workflow.
    Run {
        /// The run; none as long as it has not begun.
        run: Option<RunId>,
        /// The workflow.
        workflow: String,
    },
    /// A slot of a concurrency group of stages.
    Concurrency {
        /// The group.
        group: String,
        /// How many attempts of it run at a time, as the stage has it.
        limit: usize,
        /// How many run.
        running: usize,
        /// Some of them: stages with their runs.
        holders: Vec<(RunId, StageName)>,
    },
    /// A token of a rate limit.
    Rate {
        /// The group.
        group: String,
        /// When the next one is there.
        at: Timestamp,
    },
    /// A worker: there are some that could run it, or nothing is known about workers.
    Slot {
        /// How many could run it; none where it is not known.
        workers: Option<usize>,
    },
    /// A worker, and none that is there could run it.
    Worker {
        /// What none of them has.
        why: String,
    },
}

impl Waiting {
    /// A short name for programs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Needs(_) => "needs",
            Self::Group { .. } => "group",
            Self::Retry(_) => "retry",
            Self::Approval { .. } => "approval",
            Self::Until(_) => "until",
            Self::Run { .. } => "run",
            Self::Concurrency { .. } => "concurrency",
            Self::Rate { .. } => "rate",
            Self::Slot { .. } => "slot",
            Self::Worker { .. } => "worker",
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Needs(needs) => {
                let names: Vec<&str> = needs.iter().map(StageName::as_str).take(5).collect();
                let more = needs.len().saturating_sub(names.len());
                write!(formatter, "{}", names.join(", "))?;
                if more > 0 {
                    write!(formatter, " and {more} more")?;
                }
                Ok(())
            }
            Self::Group { group, runs } => match runs.first() {
                Some(run) if runs.len() == 1 => {
                    write!(formatter, "run {run} of group `{group}` to end")
                }
                _ => write!(
                    formatter,
                    "one of {} runs of group `{group}` to end",
                    runs.len()
                ),
            },
            Self::Retry(at) => write!(formatter, "its next attempt at {at}"),
            Self::Approval { message: None } => formatter.write_str("approval"),
            Self::Approval {
                message: Some(message),
            } => write!(formatter, "approval: {message}"),
            Self::Until(at) => write!(formatter, "{at}"),
            Self::Run {
                run: Some(run),
                workflow,
            } => write!(formatter, "run {run} of workflow `{workflow}`"),
            Self::Run {
                run: None,
                workflow,
            } => write!(formatter, "a run of workflow `{workflow}` to begin"),
            Self::Concurrency {
                group,
                limit,
                running,
                holders,
            } => {
                let shown = holders.iter();
                let shown: Vec<_> = shown.map(|(run, stage)| format!("{run}/{stage}")).collect();
                let more = match running.saturating_sub(shown.len()) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                write!(
                    formatter,
                    "a slot of group `{group}` ({running} of {limit}: {}{more})",
                    shown.join(", ")
                )
            }
            Self::Rate { group, at } => {
                write!(formatter, "rate limit `{group}`, next at {at}")
            }
            Self::Slot { workers: Some(1) } => formatter.write_str("a free slot of 1 worker"),
            Self::Slot {
                workers: Some(workers),
            } => write!(formatter, "a free slot of {workers} workers"),
            Self::Slot { workers: None } => formatter.write_str("a worker"),
            Self::Worker { why } => write!(formatter, "a worker: {why}"),
        }
    }
}

impl RunState {
    /// What a stage waits for, as far as the run's records tell.
    #[must_use]
    pub fn waiting(&self, name: &StageName) -> Option<Waiting> {
        let state = self.stages.get(name)?;
        let declared = self.workflow().stage(name)?;
        if let Some(child) = state.awaited_child() {
            return Some(Waiting::Run {
                run: Some(child.run.clone()),
                workflow: child.workflow.clone(),
            });
        }
        if !state.waits() || self.status != RunStatus::Running {
            return None;
        }
        if !self.is_admitted {
            let group = self.submitted.group.clone().unwrap_or_default();
            let runs = Vec::new();
            return Some(Waiting::Group { group, runs });
        }
        let is_open = |need: &&StageName| {
            let need = self.stages.get(*need);
            need.is_some_and(|need| !need.status.is_terminal())
        };
        let open: Vec<StageName> = declared.needs.iter().filter(is_open).cloned().collect();
        if !open.is_empty() {
            return Some(Waiting::Needs(open));
        }
        // Its items run.
        if state.item_counts.ended < state.item_counts.total {
            return None;
        }
        if let Some(at) = state.retry_at {
            return Some(Waiting::Retry(at));
        }
        Some(match ControlKind::of(&declared.uses) {
            Some(ControlKind::Approval) => Waiting::Approval { message: None },
            Some(ControlKind::Run) => Waiting::Run {
                run: None,
                workflow: String::new(),
            },
            Some(ControlKind::Until) | None => Waiting::Slot { workers: None },
        })
    }
}

impl Engine {
    /// What a stage of a run in the working set waits for.
    #[must_use]
    pub fn waiting(&self, run: &RunId, name: &StageName) -> Option<Waiting> {
        let live = self.runs.get(run)?;
        let waiting = live.state.waiting(name)?;
        let index = live.state.stages.get_index_of(name)?;
        let options = live.options.get(&index);
        Some(match waiting {
            Waiting::Group { group, .. } => {
                let runs = self.groups.active(&group).cloned().collect();
                Waiting::Group { group, runs }
            }
            Waiting::Approval { .. } => {
                let message = options.and_then(|options| options.get("message"));
                let message = message
                    .and_then(|message| message.as_str())
                    .map(str::to_owned);
                Waiting::Approval { message }
            }
            Waiting::Run {
                run: None,
                workflow,
            } => {
                let named = options.and_then(|options| options.get("workflow")?.as_str());
                Waiting::Run {
                    run: None,
                    workflow: named.map_or(workflow, str::to_owned),
                }
            }
            Waiting::Slot { .. } => {
                let declared = live.state.workflow().stage(name)?;
                let from = live.state.open_since(name);
                match (ControlKind::of(&declared.uses), options) {
                    (Some(ControlKind::Until), Some(options)) => {
                        Waiting::Until(wait_until(options, from).unwrap_or(from))
                    }
                    _ => {
                        let demand = live.demand(index)?;
                        let bounds = demand.bounds.as_deref();
                        let held = bounds.and_then(|bounds| self.throttles.waiting(bounds));
                        held.unwrap_or_else(|| self.workers.why_none_is_free(&demand))
                    }
                }
            }
            Waiting::Needs(_)
            | Waiting::Retry(_)
            | Waiting::Until(_)
            | Waiting::Run { .. }
            | Waiting::Concurrency { .. }
            | Waiting::Rate { .. }
            | Waiting::Worker { .. } => waiting,
        })
    }
}

impl Workers {
    /// Why nobody takes up what is asked: because all are busy, or because nobody can.
    fn why_none_is_free(&self, demand: &Demand) -> Waiting {
        let connected: Vec<_> = self
            .iter()
            .filter(|(_, worker)| worker.is_connected)
            .filter_map(|(_, worker)| Some((worker, self.make(worker)?)))
            .collect();
        let able = || connected.iter().filter(|(_, make)| make.meets(demand));
        let taking = able().filter(|(worker, _)| !worker.is_draining).count();
        if taking > 0 {
            return Waiting::Slot {
                workers: Some(taking),
            };
        }
        let Demand {
            queue,
            kind,
            version,
            labels,
            bounds: _,
        } = demand;
        let why = if connected.is_empty() {
            "none is connected".to_owned()
        } else if able().count() > 0 {
            "those that could run it are draining".to_owned()
        } else if !connected
            .iter()
            .any(|(_, make)| make.queues.contains(queue))
        {
            format!("none serves queue `{queue}`")
        } else if !connected
            .iter()
            .any(|(_, make)| make.kinds.contains_key(kind))
        {
            format!("none has the stage kind `{kind}`")
        } else if !connected.iter().any(|(_, make)| make.has_kind(demand)) {
            format!("none has version {version} of `{kind}` or a later one: upgrade the workers")
        } else if !connected.iter().any(|(_, make)| make.has_labels(demand)) {
            let labels: Vec<_> = labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("none has the labels {}", labels.join(", "))
        } else {
            format!(
                "none serves queue `{queue}` and has both `{kind}` and the labels that the stage asks for"
            )
        };
        Waiting::Worker { why }
    }
}
