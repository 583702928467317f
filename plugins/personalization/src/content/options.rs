//! What `with` takes in `personalization/content`.

use std::collections::BTreeMap;

use marquetry_plugin::{FileName, Input, StageError};
use marquetry_rows::{check_key, invalid};
use marquetry_types::codes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Options of `personalization/content`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContentOptions {
    /// The customers, one a row, with the fields that templates name.
    pub(super) rows: Input,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    pub(super) key: String,
    /// Their segments: the key and `segment`. Without it the column `segment` of `rows`, if there is one.
    #[serde(default)]
    pub(super) segments: Option<Input>,
    /// What to say to whom. A customer gets a message in each channel: by the template of the customer's
    /// segment, else by the one without a segment, else none.
    #[schemars(length(min = 1))]
    pub(super) templates: Vec<TemplateOption>,
    /// What happens to a message that needs a field which the customer does not have.
    #[serde(default)]
    pub(super) missing: Missing,
    /// What stands in for a missing field, by the field's name, with `missing: fallback`.
    #[serde(default)]
    pub(super) fallback: BTreeMap<String, Value>,
}

/// A message for a segment in a channel, in the language of Jinja templates.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TemplateOption {
    /// The segment, a number as text; without it, all that have no template of their own.
    #[serde(default)]
    pub(super) segment: Option<String>,
    /// The channel: `email`, `html`, `sms`, whatever you call it.
    #[schemars(length(min = 1))]
    pub(super) channel: String,
    /// The subject. Line breaks become blanks.
    #[serde(default)]
    pub(super) subject: Option<String>,
    /// The text, as in `Hello {{ first_name }}`. Either this or `body_file`.
    #[serde(default)]
    pub(super) body: Option<String>,
    /// A file with the text, which travels with the workflow.
    #[serde(default)]
    pub(super) body_file: Option<FileName>,
    /// What the body is; by default HTML in the channel `html` and plain text in all others.
    #[serde(default)]
    pub(super) format: Option<BodyFormat>,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum BodyFormat {
    /// Plain text: values stand as they are.
    Text,
    /// HTML: what is markup in a value is escaped.
    Html,
}

/// What happens to a message that needs a field which the customer does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Missing {
    /// The stage fails, and says which fields how many customers lack.
    #[default]
    Fail,
    /// The message is left out.
    Skip,
    /// The value in `fallback` is taken; without one the stage fails.
    Fallback,
}

impl TemplateOption {
    pub(super) fn is_html(&self) -> bool {
        match self.format {
            Some(format) => format == BodyFormat::Html,
            None => self.channel == "html",
        }
    }
}

impl ContentOptions {
    /// Refuses options that contradict each other.
    pub(super) fn check(&self) -> Result<(), StageError> {
        check_key(
            &self.key,
            &["segment", "channel", "subject", "body", "field"],
        )?;
        for (place, template) in self.templates.iter().enumerate() {
            let same = |other: &&TemplateOption| {
                other.segment == template.segment && other.channel == template.channel
            };
            if let Some(first) = self.templates.iter().take(place).position(|it| same(&it)) {
                let segment = match &template.segment {
                    Some(segment) => format!("segment `{segment}`"),
                    None => "customers without a template of their own".to_owned(),
                };
                return Err(invalid(
                    codes::STAGE_OPTIONS,
                    format!(
                        "templates {} and {} are both for {segment} in channel `{}`",
                        first + 1,
                        place + 1,
                        template.channel
                    ),
                    "a customer gets one message a channel: merge them, or name another segment or channel",
                ));
            }
        }
        if !self.fallback.is_empty() && self.missing != Missing::Fallback {
            return Err(invalid(
                codes::STAGE_OPTIONS,
                "`fallback` is given, but `missing` does not ask for it",
                "say `missing: fallback`, or leave `fallback` out",
            ));
        }
        let is_plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
        match self.fallback.iter().find(|(_, value)| !is_plain(value)) {
            None => Ok(()),
            Some((field, _)) => Err(invalid(
                codes::STAGE_OPTIONS,
                format!("the fallback of `{field}` is no text, number or truth value"),
                "write what stands in for the field, as in `first_name: friend`",
            )),
        }
    }
}
