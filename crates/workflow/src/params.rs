//! The parameters of a workflow and the values that a run gives them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use marquetry_script::nearest;
use marquetry_types::{Diagnostic, Diagnostics, codes};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::Workflow;
use crate::words::{listed, quoted, suggestion};
use crate::yaml::{Plain, resolve};

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

impl ParamType {
    /// Every type.
    pub const ALL: [Self; 5] = [Self::String, Self::Int, Self::Float, Self::Bool, Self::List];

    /// The name that a workflow file uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::List => "list",
        }
    }

    /// What a value must be, for messages.
    pub(crate) const fn expected(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Bool => "`true` or `false`",
            Self::List => "a list",
        }
    }

    /// The value as this type: an integer where a float is asked for becomes one, and a float without
    /// a fraction becomes an integer, since many clients know one kind of number only.
    ///
    /// # Errors
    /// What the value should have been.
    pub(crate) fn accept(self, value: &Value) -> Result<Value, &'static str> {
        let accepted = match (self, value) {
            (Self::String, Value::String(_)) | (Self::Bool, Value::Bool(_)) => Some(value.clone()),
            (Self::Int, Value::Number(number)) => integer(number).map(Value::from),
            (Self::Float, Value::Number(number)) => number
                .as_f64()
                .filter(|float| float.is_finite())
                .map(Value::from),
            (Self::List, Value::Array(items)) => {
                let is_scalar =
                    |item: &Value| item.is_string() || item.is_number() || item.is_boolean();
                if !items.iter().all(is_scalar) {
                    return Err("a list of texts, numbers and truth values");
                }
                Some(value.clone())
            }
            _ => None,
        };
        accepted.ok_or(self.expected())
    }

    /// Reads a text from a command line.
    fn read(self, text: &str) -> Option<Value> {
        let trimmed = text.trim();
        match self {
            Self::String => Some(text.into()),
            Self::Int => trimmed.parse::<i64>().ok().map(Value::from),
            Self::Float => match resolve(trimmed) {
                Plain::Int(_) | Plain::Float(_) => trimmed.parse::<f64>().ok().map(Value::from),
                _ => None,
            },
            Self::Bool => trimmed.parse::<bool>().ok().map(Value::from),
            Self::List if trimmed.is_empty() => Some(Value::Array(Vec::new())),
            Self::List if trimmed.starts_with('[') => serde_json::from_str(trimmed).ok(),
            Self::List => Some(trimmed.split(',').map(element).collect()),
        }
    }

    const fn command_line_form(self) -> &'static str {
        match self {
            Self::String => "text",
            Self::Int => "8",
            Self::Float => "0.5",
            Self::Bool => "true",
            Self::List => "a,b,c",
        }
    }
}

/// An element of a list of comma-separated values, which means what it would mean in YAML.
fn element(text: &str) -> Value {
    let text = text.trim();
    match resolve(text) {
        Plain::Bool(flag) => flag.into(),
        Plain::Int(integer) => integer.into(),
        Plain::Float(float) => float.into(),
        Plain::Null | Plain::Text | Plain::OutOfRange => text.into(),
    }
}

fn integer(number: &Number) -> Option<i64> {
    /// From here on doubles do not tell all integers apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
    })
}

/// Orders numbers: integers exactly, others as doubles.
pub(crate) fn compare(left: &Number, right: &Number) -> Ordering {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => {
            let float = |number: &Number| number.as_f64().unwrap_or(0.0);
            float(left).total_cmp(&float(right))
        }
    }
}

/// Why a parameter cannot have a value.
pub(crate) struct Violation {
    /// What it must be, to follow "must be".
    pub(crate) expected: String,
    /// The allowed value that may have been meant.
    pub(crate) nearest: Option<String>,
}

impl Violation {
    pub(crate) fn help(&self) -> String {
        match &self.nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("give {}", self.expected),
        }
    }
}

