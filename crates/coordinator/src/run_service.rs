//! Runs: submitting, reading, watching, stopping and resuming them.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::Stream;
use marquetry_client::LEADER_KEY;
use marquetry_engine::{Approval, RunState, RunStatus, Submission};
use marquetry_journal::{Deployment, Journal, JournalError, Leader, Page, RunFilter};
use marquetry_proto::v1::run_service_server::RunService;
use marquetry_proto::v1::watch_run_response::Event;
use marquetry_proto::{from_prost_value, status_from_diagnostics, status_with_metadata, v1};
use marquetry_types::{
    Diagnostic, Diagnostics, Epoch, InvalidName, RunId, StageName, TRACEPARENT, codes,
};
use marquetry_workflow::{Bundle, StageCatalogue, Workflow};
use prost::Message;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request as GrpcRequest, Response, Status};

use crate::access::Caller;
use crate::hub::{Hub, Notice};
use crate::leadership::Role;
use crate::log_stream::{self, LogStore};
use crate::recent_workflows::{Key, Known, RecentWorkflows};
use crate::request::{Begun, Refusal, Reply, Request};
use crate::run_ends::{End, wait_from_wire};
use crate::workflow_service::{check_name, not_deployed};
use crate::{bundles, submissions, views};

/// Bytes of all parameters of a run.
const PARAM_BYTES: usize = 1024 * 1024;
/// Entries in a page when the client does not say.
const PAGE: u32 = 50;
/// The most entries in a page.
const LARGEST_PAGE: u32 = 1000;
/// The longest name of a request, in bytes.
const LONGEST_REQUEST_ID: usize = 256;
/// The longest comment, in bytes.
const LONGEST_COMMENT: usize = 16 * 1024;
pub(crate) const STOPPING: &str = "the coordinator is stopping";

#[derive(Clone)]
pub(crate) struct Runs {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) catalogue: Arc<dyn StageCatalogue + Send + Sync>,
    pub(crate) hub: Hub,
    pub(crate) role: watch::Receiver<Role>,
    pub(crate) recent: RecentWorkflows,
    /// Where the stages' logs are kept, if that is known here.
    pub(crate) logs: Option<Arc<dyn LogStore>>,
}

impl Runs {
    /// Asks the reign and waits for a durable answer.
    pub(crate) async fn ask<T>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T, Status> {
        let (reply, answer) = oneshot::channel();
        let stopping = || Status::unavailable(STOPPING);
        let sent = self.requests.send(request(reply)).await;
        sent.map_err(|_| stopping())?;
        match answer.await.map_err(|_| stopping())? {
            Ok(answer) => Ok(answer),
            Err(Refusal::NotRunning(run)) => Err(self.why_not_running(&run).await),
            Err(refusal) => Err(status_of_refusal(refusal)),
        }
    }

    /// A run as a client sees it, with what its stages wait for where that is known.
    async fn view(&self, state: &RunState) -> v1::Run {
        let run = state.id().clone();
        let is_known = state.status == RunStatus::Running && must_lead(&self.role).is_ok();
        let told = match is_known {
            true => self.ask(|reply| Request::Waiting { run, reply }).await.ok(),
            false => None,
        };
        views::run(state, &|name| match &told {
            Some(waiting) => waiting.get(name).cloned(),
            None => state.waiting(name),
        })
    }

    async fn why_not_running(&self, run: &RunId) -> Status {
        let state = match self.journal.load_run(run).await {
            Ok(state) => state,
            Err(error) => return status_of_journal(&error),
        };
        let message = match state.status {
            RunStatus::Running => format!("run {run} waits to be taken up or ends just now"),
            ended => format!("run {run} is {}", ended.as_str()),
        };
        let diagnostic = Diagnostic::new(codes::WRONG_RUN_STATE, message);
        status_of_refusal(Refusal::WrongState(diagnostic))
    }

    /// The run that a request id has made already.
    async fn submitted_before(&self, request_id: &str) -> Result<Option<RunId>, Status> {
        let found = self.journal.find_by_request_id(request_id).await;
        let found = found.map_err(|error| status_of_journal(&error))?;
        Ok(found.map(|summary| summary.run))
    }

    /// Begins a run, if its request began none before.
    pub(crate) async fn begin(&self, submission: Submission) -> Result<Begun, Status> {
        if let Some(request_id) = &submission.request_id
            && let Some(run) = self.submitted_before(request_id).await?
        {
            return Ok(Begun { run, is_new: false });
        }
        let submission = Box::new(submission);
        self.ask(|reply| Request::Submit { submission, reply })
            .await
    }

