//! The way to the journal and back: it may be slow, refuse, or leave it open what it did.

use marquetry_engine::{Child, Found, Input, Lookup, Record, RunStatus};
use marquetry_types::{Epoch, RunId, StageName, Timestamp};

use crate::Fault;
use crate::audit::Invariant;
use crate::coordinator::{Happening, LEASE};
use crate::journal::AppendError;
use crate::message::Endpoint;
use crate::workload;
use crate::world::{Event, World};

/// What is asked of the journal.
#[derive(Debug)]
pub(crate) enum JournalCall {
    Campaign,
    Load,
    Append(Epoch, Vec<Record>),
    Renew(Epoch),
    LookUp(Epoch, RunId, StageName, Lookup),
}

impl World {
    /// Sends a call to the journal, which may be slow, may refuse, or may leave it open what it did.
    pub(crate) fn ask_journal(&mut self, place: usize, life: u64, call: JournalCall) {
        let there = (Endpoint::Coordinator(place), Endpoint::Journal);
        let mut delay = self.dice.between(1, 4);
        if self.strikes(Fault::JournalSlow) {
            delay = delay.saturating_add(self.dice.between(50, 4000));
        }
        if self.strikes(Fault::JournalRefuses) {
            let answer = refusal(&call, AppendError::Refused);
            return self.after(delay, Event::Coordinator(place, life, Box::new(answer)));
        }
        let is_doubtful = self.strikes(Fault::JournalDoubtful);
        let cut_off = self.blocked_until(there.0, there.1);
        if !is_doubtful && cut_off.is_none() {
            return self.after(delay, Event::Journal(place, life, Box::new(call)));
        }
        // It is done at once, later, or never, and nobody says which.
        let answer = refusal(&call, AppendError::Doubtful);
        let patience = self.dice.between(5, 2000);
        self.after(patience, Event::Coordinator(place, life, Box::new(answer)));
        if let JournalCall::Append(epoch, records) = call {
            let soonest = cut_off.map_or(0, |until| until.saturating_sub(self.now));
            match self.dice.index(3) {
                0 => self.after(soonest.saturating_add(1), Event::LateAppend(epoch, records)),
                1 => {
                    let later = soonest.saturating_add(self.dice.between(1, 5000));
                    self.after(later, Event::LateAppend(epoch, records));
                }
                _ => {}
            }
        }
    }

    pub(crate) fn journal_does(&mut self, place: usize, life: u64, call: JournalCall) {
        let now = self.now;
        let unheard = refusal(&call, AppendError::Doubtful);
        let answer = match call {
            JournalCall::Campaign => {
                let won = self
                    .journal
                    .campaign(&format!("c{place}-{life}"), now, LEASE);
                if let Some(epoch) = won {
                    self.note(|| format!("journal: c{place} leads in epoch {epoch}"));
                    let begun = self.audit.epoch_begins(epoch);
                    self.check(begun);
                }
                Happening::Campaigned(Ok(won))
            }
            JournalCall::Load => Happening::Loaded(Ok(Box::new(self.journal.snapshot()))),
            JournalCall::Append(epoch, records) => {
                Happening::Appended(self.append(epoch, &records))
            }
            JournalCall::Renew(epoch) => {
                Happening::Renewed(epoch, self.journal.renew(epoch, now, LEASE))
            }
            JournalCall::LookUp(epoch, run, stage, lookup) => {
                let found = self.look_up(lookup);
                Happening::LookedUp(epoch, Box::new(Input::LookedUp { run, stage, found }))
            }
        };
        let back = (Endpoint::Journal, Endpoint::Coordinator(place));
        let (delay, answer) = match self.blocked_until(back.0, back.1) {
            None => (self.dice.between(0, 2), answer),
            Some(_) => (self.dice.between(1000, 3000), unheard),
        };
        self.after(delay, Event::Coordinator(place, life, Box::new(answer)));
    }

