//! Stages on threads of this process: what a laptop does, and what a stage host does within itself.

use std::sync::Arc;

use marquetry_lake::{Lake, PeerConnections};
use marquetry_plugin::{Registry, StageError, StageEvents};
use marquetry_types::{Diagnostic, FailureClass, Outcome, StageFailure, codes};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::panics::{self, Driving};
use crate::stage::{Work, perform};

/// The threads on which stages run.
pub(crate) struct Threads {
    /// Taken when it is dropped: a runtime must not be dropped where async code runs.
    runtime: Option<Runtime>,
    registry: Arc<Registry>,
    /// To data planes; they live as long as the runtime.
    connections: PeerConnections,
}

impl Threads {
    /// Threads for the queries of all stages; each stage has one more for itself.
    pub(crate) fn new(threads: usize, registry: Arc<Registry>) -> std::io::Result<Self> {
        panics::install();
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name(panics::THREAD_NAME)
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
            registry,
            connections: PeerConnections::default(),
        })
    }

    /// Drives a stage on a thread that no other stage needs: one that blocks it harms nobody else. What
    /// it spawns, such as the partitions of its queries, runs on the threads that all stages share.
    ///
    /// Dropping the future drops the stage where it lets go of its thread; a thread that it blocks for
    /// ever stays.
    pub(crate) async fn run(
        &self,
        work: Work,
        lake: Lake,
        events: Arc<dyn StageEvents>,
        cancellation: CancellationToken,
    ) -> Result<Outcome, StageFailure> {
        let Some(runtime) = &self.runtime else {
            return Err(stopped());
        };
        let dismissal = CancellationToken::new();
        let _dismisses = dismissal.clone().drop_guard();
        let (handle, registry) = (runtime.handle().clone(), Arc::clone(&self.registry));
        let connections = self.connections.clone();
        let stage = runtime.spawn_blocking(move || {
            let _driving = Driving::begin(&events);
            handle.block_on(async {
                tokio::select! {
                    biased;
                    () = dismissal.cancelled() => None,
                    ended = perform(work, (&registry, &connections), lake, events, cancellation) => Some(ended),
                }
            })
        });
        match stage.await {
            Ok(Some(result)) => result,
            Ok(None) => Err(stopped()),
            Err(error) => Err(panicked(error)),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The end of an attempt that was stopped from outside.
pub(crate) fn stopped() -> StageFailure {
    StageError::Cancelled.into()
}

/// A panic is a bug in the stage: another attempt would meet it again.
fn panicked(error: JoinError) -> StageFailure {
    let Ok(payload) = error.try_into_panic() else {
        return stopped();
    };
    let what = panics::message(payload.as_ref());
    let diagnostic = Diagnostic::new(codes::STAGE_PANIC, format!("the stage panicked: {what}"))
        .help("this is a bug in the stage; please report it with its log");
    StageFailure {
        class: FailureClass::Invalid,
        diagnostic,
    }
}