    /// The answer to a submission, after the run's end if the client waits for it.
    async fn submitted(
        &self,
        begun: Begun,
        end: Option<End>,
        wait: Option<Duration>,
    ) -> Result<Response<v1::SubmitRunResponse>, Status> {
        let run = match wait {
            None => None,
            Some(wait) => {
                let end = end.filter(|_| begun.is_new);
                Some(self.wait_for(&begun.run, end, wait).await?)
            }
        };
        Ok(Response::new(v1::SubmitRunResponse {
            run_id: begun.run.to_string(),
            created: begun.is_new,
            run,
        }))
    }

    /// Reads a workflow that a client sent. Nothing is kept yet.
    pub(crate) async fn checked(
        &self,
        bundle: v1::WorkflowBundle,
    ) -> Result<(Box<Workflow>, Bundle), Status> {
        // A large workflow takes long to read: not on a thread that others wait for.
        let catalogue = Arc::clone(&self.catalogue);
        let checked =
            tokio::task::spawn_blocking(move || bundles::check(bundle, catalogue.as_ref())).await;
        let (workflow, bundle) = checked
            .map_err(|error| Status::internal(format!("the workflow cannot be read: {error}")))?
            .map_err(invalid)?;
        Ok((Box::new(workflow), bundle))
    }

    /// A deployed workflow; the current version for 0.
    pub(crate) async fn deployment(&self, name: &str, version: u64) -> Result<Deployment, Status> {
        check_name(name)?;
        let version_asked = (version > 0).then_some(version);
        let found = self.journal.deployment(name, version_asked).await;
        let found = found.map_err(|error| status_of_journal(&error))?;
        found.ok_or_else(|| not_deployed(name, version))
    }

    /// Keeps a workflow's files, durably. Gives their digest.
    pub(crate) async fn store(&self, bundle: &Bundle) -> Result<String, Status> {
        let digest = bundle.digest();
        let bytes = serde_json::to_vec(bundle)
            .map_err(|error| Status::internal(format!("the bundle cannot be written: {error}")))?;
        self.journal
            .put_bundle(&digest, bytes)
            .await
            .map_err(|error| status_of_journal(&error))?;
        Ok(digest)
    }
}

#[async_trait]
impl RunService for Runs {
    type WatchRunStream = Pin<Box<dyn Stream<Item = Result<v1::WatchRunResponse, Status>> + Send>>;

    type StreamLogsStream = ReceiverStream<Result<v1::StreamLogsResponse, Status>>;

    async fn submit_run(
        &self,
        request: GrpcRequest<v1::SubmitRunRequest>,
    ) -> Result<Response<v1::SubmitRunResponse>, Status> {
        let epoch = must_lead(&self.role)?;
        // One that cannot be read is as good as none, says the W3C.
        let trace = request.metadata().get(TRACEPARENT);
        let trace = trace.and_then(|text| text.to_str().ok()?.parse().ok());
        let request = request.into_inner();
        let wait = wait_from_wire(request.wait)?;
        let request_id = (!request.request_id.is_empty()).then_some(request.request_id);
        if request_id.as_deref().is_some_and(|id| !is_request_id(id)) {
            let message = format!(
                "`request_id` is longer than {LONGEST_REQUEST_ID} bytes, or holds control characters"
            );
            return Err(bad_request(&message));
        }
        // The answer to a request that was made before needs no workflow.
        if let Some(request_id) = &request_id
            && let Some(run) = self.submitted_before(request_id).await?
        {
            return self
                .submitted(Begun { run, is_new: false }, None, wait)
                .await;
        }
        let mut base_dir = (!request.base_dir.is_empty()).then_some(request.base_dir);
        let (workflow, files) = match (request.bundle, request.workflow.as_str()) {
            (Some(bundle), "") => {
                let key = Key::of(&bundle);
                match key.and_then(|key| self.recent.get(epoch, &key)) {
                    Some(known) => (
                        Box::new((*known.workflow).clone()),
                        Files::Kept(known.bundle),
                    ),
                    None => {
                        let (workflow, bundle) = self.checked(bundle).await?;
                        (workflow, Files::Sent(bundle, key))
                    }
                }
            }
            (None, name) if !name.is_empty() => {
                let deployment = self.deployment(name, request.workflow_version).await?;
                base_dir = base_dir.or(deployment.base_dir);
                (deployment.workflow, Files::Kept(deployment.bundle))
            }
            (None, _) => return Err(bad_request("both `bundle` and `workflow` are missing")),
            (Some(_), _) => return Err(bad_request("`bundle` and `workflow` stand together")),
        };
        check_size(&request.params)?;
        let given = request.params.into_iter();
        let given = given.map(|(name, value)| (name, submissions::given(from_prost_value(value))));
        let made = submissions::submission(
            submissions::new_run(),
            workflow,
            String::new(),
            base_dir,
            &given.collect(),
        );
        let made = made.map_err(invalid)?;
        // Only what is run is kept.
        let bundle = match files {
            Files::Sent(bundle, key) => {
                let bundle = self.store(&bundle).await?;
                if let Some(key) = key {
                    let known = Known {
                        workflow: Arc::new((*made.workflow).clone()),
                        bundle: bundle.clone(),
                    };
                    self.recent.put(epoch, key, known);
                }
                bundle
            }
            Files::Kept(digest) => digest,
        };
        let submission = Submission {
            bundle,
            request_id,
            trace,
            ignores_cache: request.no_cache,
            ..made
        };
        let run = submission.run.clone();
        let end = wait.map(|_| self.end_of(&run)).transpose()?;
        let begun = self.begin(submission).await;
        if end.is_some() && !begun.as_ref().is_ok_and(|begun| begun.is_new) {
            self.hub.forget(&run);
        }
        self.submitted(begun?, end, wait).await
    }

