//! Types for options that are more than their JSON: inputs, policies, files and scripts. Their schemas carry a
//! mark by which the workflow parser checks them.

use std::borrow::Cow;

use marquetry_types::{DATASET_KEY, DatasetRef, PolicyVersion, SCHEMA_MARK};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An input dataset: in YAML a reference such as `${{ stages.orders }}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input(pub DatasetRef);

/// How an input stands in evaluated options.
#[derive(Serialize, Deserialize)]
struct Wrapped {
    #[serde(rename = "$dataset")]
    dataset: DatasetRef,
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Wrapped::deserialize(deserializer)?.dataset))
    }
}

impl Serialize for Input {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wrapped {
            dataset: self.0.clone(),
        }
        .serialize(serializer)
    }
}

impl JsonSchema for Input {
    fn schema_name() -> Cow<'static, str> {
        "Input".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "required": [DATASET_KEY], SCHEMA_MARK: "dataset"})
    }
}

/// A policy that a stage uses, in YAML by its name: `policy: offers`. Every attempt of a run gets the
/// version that was published when the run began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInput(pub PolicyVersion);

/// A policy that a stage teaches, in YAML by its name: `policy: offers`. An attempt gets the newest
/// version; the stage's output `policy` becomes the next one together with its success, and if another
/// run published one meanwhile, the attempt fails as transient and the next one starts from that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyUpdate(pub PolicyVersion);

/// How a policy stands in the options of an attempt.
#[derive(Serialize, Deserialize)]
struct WrappedPolicy {
    #[serde(rename = "$policy")]
    policy: PolicyVersion,
}

macro_rules! policy_option {
    ($name:ident, $mark:literal) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self(WrappedPolicy::deserialize(deserializer)?.policy))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                WrappedPolicy {
                    policy: self.0.clone(),
                }
                .serialize(serializer)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": ["string", "object"], SCHEMA_MARK: $mark})
            }
        }
    };
}

policy_option!(PolicyInput, "policy");
policy_option!(PolicyUpdate, "policy_update");

/// The path, relative to the workflow file, of a file that travels with the workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileName(pub String);

impl JsonSchema for FileName {
    fn schema_name() -> Cow<'static, str> {
        "FileName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", SCHEMA_MARK: "file"})
    }
}

/// A rhai expression over the columns of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowExpression(pub String);

impl JsonSchema for RowExpression {
    fn schema_name() -> Cow<'static, str> {
        "RowExpression".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", SCHEMA_MARK: "script"})
    }
}
