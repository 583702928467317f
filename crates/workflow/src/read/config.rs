//! `with`: the options of a stage, with the place of each value, checked against the schema of the
//! stage's kind.

use indexmap::IndexMap;
use marquetry_script::{RowScript, Template};
use marquetry_types::{PolicyUse, PublishedName, SchemaMark, StageDescriptor, codes};
use serde_json::Value;

use super::graph::Needs;
use super::stage::Header;
use super::{Context, Files, Reader, tidy};
use crate::ConfigValue;
use crate::options::{Dynamic, Finding, Instance, Known, On, pointer};
use crate::words::quoted;
use crate::yaml::{Entry, Node, Problem, Span, Yaml};

/// An option: a node of the file with what it means.
struct Item<'n> {
    node: &'n Node,
    /// The key that it stands under.
    key: Option<Span>,
    content: Content<'n>,
}

enum Content<'n> {
    Literal(Value),
    /// A value that is known when the stage runs. Without a template it was refused already.
    Dynamic {
        template: Option<Template>,
        known: Known,
    },
    List(Vec<Item<'n>>),
    Map(Vec<(&'n str, Item<'n>)>),
    /// A name of a policy, where the schema says that there is one.
    Policy(PolicyUse),
}

impl Reader<'_> {
    /// Reads the options and checks them. `None` where something is wrong with their shape.
    pub(super) fn with(
        &mut self,
        entry: Option<&Entry>,
        header: &Header<'_, '_>,
        context: &mut Context<'_>,
        needs: &mut Needs,
    ) -> Option<ConfigValue> {
        let empty = Node {
            value: Yaml::Map(Vec::new()),
            span: header.uses_span(),
        };
        let node = match entry {
            Some(entry) if !matches!(entry.value.value, Yaml::Null) => &entry.value,
            _ => &empty,
        };
        if !matches!(node.value, Yaml::Map(_)) {
            self.map(node, "`with`", "with: { path: data/orders }");
            return None;
        }
        let own = header.entry.key.as_str();
        let mut item = self.item(node, own, context, needs);
        item.key = Some(entry.map_or(header.uses_span(), |entry| entry.key_span));
        if let Some(descriptor) = header.descriptor {
            for (pointer, policy) in self.options(&item, descriptor, context) {
                if let Some(item) = item.at_mut(&pointer) {
                    item.content = Content::Policy(policy);
                }
            }
        }
        item.into_value()
    }

    /// Reads a value that no schema says anything about.
    pub(super) fn value(
        &mut self,
        node: &Node,
        own: &str,
        context: &Context<'_>,
        needs: &mut Needs,
    ) -> Option<ConfigValue> {
        self.item(node, own, context, needs).into_value()
    }

    fn item<'n>(
        &mut self,
        node: &'n Node,
        own: &str,
        context: &Context<'_>,
        needs: &mut Needs,
    ) -> Item<'n> {
        let content = match &node.value {
            Yaml::Null => Content::Literal(Value::Null),
            Yaml::Bool(flag) => Content::Literal((*flag).into()),
            Yaml::Int(integer) => Content::Literal((*integer).into()),
            Yaml::Float(float) => Content::Literal((*float).into()),
            Yaml::Refused => Content::Dynamic {
                template: None,
                known: Known::Unknown,
            },
            Yaml::Text { text, .. } => match Template::parse(text) {
                Ok(Template::Literal(value)) => Content::Literal(value),
                Ok(template) => {
                    let known = self.template(node, &template, own, context, needs);
                    Content::Dynamic {
                        template: Some(template),
                        known,
                    }
                }
                Err(error) => {
                    self.script_error(node, &error, "the expression does not parse");
                    Content::Dynamic {
                        template: None,
                        known: Known::Unknown,
                    }
                }
            },
            Yaml::List(items) => Content::List(
                items
                    .iter()
                    .map(|item| self.item(item, own, context, needs))
                    .collect(),
            ),
            Yaml::Map(entries) => Content::Map(
                entries
                    .iter()
                    .map(|entry| {
                        let mut item = self.item(&entry.value, own, context, needs);
                        item.key = Some(entry.key_span);
                        (entry.key.as_str(), item)
                    })
                    .collect(),
            ),
        };
        Item {
            node,
            key: None,
            content,
        }
    }

    /// Checks the options against the schema of the kind. Gives the policies among them by place.
    fn options(
        &mut self,
        item: &Item<'_>,
        descriptor: &StageDescriptor,
        context: &mut Context<'_>,
    ) -> Vec<(String, PolicyUse)> {
        let mut policies = Vec::new();
        let mut instance = Instance::default();
        instance.value = item.instance("", &mut instance.dynamic);
        let kind = descriptor.kind.as_str();
        let validator = match context.validators.get(descriptor) {
            Ok(validator) => validator,
            Err(error) => {
                let message =
                    format!("the stage kind `{kind}` has a schema that cannot be used: {error}");
                let help = "this is an error of the plugin that provides it";
                self.error(item.node.span, codes::STAGE_OPTIONS, &message, help);
                return policies;
            }
        };
        for (pointer, mark) in instance.marks(descriptor) {
            let Some(marked) = item.at(&pointer) else {
                continue;
            };
            let handled = match mark {
                SchemaMark::Dataset => self.dataset(marked, &pointer),
                SchemaMark::File => self.file(marked, &pointer, &mut context.files),
                SchemaMark::Script => self.script(marked, &pointer),
                SchemaMark::Policy | SchemaMark::PolicyUpdate => {
                    if let Some(name) = self.policy_name(marked, &pointer) {
                        let learns = mark == SchemaMark::PolicyUpdate;
                        policies.push((pointer.clone(), PolicyUse { name, learns }));
                    }
                    true
                }
            };
            if handled {
                instance.handled.insert(pointer);
            }
        }
        for finding in instance.findings(descriptor, validator) {
            self.finding(item, finding);
        }
        policies
    }

    /// The name of a policy is written out: which policies a workflow uses must be known before it
    /// runs, since a run is pinned to their versions.
    fn policy_name(&mut self, item: &Item<'_>, pointer: &str) -> Option<PublishedName> {
        let subject = pointer::dotted(pointer);
        let span = item.node.span;
        let example = "write its name, as in `policy: offers`";
        let text = match &item.content {
            Content::Dynamic { template: None, .. } => return None,
            Content::Dynamic { .. } => {
                let message = format!("{subject} names a policy by an expression");
                let help = "write the name itself: a run is pinned to the version of its policies, so they must be known before the run";
                self.error(span, codes::STAGE_OPTIONS, &message, help);
                return None;
            }
            Content::Literal(Value::String(text)) => text,
            _ => {
                let got = item.node.value.describe();
                let message = format!("{subject} takes the name of a policy, and this is {got}");
                self.error(span, codes::STAGE_OPTIONS, &message, example);
                return None;
            }
        };
        self.published_name(span, text, "policy")
    }

    /// A name that a published thing can have.
    pub(super) fn published_name(
        &mut self,
        span: Span,
        text: &str,
        noun: &str,
    ) -> Option<PublishedName> {
        let name = PublishedName::try_from(text.to_owned());
        if name.is_err() {
            let message = format!(
                "{} cannot name a {noun}: a name is a lower-case letter, then lower-case letters, digits or `_`, at most 64 in all",
                quoted(text)
            );
            let help = format!("rename it, say `{}`", tidy(text));
            self.error(span, codes::BAD_NAME, &message, &help);
        }
        name.ok()
    }

    fn finding(&mut self, root: &Item<'_>, finding: Finding) {
        let span = match (root.at(&finding.pointer), &finding.on) {
            (Some(item), On::Value) => item.node.span,
            (Some(item), On::Key(key)) => item.child(key).map_or(item.node.span, |(span, _)| span),
            (Some(item), On::Missing(_)) => item.key.unwrap_or(item.node.span),
            (None, _) => root.node.span,
        };
        let mut problem = Problem::new(span, codes::STAGE_OPTIONS, finding.message);
        problem.help = finding.help;
        self.report(problem);
    }

    /// A dataset option must refer to the output of a stage. Says whether an error was told.
    fn dataset(&mut self, item: &Item<'_>, pointer: &str) -> bool {
        let subject = pointer::dotted(pointer);
        let got = match &item.content {
            Content::Dynamic {
                known: Known::Dataset | Known::Unknown,
                ..
            } => return false,
            Content::Dynamic { known, template } => {
                let source = match template {
                    Some(Template::Whole(expression)) => expression.source().trim(),
                    _ => "this",
                };
                format!("`{source}` is {}", known.describe())
            }
            _ => format!("this is {}", item.node.value.describe()),
        };
        let message = format!("{subject} takes a dataset, and {got}");
        let help = match &item.node.value {
            Yaml::Text { text, .. } if is_name(text) => {
                format!("write `\"${{{{ stages.{text} }}}}\"`")
            }
            _ => "refer to the output of a stage: `\"${{ stages.NAME }}\"`".to_owned(),
        };
        self.error(item.node.span, codes::STAGE_OPTIONS, &message, &help);
        true
    }

    /// A file option names a file that travels with the workflow.
    fn file(&mut self, item: &Item<'_>, pointer: &str, files: &mut Files<'_>) -> bool {
        let subject = pointer::dotted(pointer);
        let span = item.node.span;
        let path = match &item.content {
            Content::Dynamic { template: None, .. } => return false,
            Content::Dynamic { .. } => {
                let message = format!("{subject} names a file by an expression");
                let help = "write the path itself: the file travels with the workflow, so it must be known before the run";
                self.error(span, codes::STAGE_OPTIONS, &message, help);
                return true;
            }
            Content::Literal(Value::String(path)) => path,
            _ => return false,
        };
        if path.starts_with(['/', '\\', '~']) || path.is_empty() {
            let message = format!(
                "{subject} names {}, which is no relative path",
                quoted(path)
            );
            let help = "write a path relative to the workflow file, as in `scripts/segments.rhai`";
            self.error(span, codes::MISSING_FILE, &message, help);
            return true;
        }
        let text = match files.texts.get(path) {
            Some(text) => Ok(text.clone()),
            None => (files.read)(path),
        };
        match text {
            Err(why) => {
                let message = format!("the file {} cannot be read: {why}", quoted(path));
                let help = "paths are relative to the workflow file";
                self.error(span, codes::MISSING_FILE, &message, help);
            }
            Ok(text) => {
                if path.ends_with(".rhai") {
                    self.script_file(span, path, &text);
                }
                files.texts.insert(path.clone(), text);
                files.of_stage.insert(path.clone());
            }
        }
        true
    }

    /// A script in a file of its own; its place is told in words, since it is in another file.
    fn script_file(&mut self, span: Span, path: &str, text: &str) {
        if let Err(error) = RowScript::script(text, &[]) {
            let place = match (error.line, error.column) {
                (Some(line), Some(column)) => format!("{path}:{line}:{column}"),
                _ => path.to_owned(),
            };
            let message = format!("the script {} is wrong: {}", quoted(&place), error.message);
            let help = error.help.as_deref().unwrap_or("correct it there");
            self.error(span, error.code(), &message, help);
        }
    }

    /// A script option holds an expression over the columns of a row.
    fn script(&mut self, item: &Item<'_>, pointer: &str) -> bool {
        let Content::Literal(Value::String(source)) = &item.content else {
            return false;
        };
        if let Err(error) = RowScript::check_expression(source) {
            let about = format!("{} does not parse", pointer::dotted(pointer));
            self.script_error(item.node, &error, &about);
            return true;
        }
        false
    }
}