    async fn get_run(
        &self,
        request: GrpcRequest<v1::GetRunRequest>,
    ) -> Result<Response<v1::GetRunResponse>, Status> {
        let run = run_id(request.into_inner().run_id)?;
        let state = self
            .journal
            .load_run(&run)
            .await
            .map_err(|error| status_of_journal(&error))?;
        Ok(Response::new(v1::GetRunResponse {
            run: Some(self.view(&state).await),
        }))
    }

    async fn list_runs(
        &self,
        request: GrpcRequest<v1::ListRunsRequest>,
    ) -> Result<Response<v1::ListRunsResponse>, Status> {
        let request = request.into_inner();
        let size = page_size(request.page_size);
        let filter = RunFilter {
            status: views::run_status_from_wire(request.status()),
            name: (!request.workflow.is_empty()).then_some(request.workflow),
        };
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(run_id(token.to_owned())?),
        };
        if !request.run_id_prefix.is_empty() {
            let found = self
                .journal
                .find_runs_by_prefix(&request.run_id_prefix, size)
                .await
                .map_err(|error| status_of_journal(&error))?;
            return Ok(Response::new(v1::ListRunsResponse {
                runs: found.iter().map(views::summary).collect(),
                next_page_token: String::new(),
            }));
        }
        let page = Page { after, limit: size };
        let runs = self
            .journal
            .list_runs(&filter, &page)
            .await
            .map_err(|error| status_of_journal(&error))?;
        let next_page_token = match runs.last() {
            Some(last) if runs.len() == size => last.run.to_string(),
            _ => String::new(),
        };
        let runs = runs.iter().map(views::summary).collect();
        Ok(Response::new(v1::ListRunsResponse {
            runs,
            next_page_token,
        }))
    }

    async fn watch_run(
        &self,
        request: GrpcRequest<v1::WatchRunRequest>,
    ) -> Result<Response<Self::WatchRunStream>, Status> {
        must_lead(&self.role)?;
        let run = run_id(request.into_inner().run_id)?;
        // Listen first, then read: what changes in between is told twice rather than not at all.
        let notices = self.hub.watch(&run);
        let mut watch = Watch {
            journal: Arc::clone(&self.journal),
            run,
            notices,
            is_over: false,
        };
        let first = watch.whole_run().await?;
        watch.is_over = ends(&first);
        let rest = futures::stream::unfold(watch, Watch::step);
        let whole =
            futures::stream::once(async move { Ok(v1::WatchRunResponse { event: Some(first) }) });
        Ok(Response::new(Box::pin(futures::StreamExt::chain(
            whole, rest,
        ))))
    }

    async fn stream_logs(
        &self,
        request: GrpcRequest<v1::StreamLogsRequest>,
    ) -> Result<Response<Self::StreamLogsStream>, Status> {
        let lines = log_stream::open(self, request.into_inner()).await?;
        Ok(Response::new(lines))
    }

    async fn cancel_run(
        &self,
        request: GrpcRequest<v1::CancelRunRequest>,
    ) -> Result<Response<v1::CancelRunResponse>, Status> {
        must_lead(&self.role)?;
        let request = request.into_inner();
        let run = run_id(request.run_id)?;
        let reason = reason_or_somebody(request.reason);
        self.ask(|reply| Request::Cancel { run, reason, reply })
            .await?;
        Ok(Response::new(v1::CancelRunResponse {}))
    }

    async fn retry_run(
        &self,
        request: GrpcRequest<v1::RetryRunRequest>,
    ) -> Result<Response<v1::RetryRunResponse>, Status> {
        must_lead(&self.role)?;
        let request = request.into_inner();
        let run = run_id(request.run_id)?;
        let from = request.from_stages.into_iter().map(stage_name);
        let from = from.collect::<Result<BTreeSet<_>, _>>()?;
        self.ask(|reply| Request::Retry { run, from, reply })
            .await?;
        Ok(Response::new(v1::RetryRunResponse {}))
    }

    async fn approve_stage(
        &self,
        request: GrpcRequest<v1::ApproveStageRequest>,
    ) -> Result<Response<v1::ApproveStageResponse>, Status> {
        must_lead(&self.role)?;
        let caller = request.extensions().get::<Caller>().cloned();
        let request = request.into_inner();
        let is_approved = match request.decision() {
            v1::ApprovalDecision::Approve => true,
            v1::ApprovalDecision::Reject => false,
            v1::ApprovalDecision::Unspecified => {
                return Err(bad_request("`decision` says neither approve nor reject"));
            }
        };
        let by = match (caller, request.approver) {
            (Some(Caller(name)), _) => name,
            (None, approver) if approver.is_empty() => "somebody".to_owned(),
            (None, approver) => approver,
        };
        let comment = request.comment;
        check_comment(by.len().saturating_add(comment.len()))?;
        let run = run_id(request.run_id)?;
        let stage = stage_name(request.stage)?;
        self.ask(|reply| Request::Approve {
            run,
            stage,
            is_approved,
            approval: Approval { by, comment },
            reply,
        })
        .await?;
        Ok(Response::new(v1::ApproveStageResponse {}))
    }
}

