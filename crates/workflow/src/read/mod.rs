//! The tree of a file, read as a workflow. Every error is collected, and one error does not make
//! others: what could not be read is passed over by what depends on it.

mod cache;
mod concurrency;
mod condition;
mod config;
mod for_each;
mod graph;
mod keys;
mod outputs;
mod params;
mod placement;
mod policy;
mod publish;
pub(crate) mod quantity;
mod reference;
mod schedule;
mod stage;
mod throttle;

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use marquetry_script::ScriptError;
use marquetry_types::{
    Diagnostic, Diagnostics, ErrorCode, PublishedName, StageDescriptor, StageName, codes,
};

use crate::options::Validators;
use crate::source::{Source, offset_in_text};
use crate::words::{listed, quoted};
use crate::yaml::{self, Entry, Node, Problem, Span, Yaml};
use crate::{Bundle, ParamSpec, Stage, StageCatalogue, Workflow};

/// Errors that are told in full; more would not be read.
const MAX_ERRORS: usize = 50;

/// The version of the format that this reads.
const FORMAT: &str = "v1";

/// Reads a workflow file: `text` is its content and `file_name` how errors and the bundle name it.
/// `read_file` gives the text of a file that the workflow names, by its path relative to the workflow
/// file, or says why it cannot.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn parse(
    file_name: &str,
    text: &str,
    catalogue: &dyn StageCatalogue,
    read_file: &dyn Fn(&str) -> Result<String, String>,
) -> Result<(Workflow, Bundle), Diagnostics> {
    let loaded = yaml::load(text);
    let mut reader = Reader {
        source: Source::new(text.strip_prefix('\u{feff}').unwrap_or(text)),
        problems: loaded.problems,
        hidden: 0,
    };
    let mut files = BTreeMap::new();
    // What the YAML means is not clear while its syntax is wrong.
    let is_well_formed = !reader
        .problems
        .iter()
        .any(|problem| problem.code == codes::YAML_SYNTAX);
    let workflow = match &loaded.root {
        Some(_) if !is_well_formed => None,
        Some(root) => {
            let mut context = Context {
                catalogue,
                files: Files {
                    read: read_file,
                    texts: &mut files,
                    of_stage: BTreeSet::new(),
                },
                validators: Validators::default(),
                has_item: false,
                has_secrets: false,
                params: IndexMap::new(),
                defaults: BTreeSet::new(),
                stages: IndexMap::new(),
            };
            reader.workflow(root, &mut context)
        }
        None => {
            if reader.problems.is_empty() {
                reader.problems.push(empty_file());
            }
            None
        }
    };
    match workflow {
        Some(workflow) if reader.problems.is_empty() => {
            files.insert(file_name.to_owned(), text.to_owned());
            let entry = file_name.to_owned();
            Ok((workflow, Bundle { entry, files }))
        }
        _ => Err(reader.into_diagnostics(file_name)),
    }
}

fn empty_file() -> Problem {
    Problem::new(Span::point(1, 1), codes::MISSING_KEY, "the file is empty").help(
        "a workflow begins with `marquetry: v1`, `name: …` and `stages:`; see docs/workflows.md",
    )
}

/// What reading a stage draws on beside its own part of the file.
struct Context<'a> {
    catalogue: &'a dyn StageCatalogue,
    files: Files<'a>,
    validators: Validators,
    /// Whether the stage that is read runs once for each item of a list, so that its options read `item`.
    has_item: bool,
    /// Whether options are read, which a worker puts the values of secrets into.
    has_secrets: bool,
    /// Every parameter that is declared; `None` where its declaration is wrong.
    params: IndexMap<String, Option<ParamSpec>>,
    /// The parameters that have a default, perhaps a wrong one.
    defaults: BTreeSet<String>,
    /// Every stage that is declared; `None` where its kind is missing or unknown.
    stages: IndexMap<String, Option<&'a StageDescriptor>>,
}

/// The files that the workflow names.
struct Files<'a> {
    read: &'a dyn Fn(&str) -> Result<String, String>,
    /// Their texts by path, as they are met.
    texts: &'a mut BTreeMap<String, String>,
    /// Those that the stage names that is read.
    of_stage: BTreeSet<String>,
}

/// Collects errors with their places.
struct Reader<'a> {
    source: Source<'a>,
    problems: Vec<Problem>,
    /// How many errors are beyond [`MAX_ERRORS`].
    hidden: usize,
}