    /// What the journal says of what a stage asks. One workflow is deployed, which runs no other.
    fn look_up(&mut self, lookup: Lookup) -> Found {
        let (previous, request) = match lookup {
            Lookup::Cached { key, .. } => return Found::Cached(self.journal.cached(&key).cloned()),
            Lookup::Child { previous, request } => (previous, request),
        };
        let previous = previous.and_then(|run| self.journal.run(&run));
        // Sometimes another version was deployed meanwhile, so that a new run begins.
        let is_same = self.dice.chance(700);
        if let Some(state) = previous.filter(|it| is_same || it.status == RunStatus::Running) {
            return Found::Child(Child::Previous(Box::new(state.clone()), 1));
        }
        let entropy = u128::from(self.dice.between(1, u64::MAX - 1));
        let run = RunId::new(Timestamp::from_millis(1), entropy);
        Found::Child(match workload::child(run, &request.workflow) {
            Some(submission) => Child::New(Box::new(submission), 1),
            None => Child::Unknown,
        })
    }

    pub(crate) fn append(&mut self, epoch: Epoch, records: &[Record]) -> Result<(), AppendError> {
        if self.journal.takes(epoch) && self.journal.duplicate(records).is_none() {
            self.note(|| {
                let records: Vec<String> = records.iter().map(recorded).collect();
                format!("journal, epoch {epoch}: {}", records.join("; "))
            });
            let checked = self.audit.appended(epoch, records);
            self.check(checked);
        }
        let appended = self.journal.append(epoch, records);
        if let Err(AppendError::Inconsistent(what)) = &appended {
            self.breach((Invariant::MemoryIsFold, what.clone()));
        }
        appended
    }
}

/// The answer of a journal that did not do what it was asked, or did not say so.
fn refusal(call: &JournalCall, error: AppendError) -> Happening {
    match call {
        JournalCall::Campaign => Happening::Campaigned(Err(())),
        JournalCall::Load => Happening::Loaded(Err(())),
        JournalCall::Append(..) => Happening::Appended(Err(error)),
        // A renewal that fails is no reason to stop.
        JournalCall::Renew(epoch) => Happening::Renewed(*epoch, true),
        JournalCall::LookUp(epoch, run, stage, lookup) => {
            let found = match lookup {
                Lookup::Cached { .. } => Found::Cached(None),
                Lookup::Child { .. } => Found::Child(Child::Unknown),
            };
            let (run, stage) = (run.clone(), stage.clone());
            Happening::LookedUp(*epoch, Box::new(Input::LookedUp { run, stage, found }))
        }
    }
}

fn recorded(record: &Record) -> String {
    match record {
        Record::RunSubmitted(submitted) => format!("run {} submitted", submitted.run),
        Record::AttemptAssigned { token, worker, .. } => format!("{token} granted to {worker}"),
        Record::AttemptFailed { token, failure, .. } => {
            format!("{token} failed ({:?})", failure.class)
        }
        Record::AttemptLost { token, reason, .. } => format!("{token} lost: {reason}"),
        Record::StageSucceeded { token, .. } => format!("{token} succeeded"),
        Record::RunAdmitted { run, .. } => format!("run {run} admitted"),
        Record::StageExpanded {
            run, stage, items, ..
        } => format!("{run}/{stage} has {} items", items.len()),
        Record::ChildStarted {
            run, stage, child, ..
        } => format!("{run}/{stage} waits for run {}", child.run),
        Record::StagePassed { run, stage, .. } => format!("{run}/{stage} passed"),
        Record::StageSkipped { run, stage, .. } => format!("{run}/{stage} skipped"),
        Record::StageFailed { run, stage, .. } => format!("{run}/{stage} failed"),
        Record::CancelRequested { run, .. } => format!("run {run} cancelled"),
        Record::RunResumed { run, .. } => format!("run {run} resumed"),
        Record::RunFinished { run, status, .. } => format!("run {run} {}", status.as_str()),
    }
}
