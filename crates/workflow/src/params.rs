//! The parameters of a workflow and the values that a run gives them.

use std::collections::BTreeMap;

use marquetry_types::Diagnostics;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::Workflow;

/// A parameter of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParamSpec {
    /// What values it takes.
    #[serde(rename = "type")]
    pub kind: ParamType,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Its value where a run gives none. Without a default a run must give one. Never null.
    #[serde(default)]
    pub default: Option<Value>,
    /// The smallest value, for numbers.
    #[serde(default)]
    pub min: Option<Number>,
    /// The largest value, for numbers.
    #[serde(default)]
    pub max: Option<Number>,
    /// The values that it takes; of a list, each element. Empty means any.
    #[serde(default)]
    pub allowed: Vec<Value>,
}

/// What values a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamType {
    /// Text.
    String,
    /// An integer of 64 bits.
    Int,
    /// A finite number.
    Float,
    /// True or false.
    Bool,
    /// A list of texts, numbers and truth values.
    List,
}

/// A value that a run gives to a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamInput {
    /// Text from a command line, which is read as the parameter's type.
    Text(String),
    /// A value that already has a type.
    Value(Value),
}

impl Workflow {
    /// The value of every parameter: what a run gives, else the default.
    ///
    /// # Errors
    /// Every parameter that does not exist, has no value, or has one of the wrong type or outside its
    /// bounds.
    pub fn resolve_params(
        &self,
        given: &BTreeMap<String, ParamInput>,
    ) -> Result<Map<String, Value>, Diagnostics> {
        let _ = given;
        Err(Diagnostics(Vec::new()))
    }
}