impl Reader<'_> {
    fn report(&mut self, problem: Problem) {
        if self.is_full() {
            self.hidden += 1;
        } else {
            self.problems.push(problem);
        }
    }

    /// Whether further errors are only counted. Suggestions cost time that grows with the file.
    fn is_full(&self) -> bool {
        self.problems.len() >= MAX_ERRORS
    }

    fn error(&mut self, span: Span, code: ErrorCode, message: &str, help: &str) {
        self.report(Problem::new(span, code, message).help(help));
    }

    /// A value of the wrong type or outside its bounds.
    fn wrong(&mut self, node: &Node, expected: &str, help: &str) {
        if !matches!(node.value, Yaml::Refused) {
            let message = format!("{expected}, got {}", node.value.describe());
            self.error(node.span, codes::WRONG_VALUE, &message, help);
        }
    }

    /// An error of a script, placed within the scalar that holds it.
    fn script_error(&mut self, node: &Node, error: &ScriptError, about: &str) {
        let span = match (&node.value, error.line, error.column) {
            (Yaml::Text { text, .. }, Some(line), Some(column)) if !self.is_full() => {
                let offset = offset_in_text(text, line, column);
                self.source.place_in_scalar(node, offset, 1)
            }
            _ => node.span,
        };
        let message = format!("{about}: {}", error.message);
        let help = match &error.help {
            Some(help) => help,
            None if error.message.contains("'='") => "to compare, write `==`",
            None if error.message.starts_with("there is no function") => {
                "docs/workflows.md lists the functions of expressions"
            }
            None => {
                "an expression is names, numbers, \"text\", operators and calls such as `x.len()`"
            }
        };
        self.error(span, error.code(), &message, help);
    }

    /// A text, or nothing and an error.
    fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Yaml::Text { text, .. } if text.contains("${{") => {
                let message = format!("{what} holds an expression");
                let help = "expressions stand under `with` and in `if`, nowhere else";
                self.error(node.span, codes::WRONG_VALUE, &message, help);
                None
            }
            Yaml::Text { text, .. } => Some(text),
            Yaml::Bool(_) | Yaml::Int(_) | Yaml::Float(_) => {
                self.wrong(node, &format!("{what} must be a text"), "put it in quotes");
                None
            }
            _ => {
                self.wrong(
                    node,
                    &format!("{what} must be a text"),
                    "write a text on one line",
                );
                None
            }
        }
    }

    /// The entries of a mapping; none where nothing stands.
    fn map<'n>(&mut self, node: &'n Node, what: &str, example: &str) -> &'n [Entry] {
        match &node.value {
            Yaml::Map(entries) => entries,
            Yaml::Null => &[],
            _ => {
                self.wrong(
                    node,
                    &format!("{what} must be a mapping"),
                    &format!("write it as in `{example}`"),
                );
                &[]
            }
        }
    }

    fn workflow(&mut self, root: &Node, context: &mut Context<'_>) -> Option<Workflow> {
        let Yaml::Map(entries) = &root.value else {
            if matches!(root.value, Yaml::Null) {
                self.report(empty_file());
            } else {
                self.wrong(
                    root,
                    "a workflow must be a mapping",
                    "begin with `marquetry: v1`, `name: …` and `stages:`",
                );
            }
            return None;
        };
        let mut name = None;
        let mut description = None;
        let mut defaults = policy::Policy::default();
        let mut params_entry = None;
        let mut stages_entry = None;
        let mut concurrency_entry = None;
        let mut on_entry = None;
        let mut outputs_entry = None;
        for entry in entries {
            match entry.key.as_str() {
                "marquetry" => self.format_version(&entry.value),
                "name" => name = self.workflow_name(&entry.value),
                "description" => description = self.description(&entry.value),
                "params" => params_entry = Some(entry),
                "defaults" => defaults = self.defaults(&entry.value),
                "stages" => stages_entry = Some(entry),
                "concurrency" => concurrency_entry = Some(entry),
                "on" => on_entry = Some(entry),
                "outputs" => outputs_entry = Some(entry),
                key => {
                    let advice = keys::DEFAULTS.keys.contains(&key).then(|| {
                        format!("put it under `defaults`, as in `defaults: {{ {key}: … }}`")
                    });
                    self.unknown_key_with(entry, &keys::TOP, advice);
                }
            }
        }
        for (key, why) in [
            (
                "marquetry",
                "add the line `marquetry: v1`, the version of the format",
            ),
            ("name", "add a line such as `name: retail-segmentation`"),
            ("stages", "add `stages:` with at least one stage below it"),
        ] {
            let is_there = entries.iter().any(|entry| entry.key == key);
            if !is_there && !keys::is_misspelt(entries, &keys::TOP, key) {
                let message = format!("the workflow has no `{key}`");
                self.error(Span::point(1, 1), codes::MISSING_KEY, &message, why);
            }
        }
        if let Some(entry) = params_entry {
            context.params = self.params(&entry.value);
            context.defaults = params::with_default(&entry.value);
        }
        let concurrency = concurrency_entry
            .map(|entry| self.concurrency(entry, name.unwrap_or_default(), context));
        let schedules = on_entry.map_or_else(Vec::new, |entry| {
            self.schedules(&entry.value, name.unwrap_or_default(), context)
        });
        let own_name = name.unwrap_or_default();
        let (stages, mut tables) = self.stages(stages_entry?, own_name, &defaults, context);
        let outputs = outputs_entry.map(|entry| self.outputs(entry, context));
        let (outputs, read) = outputs.unwrap_or_default();
        tables.extend(read.tables().cloned());
        let params = std::mem::take(&mut context.params);
        Some(Workflow {
            name: name?.to_owned(),
            description,
            params: params
                .into_iter()
                .filter_map(|(name, spec)| Some((name, spec?)))
                .collect(),
            stages,
            tables,
            concurrency,
            schedules,
            outputs,
        })
    }

    fn format_version(&mut self, node: &Node) {
        let is_known = matches!(&node.value, Yaml::Text { text, .. } if text == FORMAT);
        if !is_known {
            self.wrong(
                node,
                "the version of the format must be `v1`",
                "write `marquetry: v1`",
            );
        }
    }

    fn workflow_name<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        let name = self.text(node, "the name of a workflow")?;
        let fits = (1..=128).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if !fits {
            self.wrong(
                node,
                "the name of a workflow must have 1 to 128 characters on one line",
                "choose a short name such as `retail-segmentation`",
            );
        }
        fits.then_some(name)
    }

    fn description(&mut self, node: &Node) -> Option<String> {
        match node.value {
            Yaml::Null => None,
            _ => self.text(node, "a description").map(str::to_owned),
        }
    }

    /// Reads every stage, twice: first what each is, so that references can be resolved, then all of
    /// it.
    fn stages(
        &mut self,
        entry: &Entry,
        workflow: &str,
        defaults: &policy::Policy,
        context: &mut Context<'_>,
    ) -> (IndexMap<StageName, Stage>, BTreeSet<PublishedName>) {
        let example = "stages: { orders: { uses: ingest/files } }";
        let entries = self.map(&entry.value, "`stages`", example);
        if entries.is_empty() && matches!(entry.value.value, Yaml::Null | Yaml::Map(_)) {
            let help = "a workflow does nothing without a stage; add one, with a name and `uses`";
            self.error(
                entry.key_span,
                codes::MISSING_KEY,
                "`stages` is empty",
                help,
            );
        }
        let mut headers = Vec::with_capacity(entries.len());
        for entry in entries {
            let header = self.stage_header(entry, context);
            context.stages.insert(entry.key.clone(), header.descriptor);
            headers.push(header);
        }
        let mut stages = IndexMap::with_capacity(headers.len());
        let mut graph = graph::Graph::default();
        for header in &headers {
            let needs_before = graph.begin(header.entry);
            let stage = self.stage(header, workflow, defaults, context, needs_before);
            if let Some(stage) = stage {
                stages.insert(stage.name.clone(), stage);
            }
        }
        for problem in graph.cycles() {
            self.report(problem);
        }
        self.published_once(&headers, &stages);
        (stages, graph.tables())
    }

    /// A name that a reader of expressions can write: `stages.NAME`, `params.NAME`.
    fn check_name(&mut self, entry: &Entry, noun: &str) -> Option<StageName> {
        let name = &entry.key;
        let report = |reader: &mut Self, why: &str, help: &str| {
            let message = format!("{} cannot name a {noun}: {why}", quoted(name));
            reader.error(entry.key_span, codes::BAD_NAME, &message, help);
            None
        };
        // A dot is for the items of a stage.
        let valid = StageName::try_from(name.clone());
        let Some(valid) = valid.ok().filter(|valid| valid.place().is_none()) else {
            let why = "a name is a lower-case letter, then lower-case letters, digits or `_`, at most 64 in all";
            return report(self, why, &format!("rename it, say `{}`", tidy(name)));
        };
        let usable = marquetry_script::Expression::compile(&format!("stages.{name}"))
            .is_ok_and(|expression| expression.as_reference().is_some());
        if !usable {
            let why = "it is a word of the expression language";
            return report(self, why, &format!("rename it, say `the_{name}`"));
        }
        Some(valid)
    }

    fn into_diagnostics(mut self, file_name: &str) -> Diagnostics {
        self.problems
            .sort_by_key(|problem| (problem.span.line, problem.span.column));
        let mut diagnostics: Vec<Diagnostic> = self
            .problems
            .into_iter()
            .map(|problem| problem.into_diagnostic(file_name))
            .collect();
        if self.hidden > 0 {
            let message = format!("at least {} more errors are not shown", self.hidden);
            diagnostics.push(
                Diagnostic::new(codes::WRONG_VALUE, message).help("correct the first ones first"),
            );
        }
        Diagnostics(diagnostics)
    }
}

/// The nearest name within the alphabet of names.
fn tidy(name: &str) -> String {
    let mut tidy = String::new();
    for character in name.chars().take(40) {
        match character.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => tidy.push(c),
            _ if !tidy.is_empty() && !tidy.ends_with('_') => tidy.push('_'),
            _ => {}
        }
    }
    let tidy = tidy.trim_end_matches('_');
    if tidy.starts_with(|c: char| c.is_ascii_lowercase()) {
        tidy.to_owned()
    } else {
        format!("stage_{tidy}").trim_end_matches('_').to_owned()
    }
}

/// What there is, for a help line.
fn there_are<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let list = listed(names);
    if list.is_empty() {
        format!("the workflow has no {what}")
    } else {
        format!("the {what} are {list}")
    }
}
