//! Deployed workflows and their schedules.

use async_trait::async_trait;
use marquetry_journal::{Deployment, Deployments, Page};
use marquetry_proto::v1::workflow_service_server::WorkflowService;
use marquetry_proto::{timestamp_from_wire, timestamp_to_wire, v1};
use marquetry_schedule::When;
use marquetry_types::{Diagnostic, Timestamp, codes};
use marquetry_workflow::ScheduleSpec;
use tonic::{Request as GrpcRequest, Response, Status};

use crate::bundles;
use crate::request::{Refusal, Request};
use crate::run_service::{
    Runs, bad_request, check_comment, must_lead, page_size, status_of_journal, status_of_refusal,
};
use crate::scheduler::{ScheduleView, submission};
use crate::submissions;

/// The most runs of one backfill.
const MOST_RUNS: usize = 1000;

pub(crate) struct Workflows {
    pub(crate) runs: Runs,
}

#[async_trait]
impl WorkflowService for Workflows {
    async fn deploy_workflow(
        &self,
        request: GrpcRequest<v1::DeployWorkflowRequest>,
    ) -> Result<Response<v1::DeployWorkflowResponse>, Status> {
        must_lead(&self.runs.role)?;
        let v1::DeployWorkflowRequest {
            bundle,
            comment,
            base_dir,
        } = request.into_inner();
        check_comment(comment.len())?;
        let bundle = bundle.ok_or_else(|| bad_request("`bundle` is missing"))?;
        let (workflow, bundle) = self.runs.checked(bundle).await?;
        let digest = self.runs.store(&bundle).await?;
        let deployment = Box::new(Deployment {
            name: workflow.name.clone(),
            version: 0,
            bundle: digest,
            workflow,
            deployed_at: Timestamp::now(),
            base_dir: (!base_dir.is_empty()).then_some(base_dir),
            comment,
        });
        let deployed = self
            .runs
            .ask(|reply| Request::Deploy { deployment, reply })
            .await?;
        Ok(Response::new(v1::DeployWorkflowResponse {
            workflow: Some(version(&deployed.deployment)),
            created: deployed.is_new,
        }))
    }

    async fn get_workflow(
        &self,
        request: GrpcRequest<v1::GetWorkflowRequest>,
    ) -> Result<Response<v1::GetWorkflowResponse>, Status> {
        let v1::GetWorkflowRequest {
            name,
            version: number,
        } = request.into_inner();
        let deployment = self.runs.deployment(&name, number).await?;
        let bundle = bundles::load(self.runs.journal.as_ref(), &deployment.bundle).await?;
        let bundle = bundle.ok_or_else(|| {
            Status::data_loss(format!("bundle {} cannot be read", deployment.bundle))
        })?;
        Ok(Response::new(v1::GetWorkflowResponse {
            workflow: Some(version(&deployment)),
            bundle: Some(bundle),
        }))
    }

    async fn list_workflows(
        &self,
        _: GrpcRequest<v1::ListWorkflowsRequest>,
    ) -> Result<Response<v1::ListWorkflowsResponse>, Status> {
        let current = self.runs.journal.current_deployments().await;
        let current = sound(current.map_err(|error| status_of_journal(&error))?);
        Ok(Response::new(v1::ListWorkflowsResponse {
            workflows: current,
        }))
    }

    async fn list_workflow_versions(
        &self,
        request: GrpcRequest<v1::ListWorkflowVersionsRequest>,
    ) -> Result<Response<v1::ListWorkflowVersionsResponse>, Status> {
        let request = request.into_inner();
        check_name(&request.name)?;
        let page = Page {
            after: (request.before_version > 0).then_some(request.before_version),
            limit: page_size(request.page_size),
        };
        let versions = self
            .runs
            .journal
            .list_deployments(&request.name, &page)
            .await;
        let versions = sound(versions.map_err(|error| status_of_journal(&error))?);
        Ok(Response::new(v1::ListWorkflowVersionsResponse { versions }))
    }

    async fn retire_workflow(
        &self,
        request: GrpcRequest<v1::RetireWorkflowRequest>,
    ) -> Result<Response<v1::RetireWorkflowResponse>, Status> {
        must_lead(&self.runs.role)?;
        let name = request.into_inner().name;
        check_name(&name)?;
        let asked = name.clone();
        let retired = self
            .runs
            .ask(|reply| Request::Retire { name: asked, reply })
            .await?;
        match retired {
            Some(version) => Ok(Response::new(v1::RetireWorkflowResponse { version })),
            None => Err(not_deployed(&name, 0)),
        }
    }

    async fn list_schedules(
        &self,
        _: GrpcRequest<v1::ListSchedulesRequest>,
    ) -> Result<Response<v1::ListSchedulesResponse>, Status> {
        must_lead(&self.runs.role)?;
        let schedules = self.runs.ask(Request::Schedules).await?;
        Ok(Response::new(v1::ListSchedulesResponse {
            schedules: schedules.into_iter().map(schedule).collect(),
        }))
    }

