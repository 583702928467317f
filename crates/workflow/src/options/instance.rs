//! The options as JSON, and what is known of values that come later.

use std::collections::HashSet;

use indexmap::IndexMap;
use jsonschema::Validator;
use marquetry_types::{DATASET_KEY, SchemaMark, StageDescriptor};
use serde_json::{Value, json};

use super::explain::{Explainer, Finding};
use super::pointer;
use super::schema::{SchemaView, json_type_of};
use crate::ParamType;

/// More is not told of one stage.
const MAX_FINDINGS: usize = 60;

/// What type the value of an expression has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Unknown,
    Text,
    Int,
    Float,
    Bool,
    List,
    Dataset,
}

impl From<ParamType> for Known {
    fn from(kind: ParamType) -> Self {
        match kind {
            ParamType::String => Self::Text,
            ParamType::Int => Self::Int,
            ParamType::Float => Self::Float,
            ParamType::Bool => Self::Bool,
            ParamType::List => Self::List,
        }
    }
}

impl Known {
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Unknown => "not known yet",
            Self::Text => "a text",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Bool => "true or false",
            Self::List => "a list",
            Self::Dataset => "a dataset",
        }
    }

    /// A value of the type, for the schema to look at.
    pub(crate) fn stand_in(self) -> Value {
        match self {
            Self::Unknown => Value::Null,
            Self::Text => json!("text"),
            Self::Int => json!(1),
            Self::Float => json!(0.5),
            Self::Bool => json!(true),
            Self::List => json!([]),
            Self::Dataset => {
                json!({DATASET_KEY: {"manifest": "", "digest": "", "rows": 0, "bytes": 0}})
            }
        }
    }
}

/// A value that is known when the stage runs.
#[derive(Debug, Clone)]
pub(crate) struct Dynamic {
    pub(crate) known: Known,
    /// The expression, for messages.
    pub(crate) source: String,
}

/// Options to check.
#[derive(Debug, Default)]
pub(crate) struct Instance {
    pub(crate) value: Value,
    /// By pointer, the values that come later and have a stand-in in `value`.
    pub(crate) dynamic: IndexMap<String, Dynamic>,
    /// Pointers to values that were checked otherwise.
    pub(crate) handled: HashSet<String>,
}

impl Instance {
    /// The places of marked values.
    pub(crate) fn marks(&self, descriptor: &StageDescriptor) -> Vec<(String, SchemaMark)> {
        let view = SchemaView::new(&descriptor.options);
        let mut marks = Vec::new();
        let mut waiting = vec![(String::new(), &self.value, view.root())];
        while let Some((place, value, candidates)) = waiting.pop() {
            if let Some(mark) = view.mark(&candidates, self.json_type(&place, value)) {
                marks.push((place, mark));
                continue;
            }
            if self.dynamic.contains_key(&place) {
                continue;
            }
            match value {
                Value::Object(entries) => {
                    for (key, inner) in entries.iter().rev() {
                        let children = view.child(&candidates, key);
                        waiting.push((pointer::join(&place, key), inner, children));
                    }
                }
                Value::Array(items) => {
                    for (index, inner) in items.iter().enumerate().rev() {
                        let children = view.child(&candidates, &index.to_string());
                        waiting.push((format!("{place}/{index}"), inner, children));
                    }
                }
                _ => {}
            }
        }
        marks
    }

    /// The type that a value will have; an unknown one could be a text.
    fn json_type(&self, place: &str, value: &Value) -> &'static str {
        match self.dynamic.get(place).map(|dynamic| dynamic.known) {
            Some(Known::Unknown) => "string",
            _ => json_type_of(value),
        }
    }

    /// Whether the value at a place, or one around it, comes later or was checked otherwise.
    pub(super) fn is_settled(&self, place: &str) -> bool {
        let mut around = place;
        loop {
            if self.dynamic.contains_key(around) || self.handled.contains(around) {
                return true;
            }
            match around.rfind('/') {
                Some(end) => around = around.get(..end).unwrap_or(""),
                None => return false,
            }
        }
    }

    /// What does not fit the schema; of very much, the first.
    pub(crate) fn findings(
        &self,
        descriptor: &StageDescriptor,
        validator: &Validator,
    ) -> Vec<Finding> {
        let explainer = Explainer {
            kind: descriptor.kind.as_str(),
            view: SchemaView::new(&descriptor.options),
            instance: self,
        };
        let mut findings: Vec<Finding> = Vec::new();
        for error in validator.iter_errors(&self.value) {
            if findings.len() >= MAX_FINDINGS {
                break;
            }
            if explainer.is_excused(&error) {
                continue;
            }
            for finding in explainer.explain(&error) {
                if !findings.contains(&finding) {
                    findings.push(finding);
                }
            }
        }
        explainer.drop_misspelt(&mut findings);
        findings
    }
}
