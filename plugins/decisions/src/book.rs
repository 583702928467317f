//! A policy for everybody, or one for each segment.

use std::collections::BTreeMap;

use marquetry_policy::{Policy, PolicyError, PolicyState};
use marquetry_rows::invalid;
use marquetry_types::codes;
use serde::{Deserialize, Serialize};

use crate::{Earned, PolicySpec};
use marquetry_plugin::StageError;

/// The version of the format that this code writes, and the only one that it reads.
const FORMAT: u32 = 1;

/// Policies by segment, what they are made from, and what their actions have earned.
#[derive(Debug, Clone)]
pub struct PolicyBook {
    spec: PolicySpec,
    /// By segment; under none where there is one policy for everybody, and for customers without segment.
    policies: BTreeMap<Option<String>, Policy>,
    /// What was learned so far, by action and segment.
    pub earned: Earned,
}

/// A book as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    spec: PolicySpec,
    policies: Vec<StoredPolicy>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPolicy {
    segment: Option<String>,
    state: PolicyState,
}

impl PolicyBook {
    /// A book that has learned nothing.
    ///
    /// # Errors
    /// A parameter of the algorithm is out of range.
    pub fn new(spec: PolicySpec) -> Result<Self, PolicyError> {
        spec.options().check()?;
        Ok(Self {
            spec,
            policies: BTreeMap::new(),
            earned: Earned::default(),
        })
    }

    /// What it is made from.
    #[must_use]
    pub const fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    /// Goes on with other parameters of the same algorithm.
    ///
    /// # Errors
    /// The policy has another shape: another algorithm, other columns, or by segment where this is not.
    pub fn with_spec(mut self, name: &str, spec: PolicySpec) -> Result<Self, StageError> {
        let kind = |spec: &PolicySpec| spec.options().algorithm.kind();
        let difference = if kind(&self.spec) != kind(&spec) {
            Some(format!(
                "it learns by `{}`, and the stage says `{}`",
                kind(&self.spec),
                kind(&spec)
            ))
        } else if self.spec.algorithm.is_linear() && self.spec.context != spec.context {
            Some(format!(
                "its context is [{}], and the stage says [{}]",
                self.spec.context.join(", "),
                spec.context.join(", ")
            ))
        } else if self.spec.per_segment != spec.per_segment {
            let words = |per_segment| {
                if per_segment {
                    "one policy a segment"
                } else {
                    "one policy for all"
                }
            };
            Some(format!(
                "it has {}, and the stage wants {}",
                words(self.spec.per_segment),
                words(spec.per_segment)
            ))
        } else {
            None
        };
        if let Some(difference) = difference {
            return Err(invalid(
                codes::POLICY_SHAPE,
                format!("policy `{name}` has another shape: {difference}"),
                "say what the policy is, or give it another name to start anew",
            ));
        }
        let refused = |error: PolicyError| crate::refused(&error);
        let policies = std::mem::take(&mut self.policies).into_iter();
        self.policies = policies
            .map(|(segment, policy)| Ok((segment, policy.with_options(spec.options())?)))
            .collect::<Result<_, _>>()
            .map_err(refused)?;
        self.spec = spec;
        Ok(self)
    }

    /// The policy of a segment.
    fn key(&self, segment: Option<&str>) -> Option<String> {
        segment.filter(|_| self.spec.per_segment).map(str::to_owned)
    }

    /// Makes sure that the policy of a segment knows these actions; a segment that is new gets one that has
    /// learned nothing.
    ///
    /// # Errors
    /// There are no actions, or two of one name.
    pub fn know(&mut self, segment: Option<&str>, actions: &[&str]) -> Result<(), PolicyError> {
        let key = self.key(segment);
        match self.policies.get_mut(&key) {
            None => {
                let policy = Policy::new(self.spec.options(), actions.iter().copied())?;
                self.policies.insert(key, policy);
            }
            Some(policy) => {
                for action in actions {
                    if policy.arm(action).is_err() {
                        policy.add_arm(*action)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes sure that it knows what another book knows.
    ///
    /// # Errors
    /// As of [`know`](Self::know).
    pub fn know_as(&mut self, other: &Self) -> Result<(), PolicyError> {
        for (segment, policy) in &other.policies {
            let actions: Vec<&str> = policy.arms().map(|arm| arm.action).collect();
            self.know(segment.as_deref(), &actions)?;
        }
        Ok(())
    }

    /// The policy of a segment, if it has one.
    #[must_use]
    pub fn policy(&self, segment: Option<&str>) -> Option<&Policy> {
        self.policies.get(&self.key(segment))
    }

    /// The policy of a segment, to be taught.
    #[must_use]
    pub fn policy_mut(&mut self, segment: Option<&str>) -> Option<&mut Policy> {
        self.policies.get_mut(&self.key(segment))
    }

    /// Whether some policy in it knows an action.
    #[must_use]
    pub fn knows(&self, action: &str) -> bool {
        self.policies
            .values()
            .any(|policy| policy.arm(action).is_ok())
    }

    /// The actions that its policies know, each once.
    #[must_use]
    pub fn actions(&self) -> Vec<String> {
        let mut actions: Vec<String> = Vec::new();
        for policy in self.policies.values() {
            for arm in policy.arms() {
                if !actions.iter().any(|known| known == arm.action) {
                    actions.push(arm.action.to_owned());
                }
            }
        }
        actions
    }

    /// Its state as JSON, without what was earned: that stands in rows.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let policies = self.policies.iter().map(|(segment, policy)| StoredPolicy {
            segment: segment.clone(),
            state: policy.into(),
        });
        serde_json::to_string(&Stored {
            format: FORMAT,
            spec: self.spec.clone(),
            policies: policies.collect(),
        })
    }

    /// The book of a state.
    ///
    /// # Errors
    /// No policy can have that state, said in words.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let stored: Stored = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if stored.format != FORMAT {
            return Err(format!(
                "its format is {}, and this version reads {FORMAT}",
                stored.format
            ));
        }
        let mut policies = BTreeMap::new();
        for StoredPolicy { segment, state } in stored.policies {
            let policy = Policy::try_from(&state).map_err(|error| error.to_string())?;
            if *policy.options() != stored.spec.options() {
                let whose = segment.as_deref().unwrap_or("everybody");
                return Err(format!("the policy of {whose} is made from other options"));
            }
            policies.insert(segment, policy);
        }
        Ok(Self {
            spec: stored.spec,
            policies,
            earned: Earned::default(),
        })
    }
}