    async fn backfill(
        &self,
        request: GrpcRequest<v1::BackfillRequest>,
    ) -> Result<Response<v1::BackfillResponse>, Status> {
        must_lead(&self.runs.role)?;
        let request = request.into_inner();
        let (Some(from), Some(to)) = (&request.from, &request.to) else {
            return Err(bad_request("`from` or `to` is missing"));
        };
        let deployment = self.runs.deployment(&request.workflow, 0).await?;
        let spec = chosen(&deployment, &request.schedule)?;
        let (from, to) = (timestamp_from_wire(from), timestamp_from_wire(to));
        let occurrences = spec.schedule.backfill(from, to, MOST_RUNS);
        let occurrences = occurrences.map_err(|error| bad_request(&error.to_string()))?;
        let mut runs = Vec::with_capacity(occurrences.len());
        for occurrence in occurrences {
            let run = submissions::new_run();
            let submission = submission(&deployment, spec, occurrence, true, run);
            let submission = submission.map_err(|why| bad_request(&why))?;
            let begun = self.runs.begin(submission).await?;
            runs.push(v1::BackfillRun {
                run_id: begun.run.to_string(),
                scheduled_at: Some(timestamp_to_wire(occurrence.at)),
                created: begun.is_new,
            });
        }
        Ok(Response::new(v1::BackfillResponse { runs }))
    }
}

/// The schedule that a backfill is about.
fn chosen<'d>(deployment: &'d Deployment, name: &str) -> Result<&'d ScheduleSpec, Status> {
    let all = &deployment.workflow.schedules;
    let found = match (name, all.as_slice()) {
        ("", [only]) => Some(only),
        (name, _) => all.iter().find(|spec| spec.name.as_str() == name),
    };
    let workflow = &deployment.name;
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|spec| spec.name.as_str()).collect();
        let message = match (name, names.as_slice()) {
            (_, []) => format!("workflow `{workflow}` has no schedule to go by"),
            ("", _) => format!("workflow `{workflow}` has several schedules: say which"),
            (name, _) => format!("workflow `{workflow}` has no schedule `{name}`"),
        };
        let diagnostic = Diagnostic::new(codes::BAD_REQUEST, message);
        let diagnostic = match names.is_empty() {
            true => diagnostic.help("add `on: [{ schedule: \"0 3 * * *\" }]` to it and deploy it"),
            false => diagnostic.help(format!("its schedules are {}", names.join(", "))),
        };
        status_of_refusal(Refusal::NotFound(diagnostic))
    })
}

/// Refuses a name that no workflow can have. A journal that is asked to write it fails, and a failed write
/// ends what the reign remembers: that is not for a caller to bring about.
pub(crate) fn check_name(name: &str) -> Result<(), Status> {
    if name.chars().any(char::is_control) {
        return Err(bad_request(
            "the name of a workflow holds control characters",
        ));
    }
    Ok(())
}

/// That a workflow, or a version of it, is not deployed.
pub(crate) fn not_deployed(name: &str, version: u64) -> Status {
    status_of_refusal(Refusal::NotFound(why_not_deployed(name, version)))
}

pub(crate) fn why_not_deployed(name: &str, version: u64) -> Diagnostic {
    let message = match version {
        0 => format!("there is no deployed workflow `{name}`"),
        version => format!("there is no version {version} of workflow `{name}`"),
    };
    Diagnostic::new(codes::NOT_DEPLOYED, message)
        .help("`marquetry workflows` lists those that are; `marquetry deploy FILE` deploys one")
}

/// Those that can be read; the others are told in the log.
fn sound(deployments: Deployments) -> Vec<v1::WorkflowVersion> {
    for damaged in &deployments.damaged {
        tracing::error!(%damaged, "a deployed workflow cannot be read");
    }
    deployments.sound.iter().map(version).collect()
}

fn version(deployment: &Deployment) -> v1::WorkflowVersion {
    let workflow = &deployment.workflow;
    let schedules = workflow.schedules.iter();
    v1::WorkflowVersion {
        name: deployment.name.clone(),
        version: deployment.version,
        deployed_at: Some(timestamp_to_wire(deployment.deployed_at)),
        comment: deployment.comment.clone(),
        description: workflow.description.clone().unwrap_or_default(),
        schedules: schedules.map(|spec| spec.name.to_string()).collect(),
        stages: u32::try_from(workflow.stages.len()).unwrap_or(u32::MAX),
    }
}

fn schedule(view: ScheduleView) -> v1::ScheduleState {
    let rule = match &view.spec.schedule.when {
        When::Cron(cron) => cron.to_string(),
        When::Every(every) => format!("every {every}"),
    };
    v1::ScheduleState {
        workflow: view.workflow,
        version: view.version,
        schedule: view.spec.name.into(),
        rule,
        timezone: view.spec.schedule.timezone.name().to_owned(),
        enabled: view.spec.enabled,
        next: view.next.map(timestamp_to_wire),
        last: view.last.map(timestamp_to_wire),
    }
}
