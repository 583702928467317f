//! The JSON Schema of workflow files, for editors: completion and checking while somebody types.
//!
//! It allows what [`parse`](crate::parse) allows and no less; what it cannot say (references, cycles,
//! names of files) is left to `marquetry validate`.

use marquetry_types::{SCHEMA_MARK, StageDescriptor};
use serde_json::{Map, Value, json};

use crate::{StageCatalogue, control_descriptors};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
const NAME_PATTERN: &str = "^[a-z][a-z0-9_]{0,63}$";

/// The JSON Schema (draft 2020-12) of workflow files. With a catalogue, `uses` takes its kinds and
/// `with` the options of the kind that `uses` names.
#[must_use]
pub fn json_schema(catalogue: Option<&dyn StageCatalogue>) -> Value {
    let descriptors: Vec<&StageDescriptor> = catalogue.map_or_else(Vec::new, |catalogue| {
        let kinds = catalogue.kinds();
        kinds
            .into_iter()
            .filter_map(|kind| catalogue.descriptor(kind))
            .chain(control_descriptors())
            .collect()
    });
    let mut definitions = definitions();
    definitions.insert("stage".to_owned(), stage(&descriptors));
    for descriptor in &descriptors {
        let name = options_name(descriptor);
        definitions.insert(name.clone(), options(&descriptor.options, &name));
    }
    json!({
        "$schema": DIALECT,
        "title": "Marquetry workflow",
        "type": "object",
        "required": ["marquetry", "name", "stages"],
        "additionalProperties": false,
        "properties": {
            "marquetry": {"const": "v1", "description": "The version of the format."},
            "name": {"type": "string", "minLength": 1, "maxLength": 128,
                     "description": "The name of the workflow."},
            "description": {"type": ["string", "null"], "description": "What the workflow is for."},
            "params": {
                "description": "What a run may set.",
                "type": ["object", "null"],
                "propertyNames": {"pattern": NAME_PATTERN},
                "additionalProperties": {"$ref": "#/$defs/param"},
            },
            "defaults": {
                "description": "What holds for every stage that does not say otherwise.",
                "type": ["object", "null"],
                "additionalProperties": false,
                "properties": {
                    "retry": {"$ref": "#/$defs/retry"},
                    "timeout": {"$ref": "#/$defs/timeout"},
                    "memory": {"$ref": "#/$defs/size"},
                    "parallelism": {"$ref": "#/$defs/parallelism"},
                    "queue": {"$ref": "#/$defs/queue"},
                    "labels": {"$ref": "#/$defs/labels"},
                    "priority": {"$ref": "#/$defs/priority"},
                    "concurrency": {"$ref": "#/$defs/slots"},
                    "rate": {"$ref": "#/$defs/rate"},
                },
            },
            "concurrency": {
                "description": "How many runs of a group run at a time.",
                "type": ["object", "null"],
                "additionalProperties": false,
                "properties": {
                    "group": {"type": "string",
                              "description": "The group; may read parameters. Without one, the workflow is its own."},
                    "limit": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 1},
                    "on_conflict": {"enum": ["queue", "cancel_running", "reject"], "default": "queue",
                                    "description": "What becomes of a run that comes while the group is full."},
                },
            },
            "on": {
                "description": "When the workflow runs by itself.",
                "type": ["array", "null"],
                "items": {"$ref": "#/$defs/trigger"},
            },
            "outputs": {
                "description": "What a run gives to whoever asked for it: datasets and numbers, by name.",
                "type": ["object", "null"],
                "propertyNames": {"pattern": NAME_PATTERN},
                "additionalProperties": {"$ref": "#/$defs/expression"},
            },
            "stages": {
                "description": "What a run does. Stages run as soon as what they need is there.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": NAME_PATTERN},
                "additionalProperties": {"$ref": "#/$defs/stage"},
            },
        },
        "$defs": definitions,
    })
}

