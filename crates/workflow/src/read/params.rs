//! The declarations of parameters.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use marquetry_types::codes;
use serde_json::{Number, Value};

use super::{Reader, keys};
use crate::words::{quoted, suggestion};
use crate::yaml::{Entry, Node, Yaml};
use crate::{ParamSpec, ParamType};

const EXAMPLE: &str = "segments: { type: int, default: 8 }";

/// Words for types that other tools use.
const TYPE_SYNONYMS: [(&str, ParamType); 9] = [
    ("integer", ParamType::Int),
    ("int64", ParamType::Int),
    ("number", ParamType::Float),
    ("double", ParamType::Float),
    ("boolean", ParamType::Bool),
    ("text", ParamType::String),
    ("str", ParamType::String),
    ("array", ParamType::List),
    ("path", ParamType::String),
];

impl Reader<'_> {
    /// Every parameter that is declared; `None` where its declaration is wrong.
    pub(super) fn params(&mut self, node: &Node) -> IndexMap<String, Option<ParamSpec>> {
        let mut params = IndexMap::new();
        for entry in self.map(node, "`params`", &format!("params: {{ {EXAMPLE} }}")) {
            let name = self.check_name(entry, "parameter");
            let spec = self.param(entry);
            params.insert(entry.key.clone(), name.and(spec));
        }
        params
    }

    fn param(&mut self, entry: &Entry) -> Option<ParamSpec> {
        let what = format!("the parameter `{}`", entry.key);
        let entries = match &entry.value.value {
            Yaml::Map(entries) => entries,
            _ => {
                let expected = format!("{what} must be a mapping with its type");
                self.wrong(&entry.value, &expected, &declaration_of(entry));
                return None;
            }
        };
        let mut kind = None;
        let mut description = None;
        let (mut default, mut min, mut max, mut allowed) = (None, None, None, None);
        for field in entries {
            match field.key.as_str() {
                "type" => kind = Some(self.param_type(&field.value)),
                "description" => description = self.description(&field.value),
                "default" => default = Some(&field.value),
                "min" => min = Some(field),
                "max" => max = Some(field),
                "allowed" => allowed = Some(&field.value),
                _ => self.unknown_key(field, &keys::PARAM),
            }
        }
        let Some(kind) = kind else {
            let message = format!("{what} has no `type`");
            let help = "add `type:` with `string`, `int`, `float`, `bool` or `list`";
            self.error(entry.key_span, codes::MISSING_KEY, &message, help);
            return None;
        };
        let mut spec = ParamSpec {
            kind: kind?,
            description,
            default: None,
            min: None,
            max: None,
            allowed: Vec::new(),
        };
        spec.min = min.and_then(|field| self.bound(field, &spec));
        spec.max = max.and_then(|field| self.bound(field, &spec));
        if let (Some(low), Some(high), Some(field)) = (&spec.min, &spec.max, max)
            && crate::params::compare(low, high).is_gt()
        {
            let help = "`min` and `max` are both values that the parameter may have";
            self.wrong(
                &field.value,
                &format!("`max` must be at least `min`, which is {low}"),
                help,
            );
            spec.max = None;
        }
        if let Some(node) = allowed {
            spec.allowed = self.allowed(node, &spec);
        }
        if let Some(node) = default {
            spec.default = self.default_value(node, &spec, &entry.key);
        }
        Some(spec)
    }

    fn param_type(&mut self, node: &Node) -> Option<ParamType> {
        let text = self.text(node, "a type")?;
        let known = ParamType::ALL.iter().find(|kind| kind.name() == text);
        if known.is_none() {
            let synonym = TYPE_SYNONYMS.iter().find(|(word, _)| *word == text);
            let help = match synonym {
                Some((_, kind)) => format!("here it is called `{}`", kind.name()),
                None => suggestion(
                    text,
                    ParamType::ALL.iter().map(|k| k.name()),
                    "the types are",
                )
                .unwrap_or_default(),
            };
            let message = format!("there is no parameter type {}", quoted(text));
            self.error(node.span, codes::WRONG_VALUE, &message, &help);
        }
        known.copied()
    }

    fn bound(&mut self, field: &Entry, spec: &ParamSpec) -> Option<Number> {
        let key = &field.key;
        match (spec.kind, &field.value.value) {
            (ParamType::Int | ParamType::Float, Yaml::Int(integer)) => Some((*integer).into()),
            (ParamType::Float, Yaml::Float(float)) => Number::from_f64(*float),
            (ParamType::Int, _) => {
                let help = "an int is compared with whole numbers";
                self.wrong(
                    &field.value,
                    &format!("`{key}` must be a whole number"),
                    help,
                );
                None
            }
            (ParamType::Float, _) => {
                self.wrong(
                    &field.value,
                    &format!("`{key}` must be a number"),
                    "write `0.5`, say",
                );
                None
            }
            (kind, _) => {
                let message = format!("a parameter of type `{}` has no `{key}`", kind.name());
                let help = "`min` and `max` are for `int` and `float`; `allowed` lists the values of other types";
                self.error(field.key_span, codes::WRONG_VALUE, &message, help);
                None
            }
        }
    }

    fn allowed(&mut self, node: &Node, spec: &ParamSpec) -> Vec<Value> {
        let items = match &node.value {
            Yaml::List(items) if !items.is_empty() => items,
            _ => {
                let help = "write it as in `allowed: [daily, weekly]`";
                self.wrong(node, "`allowed` must be a list of at least one value", help);
                return Vec::new();
            }
        };
        // The elements of a list may be anything; so may what is allowed of them.
        let kind = (spec.kind != ParamType::List).then_some(spec.kind);
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            let Some(value) = plain_value(item) else {
                self.wrong(
                    item,
                    "an allowed value must be a scalar",
                    "write one value for each",
                );
                continue;
            };
            match kind.map_or(Ok(value.clone()), |kind| kind.accept(&value)) {
                Ok(value) => values.push(value),
                Err(expected) => {
                    let help = "every allowed value has the type of the parameter";
                    self.wrong(item, &format!("an allowed value must be {expected}"), help);
                }
            }
        }
        values
    }

    fn default_value(&mut self, node: &Node, spec: &ParamSpec, name: &str) -> Option<Value> {
        let literal = Literal {
            noun: "a default",
            subject: &format!("the default of `{name}`"),
            without: "leave `default` out if every run must give a value",
        };
        self.literal(node, spec, &literal)
    }

    /// A value for a parameter, written out.
    pub(super) fn literal(
        &mut self,
        node: &Node,
        spec: &ParamSpec,
        literal: &Literal<'_>,
    ) -> Option<Value> {
        let text_of = |item: &Node| match &item.value {
            Yaml::Text { text, .. } => text.contains("${{"),
            _ => false,
        };
        let has_expression = match &node.value {
            Yaml::List(items) => items.iter().any(text_of),
            _ => text_of(node),
        };
        let noun = literal.noun;
        if has_expression {
            let message = format!("{noun} holds an expression");
            let help =
                format!("{noun} is a plain value; expressions stand under `with` and in `if`");
            self.error(node.span, codes::WRONG_VALUE, &message, &help);
            return None;
        }
        let value = match &node.value {
            Yaml::Refused => return None,
            Yaml::List(items) => items
                .iter()
                .map(plain_value)
                .collect::<Option<Vec<_>>>()
                .map(Value::Array),
            _ => plain_value(node),
        };
        let expected = format!("{} must be", literal.subject);
        let Some(value) = value else {
            let message = format!("{expected} {}", spec.kind.expected());
            self.wrong(node, &message, literal.without);
            return None;
        };
        match spec.check(&value) {
            Ok(value) => Some(value),
            Err(violation) => {
                self.wrong(
                    node,
                    &format!("{expected} {}", violation.expected),
                    &violation.help(),
                );
                None
            }
        }
    }
}

