//! YAML files as JSON values, and ways into them that take what is missing for empty.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::findings::Findings;

/// The documents of a file, with anchors and merges resolved.
pub(crate) fn documents(root: &Path, file: &str, findings: &mut Findings) -> Vec<Value> {
    let text = match fs::read_to_string(root.join(file)) {
        Ok(text) => text,
        Err(error) => {
            findings.add(file, format!("cannot be read: {error}"));
            return Vec::new();
        }
    };
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| {
        findings.add(file, format!("cannot be read: {error}"));
        Vec::new()
    })
}

/// The text at a JSON pointer; numbers and booleans as they are written.
pub(crate) fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(scalar)
}

/// A scalar as text.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The elements of a list at a JSON pointer.
pub(crate) fn list<'value>(value: &'value Value, pointer: &str) -> Vec<&'value Value> {
    match value.pointer(pointer) {
        Some(Value::Array(elements)) => elements.iter().collect(),
        _ => Vec::new(),
    }
}

/// A list of texts at a JSON pointer; a single text is a list of one.
pub(crate) fn texts(value: &Value, pointer: &str) -> Vec<String> {
    match value.pointer(pointer) {
        Some(Value::Array(elements)) => elements.iter().filter_map(scalar).collect(),
        Some(other) => scalar(other).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The entries of a mapping at a JSON pointer.
pub(crate) fn entries<'value>(
    value: &'value Value,
    pointer: &str,
) -> Vec<(&'value str, &'value Value)> {
    match value.pointer(pointer) {
        Some(Value::Object(map)) => map.iter().map(|(key, it)| (key.as_str(), it)).collect(),
        _ => Vec::new(),
    }
}
