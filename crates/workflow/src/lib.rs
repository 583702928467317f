//! Workflow files: from YAML to a checked graph.
//!
//! [`parse`] reads a file into a [`Workflow`], in which every parameter has a type, every reference
//! is resolved and every stage's options fit the schema of its kind; or it says everything that is
//! wrong with it, each with line, column and advice. Nothing here does I/O: the text, the catalogue
//! of stage kinds and a way to read the files that the workflow names are handed in.
//!
//! - `yaml`: text to a tree in which every node knows its place, under limits.
//! - `read`: the tree to the typed [`Workflow`], collecting every error on the way.
//! - `options`: a stage's `with` against the JSON Schema of its kind.
//! - [`render`]: errors as a person reads them, with the line and a caret.

mod bundle;
mod catalogue;
mod control;
mod graph;
mod json_schema;
mod model;
mod options;
mod params;
mod read;
mod render;
mod secrets;
mod source;
mod throttle;
mod words;
mod yaml;

pub use bundle::Bundle;
pub use catalogue::StageCatalogue;
pub use control::{ChildRequest, ControlKind, control_descriptors, wait_until};
pub use json_schema::json_schema;
pub use model::{
    Cache, Concurrency, Condition, ConfigValue, ForEach, OnConflict, Placement, Publish, Retry,
    RetryOn, ScheduleSpec, Stage, Workflow, WorkflowOutput,
};
pub use options::check_options;
pub use params::{ParamInput, ParamSpec, ParamType};
pub use read::parse;
pub use read::quantity::parse_duration;
pub use render::render;
pub use throttle::{StageConcurrency, StageRate, Throttle, group_name};
