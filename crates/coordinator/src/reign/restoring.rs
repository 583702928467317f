//! Reading the journal: at the beginning of a reign, and whenever memory may not be what is durable.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use marquetry_engine::{Engine, EngineConfig, RunState, RunStatus};
use marquetry_journal::{Campaign, JournalError};
use marquetry_types::RunId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::lookups::Lookups;
use super::peers::Peers;
use super::{Ended, Reign};
use crate::TakeUp;
use crate::leadership::campaign;
use crate::metrics::Operation;
use crate::recent_requests::RecentRequests;
use crate::refusals::refusal_of_journal;
use crate::request::{Refusal, Request};
use crate::scheduler::Scheduler;

/// The pause between attempts to read a journal that cannot be read.
pub(super) const RESTORE_PAUSE: Duration = Duration::from_millis(200);

impl Reign {
    /// Forgets everything and reads the journal again. The watchers look again, too: a commit in doubt
    /// may have happened, and nobody was told.
    pub(super) async fn restore(&mut self, takeover_grace: Duration) -> Result<(), JournalError> {
        self.lines.clear();
        self.peers = Peers::new();
        self.lookups = Lookups::default();
        let published = self.journal.list_published(None).await?;
        let unfinished = self.journal.load_unfinished().await?;
        for (run, error) in &unfinished.damaged {
            tracing::error!(%run, %error, "a run cannot go on");
        }
        let mut runs = unfinished.runs;
        runs.retain(|state| state.status == RunStatus::Running);
        let ours: HashSet<RunId> = self.ours(&runs);
        runs.retain(|state| ours.contains(state.id()));
        self.request_ids = RecentRequests::default();
        for state in &runs {
            if let Some(request_id) = &state.submitted.request_id {
                self.request_ids.put(request_id.clone(), state.id().clone());
            }
        }
        let running: HashSet<&RunId> = runs.iter().map(RunState::id).collect();
        self.own.retain(|run| running.contains(run));
        let patience = EngineConfig {
            takeover_grace,
            ..self.config.engine.clone()
        };
        let published = published.into_iter().map(|it| it.published).collect();
        self.engine = Engine::restore(self.epoch, patience, self.clock.now(), published, runs);
        self.metrics.show(&self.engine);
        self.scheduler = self.scheduled().await?;
        self.hub.tell_to_look_again();
        Ok(())
    }

    /// The runs to be taken up, and those that are part of them.
    fn ours(&self, runs: &[RunState]) -> HashSet<RunId> {
        let parents: HashMap<&RunId, Option<&RunId>> = runs
            .iter()
            .map(|run| (run.id(), run.submitted.parent.as_ref().map(|it| &it.run)))
            .collect();
        let is_ours = |run: &RunId| self.config.take_up.includes(run) || self.own.contains(run);
        let above = |run: &RunState| {
            let mut lineage = std::iter::successors(Some(run.id()), |run| *parents.get(run)?);
            // Deeper than any lineage is: a circle in what is read ends here.
            lineage.by_ref().take(64).any(is_ours)
        };
        runs.iter()
            .filter(|run| above(run))
            .map(|run| run.id().clone())
            .collect()
    }

    /// The schedules as the journal has them. A coordinator that goes on with some runs only, within a
    /// command, begins none by itself.
    pub(super) async fn scheduled(&mut self) -> Result<Scheduler, JournalError> {
        let mut scheduler = Scheduler::default();
        if self.config.take_up != TakeUp::All {
            return Ok(scheduler);
        }
        let current = self.journal.current_deployments().await?;
        for damaged in &current.damaged {
            tracing::error!(%damaged, "a deployed workflow is passed over");
        }
        for deployment in current.sound {
            if deployment.workflow.schedules.is_empty() {
                continue;
            }
            let positions = self.journal.schedule_positions(&deployment.name).await?;
            scheduler.put(deployment, &positions, self.clock.now());
        }
        Ok(scheduler)
    }

    /// Restores after a pause, however often it takes. An end when it is time to stop, or another
    /// coordinator leads. Whoever asks for something meanwhile is told why it cannot be: nobody waits for a
    /// journal that may be away, or full, for long.
    pub(super) async fn restore_until(
        &mut self,
        error: &JournalError,
        mut pause: Duration,
        requests: &mut mpsc::Receiver<Request>,
        shutdown: &CancellationToken,
    ) -> Option<Ended> {
        // The workers that are cut off here live, whatever was expected at the start.
        let config = &self.config.engine;
        let grace = config.takeover_grace.max(config.disconnect_grace);
        let mut refusal = refusal_of_journal(error);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Some(Ended::ShutDown),
                () = refuse_for(pause, &refusal, requests) => {}
            }
            match self.restore_anew(grace).await {
                Ok(true) => return None,
                Ok(false) => return Some(Ended::Deposed),
                Err(error) => {
                    self.metrics.journal_failed(Operation::Restore, &error);
                    tracing::error!(%error, "the journal cannot be restored from");
                    refusal = refusal_of_journal(&error);
                }
            }
            pause = RESTORE_PAUSE;
        }
    }

    /// Restores in a new epoch: a commit in doubt is then either in what is read, or never will be. False
    /// when another coordinator leads.
    pub(super) async fn restore_anew(&mut self, grace: Duration) -> Result<bool, JournalError> {
        match campaign(self.journal.as_ref(), &self.config).await? {
            Campaign::Won(epoch) => self.epoch = epoch,
            Campaign::Lost(_) => return Ok(false),
        }
        self.metrics.epoch(self.epoch);
        self.restore(grace).await?;
        Ok(true)
    }
}

/// Refuses what is asked for, for as long as a pause takes.
async fn refuse_for(pause: Duration, refusal: &Refusal, requests: &mut mpsc::Receiver<Request>) {
    if pause.is_zero() {
        return;
    }
    let mut over = std::pin::pin!(tokio::time::sleep(pause));
    loop {
        tokio::select! {
            () = &mut over => return,
            Some(request) = requests.recv() => request.refuse(refusal.clone()),
        }
    }
}
