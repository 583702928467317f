//! Values between JSON and rhai.
//!
//! | JSON | rhai |
//! |---|---|
//! | null | `()` |
//! | integer | `i64`; beyond its range `f64` |
//! | number | `f64` |
//! | string, array, object | string, array, map |
//!
//! The way back is the same; a character becomes a string, and a float that JSON cannot hold (NaN,
//! infinite) is an error rather than a null that nobody asked for.

use rhai::{Array, Dynamic, ImmutableString, Map};
use serde_json::{Number, Value};

use crate::{ScriptError, ScriptErrorKind};

/// The value as rhai holds it.
pub(crate) fn to_dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(flag) => Dynamic::from_bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Dynamic::from_int(integer),
            None => Dynamic::from_float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Dynamic::from(ImmutableString::from(text.as_str())),
        Value::Array(items) => Dynamic::from_array(items.iter().map(to_dynamic).collect::<Array>()),
        Value::Object(entries) => Dynamic::from_map(
            entries
                .iter()
                .map(|(name, value)| (name.as_str().into(), to_dynamic(value)))
                .collect::<Map>(),
        ),
    }
}

/// Levels of lists and maps in a result. What takes it walks over it on an ordinary stack.
const MAX_NESTING: usize = 64;

/// The value as JSON holds it.
pub(crate) fn to_json(value: &Dynamic) -> Result<Value, ScriptError> {
    to_json_at(value, 0)
}

fn to_json_at(value: &Dynamic, level: usize) -> Result<Value, ScriptError> {
    if level > MAX_NESTING {
        let message = "the result is nested too deeply";
        return Err(
            ScriptError::new(ScriptErrorKind::Limit, message).help(format!(
                "lists and maps may be nested to {MAX_NESTING} levels"
            )),
        );
    }
    let value = value.flatten_clone();
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(flag) = value.as_bool() {
        return Ok(Value::Bool(flag));
    }
    if let Ok(integer) = value.as_int() {
        return Ok(Value::from(integer));
    }
    if let Ok(float) = value.as_float() {
        return Number::from_f64(float).map(Value::Number).ok_or_else(|| {
            ScriptError::new(
                ScriptErrorKind::Type,
                format!("the result is {float}, not a number"),
            )
            .help("look for a division by zero, or the root or logarithm of a negative number")
        });
    }
    if let Ok(character) = value.as_char() {
        return Ok(Value::String(character.to_string()));
    }
    if value.is_string() {
        return Ok(Value::String(value.into_string().unwrap_or_default()));
    }
    if value.is_array() {
        let items = value.into_array().unwrap_or_default();
        return items
            .iter()
            .map(|item| to_json_at(item, level + 1))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array);
    }
    if value.is_map() {
        let entries = value.try_cast::<Map>().unwrap_or_default();
        return entries
            .iter()
            .map(|(name, value)| Ok((name.to_string(), to_json_at(value, level + 1)?)))
            .collect::<Result<serde_json::Map<_, _>, ScriptError>>()
            .map(Value::Object);
    }
    Err(ScriptError::new(
        ScriptErrorKind::Type,
        format!("the result is a {}, which is no value", type_name(&value)),
    )
    .help("give a number, a text, true, false, a list or a map"))
}

/// The value's type in the words of JSON and YAML.
pub(crate) fn type_name(value: &Dynamic) -> &'static str {
    if value.is_unit() {
        "null"
    } else if value.is_bool() {
        "bool"
    } else if value.is_int() {
        "int"
    } else if value.is_float() {
        "float"
    } else if value.is_string() || value.is_char() {
        "string"
    } else if value.is_array() {
        "list"
    } else if value.is_map() {
        "map"
    } else if value.is_fnptr() {
        "function"
    } else {
        "range or other internal value"
    }
}
