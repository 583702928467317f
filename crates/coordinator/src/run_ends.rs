//! Waiting for the end of a run.

use std::time::Duration;

use marquetry_proto::v1;
use marquetry_types::RunId;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::Status;

use crate::run_service::{Runs, STOPPING, bad_request, status_of_journal};
use crate::views;

/// The longest that an answer may wait for the end of a run.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Fires when a run has ended. It closes without a word when that may have gone unnoticed.
pub(crate) type End = oneshot::Receiver<v1::RunSummary>;

/// How long a client wants to wait, if it does.
pub(crate) fn wait_from_wire(
    wait: Option<prost_types::Duration>,
) -> Result<Option<Duration>, Status> {
    let Some(wait) = wait else { return Ok(None) };
    match Duration::try_from(wait) {
        Ok(wait) if wait <= LONGEST_WAIT => Ok(Some(wait)),
        _ => Err(bad_request("`wait` is not from 0 to 3600 seconds")),
    }
}

impl Runs {
    /// The end of a run, from here on.
    pub(crate) fn end_of(&self, run: &RunId) -> Result<End, Status> {
        // Closed for good where this coordinator leads no longer.
        self.hub
            .end_of(run)
            .ok_or_else(|| Status::unavailable(STOPPING))
    }

    /// The run when it has ended, or as it stands after `wait`. `end` is what the caller listened to since
    /// before the run began.
    pub(crate) async fn wait_for(
        &self,
        run: &RunId,
        end: Option<End>,
        wait: Duration,
    ) -> Result<v1::RunSummary, Status> {
        let deadline = Instant::now() + wait;
        let mut end = end;
        loop {
            let ending = match end.take() {
                Some(end) => end,
                None => {
                    // Listen first, then read: what happens in between is heard.
                    let end = self.end_of(run)?;
                    let summary = self.summary(run).await?;
                    if views::is_over(&summary) {
                        return Ok(summary);
                    }
                    end
                }
            };
            match tokio::time::timeout_at(deadline, ending).await {
                Ok(Ok(summary)) => return Ok(summary),
                // The journal was read again.
                Ok(Err(_)) => {}
                Err(_) => return self.summary(run).await,
            }
        }
    }

    async fn summary(&self, run: &RunId) -> Result<v1::RunSummary, Status> {
        let state = self.journal.load_run(run).await;
        let state = state.map_err(|error| status_of_journal(&error))?;
        Ok(views::summary(&state.summary()))
    }
}
