//! Approvals of a run in this process: whoever started it is asked, if there is a terminal.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal};

use marquetry_proto::v1;
use marquetry_proto::v1::run_service_client::RunServiceClient;
use marquetry_types::{Diagnostic, codes};
use tonic::transport::Channel;

use crate::embedded::refused;
use crate::failure::Failure;
use crate::output::{self, BOLD};
use crate::progress::Progress;

/// What was decided so far.
#[derive(Debug)]
pub(crate) struct Approvals {
    approves_all: bool,
    decided: BTreeSet<String>,
}

impl Approvals {
    /// `approves_all` asks nobody.
    pub(crate) fn new(approves_all: bool) -> Self {
        Self {
            approves_all,
            decided: BTreeSet::new(),
        }
    }

    /// Decides about every stage that waits for a person. Without one to ask, the run is cancelled.
    pub(crate) async fn decide(
        &mut self,
        run: &v1::Run,
        client: &mut RunServiceClient<Channel>,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let run_id = run.summary.as_ref().map(|summary| summary.run_id.clone());
        let run_id = run_id.unwrap_or_default();
        for stage in &run.stages {
            let waits = stage.waiting.as_ref();
            let waits = waits.filter(|it| it.waiting_for() == v1::WaitingFor::Approval);
            let Some(waiting) = waits.filter(|_| !self.decided.contains(&stage.name)) else {
                continue;
            };
            if !self.approves_all && !std::io::stdin().is_terminal() {
                let request = v1::CancelRunRequest {
                    run_id,
                    reason: format!(
                        "stage {} waits for approval, and nobody is there",
                        stage.name
                    ),
                };
                drop(client.cancel_run(request).await);
                let message = format!(
                    "stage `{}` waits for {}, and there is no terminal to ask at",
                    stage.name, waiting.message
                );
                let help = "give `--yes` to approve, or submit the run to a server and use `marquetry approve`";
                return Err(Failure::Input(
                    Diagnostic::new(codes::WRONG_RUN_STATE, message)
                        .help(help)
                        .into(),
                ));
            }
            let is_approved = self.approves_all
                || progress.suspend(|| {
                    asked(&format!(
                        "{BOLD}{}{BOLD:#}: {}",
                        stage.name, waiting.message
                    ))
                });
            self.decided.insert(stage.name.clone());
            let decision = match is_approved {
                true => v1::ApprovalDecision::Approve,
                false => v1::ApprovalDecision::Reject,
            };
            let request = v1::ApproveStageRequest {
                run_id: run_id.clone(),
                stage: stage.name.clone(),
                decision: decision.into(),
                comment: String::new(),
                approver: user(),
            };
            let approved = client.approve_stage(request).await;
            approved.map_err(|status| refused(&status))?;
        }
        Ok(())
    }
}

/// Whoever is at the keyboard, by the name that the system has.
pub(crate) fn user() -> String {
    let mut names = ["USER", "USERNAME"].into_iter();
    names
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_default()
}

/// Asks at the terminal. Anything but a yes is a no; so is the end of the input.
fn asked(what: &str) -> bool {
    output::note(format!("{what} [y/N]"));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}
