//! A coordinator elsewhere, as commands speak with it: whichever leads, with patience while none does.

use std::path::Path;
use std::time::{Duration, Instant};

use marquetry_client::{ClientConfig, ClientTls, Connection, Coordinators, MESSAGE_BYTES, Secret};
use marquetry_proto::v1;
use marquetry_proto::v1::cluster_service_client::ClusterServiceClient;
use marquetry_proto::v1::run_service_client::RunServiceClient;
use marquetry_proto::v1::workflow_service_client::WorkflowServiceClient;
use marquetry_types::{Diagnostic, RunId, codes};
use tonic::{Response, Status};

use crate::arguments::{Common, Reach};
use crate::embedded::refused;
use crate::failure::Failure;
use crate::output;

/// How long a command waits for a coordinator that leads: longer than a take-over takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// After how long it says that it waits.
const SILENCE: Duration = Duration::from_secs(1);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// The coordinators of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    coordinators: Coordinators,
}

impl Cluster {
    /// The cluster that the command line names, if it names one.
    pub(crate) fn named(common: &Common) -> Result<Option<Self>, Failure> {
        if common.reach.coordinator.is_empty() {
            return Ok(None);
        }
        let coordinators = coordinators(&common.reach)?;
        Ok(Some(Self { coordinators }))
    }

    /// The cluster that the command line names; the one on this machine if it names none.
    pub(crate) fn of(common: &Common) -> Result<Self, Failure> {
        let coordinators = coordinators(&common.reach)?;
        Ok(Self { coordinators })
    }

    /// Asks for something about runs until a coordinator that leads answers. The call must be one that may
    /// be made twice.
    pub(crate) async fn call<T, F>(
        &self,
        mut call: impl FnMut(RunServiceClient<Connection>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.persist(|connection| {
            let runs = RunServiceClient::new(connection)
                .max_decoding_message_size(MESSAGE_BYTES)
                .max_encoding_message_size(MESSAGE_BYTES);
            call(runs)
        })
        .await
    }

    /// The same about the cluster itself.
    pub(crate) async fn ask_cluster<T, F>(
        &self,
        mut call: impl FnMut(ClusterServiceClient<Connection>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.persist(|connection| call(ClusterServiceClient::new(connection)))
            .await
    }

    /// The same about deployed workflows.
    pub(crate) async fn ask_workflows<T, F>(
        &self,
        mut call: impl FnMut(WorkflowServiceClient<Connection>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.persist(|connection| {
            let workflows = WorkflowServiceClient::new(connection)
                .max_decoding_message_size(MESSAGE_BYTES)
                .max_encoding_message_size(MESSAGE_BYTES);
            call(workflows)
        })
        .await
    }

    /// The connection to the coordinator that is asked first.
    pub(crate) fn connection(&self) -> Connection {
        self.coordinators.current()
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        self.coordinators.url()
    }

    async fn persist<T, F>(&self, mut call: impl FnMut(Connection) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let start = Instant::now();
        let mut is_told = false;
        loop {
            let status = match call(self.coordinators.current()).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => status,
            };
            if !Coordinators::is_worth_another_try(&status) || start.elapsed() > PATIENCE {
                return Err(self.explained(&status));
            }
            if !is_told && start.elapsed() > SILENCE {
                is_told = true;
                let url = self.coordinators.url();
                output::note(format!(
                    "waiting for a coordinator that leads; {url} does not answer"
                ));
            }
            self.coordinators.move_on(&status);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What a status means to whoever typed the command. A connection that does not come about says
    /// nothing that helps.
    pub(crate) fn explained(&self, status: &Status) -> Failure {
        if !status.details().is_empty() {
            return refused(status);
        }
        let message = format!(
            "the coordinator at {} cannot be reached: {}",
            self.coordinators.url(),
            cause(status)
        );
        let help = "`marquetry server` starts one; `--coordinator` says where it is";
        Failure::Internal(
            Diagnostic::new(codes::UNREACHABLE, message)
                .help(help)
                .into(),
        )
    }

    /// The run that a person means: an id, the beginning of one, or `latest`.
    pub(crate) async fn find(&self, name: &str) -> Result<RunId, Failure> {
        let request = v1::ListRunsRequest {
            page_size: 2,
            run_id_prefix: match name {
                "latest" => String::new(),
                name => name.to_owned(),
            },
            ..v1::ListRunsRequest::default()
        };
        let found = self
            .call(|mut runs| {
                let request = request.clone();
                async move { runs.list_runs(request).await }
            })
            .await?
            .runs;
        match found.as_slice() {
            [] => Err(Failure::unknown_run(name, &self.coordinators.url())),
            [first, ..] if name == "latest" => first.run_id.parse().map_err(Failure::internal),
            [only] => only.run_id.parse().map_err(Failure::internal),
            _ => {
                let message = format!("more than one run begins with `{name}`");
                Err(Failure::no_match(message, "give more of its id"))
            }
        }
    }

    /// A run with its stages.
    pub(crate) async fn run(&self, run: &RunId) -> Result<v1::Run, Failure> {
        let request = v1::GetRunRequest {
            run_id: run.to_string(),
        };
        let response = self
            .call(|mut runs| {
                let request = request.clone();
                async move { runs.get_run(request).await }
            })
            .await?;
        response
            .run
            .ok_or_else(|| Failure::internal("the coordinator sent no run"))
    }
}

/// The innermost cause, which is what a person can act on.
fn cause(status: &Status) -> String {
    let mut innermost: &dyn std::error::Error = status;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if std::ptr::addr_eq(innermost, status) {
        status.message().to_owned()
    } else {
        innermost.to_string()
    }
}

/// The coordinators that options name.
pub(crate) fn coordinators(reach: &Reach) -> Result<Coordinators, Failure> {
    const LOCAL: &str = "http://127.0.0.1:7070";
    let urls = match reach.coordinator.as_slice() {
        [] => vec![LOCAL.to_owned()],
        named => named.to_vec(),
    };
    let token = match (&reach.token_file, std::env::var("MARQUETRY_TOKEN")) {
        (Some(path), _) => Some(text(path)?),
        (None, Ok(token)) if !token.trim().is_empty() => Some(token),
        (None, _) => None,
    };
    let identity = match (&reach.client_certificate, &reach.client_key) {
        (Some(certificate), Some(key)) => Some((bytes(certificate)?, Secret::new(text(key)?))),
        _ => None,
    };
    let config = ClientConfig {
        urls,
        token: token.map(|token| Secret::new(token.trim())),
        tls: ClientTls {
            authority: authority(reach)?,
            identity,
        },
    };
    Coordinators::new(config).map_err(|error| Failure::Input(Diagnostic::from(error).into()))
}

/// The authority of the cluster's certificates, as PEM, where options name one.
pub(crate) fn authority(reach: &Reach) -> Result<Option<Vec<u8>>, Failure> {
    reach.authority.as_deref().map(bytes).transpose()
}

/// A file's bytes.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::file("read", path, &error))
}

/// A file's text.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))
}
