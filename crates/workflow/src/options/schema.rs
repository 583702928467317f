//! Walking an options schema beside the options: which subschemas apply to a place, which options
//! there are, and which marks.
//!
//! Only what option schemas use is followed: local `$ref`, the combinators, `properties`,
//! `additionalProperties`, `items`, `prefixItems`. Validation itself is the schema library's.

use marquetry_types::{SCHEMA_MARK, SchemaMark};
use serde_json::Value;

/// Subschemas that are followed from one place; more are passed over.
const MAX_CANDIDATES: usize = 64;

/// An options schema.
#[derive(Clone, Copy)]
pub(crate) struct SchemaView<'s> {
    root: &'s Value,
}

impl<'s> SchemaView<'s> {
    pub(crate) const fn new(root: &'s Value) -> Self {
        Self { root }
    }

    /// The subschemas that apply to the options as a whole.
    pub(crate) fn root(self) -> Vec<&'s Value> {
        self.expand(vec![self.root])
    }

    /// The subschemas that apply to a place.
    pub(crate) fn at(self, pointer: &str) -> Vec<&'s Value> {
        let mut candidates = self.root();
        for segment in super::pointer::segments(pointer) {
            candidates = self.child(&candidates, &segment);
        }
        candidates
    }

    /// The subschemas that apply to a key or index of a place.
    pub(crate) fn child(self, candidates: &[&'s Value], segment: &str) -> Vec<&'s Value> {
        let mut children = Vec::new();
        for schema in candidates {
            let property = schema.get("properties").and_then(|all| all.get(segment));
            let others = schema.get("additionalProperties");
            children.extend(property.or(others));
            if let Ok(index) = segment.parse::<usize>() {
                let fixed = schema.get("prefixItems").and_then(|all| all.get(index));
                children.extend(fixed.or_else(|| schema.get("items")));
            }
        }
        self.expand(children)
    }

    /// The options that a place takes by name.
    pub(crate) fn properties(self, candidates: &[&'s Value]) -> Vec<&'s str> {
        let mut names: Vec<&str> = Vec::new();
        for schema in candidates {
            if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
                for name in properties.keys() {
                    if !names.contains(&name.as_str()) {
                        names.push(name);
                    }
                }
            }
        }
        names
    }

    /// The first sentence of what the schema says about a place.
    pub(crate) fn about(self, candidates: &[&'s Value]) -> Option<String> {
        let text = candidates
            .iter()
            .find_map(|schema| schema.get("description")?.as_str())?;
        let paragraph = text.split("\n\n").next().unwrap_or(text);
        let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        let sentence = match line.find(". ") {
            Some(end) => line.get(..end).unwrap_or(&line),
            None => line.trim_end_matches('.'),
        };
        (!sentence.is_empty()).then(|| sentence.to_owned())
    }

    /// The mark of a place, if every subschema that would take a value of this JSON type has it.
    pub(crate) fn mark(self, candidates: &[&'s Value], json_type: &str) -> Option<SchemaMark> {
        let mut found = None;
        for schema in candidates {
            match mark_of(schema) {
                // An optional dataset takes null, as a table that nobody published is.
                Some(_) if json_type == "null" && takes(schema, json_type) => return None,
                Some(mark) if found.is_none_or(|known| known == mark) => found = Some(mark),
                Some(_) => return None,
                None if is_leaf(schema) && takes(schema, json_type) => return None,
                None => {}
            }
        }
        found
    }

    /// Follows references and combinators.
    fn expand(self, schemas: Vec<&'s Value>) -> Vec<&'s Value> {
        let mut all: Vec<&Value> = Vec::new();
        let mut waiting = schemas;
        waiting.reverse();
        while let Some(schema) = waiting.pop() {
            if all.len() >= MAX_CANDIDATES || all.iter().any(|known| std::ptr::eq(*known, schema)) {
                continue;
            }
            all.push(schema);
            let mut inside = Vec::new();
            if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
                && let Some(pointer) = reference.strip_prefix('#')
            {
                inside.extend(self.root.pointer(pointer));
            }
            for combinator in ["allOf", "anyOf", "oneOf"] {
                if let Some(parts) = schema.get(combinator).and_then(Value::as_array) {
                    inside.extend(parts);
                }
            }
            for branch in ["then", "else"] {
                inside.extend(schema.get(branch));
            }
            // A description beside a `$ref` is about this use and comes first.
            waiting.extend(inside.into_iter().rev());
        }
        all
    }
}

fn mark_of(schema: &Value) -> Option<SchemaMark> {
    serde_json::from_value(schema.get(SCHEMA_MARK)?.clone()).ok()
}

/// Whether a schema says itself what it takes.
fn is_leaf(schema: &Value) -> bool {
    ["$ref", "allOf", "anyOf", "oneOf"]
        .iter()
        .all(|key| schema.get(key).is_none())
}

/// Whether a schema that says so itself takes values of a JSON type.
fn takes(schema: &Value, json_type: &str) -> bool {
    let fits = |name: &str| name == json_type || (name == "number" && json_type == "integer");
    match schema.get("type") {
        Some(Value::String(name)) => fits(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(fits),
        _ => match schema.get("const") {
            Some(constant) => json_type_of(constant) == json_type,
            None => schema.as_bool() != Some(false),
        },
    }
}

/// The name of a value's type in JSON Schema.
pub(crate) fn json_type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
