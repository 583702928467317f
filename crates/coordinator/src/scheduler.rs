//! Which deployed workflows run by themselves, and when the next one does. It decides nothing that must
//! outlive it: a schedule's position is part of the record of the run that it began.

use std::collections::BTreeMap;
use std::sync::Arc;

use marquetry_engine::{Scheduled, Submission};
use marquetry_journal::Deployment;
use marquetry_schedule::Occurrence;
use marquetry_types::{RunId, ScheduleName, Timestamp};
use marquetry_workflow::{ParamInput, ScheduleSpec};

use crate::submissions;

/// A schedule of a current version.
#[derive(Debug, Clone)]
struct Plan {
    deployment: Arc<Deployment>,
    spec: ScheduleSpec,
    /// Up to where everything is decided.
    decided: Timestamp,
    /// When it last began a run.
    last: Option<Timestamp>,
    next: Option<Timestamp>,
}

/// A schedule as it stands.
#[derive(Debug, Clone)]
pub(crate) struct ScheduleView {
    pub(crate) workflow: String,
    pub(crate) version: u64,
    pub(crate) spec: ScheduleSpec,
    pub(crate) last: Option<Timestamp>,
    pub(crate) next: Option<Timestamp>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    plans: BTreeMap<(String, ScheduleName), Plan>,
}

impl Scheduler {
    /// Takes the current version of a workflow in place of the one before. `positions` are when its
    /// schedules last began runs: a schedule goes on from there, and a new one from its deployment.
    pub(crate) fn put(
        &mut self,
        deployment: Deployment,
        positions: &BTreeMap<String, Timestamp>,
        now: Timestamp,
    ) {
        self.remove(&deployment.name);
        let deployment = Arc::new(deployment);
        for spec in &deployment.workflow.schedules {
            let last = positions.get(spec.name.as_str()).copied();
            let decided = last.unwrap_or(deployment.deployed_at);
            let next = spec.schedule.due(decided, decided).next;
            let plan = Plan {
                deployment: Arc::clone(&deployment),
                spec: spec.clone(),
                decided,
                last,
                next: next.filter(|_| spec.enabled).map(|next| next.max(now)),
            };
            let key = (deployment.name.clone(), spec.name.clone());
            self.plans.insert(key, plan);
        }
    }

    /// A workflow is no longer deployed.
    pub(crate) fn remove(&mut self, workflow: &str) {
        self.plans.retain(|(name, _), _| name != workflow);
    }

    /// When something falls due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.plans.values().filter_map(|plan| plan.next).min()
    }

    /// The runs that are due. `new_run` gives an id.
    pub(crate) fn due(
        &mut self,
        now: Timestamp,
        mut new_run: impl FnMut() -> RunId,
    ) -> Vec<Submission> {
        let mut runs = Vec::new();
        for ((workflow, schedule), plan) in &mut self.plans {
            if plan.next.is_none_or(|next| next > now) {
                continue;
            }
            let due = plan.spec.schedule.due(plan.decided, now);
            if due.missed > 0 {
                tracing::warn!(%workflow, %schedule, missed = due.missed, "a schedule passes over what it missed");
            }
            plan.decided = due.until;
            plan.next = due.next;
            for occurrence in due.occurrences {
                let submission =
                    submission(&plan.deployment, &plan.spec, occurrence, false, new_run());
                match submission {
                    Ok(submission) => {
                        plan.last = Some(occurrence.at);
                        runs.push(submission);
                    }
                    Err(why) => {
                        tracing::error!(%workflow, %schedule, why, "a schedule cannot begin its run");
                    }
                }
            }
        }
        runs
    }

    pub(crate) fn views(&self) -> Vec<ScheduleView> {
        let plans = self.plans.values();
        let views = plans.map(|plan| ScheduleView {
            workflow: plan.deployment.name.clone(),
            version: plan.deployment.version,
            spec: plan.spec.clone(),
            last: plan.last,
            next: plan.next,
        });
        views.collect()
    }
}

/// The run that a schedule wants for an occurrence.
///
/// # Errors
/// Its parameters do not fit the workflow.
pub(crate) fn submission(
    deployment: &Deployment,
    spec: &ScheduleSpec,
    occurrence: Occurrence,
    is_backfill: bool,
    run: RunId,
) -> Result<Submission, String> {
    let given = spec.params.iter();
    let given = given.map(|(name, value)| (name.clone(), ParamInput::Value(value.clone())));
    let made = submissions::submission(
        run,
        deployment.workflow.clone(),
        deployment.bundle.clone(),
        deployment.base_dir.clone(),
        &given.collect(),
    );
    Ok(Submission {
        request_id: is_backfill.then(|| backfill_request(deployment, spec, occurrence)),
        schedule: Some(Scheduled {
            schedule: spec.name.to_string(),
            at: occurrence.at,
            interval_start: occurrence.interval_start,
            interval_end: occurrence.interval_end,
            is_backfill,
        }),
        ..made.map_err(|errors| errors.to_string())?
    })
}

/// The request of a backfilled run: whoever asks for it again gets the same one. A hash, since names may be
/// longer than a request's.
fn backfill_request(
    deployment: &Deployment,
    spec: &ScheduleSpec,
    occurrence: Occurrence,
) -> String {
    let names = blake3::hash(format!("{}\n{}", deployment.name, spec.name).as_bytes());
    format!("backfill/{}/{}", &names.to_hex()[..32], occurrence.at)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use marquetry_workflow::Workflow;
    use serde_json::json;

    fn deployment(at: i64, every_ms: u64) -> Deployment {
        let workflow: Workflow = serde_json::from_value(json!({
            "name": "w", "stages": {},
            "schedules": [{"name": "often", "enabled": true, "schedule": {"when": {"every": every_ms}}}],
        }))
        .unwrap();
        Deployment {
            base_dir: None,
            name: "w".to_owned(),
            version: 1,
            bundle: "b".to_owned(),
            workflow: Box::new(workflow),
            deployed_at: Timestamp::from_millis(at),
            comment: String::new(),
        }
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millis(milliseconds)
    }

    fn due(scheduler: &mut Scheduler, now: i64) -> Vec<i64> {
        let mut number = 0;
        let runs = scheduler.due(at(now), || {
            number += 1;
            RunId::new(at(now), number)
        });
        runs.iter()
            .map(|run| run.schedule.as_ref().unwrap().at.as_millis())
            .collect()
    }

    #[test]
    fn a_schedule_goes_on_from_its_position_and_a_new_one_from_its_deployment() {
        let mut scheduler = Scheduler::default();
        scheduler.put(deployment(90_000, 60_000), &BTreeMap::new(), at(90_000));
        assert_eq!(scheduler.next(), Some(at(120_000)));
        assert!(due(&mut scheduler, 119_999).is_empty());
        assert_eq!(due(&mut scheduler, 120_000), [120_000]);
        assert!(due(&mut scheduler, 120_001).is_empty(), "once");
        assert_eq!(scheduler.views()[0].last, Some(at(120_000)));
        // Another coordinator, after an hour: the latest is caught up with.
        let positions = BTreeMap::from([("often".to_owned(), at(120_000))]);
        let mut later = Scheduler::default();
        later.put(deployment(90_000, 60_000), &positions, at(3_600_000));
        assert_eq!(later.next(), Some(at(3_600_000)), "at once");
        assert_eq!(due(&mut later, 3_610_000), [3_600_000]);
        later.remove("w");
        assert_eq!(later.next(), None);
    }
}
