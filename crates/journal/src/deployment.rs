//! Deployed workflows: what a name stands for, in versions, of which at most one is current.
//!
//! A version is kept like a record, with a checksum over its place and its content, and like a record
//! that is damaged it costs nobody else anything. A current version that cannot be read is replaced by
//! deploying the workflow again.

use std::borrow::Cow;

use marquetry_types::Timestamp;
use marquetry_workflow::Workflow;
use serde::{Deserialize, Serialize};

use crate::JournalError;
use crate::envelope::{Envelope, StoredEnvelope};
use crate::rows::can_be_kept;

/// The format of versions that this program writes. It changes as that of records does.
const FORMAT: i64 = 1;

/// A version of a deployed workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// The workflow's name, by which its versions are counted.
    pub name: String,
    /// Counted from 1, by the journal: what it is when it is handed in does not matter.
    pub version: u64,
    /// Digest of the workflow, SQL and script files, which were put before.
    pub bundle: String,
    /// The checked workflow that the bundle holds.
    pub workflow: Box<Workflow>,
    /// When.
    pub deployed_at: Timestamp,
    /// The folder in which relative source paths of its runs start, unless a submission names another.
    pub base_dir: Option<String>,
    /// What whoever deployed it says of it; may be empty.
    pub comment: String,
}

impl Deployment {
    /// Whether runs of both do the same.
    fn is_like(&self, other: &Self) -> bool {
        self.bundle == other.bundle && self.base_dir == other.base_dir
    }
}

/// What came of deploying.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployed {
    /// The version that is current from here on.
    pub deployment: Deployment,
    /// Whether it was made. It was there already if the current version had the same bundle and folder.
    pub is_new: bool,
}

/// A version that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal is damaged at version {version} of workflow {name}: {reason}")]
pub struct DamagedDeployment {
    /// The workflow's name.
    pub name: String,
    /// The version.
    pub version: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// Some versions of deployed workflows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deployments {
    /// Those that can be read, in the order asked for.
    pub sound: Vec<Deployment>,
    /// Those that cannot, and why not: a person must look at them.
    pub damaged: Vec<DamagedDeployment>,
}

impl FromIterator<StoredDeployment> for Deployments {
    fn from_iter<I: IntoIterator<Item = StoredDeployment>>(stored: I) -> Self {
        let mut deployments = Self::default();
        for stored in stored {
            match stored.open() {
                Ok(deployment) => deployments.sound.push(deployment),
                Err(damaged) => deployments.damaged.push(damaged),
            }
        }
        deployments
    }
}

/// A version as the database has it, not yet believed.
#[derive(Debug, Clone)]
pub(crate) struct StoredDeployment {
    pub(crate) name: String,
    pub(crate) version: u64,
    /// Nothing where a version is said to be current that is not there.
    pub(crate) envelope: Option<StoredEnvelope>,
}

impl StoredDeployment {
    /// The version, if it is what was put there.
    pub(crate) fn open(self) -> Result<Deployment, DamagedDeployment> {
        let opened = match &self.envelope {
            Some(stored) => Envelope::open_at(&self.name, self.version, FORMAT, stored),
            None => Err("it is missing".to_owned()),
        };
        match opened {
            Ok(content) => Ok(content_of(self.name, self.version, content)),
            Err(reason) => Err(DamagedDeployment {
                name: self.name,
                version: self.version,
                reason,
            }),
        }
    }
}

/// What a version consists of, its place left out: its row says that.
#[derive(Serialize, Deserialize)]
struct Content<'d> {
    bundle: Cow<'d, str>,
    workflow: Cow<'d, Workflow>,
    deployed_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_dir: Option<Cow<'d, str>>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    comment: Cow<'d, str>,
}

fn content_of(name: String, version: u64, content: Content<'_>) -> Deployment {
    Deployment {
        name,
        version,
        bundle: content.bundle.into_owned(),
        workflow: Box::new(content.workflow.into_owned()),
        deployed_at: content.deployed_at,
        base_dir: content.base_dir.map(Cow::into_owned),
        comment: content.comment.into_owned(),
    }
}

/// A deployment that is asked for. It is written out before it waits for a commit with others, so that
/// one that cannot be is refused alone.
#[derive(Debug)]
pub(crate) struct Proposal {
    deployment: Deployment,
    payload: String,
}

/// What a journal has under a name.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The greatest version that there is; 0 for none.
    pub(crate) newest: u64,
    /// The current version; none before the first and after the workflow was retired.
    pub(crate) current: Option<StoredDeployment>,
}

/// What comes of a proposal.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) deployed: Deployed,
    /// The new version as it is stored, if it is new.
    pub(crate) envelope: Option<Envelope>,
}