/// The parameters whose declaration has a default, also where that is wrong.
pub(super) fn with_default(params: &Node) -> BTreeSet<String> {
    let declarations = params.entries().iter();
    declarations
        .filter(|entry| {
            entry
                .value
                .entries()
                .iter()
                .any(|field| field.key == "default")
        })
        .map(|entry| entry.key.clone())
        .collect()
}

/// What messages say of a value that is written out.
pub(super) struct Literal<'a> {
    /// What it is, with its article.
    pub(super) noun: &'a str,
    /// Whose it is.
    pub(super) subject: &'a str,
    /// What to do where there is none.
    pub(super) without: &'a str,
}

/// A scalar as JSON; nothing for null, lists and mappings.
fn plain_value(node: &Node) -> Option<Value> {
    match &node.value {
        Yaml::Bool(flag) => Some((*flag).into()),
        Yaml::Int(integer) => Some((*integer).into()),
        Yaml::Float(float) => Some((*float).into()),
        Yaml::Text { text, .. } => Some(text.as_str().into()),
        Yaml::Null | Yaml::List(_) | Yaml::Map(_) | Yaml::Refused => None,
    }
}

/// A declaration whose default is the value that stands where a declaration should.
fn declaration_of(entry: &Entry) -> String {
    let key = &entry.key;
    match &entry.value.value {
        Yaml::Int(integer) => format!("write `{key}: {{ type: int, default: {integer} }}`"),
        Yaml::Float(float) => format!("write `{key}: {{ type: float, default: {float} }}`"),
        Yaml::Bool(flag) => format!("write `{key}: {{ type: bool, default: {flag} }}`"),
        Yaml::Text { .. } => format!("write `{key}: {{ type: string, default: … }}`"),
        Yaml::List(_) => format!("write `{key}: {{ type: list, default: […] }}`"),
        _ => format!("write it as in `{EXAMPLE}`"),
    }
}