/// A workflow's files: as a client sent them, or by their digest.
enum Files {
    Sent(Bundle, Option<Key>),
    Kept(String),
}

/// One watcher of one run.
struct Watch {
    journal: Arc<dyn Journal>,
    run: RunId,
    notices: broadcast::Receiver<Notice>,
    is_over: bool,
}

impl Watch {
    async fn whole_run(&self) -> Result<Event, Status> {
        let state = self.journal.load_run(&self.run).await;
        let state = state.map_err(|error| status_of_journal(&error))?;
        Ok(Event::Run(views::run(&state, &|name| state.waiting(name))))
    }

    /// The next message, and what comes after it. A watcher that fell behind gets the whole run.
    async fn step(mut self) -> Option<(Result<v1::WatchRunResponse, Status>, Self)> {
        if self.is_over {
            return None;
        }
        let event = match self.notices.recv().await {
            Ok(Notice::Event(event)) => Ok(*event),
            Ok(Notice::LookAgain) | Err(RecvError::Lagged(_)) => self.whole_run().await,
            Err(RecvError::Closed) => Err(Status::unavailable(STOPPING)),
        };
        self.is_over = event.as_ref().map_or(true, ends);
        let response = event.map(|event| v1::WatchRunResponse { event: Some(event) });
        Some((response, self))
    }
}

/// Whether nothing follows this event.
fn ends(event: &Event) -> bool {
    let summary = match event {
        Event::Run(run) => run.summary.as_ref(),
        Event::Summary(summary) => Some(summary),
        Event::Stage(_) | Event::Progress(_) | Event::Log(_) => None,
    };
    summary.is_some_and(|summary| summary.status() != v1::RunStatus::Running)
}

/// Whether a client may name its request so: every journal can keep it, and find it.
fn is_request_id(text: &str) -> bool {
    text.len() <= LONGEST_REQUEST_ID && !text.chars().any(char::is_control)
}

