//! One stage in this process: from its evaluated options to its outcome.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use marquetry_lake::{Lake, LazySession, PeerConnections, SessionOptions};
use marquetry_plugin::{Registry, StageContext, StageEvents, StageSetup};
use marquetry_types::{
    AttemptId, Diagnostic, FailureClass, Outcome, Parallelism, StageFailure, TraceContext, codes,
};
use marquetry_workflow::check_options;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::spans;

use crate::peers::{Members, spread};

/// What is to be done, wherever that is.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// The worker's span.
    pub(crate) trace: TraceContext,
    pub(crate) attempt: AttemptId,
    pub(crate) kind: String,
    /// The evaluated `with`.
    pub(crate) options: Value,
    /// Texts of the workflow's files by the path that the workflow names.
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) seed: u64,
    pub(crate) base_dir: Option<String>,
    /// Bytes that it may use.
    pub(crate) memory_limit: u64,
    pub(crate) threads: usize,
    /// Where queries go on that exceed their memory.
    pub(crate) spill_dir: PathBuf,
    pub(crate) parallelism: Parallelism,
    pub(crate) members: Members,
}

/// Does it, on the thread that drives this future, in a span of its own. Connections to data planes are kept for
/// whoever comes next.
pub(crate) async fn perform(
    work: Work,
    (registry, connections): (&Registry, &PeerConnections),
    lake: Lake,
    events: Arc<dyn StageEvents>,
    cancellation: CancellationToken,
) -> Result<Outcome, StageFailure> {
    let span = spans::execute(&work);
    let done = async {
        let result = handle(work, (registry, connections), lake, events, cancellation).await;
        // The stage's words may hold a secret, which the worker knows and takes out.
        spans::ended(&result, |failure| failure.diagnostic.code.as_str());
        result
    };
    done.instrument(span).await
}

async fn handle(
    work: Work,
    (registry, connections): (&Registry, &PeerConnections),
    lake: Lake,
    events: Arc<dyn StageEvents>,
    cancellation: CancellationToken,
) -> Result<Outcome, StageFailure> {
    let invalid = |diagnostic: Diagnostic| StageFailure {
        class: FailureClass::Invalid,
        diagnostic,
    };
    let handler = registry.get(&work.kind).ok_or_else(|| {
        let message = format!("this worker has no stage kind `{}`", work.kind);
        invalid(Diagnostic::new(codes::UNKNOWN_STAGE_KIND, message))
    })?;
    check_options(handler.descriptor(), &work.options).map_err(invalid)?;
    let options = SessionOptions {
        memory_limit: work.memory_limit,
        spill_dir: work.spill_dir,
        threads: work.threads,
    };
    let functions = registry.functions();
    let spread = spread(
        work.parallelism,
        &work.members,
        connections,
        functions,
        Arc::clone(&events),
    );
    let session = LazySession::new(&lake, options).spread_over(&spread);
    let context = StageContext::new(StageSetup {
        attempt: work.attempt,
        options: work.options,
        files: work.files,
        lake,
        session,
        spread,
        seed: work.seed,
        base_dir: work.base_dir.map(PathBuf::from),
        memory_limit: work.memory_limit,
        threads: work.threads,
        cancellation,
        events,
    });
    handler.run(context).await.map_err(StageFailure::from)
}