fn definitions() -> Map<String, Value> {
    let definitions = json!({
        "expression": {
            "description": "An expression over `params`, `stages` and `run`: `${{ … }}`.",
            "type": "string",
            "pattern": "\\$\\{\\{[\\s\\S]*\\}\\}",
        },
        "duration": {
            "description": "A duration, as in `500ms`, `30s`, `10m`, `1h30m`.",
            "type": "string",
            "pattern": "^([0-9]+(ms|s|m|h|d))+$",
        },
        "size": {
            "description": "A size, as in `512MB` or `2GiB`.",
            "type": "string",
            "pattern": "^[0-9]+ *([kKmMgGtT][iI]?)?[bB]$",
        },
        "parallelism": {
            "description": "Whether the stage's queries are spread over workers.",
            "enum": ["local", "cluster", "auto"], "default": "auto",
        },
        "timeout": {
            "description": "How long an attempt may take, or an attempt and the stage with all its attempts.",
            "anyOf": [
                {"$ref": "#/$defs/duration"},
                {"type": "object", "additionalProperties": false, "properties": {
                    "attempt": {"$ref": "#/$defs/duration"},
                    "stage": {"$ref": "#/$defs/duration"},
                }},
            ],
        },
        "items": {
            "description": "A list, or an expression that gives one.",
            "anyOf": [{"type": "array"}, {"$ref": "#/$defs/expression"}],
        },
        "queue": {
            "description": "The queue in which the stage waits for a worker that serves it.",
            "type": "string",
            "pattern": "^[a-z0-9_-]{1,64}$",
        },
        "labels": {
            "description": "Labels that the worker must have.",
            "type": ["object", "null"],
            "propertyNames": {"pattern": "^[A-Za-z0-9._/-]{1,64}$"},
            "additionalProperties": {"type": "string", "pattern": "^[A-Za-z0-9._/-]{1,64}$"},
        },
        "priority": {
            "description": "Of stages that wait for the same workers the one with the highest goes first.",
            "type": "integer", "minimum": -100, "maximum": 100, "default": 0,
        },
        "slots": {
            "description": "How many attempts of stages of a group run at a time, over all runs.",
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 100_000},
                {"type": "object", "additionalProperties": false, "required": ["limit"], "properties": {
                    "group": {"type": "string", "minLength": 1,
                              "description": "The group. Without one, the stage is its own."},
                    "limit": {"type": "integer", "minimum": 1, "maximum": 100_000},
                }},
            ],
        },
        "rate": {
            "description": "How many attempts of stages of a group begin in a while, over all runs.",
            "type": "object",
            "additionalProperties": false,
            "required": ["limit", "per"],
            "properties": {
                "group": {"type": "string", "minLength": 1,
                          "description": "The group. Without one, the stage is its own."},
                "limit": {"type": "integer", "minimum": 1, "maximum": 100_000},
                "per": {"$ref": "#/$defs/duration"},
                "burst": {"type": "integer", "minimum": 1, "maximum": 100_000,
                          "description": "How many may begin at once after a quiet while; `limit` without it."},
            },
        },
        "retry": {
            "description": "How often and how soon a stage is tried again.",
            "type": ["object", "null"],
            "additionalProperties": false,
            "properties": {
                "attempts": {"type": "integer", "minimum": 1, "maximum": 100,
                             "description": "Attempts in all; 1 means that nothing is tried again."},
                "backoff": {
                    "description": "The pauses between attempts.",
                    "type": ["object", "null"],
                    "additionalProperties": false,
                    "properties": {
                        "initial": {"$ref": "#/$defs/duration"},
                        "factor": {"type": "number", "minimum": 1, "maximum": 100},
                        "max": {"$ref": "#/$defs/duration"},
                    },
                },
                "on": {
                    "description": "The classes of failures after which it is tried again; both if nothing is said.",
                    "type": ["array", "string"],
                    "items": {"enum": ["transient", "resource_exhausted"]},
                },
            },
        },
        "param": param(),
        "trigger": trigger(),
    });
    match definitions {
        Value::Object(definitions) => definitions,
        _ => Map::new(),
    }
}

fn param() -> Value {
    let bounded = json!({"enum": ["int", "float"]});
    json!({
        "description": "A parameter. Without a default every run must give a value.",
        "type": "object",
        "required": ["type"],
        "additionalProperties": false,
        "properties": {
            "type": {"enum": ["string", "int", "float", "bool", "list"]},
            "default": {"type": ["string", "number", "boolean", "array"]},
            "min": {"type": "number", "description": "The smallest value, for numbers."},
            "max": {"type": "number", "description": "The largest value, for numbers."},
            "allowed": {"type": "array", "minItems": 1, "items": {"type": ["string", "number", "boolean"]},
                        "description": "The values that it takes; of a list, each element."},
            "description": {"type": ["string", "null"]},
        },
        "dependentSchemas": {
            "min": {"properties": {"type": bounded}},
            "max": {"properties": {"type": bounded}},
        },
    })
}