/// How many entries a client gets that asks for so many.
pub(crate) fn page_size(asked: u32) -> usize {
    let size = match asked {
        0 => PAGE,
        size => size.min(LARGEST_PAGE),
    };
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// Refuses a comment of so many bytes if the journal should not keep it.
pub(crate) fn check_comment(bytes: usize) -> Result<(), Status> {
    if bytes <= LONGEST_COMMENT {
        return Ok(());
    }
    let message = format!("`comment` is longer than {LONGEST_COMMENT} bytes");
    Err(bad_request(&message))
}

/// Why something is to end, also where whoever asks does not say.
pub(crate) fn reason_or_somebody(reason: String) -> String {
    match reason {
        reason if reason.is_empty() => "somebody asked for it".to_owned(),
        reason => reason,
    }
}

fn invalid(errors: Diagnostics) -> Status {
    status_from_diagnostics(Code::InvalidArgument, &errors)
}

pub(crate) fn run_id(text: String) -> Result<RunId, Status> {
    RunId::try_from(text).map_err(|error| bad_request(&error.to_string()))
}

pub(crate) fn stage_name(text: String) -> Result<StageName, Status> {
    StageName::try_from(text).map_err(|error: InvalidName| bad_request(&error.to_string()))
}

/// Parameters are kept with the run and shown with it: data has no place there.
fn check_size(params: &HashMap<String, prost_types::Value>) -> Result<(), Status> {
    let sizes = params
        .iter()
        .map(|(name, value)| (name.len() + value.encoded_len(), name));
    let bytes: usize = sizes.clone().map(|(size, _)| size).sum();
    if bytes <= PARAM_BYTES {
        return Ok(());
    }
    let largest = sizes.max().map_or("", |(_, name)| name.as_str());
    let message = format!(
        "the parameters have {} MB together, `{largest}` most of it, and may have 1 MB",
        bytes.div_ceil(1_000_000)
    );
    let diagnostic = Diagnostic::new(codes::BAD_PARAM, message)
        .help("put data into files or a table, and pass where it is");
    Err(invalid(diagnostic.into()))
}

pub(crate) fn bad_request(message: &str) -> Status {
    let diagnostic = Diagnostic::new(codes::BAD_REQUEST, message);
    status_from_diagnostics(Code::InvalidArgument, &diagnostic.into())
}

/// Refuses what only the leader can answer; gives the epoch in which it leads.
pub(crate) fn must_lead(role: &watch::Receiver<Role>) -> Result<Epoch, Status> {
    match &*role.borrow() {
        Role::Leading(epoch) => Ok(*epoch),
        Role::Following(leader) => Err(not_leading(leader.as_ref())),
    }
}

fn not_leading(leader: Option<&Leader>) -> Status {
    let url = leader.map(|leader| leader.url.as_str()).unwrap_or_default();
    let who = match leader {
        None => "none does at the moment".to_owned(),
        Some(leader) if url.is_empty() => format!("another one does, in epoch {}", leader.epoch),
        Some(_) => format!("{url} does"),
    };
    let diagnostic = Diagnostic::new(
        codes::NOT_LEADING,
        format!("this coordinator does not lead: {who}"),
    )
    .help("ask the leader, or this one again after a moment");
    let metadata = [(LEADER_KEY.to_owned(), url.to_owned())];
    status_with_metadata(Code::Unavailable, &diagnostic.into(), metadata.into())
}

pub(crate) fn status_of_refusal(refusal: Refusal) -> Status {
    let (code, diagnostic) = match refusal {
        Refusal::NotFound(diagnostic) => (Code::NotFound, diagnostic),
        Refusal::WrongState(diagnostic) => (Code::FailedPrecondition, diagnostic),
        Refusal::Full(diagnostic) => (Code::ResourceExhausted, diagnostic),
        Refusal::Damaged(diagnostic) => (Code::DataLoss, diagnostic),
        Refusal::Unavailable(diagnostic) => (Code::Unavailable, diagnostic),
        Refusal::NotRunning(run) => {
            let message = format!("run {run} does not run");
            let diagnostic = Diagnostic::new(codes::WRONG_RUN_STATE, message);
            (Code::FailedPrecondition, diagnostic)
        }
        Refusal::NotLeading(leader) => return not_leading(leader.as_ref()),
    };
    status_from_diagnostics(code, &diagnostic.into())
}

pub(crate) fn status_of_journal(error: &JournalError) -> Status {
    let code = match error {
        JournalError::UnknownRun { .. } => Code::NotFound,
        JournalError::Damaged { .. }
        | JournalError::DamagedBundle { .. }
        | JournalError::DamagedDeployment(_)
        | JournalError::Corrupt { .. } => Code::DataLoss,
        JournalError::Full { .. } => Code::ResourceExhausted,
        JournalError::DuplicateRequest { .. } => Code::AlreadyExists,
        JournalError::Inconsistent { .. } => Code::Internal,
        _ => Code::Unavailable,
    };
    status_from_diagnostics(code, &error.diagnostic().into())
}
