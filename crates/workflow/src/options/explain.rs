//! The schema library's errors in words that say what to write instead.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use marquetry_script::nearest;
use marquetry_types::{DATASET_KEY, SchemaMark};
use serde_json::Value;

use super::instance::{Instance, Known};
use super::pointer;
use super::schema::SchemaView;
use crate::words::{listed, quoted, suggestion};

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    /// The value that it is about.
    pub(crate) pointer: String,
    /// What of the value.
    pub(crate) on: On,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// What of a value a finding is about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum On {
    /// The value itself.
    Value,
    /// This key in it.
    Key(String),
    /// Something that it lacks, by name.
    Missing(String),
}

/// Turns errors into findings.
pub(super) struct Explainer<'a> {
    pub(super) kind: &'a str,
    pub(super) view: SchemaView<'a>,
    pub(super) instance: &'a Instance,
}

type Branches<'e> = Vec<Vec<&'e ValidationError<'static>>>;

impl Explainer<'_> {
    /// Whether an error comes from a value that is not known yet, or was checked otherwise.
    pub(super) fn is_excused(&self, error: &ValidationError<'_>) -> bool {
        let place = error.instance_path().as_str();
        match error.kind() {
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                return context
                    .iter()
                    .any(|branch| branch.iter().all(|error| self.is_excused(error)));
            }
            Kind::Type { .. } => {
                let dynamic = self.instance.dynamic.get(place);
                if dynamic.is_some_and(|dynamic| dynamic.known != Known::Unknown) {
                    return self.instance.handled.contains(place);
                }
            }
            Kind::Not { .. }
            | Kind::UniqueItems
            | Kind::Contains
            | Kind::OneOfMultipleValid { .. }
            | Kind::Enum { .. }
            | Kind::Constant { .. } => {
                let inside = |other: &String| pointer::covers(place, other);
                if self.instance.dynamic.keys().any(inside) {
                    return true;
                }
            }
            _ => {}
        }
        self.instance.is_settled(place)
    }

    pub(super) fn explain(&self, error: &ValidationError<'_>) -> Vec<Finding> {
        let place = error.instance_path().as_str();
        let value = error.instance();
        let subject = pointer::dotted(place);
        let got = || self.got(place, value);
        let must = |expected: String| {
            let message = format!("{subject} must {expected}, {}", got());
            vec![self.on_value(place, message)]
        };
        match error.kind() {
            Kind::AdditionalProperties { unexpected }
            | Kind::UnevaluatedProperties { unexpected } => unexpected
                .iter()
                .map(|key| self.unknown_option(place, key))
                .collect(),
            Kind::Required { property } => vec![self.missing_option(place, property)],
            Kind::Type { kind } => {
                vec![self.wrong_type(place, value, &types_of(kind), &[])]
            }
            Kind::Enum { options } => {
                let options = options.as_array().map_or(&[][..], Vec::as_slice);
                vec![self.not_one_of(place, value, options)]
            }
            Kind::Constant { expected_value } => {
                vec![self.not_one_of(place, value, std::slice::from_ref(expected_value))]
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                self.alternatives(place, value, context)
            }
            Kind::Minimum { limit } => must(format!("be at least {limit}")),
            Kind::Maximum { limit } => must(format!("be at most {limit}")),
            Kind::ExclusiveMinimum { limit } => must(format!("be more than {limit}")),
            Kind::ExclusiveMaximum { limit } => must(format!("be less than {limit}")),
            Kind::MultipleOf { multiple_of } => must(format!("be a multiple of {multiple_of}")),
            Kind::MinItems { limit } => {
                must(format!("have at least {}", counted(*limit, "element")))
            }
            Kind::MaxItems { limit } => {
                must(format!("have at most {}", counted(*limit, "element")))
            }
            Kind::MinProperties { limit } => {
                must(format!("have at least {}", counted(*limit, "key")))
            }
            Kind::MaxProperties { limit } => {
                must(format!("have at most {}", counted(*limit, "key")))
            }
            Kind::MinLength { limit } => {
                must(format!("have at least {}", counted(*limit, "character")))
            }
            Kind::MaxLength { limit } => {
                must(format!("have at most {}", counted(*limit, "character")))
            }
            Kind::Pattern { pattern } => must(format!("match the pattern `{pattern}`")),
            Kind::Format { format } => must(format!("be a {format}")),
            Kind::UniqueItems => must("have no element twice".to_owned()),
            Kind::PropertyNames { error } => {
                let name = error.instance().as_str().unwrap_or_default();
                let message = format!("{subject} cannot have the key {}", quoted(name));
                vec![self.on_value(place, message)]
            }
            _ => vec![self.on_value(place, format!("{subject} does not fit: {}", error.masked()))],
        }
    }

    /// An option that is there under a misspelt name is not missing as well.
    pub(super) fn drop_misspelt(&self, findings: &mut Vec<Finding>) {
        let meant: Vec<(String, String)> = findings
            .iter()
            .filter_map(|finding| match &finding.on {
                On::Key(key) => {
                    let known = self.view.properties(&self.view.at(&finding.pointer));
                    let meant = nearest(key, known.iter().copied())?;
                    Some((finding.pointer.clone(), meant.to_owned()))
                }
                On::Value | On::Missing(_) => None,
            })
            .collect();
        findings.retain(|finding| match &finding.on {
            On::Missing(name) => !meant
                .iter()
                .any(|(place, other)| *place == finding.pointer && other == name),
            On::Value | On::Key(_) => true,
        });
    }

    fn on_value(&self, place: &str, message: String) -> Finding {
        let about = self.view.about(&self.view.at(place));
        let help = match about {
            Some(about) => format!("{}: {about}", pointer::dotted(place)),
            None => format!("`marquetry stages show {}` lists the options", self.kind),
        };
        Finding {
            pointer: place.to_owned(),
            on: On::Value,
            message,
            help: Some(help),
        }
    }

    fn unknown_option(&self, place: &str, key: &str) -> Finding {
        let known = self.view.properties(&self.view.at(place));
        let whose = self.owner(place);
        let help = if known.is_empty() {
            format!("{whose} takes no options")
        } else {
            suggestion(key, known.iter().copied(), "its options are").unwrap_or_default()
        };
        Finding {
            pointer: place.to_owned(),
            on: On::Key(key.to_owned()),
            message: format!("{whose} has no option {}", quoted(key)),
            help: Some(help),
        }
    }

    fn missing_option(&self, place: &str, property: &Value) -> Finding {
        let name = property.as_str().unwrap_or_default();
        let candidates = self.view.child(&self.view.at(place), name);
        let value = match self.view.mark(&candidates, "string") {
            Some(SchemaMark::Dataset) => "\"${{ stages.NAME }}\"",
            Some(SchemaMark::Policy | SchemaMark::PolicyUpdate) => "offers",
            _ => "…",
        };
        let about = self
            .view
            .about(&candidates)
            .map(|about| format!(": {about}"));
        Finding {
            pointer: place.to_owned(),
            on: On::Missing(name.to_owned()),
            message: format!("{} needs the option `{name}`", self.owner(place)),
            help: Some(format!(
                "add `{name}: {value}`{}",
                about.unwrap_or_default()
            )),
        }
    }

    /// Whose options stand at a place: the stage kind's, or those of an option.
    fn owner(&self, place: &str) -> String {
        if place.is_empty() {
            format!("`{}`", self.kind)
        } else {
            pointer::dotted(place)
        }
    }

    fn got(&self, place: &str, value: &Value) -> String {
        match self.instance.dynamic.get(place) {
            Some(dynamic) => {
                format!(
                    "and {} is {}",
                    quoted(&dynamic.source),
                    dynamic.known.describe()
                )
            }
            None => format!("got {}", describe(value)),
        }
    }

    fn wrong_type(
        &self,
        place: &str,
        value: &Value,
        types: &[JsonType],
        constants: &[String],
    ) -> Finding {
        let shown: Vec<String> = constants.iter().map(|constant| quoted(constant)).collect();
        let mut expected: Vec<&str> = shown.iter().map(String::as_str).collect();
        expected.extend(types.iter().filter_map(|name| word_of(*name)));
        if expected.is_empty() {
            expected.push("left out");
        }
        let message = format!(
            "{} must be {}, {}",
            pointer::dotted(place),
            alternatives_of(&expected),
            self.got(place, value)
        );
        let mut finding = self.on_value(place, message);
        let takes = |json_type| types.contains(&json_type);
        let takes_text = takes(JsonType::String);
        let takes_number = takes(JsonType::Integer) || takes(JsonType::Number);
        let help = match (value, self.instance.dynamic.get(place)) {
            (_, Some(dynamic)) if dynamic.known == Known::Dataset => Some(
                "a dataset goes where a stage takes one; for a figure write `.rows` or `.metrics.NAME`"
                    .to_owned(),
            ),
            (_, Some(_)) => None,
            (Value::String(text), None) if !constants.is_empty() => {
                nearest(text, constants.iter().map(String::as_str))
                    .map(|meant| format!("did you mean `{meant}`?"))
            }
            (Value::String(text), None) if takes_number && text.parse::<f64>().is_ok() => {
                Some(format!("write `{text}` without quotes"))
            }
            (Value::String(text), None)
                if takes(JsonType::Boolean)
                    && matches!(text.as_str(), "yes" | "on" | "no" | "off" | "true" | "false") =>
            {
                let meant = matches!(text.as_str(), "yes" | "on" | "true");
                Some(format!("write `{meant}`, without quotes"))
            }
            (Value::Number(_) | Value::Bool(_), None) if takes_text => {
                Some(format!("put it in quotes: `\"{value}\"`"))
            }
            (Value::String(text), None) if takes(JsonType::Array) => {
                Some(format!("write a list, as in `[{}]`", text.chars().take(40).collect::<String>()))
            }
            _ => None,
        };
        if help.is_some() {
            finding.help = help;
        }
        finding
    }

    fn not_one_of(&self, place: &str, value: &Value, options: &[Value]) -> Finding {
        let names: Vec<String> = options.iter().map(plain).collect();
        let list = listed(names.iter().map(String::as_str));
        let one_of = if names.len() == 1 { "" } else { "one of " };
        let subject = pointer::dotted(place);
        let message = format!(
            "{subject} must be {one_of}{list}, {}",
            self.got(place, value)
        );
        let mut finding = self.on_value(place, message);
        let meant = value
            .as_str()
            .and_then(|text| nearest(text, names.iter().map(String::as_str)));
        if let Some(meant) = meant {
            finding.help = Some(format!("did you mean `{meant}`?"));
        }
        finding
    }

    /// A value that fits none of several schemas: told by the one that was meant, where that shows.
    fn alternatives(
        &self,
        place: &str,
        value: &Value,
        context: &[Vec<ValidationError<'static>>],
    ) -> Vec<Finding> {
        let branches: Branches<'_> = context
            .iter()
            .map(|branch| {
                branch
                    .iter()
                    .filter(|error| !self.is_excused(error))
                    .collect()
            })
            .collect();
        if let Some(options) = options_at(place, &branches, true) {
            return vec![self.not_one_of(place, value, &options)];
        }
        let refuses_value = |error: &&&ValidationError<'static>| {
            error.instance_path().as_str() == place
                && matches!(
                    error.kind(),
                    Kind::Type { .. } | Kind::Enum { .. } | Kind::Constant { .. }
                )
        };
        let fitting: Branches<'_> = branches
            .iter()
            .filter(|branch| !branch.iter().any(|error| refuses_value(&error)))
            .cloned()
            .collect();
        match fitting.as_slice() {
            [] => vec![self.no_alternative(place, value, &branches)],
            [only] => only.iter().flat_map(|error| self.explain(error)).collect(),
            _ => self.tagged(&fitting),
        }
    }

    /// No schema takes a value of this type.
    fn no_alternative(&self, place: &str, value: &Value, branches: &Branches<'_>) -> Finding {
        let mut types = Vec::new();
        let mut constants = Vec::new();
        for error in branches.iter().flatten() {
            if error.instance_path().as_str() != place {
                continue;
            }
            match error.kind() {
                Kind::Type { kind } => {
                    for json_type in types_of(kind) {
                        if !types.contains(&json_type) {
                            types.push(json_type);
                        }
                    }
                }
                Kind::Enum { options } => {
                    let options = options.as_array().map_or(&[][..], Vec::as_slice);
                    constants.extend(options.iter().map(plain));
                }
                Kind::Constant { expected_value } => constants.push(plain(expected_value)),
                _ => {}
            }
        }
        if !constants.is_empty() {
            // The texts that are taken say more than that a text is.
            types.retain(|json_type| *json_type != JsonType::String);
        }
        self.wrong_type(place, value, &types, &constants)
    }

    /// Alternatives that a field tells apart, such as `method: standard`.
    fn tagged(&self, branches: &Branches<'_>) -> Vec<Finding> {
        let tag_error = |branch: &&Vec<&ValidationError<'static>>| {
            branch
                .iter()
                .find(|error| matches!(error.kind(), Kind::Enum { .. } | Kind::Constant { .. }))
                .map(|error| error.instance_path().as_str().to_owned())
        };
        let meant: Vec<_> = branches
            .iter()
            .filter(|branch| tag_error(branch).is_none())
            .collect();
        if let [only] = meant.as_slice() {
            return only.iter().flat_map(|error| self.explain(error)).collect();
        }
        if let Some(place) = branches.first().and_then(|branch| tag_error(&branch))
            && let Some(options) = options_at(&place, branches, false)
        {
            let value = self.instance.value.pointer(&place).unwrap_or(&Value::Null);
            return vec![self.not_one_of(&place, value, &options)];
        }
        let nearest = branches.iter().min_by_key(|branch| branch.len());
        let errors = nearest.into_iter().flatten().take(1);
        errors.flat_map(|error| self.explain(error)).collect()
    }
}