fn trigger() -> Value {
    json!({
        "description": "A schedule: times of the day, or an interval.",
        "type": "object",
        "additionalProperties": false,
        "oneOf": [{"required": ["schedule"]}, {"required": ["every"], "not": {"required": ["timezone"]}}],
        "properties": {
            "schedule": {"type": "string", "minLength": 1,
                         "description": "Five fields of cron: minute, hour, day of month, month, day of week.",
                         "examples": ["0 3 * * *", "*/15 9-17 * * MON-FRI", "@daily"]},
            "every": {"$ref": "#/$defs/duration"},
            "timezone": {"type": "string", "minLength": 1, "default": "UTC", "examples": ["Europe/Berlin"],
                         "description": "The time zone of `schedule`, by its name in the IANA database."},
            "from": {"type": "string", "examples": ["2026-12-01T00:00:00Z"],
                     "description": "Nothing is due before it."},
            "to": {"type": "string", "examples": ["2027-12-01T00:00:00Z"],
                   "description": "Nothing is due at it or later."},
            "catch_up": {
                "description": "What becomes of times that were missed.",
                "default": "latest",
                "anyOf": [
                    {"enum": ["skip", "latest", "all"]},
                    {"type": "object", "additionalProperties": false, "required": ["all"], "properties": {
                        "all": {"type": "integer", "minimum": 1, "maximum": 1000,
                                "description": "How many are made up for at a time."},
                    }},
                ],
            },
            "jitter": {"$ref": "#/$defs/duration"},
            "params": {
                "description": "Values for parameters of its runs.",
                "type": ["object", "null"],
                "additionalProperties": {"type": ["string", "number", "boolean", "array"]},
            },
            "name": {"type": "string", "pattern": "^[a-z0-9_-]{1,64}$",
                     "description": "Its name; `schedule-1` for the first without one, and so on."},
            "enabled": {"type": "boolean", "default": true, "description": "Whether it makes runs."},
        },
    })
}

fn stage(descriptors: &[&StageDescriptor]) -> Value {
    let uses = if descriptors.is_empty() {
        json!({"type": "string", "pattern": "^[a-z][a-z0-9_]*/[a-z][a-z0-9_]*$"})
    } else {
        let kinds = descriptors.iter().map(|descriptor| {
            json!({"const": descriptor.kind.as_str(), "description": descriptor.summary})
        });
        json!({"oneOf": kinds.collect::<Vec<_>>()})
    };
    let mut stage = json!({
        "type": "object",
        "required": ["uses"],
        "additionalProperties": false,
        "properties": {
            "uses": uses,
            "with": {"type": ["object", "null"], "description": "The options of the stage's kind."},
            "needs": {
                "description": "Stages to wait for, beside those that `with` and `if` refer to.",
                "type": ["array", "string", "null"],
                "items": {"type": "string", "pattern": NAME_PATTERN},
            },
            "if": {
                "description": "When the stage runs: an expression, `always()` or `failure()`.",
                "type": ["string", "boolean"],
            },
            "for_each": {
                "description": "A list, for each item of which the stage runs once; its options read `item`.",
                "anyOf": [
                    {"$ref": "#/$defs/items"},
                    {"type": "object", "additionalProperties": false, "required": ["items"], "properties": {
                        "items": {"$ref": "#/$defs/items"},
                        "limit": {"type": "integer", "minimum": 1, "maximum": 10000,
                                  "description": "How many run at a time."},
                    }},
                ],
            },
            "retry": {"$ref": "#/$defs/retry"},
            "timeout": {"$ref": "#/$defs/timeout"},
            "memory": {"$ref": "#/$defs/size"},
            "parallelism": {"$ref": "#/$defs/parallelism"},
            "queue": {"$ref": "#/$defs/queue"},
            "labels": {"$ref": "#/$defs/labels"},
            "priority": {"$ref": "#/$defs/priority"},
            "concurrency": {"$ref": "#/$defs/slots"},
            "rate": {"$ref": "#/$defs/rate"},
            "publish": {
                "description": "The name under which the first output is published, or names by output.",
                "anyOf": [
                    {"type": "string", "pattern": NAME_PATTERN},
                    {"type": "object", "additionalProperties": {"type": "string", "pattern": NAME_PATTERN}},
                ],
            },
            "cache": {
                "description": "Whether what the stage gave before, of the same content, is used again.",
                "anyOf": [
                    {"type": "boolean"},
                    {"type": "object", "additionalProperties": false, "properties": {
                        "max_age": {"$ref": "#/$defs/duration"},
                    }},
                ],
            },
            "description": {"type": ["string", "null"], "description": "What the stage is for."},
        },
    });
    let rules = descriptors.iter().map(|descriptor| {
        let kind = descriptor.kind.as_str();
        let reference = format!("#/$defs/{}", pointer_escaped(&options_name(descriptor)));
        json!({
            "if": {"properties": {"uses": {"const": kind}}, "required": ["uses"]},
            "then": {"properties": {"with": {"$ref": reference}}},
        })
    });
    if let (false, Some(stage)) = (descriptors.is_empty(), stage.as_object_mut()) {
        stage.insert("allOf".to_owned(), rules.collect());
    }
    stage
}