impl<'n> Item<'n> {
    /// The options as JSON, with a stand-in for each value that is not known yet.
    fn instance(&self, pointer: &str, dynamic: &mut IndexMap<String, Dynamic>) -> Value {
        match &self.content {
            Content::Literal(value) => value.clone(),
            Content::Policy(policy) => Value::String(policy.name.to_string()),
            Content::Dynamic { template, known } => {
                let source = match template {
                    Some(Template::Whole(expression)) => expression.source().trim().to_owned(),
                    _ => "the text".to_owned(),
                };
                let known = *known;
                dynamic.insert(pointer.to_owned(), Dynamic { known, source });
                known.stand_in()
            }
            Content::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| item.instance(&format!("{pointer}/{index}"), dynamic))
                .collect(),
            Content::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, item)| {
                        let value = item.instance(&pointer::join(pointer, key), dynamic);
                        ((*key).to_owned(), value)
                    })
                    .collect(),
            ),
        }
    }

    fn at(&self, pointer: &str) -> Option<&Self> {
        let mut item = self;
        for segment in pointer::segments(pointer) {
            item = item.child(&segment)?.1;
        }
        Some(item)
    }

    fn at_mut(&mut self, pointer: &str) -> Option<&mut Self> {
        let mut item = self;
        for segment in pointer::segments(pointer) {
            item = match &mut item.content {
                Content::List(items) => items.get_mut(segment.parse::<usize>().ok()?)?,
                Content::Map(entries) => {
                    let entry = entries.iter_mut().find(|(key, _)| *key == segment);
                    &mut entry?.1
                }
                Content::Literal(_) | Content::Dynamic { .. } | Content::Policy(_) => return None,
            };
        }
        Some(item)
    }

    fn child(&self, segment: &str) -> Option<(Span, &Self)> {
        let child = match &self.content {
            Content::List(items) => items.get(segment.parse::<usize>().ok()?)?,
            Content::Map(entries) => &entries.iter().find(|(key, _)| *key == segment)?.1,
            Content::Literal(_) | Content::Dynamic { .. } | Content::Policy(_) => return None,
        };
        Some((child.key.unwrap_or(child.node.span), child))
    }

    fn into_value(self) -> Option<ConfigValue> {
        Some(match self.content {
            Content::Literal(value) => ConfigValue::Scalar(Template::Literal(value)),
            Content::Dynamic { template, .. } => ConfigValue::Scalar(template?),
            Content::Policy(policy) => ConfigValue::Policy(policy),
            Content::List(items) => ConfigValue::List(
                items
                    .into_iter()
                    .map(Item::into_value)
                    .collect::<Option<_>>()?,
            ),
            Content::Map(entries) => ConfigValue::Map(
                entries
                    .into_iter()
                    .map(|(key, item)| Some((key.to_owned(), item.into_value()?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }
}

fn is_name(text: &str) -> bool {
    marquetry_types::StageName::try_from(text.to_owned()).is_ok()
}
