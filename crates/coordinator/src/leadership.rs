//! Which of several coordinators leads: one campaigns, reigns until it is deposed, and then follows.

use std::sync::Arc;
use std::time::Duration;

use marquetry_journal::{Campaign, Candidate, Journal, JournalError, Leader};
use marquetry_types::Epoch;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::CoordinatorConfig;
use crate::hub::Hub;
use crate::metrics::{Metrics, Operation};
use crate::reign::{Ended, Reign};
use crate::request::{Refusal, Request};

/// How often a coordinator that follows tries to lead.
const CAMPAIGN_PAUSE: Duration = Duration::from_millis(500);

/// What a coordinator is at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It decides, in this epoch.
    Leading(Epoch),
    /// It answers what the journal says and refuses the rest; the leader, where it knows.
    Following(Option<Leader>),
}

/// The shortest time between two renewals of a lease.
const SHORTEST_RENEWAL: Duration = Duration::from_millis(100);

/// Tries to lead.
pub(crate) async fn campaign(
    journal: &dyn Journal,
    config: &CoordinatorConfig,
) -> Result<Campaign, JournalError> {
    let candidate = Candidate {
        name: config.name.clone(),
        url: config.url.clone(),
        lease: config.lease,
    };
    journal.campaign(&candidate).await
}

/// A lease that a task keeps for as long as this lives.
pub(crate) struct Lease {
    lost: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl Lease {
    /// Renews the lease of a reign, three times in its length. A renewal that fails is no reason to
    /// stop: what decides is the epoch in the journal, which every commit compares.
    pub(crate) fn keep(
        journal: Arc<dyn Journal>,
        epoch: Epoch,
        lease: Duration,
        metrics: Metrics,
    ) -> Self {
        let lost = CancellationToken::new();
        let tells = lost.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep((lease / 3).max(SHORTEST_RENEWAL)).await;
                match journal.renew(epoch, lease).await {
                    Ok(()) => {}
                    Err(JournalError::Fenced { .. }) => break,
                    Err(error) => {
                        metrics.journal_failed(Operation::Renew, &error);
                        tracing::warn!(%error, "the lease of this reign is not renewed");
                    }
                }
            }
            tells.cancel();
        });
        Self {
            lost,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Returns when another coordinator leads.
    pub(crate) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

/// What leads or follows, for as long as the coordinator lives.
pub(crate) struct Leadership {
    pub(crate) config: CoordinatorConfig,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) hub: Hub,
    pub(crate) metrics: Metrics,
    pub(crate) role: watch::Sender<Role>,
    pub(crate) requests: mpsc::Receiver<Request>,
}

impl Leadership {
    /// Campaigns once, and takes the reign if it is won.
    pub(crate) async fn try_to_lead(&self) -> Result<Option<Reign>, JournalError> {
        match campaign(self.journal.as_ref(), &self.config).await? {
            Campaign::Won(epoch) => {
                let (config, journal) = (self.config.clone(), Arc::clone(&self.journal));
                let (hub, metrics) = (self.hub.clone(), self.metrics.clone());
                let reign = Reign::begin(config, journal, hub, metrics, epoch).await?;
                tracing::info!(%epoch, "this coordinator leads");
                self.metrics.role(&Role::Leading(epoch));
                self.hub.open();
                self.role.send_replace(Role::Leading(epoch));
                Ok(Some(reign))
            }
            Campaign::Lost(leader) => {
                let follows = Role::Following(Some(leader));
                self.metrics.role(&follows);
                self.role.send_if_modified(|role| {
                    let is_new = *role != follows;
                    *role = follows;
                    is_new
                });
                Ok(None)
            }
        }
    }

    /// Leads and follows in turns until `shutdown`.
    pub(crate) async fn run(mut self, mut reign: Option<Reign>, shutdown: CancellationToken) {
        loop {
            if let Some(reign) = reign.take() {
                let ended = reign.run(&mut self.requests, &shutdown).await;
                let leader = match ended {
                    Ended::ShutDown => None,
                    Ended::Deposed => self.journal.leader().await.ok().flatten(),
                };
                let follows = Role::Following(leader);
                self.metrics.role(&follows);
                self.role.send_replace(follows);
                self.hub.close();
                if ended == Ended::ShutDown {
                    return;
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                request = self.requests.recv() => match request {
                    Some(request) => {
                        self.refuse(request);
                        continue;
                    }
                    None => return,
                },
                () = tokio::time::sleep(CAMPAIGN_PAUSE) => {}
            }
            reign = match self.try_to_lead().await {
                Ok(reign) => reign,
                Err(error) => {
                    self.metrics.journal_failed(Operation::Campaign, &error);
                    tracing::error!(%error, "this coordinator cannot lead");
                    None
                }
            };
        }
    }

    fn refuse(&self, request: Request) {
        let leader = match &*self.role.borrow() {
            Role::Leading(_) => None,
            Role::Following(leader) => leader.clone(),
        };
        request.refuse(Refusal::NotLeading(leader));
    }
}
