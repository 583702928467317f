//! Templates, compiled and checked against the fields that there are.

use std::collections::{BTreeSet, HashSet};

use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::{invalid, missing_column};
use marquetry_types::{ErrorCode, codes};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use super::options::ContentOptions;
use super::{SEGMENT, fields::readable_with_segment};
use arrow::datatypes::Schema;

/// Steps that the engine may take for one text: some thousand values and a few loops.
const FUEL: u64 = 100_000;

/// The templates of a stage.
#[derive(Debug)]
pub(super) struct Templates {
    sources: Vec<Source>,
    /// What to say to whom.
    pub(super) entries: Vec<Entry>,
    /// The fields that any template reads, in the order of their names.
    pub(super) fields: Vec<String>,
}

/// A text with places to fill in.
#[derive(Debug)]
struct Source {
    /// Where it stands in the options.
    name: String,
    /// The file that it is from.
    file: Option<String>,
    text: String,
    is_html: bool,
}

/// A message for a segment in a channel.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) segment: Option<String>,
    pub(super) channel: String,
    /// The number of the subject's text.
    pub(super) subject: Option<usize>,
    /// The number of the body's text.
    pub(super) body: usize,
}

impl Templates {
    /// Compiles the templates of the options.
    ///
    /// # Errors
    /// A template does not parse, or reads a field that rows with this schema do not have.
    pub(super) fn new(
        stage: &StageContext,
        options: &ContentOptions,
        schema: &Schema,
    ) -> Result<Self, StageError> {
        let mut templates = Self {
            sources: Vec::new(),
            entries: Vec::new(),
            fields: Vec::new(),
        };
        for (place, option) in options.templates.iter().enumerate() {
            let name = |part: &str| format!("templates[{place}].{part}");
            let (file, text) = match (&option.body, &option.body_file) {
                (Some(body), None) => (None, body.clone()),
                (None, Some(file)) => (Some(file.0.clone()), stage.file(file)?.to_owned()),
                (body, _) => {
                    let which = if body.is_some() { "both" } else { "neither" };
                    return Err(invalid(
                        codes::STAGE_OPTIONS,
                        format!(
                            "{which} of `body` and `body_file` of template {} are given",
                            place + 1
                        ),
                        "write the text in `body`, or name the file that holds it in `body_file`",
                    ));
                }
            };
            let subject = option.subject.as_ref().map(|subject| {
                templates.add(Source {
                    name: name("subject"),
                    file: None,
                    text: subject.clone(),
                    is_html: false,
                })
            });
            let body = templates.add(Source {
                name: name("body"),
                file,
                text,
                is_html: option.is_html(),
            });
            templates.entries.push(Entry {
                segment: option.segment.clone(),
                channel: option.channel.clone(),
                subject,
                body,
            });
        }
        templates.fields = templates.check(options, schema)?;
        Ok(templates)
    }

    fn add(&mut self, source: Source) -> usize {
        self.sources.push(source);
        self.sources.len() - 1
    }

