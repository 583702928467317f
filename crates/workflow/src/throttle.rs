//! How many attempts of stages run at a time, and how many begin in a while, over all runs of a cluster.
//!
//! Every type here is written to journals: add fields with a default, never rename.

use std::time::Duration;

use marquetry_script::{ScriptError, ScriptErrorKind, Template};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest name of a group, in bytes.
const MAX_NAME: usize = 256;

/// What holds a stage back that could run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Throttle {
    /// How many attempts run at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<StageConcurrency>,
    /// How many attempts begin in a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<StageRate>,
}

/// A group of stages, of any workflow, of which a few attempts run at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageConcurrency {
    /// The group's name, perhaps with `${{ … }}` over what the stage reads.
    pub group: Template,
    /// An attempt begins when fewer than that many of the group run; at least 1.
    pub limit: u32,
}

/// A group of stages, of any workflow, whose attempts take a token each from one bucket: it holds
/// `burst` tokens and gets `limit` new ones in `per`, evenly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRate {
    /// The group's name, perhaps with `${{ … }}` over what the stage reads.
    pub group: Template,
    /// Tokens that the bucket gets in `per`; at least 1.
    pub limit: u32,
    /// The while.
    pub per: Duration,
    /// Tokens that the bucket holds at the most; from 1 to `limit`.
    pub burst: u32,
}

impl Throttle {
    /// Whether nothing holds the stage back.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.concurrency.is_none() && self.rate.is_none()
    }
}

/// The name of a group over the names in `scope`.
///
/// # Errors
/// Its expression fails, or gives what is no name.
pub fn group_name(group: &Template, scope: &Map<String, Value>) -> Result<String, ScriptError> {
    let (what, help) = match group.evaluate(scope)? {
        Value::String(name) if name.is_empty() => ("empty", "give a default"),
        Value::String(name) if name.len() > MAX_NAME => (
            "longer than 256 bytes",
            "name the group by an id or a digest",
        ),
        Value::String(name) => return Ok(name),
        Value::Number(number) => return Ok(number.to_string()),
        Value::Bool(flag) => return Ok(flag.to_string()),
        Value::Null => ("null", "give a default, as in `x ?? \"all\"`"),
        Value::Array(_) => ("a list", "a group has one name"),
        Value::Object(_) => ("a mapping", "a group has one name"),
    };
    let message = format!("the name of the group is {what}");
    Err(ScriptError::new(ScriptErrorKind::Type, message).help(help))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_group_has_a_name_or_none_at_all() {
        let scope = json!({"params": {"region": "north", "id": 7, "none": null, "all": [1]}});
        let named = |text: &str| {
            let template = Template::parse(text).unwrap();
            group_name(&template, scope.as_object().unwrap())
        };
        assert_eq!(named("api").unwrap(), "api");
        assert_eq!(named("api-${{ params.region }}").unwrap(), "api-north");
        assert_eq!(named("${{ params.id }}").unwrap(), "7");
        for wrong in ["${{ params.none }}", "${{ params.all }}", "${{ \"\" }}"] {
            let error = named(wrong).unwrap_err();
            assert!(
                error.message.starts_with("the name of the group is"),
                "{error:?}"
            );
        }
    }
}
