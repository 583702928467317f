//! The current versions of published things: what a run is pinned to when it begins, and what may
//! become the next version.

use std::collections::BTreeMap;

use marquetry_types::{
    Diagnostic, FailureClass, FencingToken, Outcome, POLICY_KEY, PolicyUse, PolicyVersion,
    Published, PublishedKind, PublishedName, StageFailure, codes,
};
use marquetry_workflow::{Publish, Workflow};
use serde_json::{Value, json};

use crate::{RunState, Withheld};

/// The current version of each published thing. Older versions cost it nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf {
    current: BTreeMap<(PublishedKind, PublishedName), Published>,
}

impl FromIterator<Published> for Shelf {
    fn from_iter<T: IntoIterator<Item = Published>>(versions: T) -> Self {
        let mut shelf = Self::default();
        versions.into_iter().for_each(|version| shelf.put(version));
        shelf
    }
}

/// What becomes of the outputs that a stage publishes.
#[derive(Debug, Default)]
pub(crate) struct Shelved {
    pub(crate) published: Vec<Published>,
    pub(crate) withheld: Vec<Withheld>,
}

impl Shelf {
    pub(crate) fn put(&mut self, version: Published) {
        let key = (version.kind, version.name.clone());
        self.current.insert(key, version);
    }

    fn get(&self, kind: PublishedKind, name: &PublishedName) -> Option<&Published> {
        self.current.get(&(kind, name.clone()))
    }

    fn version(&self, kind: PublishedKind, name: &PublishedName) -> u64 {
        self.get(kind, name).map_or(0, |current| current.version)
    }

    /// The versions that a run of this workflow works with if it begins now.
    pub(crate) fn pins(&self, workflow: &Workflow) -> Vec<Published> {
        let used = workflow.published().into_iter();
        used.filter_map(|key| self.current.get(&key).cloned())
            .collect()
    }

    /// The version that an attempt at a stage learns from, if it learns; 0 where there is none yet.
    pub(crate) fn learns_from(&self, publishes: &[Publish]) -> Option<u64> {
        let mut policies = publishes
            .iter()
            .filter(|publish| publish.kind == PublishedKind::Policy);
        let publish = policies.next()?;
        Some(self.version(publish.kind, &publish.name))
    }

    /// Puts into the options of an attempt the versions of the policies that they name: the run's
    /// pinned ones, and the newest where the stage learns.
    pub(crate) fn put_policies(&self, run: &RunState, options: &mut Value) {
        match options {
            Value::Object(fields) => match fields.get_mut(POLICY_KEY) {
                Some(policy) => {
                    if let Ok(used) = serde_json::from_value::<PolicyUse>(policy.clone()) {
                        *policy = json!(self.policy(run, used));
                    }
                }
                None => fields
                    .values_mut()
                    .for_each(|field| self.put_policies(run, field)),
            },
            Value::Array(items) => items
                .iter_mut()
                .for_each(|item| self.put_policies(run, item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn policy(&self, run: &RunState, used: PolicyUse) -> PolicyVersion {
        let kind = PublishedKind::Policy;
        let found = if used.learns {
            self.get(kind, &used.name)
        } else {
            run.pin(kind, used.name.as_str())
        };
        PolicyVersion {
            version: found.map_or(0, |found| found.version),
            dataset: found.map(|found| found.dataset.clone()),
            name: used.name,
        }
    }

    /// The versions that the success of an attempt makes current.
    ///
    /// A table is published unless another run published a version after this run began: what this
    /// run computed is then older than what readers have. A policy is published if its newest version
    /// is the one that the attempt started from, or else what was learned in between would be lost.
    pub(crate) fn take(
        &self,
        run: &RunState,
        token: &FencingToken,
        outcome: &Outcome,
    ) -> Result<Shelved, StageFailure> {
        let mut shelved = Shelved::default();
        if token.attempt.stage.place().is_some() {
            return Ok(shelved);
        }
        let stage = run.workflow().stage(&token.attempt.stage);
        let state = run.stages.get(&token.attempt.stage);
        for publish in stage.into_iter().flat_map(|stage| &stage.publish) {
            let Publish { output, kind, name } = publish;
            let Some(dataset) = outcome.outputs.get(output) else {
                return Err(no_output(publish));
            };
            let current = self.version(*kind, name);
            match kind {
                PublishedKind::Table => {
                    if run.seen_version(*kind, name.as_str()) != current {
                        let reason = format!(
                            "another run published version {current} of table `{name}` after this run had begun"
                        );
                        let output = output.clone();
                        shelved.withheld.push(Withheld { output, reason });
                        continue;
                    }
                }
                PublishedKind::Policy => {
                    let base = state.and_then(|state| state.granted()?.learns_from);
                    if base != Some(current) {
                        return Err(overtaken(name, base.unwrap_or(0), current));
                    }
                }
            }
            shelved.published.push(Published {
                kind: *kind,
                name: name.clone(),
                version: current.saturating_add(1),
                dataset: dataset.clone(),
            });
        }
        Ok(shelved)
    }
}

fn overtaken(name: &PublishedName, base: u64, current: u64) -> StageFailure {
    let message = format!(
        "policy `{name}` went on to version {current} while this attempt learned from version {base}"
    );
    let diagnostic = Diagnostic::new(codes::POLICY_OVERTAKEN, message)
        .help("the next attempt learns from the newer version; give the stage more `retry.attempts` if many runs teach it at once");
    StageFailure {
        class: FailureClass::Transient,
        diagnostic,
    }
}

fn no_output(publish: &Publish) -> StageFailure {
    let Publish { output, kind, name } = publish;
    let what = kind.as_str();
    let message = format!("the stage gave no output `{output}` to publish as {what} `{name}`");
    let diagnostic = Diagnostic::new(codes::STAGE_INTERNAL, message)
        .help("this is an error of the plugin that provides the stage kind");
    StageFailure {
        class: FailureClass::Invalid,
        diagnostic,
    }
}