fn options_name(descriptor: &StageDescriptor) -> String {
    format!("options of {}", descriptor.kind)
}

fn pointer_escaped(name: &str) -> String {
    // Blanks and slashes: the reference is both a JSON Pointer and a part of a URI.
    name.replace('~', "~0")
        .replace('/', "~1")
        .replace(' ', "%20")
}

/// The options schema of a kind as a definition of this schema: its references lead to its own
/// definitions, and every value in it may be an expression instead.
fn options(schema: &Value, name: &str) -> Value {
    let prefix = format!("#/$defs/{}", pointer_escaped(name));
    let mut schema = moved(schema, &prefix, true);
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("$schema");
        fields.remove("$id");
    }
    schema
}

/// `at_root`: the options as a whole are written out, never computed.
fn moved(schema: &Value, prefix: &str, at_root: bool) -> Value {
    let Value::Object(fields) = schema else {
        return schema.clone();
    };
    let is_dataset = fields.get(SCHEMA_MARK).and_then(Value::as_str) == Some("dataset");
    if is_dataset && !at_root {
        return json!({"$ref": "#/$defs/expression"});
    }
    let mark = fields.get(SCHEMA_MARK).and_then(Value::as_str);
    if matches!(mark, Some("policy" | "policy_update")) {
        return json!({"type": "string", "pattern": NAME_PATTERN});
    }
    let mut changed = Map::new();
    for (key, value) in fields {
        let value = match (key.as_str(), value) {
            ("$ref", Value::String(reference)) => match reference.strip_prefix('#') {
                Some(pointer) => json!(format!("{prefix}{pointer}")),
                None => value.clone(),
            },
            ("properties" | "patternProperties", Value::Object(inner)) => inner
                .iter()
                .map(|(name, inner)| (name.clone(), or_expression(inner, prefix)))
                .collect(),
            ("additionalProperties" | "items", Value::Object(_)) => or_expression(value, prefix),
            ("prefixItems", Value::Array(items)) => items
                .iter()
                .map(|item| or_expression(item, prefix))
                .collect(),
            ("$defs" | "definitions", Value::Object(inner)) => inner
                .iter()
                .map(|(name, inner)| (name.clone(), moved(inner, prefix, false)))
                .collect(),
            ("anyOf" | "oneOf" | "allOf", Value::Array(parts)) => parts
                .iter()
                .map(|part| moved(part, prefix, at_root))
                .collect(),
            _ => value.clone(),
        };
        changed.insert(key.clone(), value);
    }
    Value::Object(changed)
}

/// A schema, or an expression that gives what it takes. What an editor shows stays outside.
fn or_expression(schema: &Value, prefix: &str) -> Value {
    let mut outer = Map::new();
    for key in ["title", "description", "default", "examples"] {
        if let Some(value) = schema.get(key) {
            outer.insert(key.to_owned(), value.clone());
        }
    }
    let alternatives = json!([moved(schema, prefix, false), {"$ref": "#/$defs/expression"}]);
    outer.insert("anyOf".to_owned(), alternatives);
    Value::Object(outer)
}