/// The values that the branches would take at a place, if each refuses the value there for being none
/// of its own.
fn options_at(place: &str, branches: &Branches<'_>, and_nothing_else: bool) -> Option<Vec<Value>> {
    let mut options = Vec::new();
    for branch in branches {
        let mut names_some = false;
        for error in branch {
            if error.instance_path().as_str() != place {
                continue;
            }
            match error.kind() {
                Kind::Enum { options: some } => {
                    options.extend(some.as_array().into_iter().flatten().cloned());
                    names_some = true;
                }
                Kind::Constant { expected_value } => {
                    options.push(expected_value.as_ref().clone());
                    names_some = true;
                }
                // A wrong type besides says no more.
                Kind::Type { kind } => names_some |= types_of(kind) == [JsonType::Null],
                _ if and_nothing_else => return None,
                _ => {}
            }
        }
        if !names_some {
            return None;
        }
    }
    (!options.is_empty()).then_some(options)
}

fn types_of(kind: &TypeKind) -> Vec<JsonType> {
    match kind {
        TypeKind::Single(json_type) => vec![*json_type],
        TypeKind::Multiple(types) => types.iter().collect(),
    }
}

/// What a value of the type is called; null is what stands when nothing is written, so it is not
/// proposed.
const fn word_of(json_type: JsonType) -> Option<&'static str> {
    Some(match json_type {
        JsonType::Null => return None,
        JsonType::Boolean => "`true` or `false`",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "a text",
        JsonType::Array => "a list",
        JsonType::Object => "a mapping",
    })
}

fn alternatives_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// A value, for "got …".
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(flag) => format!("`{flag}`"),
        Value::Number(number) => format!("the number `{number}`"),
        Value::String(text) => format!("the text {}", quoted(text)),
        Value::Array(items) if items.is_empty() => "an empty list".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(fields) if fields.contains_key(DATASET_KEY) => "a dataset".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
