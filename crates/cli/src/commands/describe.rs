//! `stages`, `schema` and `completions`: what the binary says of itself.

use clap::CommandFactory;
use marquetry_types::StageDescriptor;
use marquetry_workflow::{StageCatalogue, control_descriptors, json_schema};
use serde_json::Value;

use crate::arguments::{Arguments, Common, Format, Stages, StagesCommand};
use crate::failure::Failure;
use crate::output::{self, BOLD, CYAN, DIM};
use crate::stages::registry;

/// `marquetry stages`
pub(crate) fn stages(common: &Common, arguments: &Stages) -> Result<(), Failure> {
    let registry = registry();
    let mut all: Vec<&StageDescriptor> = registry
        .kinds()
        .into_iter()
        .filter_map(|kind| registry.descriptor(kind))
        .chain(control_descriptors())
        .collect();
    all.sort_unstable_by_key(|descriptor| descriptor.kind.as_str());
    if let Some(StagesCommand::Show { kind }) = &arguments.command {
        let Some(descriptor) = all.iter().find(|it| it.kind.as_str() == kind) else {
            let message = format!("there is no stage kind `{kind}`");
            let kinds: Vec<&str> = all.iter().map(|it| it.kind.as_str()).collect();
            return Err(Failure::no_match(
                message,
                format!("the kinds are {}", kinds.join(", ")),
            ));
        };
        return show(common, descriptor);
    }
    if common.output == Format::Json {
        return output::json(&all);
    }
    let rows = all
        .iter()
        .map(|it| vec![it.kind.to_string(), it.summary.clone()]);
    output::line(output::table(&["kind", "what it does"], rows.collect()))
}

fn show(common: &Common, descriptor: &StageDescriptor) -> Result<(), Failure> {
    if common.output == Format::Json {
        return output::json(descriptor);
    }
    let heading = |text: &str| format!("\n{BOLD}{text}{BOLD:#}");
    output::line(format!(
        "{BOLD}{}{BOLD:#}: {}",
        descriptor.kind, descriptor.summary
    ))?;
    if !descriptor.description.is_empty() {
        output::line(format!("\n{}", descriptor.description))?;
    }
    output::line(heading("options"))?;
    let required: Vec<&str> = descriptor.options["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let options = descriptor.options["properties"].as_object();
    for (name, schema) in options.into_iter().flatten() {
        let mut notes = vec![type_of(schema, &descriptor.options)];
        if required.contains(&name.as_str()) {
            notes.push("required".to_owned());
        } else if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
            notes.push(format!("default {default}"));
        }
        output::line(format!(
            "  {CYAN}{name}{CYAN:#} {DIM}({}){DIM:#}",
            notes.join(", ")
        ))?;
        let description = schema["description"].as_str().unwrap_or_default();
        for line in description.lines() {
            output::line(format!("      {line}"))?;
        }
    }
    for (title, things) in [
        ("outputs", &descriptor.outputs),
        ("metrics", &descriptor.metrics),
    ] {
        if !things.is_empty() {
            output::line(heading(title))?;
        }
        for thing in things {
            output::line(format!(
                "  {CYAN}{}{CYAN:#}  {}",
                thing.name, thing.description
            ))?;
        }
    }
    if descriptor.is_pure {
        output::line(
            "\npure: with `cache: true` what it gave before, of the same content, is used again",
        )?;
    }
    if !descriptor.example.is_empty() {
        output::line(heading("example"))?;
        output::line(format!("  uses: {}\n  with:", descriptor.kind))?;
        for line in descriptor.example.lines() {
            output::line(format!("    {line}"))?;
        }
    }
    Ok(())
}

/// A schema's type in a few words.
fn type_of(schema: &Value, root: &Value) -> String {
    if let Some(mark) = schema[marquetry_types::SCHEMA_MARK].as_str() {
        return mark.to_owned();
    }
    if let Some(pointer) = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#'))
        && let Some(target) = root.pointer(pointer)
    {
        return type_of(target, root);
    }
    if let Some(values) = schema["enum"].as_array() {
        return values
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" | ");
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[key].as_array() {
            let mut kinds: Vec<String> = choices.iter().map(|it| type_of(it, root)).collect();
            kinds.retain(|kind| kind != "null");
            kinds.dedup();
            return kinds.join(" | ");
        }
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => {
            format!("list of {}", type_of(&schema["items"], root))
        }
        Value::String(kind) if kind == "object" => "map".to_owned(),
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds = kinds
                .iter()
                .filter_map(Value::as_str)
                .filter(|kind| *kind != "null");
            kinds.collect::<Vec<_>>().join(" | ")
        }
        _ => "any".to_owned(),
    }
}

/// `marquetry schema`
pub(crate) fn schema() -> Result<(), Failure> {
    let registry = registry();
    output::json(&json_schema(Some(registry.as_ref())))
}

/// `marquetry completions`
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "marquetry", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())
}
