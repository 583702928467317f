//! A stage's options against the JSON Schema of its kind, told in the words of YAML.
//!
//! Options may hold expressions whose values come later. Each stands in the checked JSON as a value of
//! the type that it will have, where that is known; then only errors about its type count, and where
//! the type is not known, none. [`check_options`] checks all of it again when the values are there.

mod explain;
mod instance;
pub(crate) mod pointer;
mod schema;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use marquetry_types::{DATASET_KEY, Diagnostic, SchemaMark, StageDescriptor, StageKind, codes};
use serde_json::Value;

pub(crate) use explain::{Finding, On};
pub(crate) use instance::{Dynamic, Instance, Known};
pub(crate) use schema::SchemaView;

/// Checks options whose expressions have been evaluated.
///
/// # Errors
/// The first thing that does not fit the schema of the kind; without a location, since the values may
/// come from anywhere.
pub fn check_options(descriptor: &StageDescriptor, options: &Value) -> Result<(), Diagnostic> {
    let kind = &descriptor.kind;
    let validator = compile(descriptor).map_err(|error| {
        let message = format!("the stage kind `{kind}` has a schema that cannot be used: {error}");
        Diagnostic::new(codes::STAGE_OPTIONS, message)
            .help("this is an error of the plugin that provides it")
    })?;
    let instance = Instance {
        value: options.clone(),
        ..Instance::default()
    };
    for (pointer, mark) in instance.marks(descriptor) {
        let value = options.pointer(&pointer).unwrap_or(&Value::Null);
        if mark == SchemaMark::Dataset && value.get(DATASET_KEY).is_none() {
            let message = format!(
                "{} of `{kind}` takes a dataset, got {}",
                pointer::dotted(&pointer),
                explain::describe(value)
            );
            let help = match value {
                Value::Null => {
                    "a table that no run has published yet is null: run what publishes it first"
                }
                _ => "refer to the output of a stage: `\"${{ stages.NAME }}\"`",
            };
            return Err(Diagnostic::new(codes::STAGE_OPTIONS, message).help(help));
        }
    }
    match instance.findings(descriptor, &validator).into_iter().next() {
        None => Ok(()),
        Some(finding) => {
            let message = format!("options of `{kind}`: {}", finding.message);
            let diagnostic = Diagnostic::new(codes::STAGE_OPTIONS, message);
            Err(match finding.help {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            })
        }
    }
}

/// Kinds whose compiled schemas are kept. A process has some dozens.
const KEPT: usize = 512;

/// The compiled schema of a kind. Compiling takes longer than many a stage, so it is done once a process
/// and kind: for every workflow that is read, and for every attempt.
fn compile(descriptor: &StageDescriptor) -> Result<Arc<Validator>, String> {
    type Kept = HashMap<StageKind, (Value, Arc<Validator>)>;
    static COMPILED: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);
    let kept = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((schema, validator)) = kept().get(&descriptor.kind)
        && *schema == descriptor.options
    {
        return Ok(Arc::clone(validator));
    }
    let validator = jsonschema::options()
        .offline()
        .build(&descriptor.options)
        .map_err(|error| error.to_string())?;
    let validator = Arc::new(validator);
    let mut kept = kept();
    if kept.len() < KEPT {
        let entry = (descriptor.options.clone(), Arc::clone(&validator));
        kept.insert(descriptor.kind.clone(), entry);
    }
    Ok(validator)
}

/// The compiled schemas of the kinds that a file uses.
#[derive(Default)]
pub(crate) struct Validators(HashMap<String, Result<Arc<Validator>, String>>);

impl Validators {
    pub(crate) fn get(&mut self, descriptor: &StageDescriptor) -> Result<&Validator, String> {
        self.0
            .entry(descriptor.kind.to_string())
            .or_insert_with(|| compile(descriptor))
            .as_deref()
            .map_err(Clone::clone)
    }
}

#[cfg(test)]
mod tests;