impl ParamSpec {
    /// The value as this parameter takes it.
    pub(crate) fn check(&self, value: &Value) -> Result<Value, Violation> {
        let violation = |expected: String| Violation {
            expected,
            nearest: None,
        };
        let value = self
            .kind
            .accept(value)
            .map_err(|expected| violation(expected.to_owned()))?;
        if let Value::Number(number) = &value {
            let too_small = self
                .min
                .as_ref()
                .is_some_and(|min| compare(number, min).is_lt());
            let too_large = self
                .max
                .as_ref()
                .is_some_and(|max| compare(number, max).is_gt());
            if too_small || too_large {
                return Err(violation(self.range()));
            }
        }
        let elements = match &value {
            Value::Array(items) => items.as_slice(),
            _ => std::slice::from_ref(&value),
        };
        if !self.allowed.is_empty() {
            let stranger = elements.iter().find(|element| !self.is_allowed(element));
            if let Some(stranger) = stranger {
                return Err(self.not_allowed(stranger));
            }
        }
        Ok(value)
    }

    fn is_allowed(&self, value: &Value) -> bool {
        self.allowed.iter().any(|allowed| match (allowed, value) {
            (Value::Number(allowed), Value::Number(value)) => compare(allowed, value).is_eq(),
            _ => allowed == value,
        })
    }

    fn not_allowed(&self, value: &Value) -> Violation {
        let names: Vec<String> = self.allowed.iter().map(plain).collect();
        let list = listed(names.iter().map(String::as_str));
        let whose = if self.kind == ParamType::List {
            "a list of "
        } else {
            ""
        };
        let nearest = nearest(&plain(value), names.iter().map(String::as_str));
        Violation {
            expected: match names.len() {
                1 => format!("{whose}{list}"),
                _ => format!("{whose}one of {list}"),
            },
            nearest: nearest.map(str::to_owned),
        }
    }

    fn range(&self) -> String {
        let what = self.kind.expected();
        match (&self.min, &self.max) {
            (Some(min), Some(max)) => format!("{what} from {min} to {max}"),
            (Some(min), None) => format!("{what} of at least {min}"),
            (None, Some(max)) => format!("{what} of at most {max}"),
            (None, None) => what.to_owned(),
        }
    }
}

/// A scalar as people write it: texts without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Workflow {
    /// The value of every parameter, in the order of the file: what a run gives, else the default.
    ///
    /// # Errors
    /// Every parameter that does not exist, has no value, or has one of the wrong type or outside its
    /// bounds.
    pub fn resolve_params(
        &self,
        given: &BTreeMap<String, ParamInput>,
    ) -> Result<Map<String, Value>, Diagnostics> {
        let mut problems = Vec::new();
        for name in given.keys().filter(|name| !self.params.contains_key(*name)) {
            let message = format!("workflow `{}` has no parameter {}", self.name, quoted(name));
            let names = self.params.keys().map(String::as_str);
            let help = suggestion(name, names, "its parameters are")
                .unwrap_or_else(|| "it takes no parameters".to_owned());
            problems.push(Diagnostic::new(codes::UNKNOWN_PARAM, message).help(help));
        }
        let mut values = Map::new();
        for (name, spec) in &self.params {
            match spec.resolve(name, given.get(name)) {
                Ok(value) => {
                    values.insert(name.clone(), value);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(values)
        } else {
            Err(Diagnostics(problems))
        }
    }
}

impl ParamSpec {
    fn resolve(&self, name: &str, given: Option<&ParamInput>) -> Result<Value, Diagnostic> {
        let form = self.kind.command_line_form();
        let (value, shown) = match given {
            None => {
                return self.default.clone().ok_or_else(|| {
                    let what = self.description.as_ref().map(|text| format!(" ({text})"));
                    let message = format!(
                        "the parameter `{name}`{} has no value",
                        what.unwrap_or_default()
                    );
                    Diagnostic::new(codes::MISSING_PARAM, message)
                        .help(format!("give it one: `--set {name}={form}`"))
                });
            }
            Some(ParamInput::Text(text)) => (self.kind.read(text), quoted(text)),
            Some(ParamInput::Value(value)) => (Some(value.clone()), quoted(&value.to_string())),
        };
        let checked = match &value {
            Some(value) => self.check(value),
            None => Err(Violation {
                expected: self.range(),
                nearest: None,
            }),
        };
        checked.map_err(|violation| {
            let message = format!(
                "the parameter `{name}` must be {}, got {shown}",
                violation.expected
            );
            let help = match violation.nearest {
                Some(_) => violation.help(),
                None => format!("write it as in `--set {name}={form}`"),
            };
            Diagnostic::new(codes::BAD_PARAM, message).help(help)
        })
    }
}

#[cfg(test)]
mod tests;
