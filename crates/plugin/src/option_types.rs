//! Types for options that are more than their JSON: inputs, files and scripts. Their schemas carry a
//! mark by which the workflow parser checks them.

use std::borrow::Cow;

use marquetry_types::{DATASET_KEY, DatasetRef, SCHEMA_MARK};
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
