//! How a server begins: it opens its journal, whose database may be away and is then waited for, and starts its
//! coordinator.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::Stream;
use marquetry_coordinator::{Coordinator, CoordinatorConfig, Front, TakeUp, serve_waiting};
use marquetry_engine::EngineConfig;
use marquetry_journal::{Journal, JournalError, Location};
use marquetry_lake::Lake;
use marquetry_types::Diagnostic;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Connected, TcpIncoming};

use crate::arguments::Keep;
use crate::commands::server::process_name;
use crate::failure::Failure;
use crate::keeping::Keeping;
use crate::kept_logs::KeptLogs;
use crate::place::Place;
use crate::stages::registry;

/// The lease on a journal that one process has to itself: nobody else waits for its end.
const SOLE_LEASE: Duration = Duration::from_secs(3600);
/// The lease on a journal that others can take over. With their campaigns every half second a take-over
/// takes at most half a second more.
const SHARED_LEASE: Duration = Duration::from_secs(3);

/// The pause before the database is tried again: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How often the log says again that it is away.
const REMINDER: Duration = Duration::from_secs(30);
/// How long those who asked meanwhile may take to read their answer.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often a server starts anew whose database answered and then went away, and after what pause.
const STARTS: u32 = 3;
const RESTART: Duration = Duration::from_millis(500);

/// What a coordinator is started with.
pub(crate) struct Start<'a> {
    pub(crate) place: &'a Place,
    pub(crate) lake: &'a Lake,
    pub(crate) url: &'a str,
    pub(crate) keep: &'a Keep,
}

impl Start<'_> {
    /// Waits for the journal and starts on it. A database that goes away in between is waited for again.
    pub(crate) async fn coordinator(
        &self,
        front: &Front,
        incoming: &mut TcpIncoming,
        shutdown: &CancellationToken,
    ) -> Result<Coordinator, Failure> {
        let location = self.place.journal();
        let mut tries = 0;
        loop {
            let journal = open_patiently(&location, front, &mut *incoming).await?;
            match self.start_on(&location, journal, shutdown).await {
                Ok(coordinator) => return Ok(coordinator),
                Err(JournalError::Storage { .. } | JournalError::Doubtful { .. })
                    if location.is_shared() && tries < STARTS =>
                {
                    tries += 1;
                    tokio::time::sleep(RESTART).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn start_on(
        &self,
        location: &Location,
        journal: Arc<dyn Journal>,
        shutdown: &CancellationToken,
    ) -> Result<Coordinator, JournalError> {
        let Self {
            place,
            lake,
            url,
            keep,
        } = *self;
        let history = Keeping::new(lake.clone(), Arc::clone(&journal), place, keep);
        let config = CoordinatorConfig {
            engine: EngineConfig::default(),
            heartbeat_interval: Duration::from_secs(3),
            lake: lake.location().to_owned(),
            name: process_name("server"),
            url: url.to_owned(),
            lease: match location.is_shared() {
                true => SHARED_LEASE,
                false => SOLE_LEASE,
            },
            take_up: TakeUp::All,
            upkeep: history.upkeep(keep),
        };
        let coordinator = Coordinator::start(config, journal, registry(), shutdown.clone()).await?;
        Ok(coordinator.with_logs(Arc::new(KeptLogs(lake.clone()))))
    }
}

/// Opens a journal for writing. While its database is away it is tried again, and whoever comes is told why
/// nothing is served.
///
/// # Errors
/// What does not pass by itself: a wrong password, a database that there is not, a schema of a newer version.
async fn open_patiently<C>(
    location: &Location,
    front: &Front,
    incoming: impl Stream<Item = std::io::Result<C>>,
) -> Result<Arc<dyn Journal>, Failure>
where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let away = match marquetry_journal::open(location).await {
        Err(error @ JournalError::Away { .. }) => error,
        opened => return Ok(opened?),
    };
    let (reason, watched) = watch::channel(Some(Diagnostic::from(away.clone())));
    let ended = CancellationToken::new();
    let serving = serve_waiting(front, watched, incoming, ended.clone());
    let opening = async {
        let opened = try_again(location, away, &reason).await;
        ended.cancel();
        opened
    };
    let serving = async {
        tokio::select! {
            served = serving => served,
            () = async { ended.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => Ok(()),
        }
    };
    let (opened, served) = tokio::join!(opening, serving);
    served.map_err(Failure::internal)?;
    Ok(opened?)
}

/// Tries until the database is there, or what it says does not pass.
async fn try_again(
    location: &Location,
    mut away: JournalError,
    reason: &watch::Sender<Option<Diagnostic>>,
) -> Result<Arc<dyn Journal>, JournalError> {
    let start = Instant::now();
    let (mut pause, longest) = PAUSES;
    let mut said_at = None;
    loop {
        let is_due = said_at.is_none_or(|at: Instant| at.elapsed() >= REMINDER);
        if is_due {
            said_at = Some(Instant::now());
            let waited_s = start.elapsed().as_secs();
            tracing::error!(error = %away, waited_s, "this server waits for its journal, and tries again until the database answers");
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(longest);
        match marquetry_journal::open(location).await {
            Err(error @ JournalError::Away { .. }) => {
                // Another reason is news.
                if error != away {
                    said_at = None;
                    reason.send_replace(Some(error.diagnostic()));
                    away = error;
                }
            }
            opened => {
                if opened.is_ok() {
                    let waited_s = start.elapsed().as_secs();
                    tracing::info!(waited_s, "the journal's database answers");
                }
                return opened;
            }
        }
    }
}