    /// An engine with all templates in it.
    pub(super) fn environment(&self) -> Result<Environment<'static>, StageError> {
        let mut environment = Environment::new();
        // What is missing must not become nothing; but a template may ask whether it is there.
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_fuel(Some(FUEL));
        environment.set_debug(false);
        let html = self.sources.iter().filter(|source| source.is_html);
        let html: HashSet<String> = html.map(|source| source.name.clone()).collect();
        environment.set_auto_escape_callback(move |name| {
            if html.contains(name) {
                AutoEscape::Html
            } else {
                AutoEscape::None
            }
        });
        for source in &self.sources {
            environment
                .add_template_owned(source.name.clone(), source.text.clone())
                .map_err(|error| self.fault(codes::SCRIPT_SYNTAX, source, &error, None))?;
        }
        Ok(environment)
    }

    /// The name of a text in the environment.
    pub(super) fn name(&self, source: usize) -> &str {
        &self.sources[source].name
    }

    /// The fields that templates read.
    fn check(&self, options: &ContentOptions, schema: &Schema) -> Result<Vec<String>, StageError> {
        let environment = self.environment()?;
        let globals: HashSet<&str> = environment.globals().map(|(name, _)| name).collect();
        let known = readable_with_segment(schema, options);
        let mut fields = BTreeSet::new();
        for source in &self.sources {
            let template = environment.get_template(&source.name);
            let template =
                template.map_err(|error| self.fault(codes::SCRIPT_SYNTAX, source, &error, None))?;
            let named: BTreeSet<String> =
                template.undeclared_variables(false).into_iter().collect();
            for field in named {
                if globals.contains(field.as_str()) {
                    continue;
                }
                if !known.contains(&field) {
                    return Err(self.unknown(source, &field, schema));
                }
                fields.insert(field);
            }
        }
        if let Some(field) = options.fallback.keys().find(|name| !fields.contains(*name)) {
            return Err(invalid(
                codes::STAGE_OPTIONS,
                format!("`fallback` names `{field}`, which no template reads"),
                "leave it out, or name the field as the templates do",
            ));
        }
        Ok(fields.into_iter().collect())
    }

    fn unknown(&self, source: &Source, field: &str, schema: &Schema) -> StageError {
        if schema.column_with_name(field).is_some() {
            return invalid(
                codes::COLUMN_MISMATCH,
                format!(
                    "{} reads column `{field}`, which is no text, number, truth value or time",
                    shown(source)
                ),
                "make a text of it with features/sql, as in `array_to_string(items, ', ')`",
            );
        }
        if field == SEGMENT {
            return invalid(
                codes::COLUMN_MISMATCH,
                format!(
                    "{} reads `{SEGMENT}`, but the customers have none",
                    shown(source)
                ),
                "give their segments in `segments`",
            );
        }
        match missing_column("rows", field, schema) {
            StageError::Invalid(diagnostic) => {
                let help = diagnostic.help.clone().unwrap_or_default();
                let message = format!("{} reads `{field}`: {}", shown(source), diagnostic.message);
                invalid(codes::COLUMN_MISMATCH, message, help)
            }
            other => other,
        }
    }

    /// What goes wrong when a text is filled for a customer.
    pub(super) fn failed(&self, source: usize, error: &Error, customer: &str) -> StageError {
        let code = if error.kind() == ErrorKind::OutOfFuel {
            codes::SCRIPT_LIMIT
        } else {
            codes::SCRIPT_RUNTIME
        };
        self.fault(code, &self.sources[source], error, Some(customer))
    }

    fn fault(
        &self,
        code: ErrorCode,
        source: &Source,
        error: &Error,
        customer: Option<&str>,
    ) -> StageError {
        // An error within an included template names that one.
        let named = error
            .name()
            .and_then(|name| self.sources.iter().find(|it| it.name == name));
        let line = error
            .line()
            .map_or(String::new(), |line| format!(", line {line}"));
        let what = match error.detail() {
            Some(detail) if error.kind() == ErrorKind::SyntaxError => detail.to_owned(),
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        let whom = customer.map_or(String::new(), |customer| format!(" (for {customer})"));
        let message = format!("{}{line}: {what}{whom}", shown(named.unwrap_or(source)));
        let help = match error.kind() {
            ErrorKind::OutOfFuel => {
                "a message may take 100,000 steps: look for a loop that is too long"
            }
            ErrorKind::UnknownFilter | ErrorKind::UnknownFunction | ErrorKind::UnknownTest => {
                "the filters, tests and functions are those of minijinja, as in `{{ amount | round(2) }}`"
            }
            _ => {
                "templates are in the language of Jinja: `{{ field }}`, `{% if field %} … {% endif %}`"
            }
        };
        invalid(code, message, help)
    }
}

fn shown(source: &Source) -> String {
    match &source.file {
        Some(file) => format!("template `{}` (`{file}`)", source.name),
        None => format!("template `{}`", source.name),
    }
}