impl Proposal {
    pub(crate) fn new(deployment: Deployment) -> Result<Self, JournalError> {
        let refused = |reason: String| JournalError::Storage {
            doing: "write to the journal",
            reason,
        };
        if !can_be_kept(&deployment.name) {
            return Err(refused(
                "the name of the workflow holds a NUL character, which no text in a database may; use a \
                 name without"
                    .to_owned(),
            ));
        }
        let content = Content {
            bundle: Cow::Borrowed(&deployment.bundle),
            workflow: Cow::Borrowed(&deployment.workflow),
            deployed_at: deployment.deployed_at,
            base_dir: deployment.base_dir.as_deref().map(Cow::Borrowed),
            comment: Cow::Borrowed(&deployment.comment),
        };
        let payload = serde_json::to_string(&content)
            .map_err(|error| refused(format!("the workflow cannot be written as JSON: {error}")))?;
        Ok(Self {
            deployment,
            payload,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.deployment.name
    }

    /// What comes of it where the journal has `standing` under its name.
    pub(crate) fn decide(&self, standing: Standing) -> Verdict {
        let mut newest = standing.newest;
        if let Some(current) = standing.current {
            newest = newest.max(current.version);
            match current.open() {
                Ok(deployment) if deployment.is_like(&self.deployment) => {
                    let deployed = Deployed {
                        deployment,
                        is_new: false,
                    };
                    return Verdict {
                        deployed,
                        envelope: None,
                    };
                }
                Ok(_) => {}
                Err(damaged) => tracing::warn!(%damaged, "a damaged deployment is replaced"),
            }
        }
        let deployment = Deployment {
            version: newest.saturating_add(1),
            ..self.deployment.clone()
        };
        let payload = self.payload.clone();
        let envelope = Envelope::around(&deployment.name, deployment.version, FORMAT, payload);
        Verdict {
            deployed: Deployed {
                deployment,
                is_new: true,
            },
            envelope: Some(envelope),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::testing::samples;

    fn stored(name: &str, version: u64, envelope: &Envelope) -> StoredDeployment {
        StoredDeployment {
            name: name.to_owned(),
            version,
            envelope: Some(StoredEnvelope {
                version: envelope.version,
                checksum: i64::from(envelope.checksum),
                payload: envelope.payload.clone().into_bytes(),
            }),
        }
    }

    fn decide(bundle: &str, newest: u64, current: Option<StoredDeployment>) -> Verdict {
        let proposal = Proposal::new(samples::deployment("retail", bundle)).unwrap();
        proposal.decide(Standing { newest, current })
    }

    #[test]
    fn a_version_follows_the_newest_unless_the_current_one_has_its_bundle() {
        let first = decide("b1", 0, None);
        assert!(first.deployed.is_new);
        assert_eq!(first.deployed.deployment.version, 1);
        let current = stored("retail", 1, &first.envelope.unwrap());
        let same = decide("b1", 1, Some(current.clone()));
        assert_eq!(same.deployed.deployment, first.deployed.deployment);
        assert!(!same.deployed.is_new && same.envelope.is_none());
        let elsewhere = Deployment {
            base_dir: Some("/data".to_owned()),
            ..samples::deployment("retail", "b1")
        };
        let standing = Standing {
            newest: 1,
            current: Some(current.clone()),
        };
        let moved = Proposal::new(elsewhere).unwrap().decide(standing);
        assert!(moved.deployed.is_new, "its runs read other files");
        let kept = stored("retail", 2, &moved.envelope.unwrap())
            .open()
            .unwrap();
        assert_eq!(kept.base_dir.as_deref(), Some("/data"));
        for (bundle, newest, current, version) in [
            ("b2", 1, Some(current.clone()), 2),
            // Retired: the same bundle is a version of its own.
            ("b1", 1, None, 2),
            // The rows of later versions are lost, and of the current one, too.
            ("b2", 0, Some(current), 2),
        ] {
            let next = decide(bundle, newest, current).deployed;
            assert_eq!((next.deployment.version, next.is_new), (version, true));
        }
    }

    #[test]
    fn a_version_in_the_wrong_place_or_of_the_future_is_no_version() {
        let verdict = decide("b1", 6, None);
        let envelope = verdict.envelope.unwrap();
        let good = stored("retail", 7, &envelope);
        assert_eq!(good.clone().open(), Ok(verdict.deployed.deployment));
        let future = Envelope::around("retail", 7, 9, envelope.payload.clone());
        let nonsense = Envelope::around("retail", 7, FORMAT, "{}".to_owned());
        let missing = StoredDeployment {
            envelope: None,
            ..good
        };
        for (bad, reason) in [
            (stored("weekly", 7, &envelope), "it fails its checksum"),
            (stored("retail", 8, &envelope), "it fails its checksum"),
            (
                stored("retail", 7, &future),
                "it has version 9, and this version of marquetry reads version 1",
            ),
            (
                stored("retail", 7, &nonsense),
                "it is intact but cannot be understood: missing field `bundle` at line 1 column 2",
            ),
            (missing, "it is missing"),
        ] {
            assert_eq!(bad.clone().open().unwrap_err().reason, reason);
            // Whatever is wrong with it, the next version may come.
            let next = decide("b1", 7, Some(bad)).deployed;
            assert!(next.is_new && next.deployment.version > 7);
        }
    }
}
