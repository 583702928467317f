//! What a template sees of a customer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::datatypes::Schema;
use marquetry_rows::readable;
use marquetry_script::Cell;
use minijinja::Value;
use minijinja::value::Object;

use super::SEGMENT;
use super::options::ContentOptions;

/// The fields that templates can read.
pub(super) fn readable_with_segment(schema: &Schema, options: &ContentOptions) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = readable(schema).into_iter().map(|(_, name)| name).collect();
    if options.segments.is_some() {
        names.insert(SEGMENT.to_owned());
    }
    names
}

/// A value of a row as a template sees it; none of null.
pub(super) fn value(cell: Cell<'_>) -> Option<Value> {
    match cell {
        Cell::Null => None,
        Cell::Bool(value) => Some(Value::from(value)),
        Cell::Int(value) => Some(Value::from(value)),
        Cell::Float(value) => Some(Value::from(value)),
        Cell::Text(value) => Some(Value::from(value)),
    }
}

/// The fields of one customer. A null is not there for the template, and remembered when it is asked for.
#[derive(Debug)]
pub(super) struct Fields {
    names: Arc<[String]>,
    values: Vec<Option<Value>>,
    /// The field without value that was asked for last.
    asked: AtomicUsize,
}

/// No field.
const NONE: usize = usize::MAX;

impl Fields {
    pub(super) fn new(names: Arc<[String]>, values: Vec<Option<Value>>) -> Self {
        Self {
            names,
            values,
            asked: AtomicUsize::new(NONE),
        }
    }

    /// The field without value that was asked for last: when a text fails because of a missing value, it
    /// is this one, since a template uses what it asks for at once.
    pub(super) fn asked(&self) -> Option<usize> {
        Some(self.asked.load(Ordering::Relaxed)).filter(|field| *field != NONE)
    }
}

impl Object for Fields {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let field = self.names.iter().position(|name| name == key)?;
        let value = self.values.get(field)?;
        if value.is_none() {
            self.asked.store(field, Ordering::Relaxed);
        }
        value.clone()
    }
}
