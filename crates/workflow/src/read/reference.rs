//! What expressions refer to: whether it exists, and what type it has where that is knowable.

use marquetry_script::{Expression, Reference, Template, nearest};
use marquetry_types::{codes, is_secret_name};

use super::graph::Needs;
use super::{Context, Reader, there_are};
use crate::ControlKind;
use crate::options::Known;
use crate::secrets;
use crate::words::{quoted, suggestion};
use crate::yaml::{Node, Span};

const ROOTS: [&str; 5] = ["params", "stages", "tables", "run", "secrets"];
/// Roots of the format that this version does not have.
const LATER_ROOTS: [&str; 1] = ["event"];
const STAGE_PARTS: [&str; 4] = ["outputs", "metrics", "rows", "status"];
/// The last three are null in a run that no schedule made.
const RUN_PARTS: [&str; 5] = [
    "id",
    "submitted_at",
    "scheduled_at",
    "interval_start",
    "interval_end",
];
const TABLE_PARTS: [&str; 2] = ["rows", "version"];

impl Reader<'_> {
    /// Checks everything that a template of `with` refers to, and says what type its value has.
    pub(super) fn template(
        &mut self,
        node: &Node,
        template: &Template,
        own: &str,
        context: &Context<'_>,
        needs: &mut Needs,
    ) -> Known {
        let mut known = Known::Unknown;
        for expression in template.expressions() {
            if let Some(function) = expression.status_function() {
                let at = expression.source().find(function).unwrap_or(0);
                let before = expression.source().get(..at).unwrap_or("").chars().count();
                let offset = expression.offset() + before;
                let span = self.source.place_in_scalar(node, offset, function.len());
                let message = format!("`{function}()` stands outside a condition");
                let help = "`always()`, `success()` and `failure()` are for `if`";
                self.error(span, codes::SCRIPT_SYNTAX, &message, help);
            }
            known = self.expression(node, expression, own, context, needs);
        }
        match template {
            Template::Whole(_) => known,
            Template::Mixed(_) | Template::Literal(_) => Known::Text,
        }
    }

    /// Checks everything that an expression refers to, and says what type its value has.
    pub(super) fn expression(
        &mut self,
        node: &Node,
        expression: &Expression,
        own: &str,
        context: &Context<'_>,
        needs: &mut Needs,
    ) -> Known {
        let mut known = Known::Unknown;
        let is_computed =
            secrets::reads_secret(expression) && secrets::secret_of(expression).is_none();
        if is_computed && context.has_secrets {
            let length = expression.source().chars().count();
            let span = self
                .source
                .place_in_scalar(node, expression.offset(), length);
            let message = "an expression computes something of a secret";
            let help = "only the worker knows its value: write `${{ secrets.NAME }}` and nothing else between the braces; text may stand around it";
            self.error(span, codes::UNKNOWN_REFERENCE, message, help);
            return Known::Unknown;
        }
        for reference in expression.references() {
            let offset = expression.offset() + reference.offset;
            let place = Place {
                node,
                offset,
                reference,
            };
            known = self.reference(&place, own, context, needs);
        }
        if expression.as_reference().is_some() {
            known
        } else {
            Known::Unknown
        }
    }

    fn reference(
        &mut self,
        place: &Place<'_>,
        own: &str,
        context: &Context<'_>,
        needs: &mut Needs,
    ) -> Known {
        let path: Vec<&str> = place.reference.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["params", name, rest @ ..] => self.param_reference(place, name, rest, context),
            ["stages"] => {
                let help = "write the name out, as in `stages.orders`: what a stage waits for must be known before the run";
                self.refuse(place, 1, "`stages` without the name of a stage", help);
                Known::Unknown
            }
            ["stages", name, rest @ ..] => {
                self.stage_reference(place, name, rest, own, context, needs)
            }
            ["tables"] => {
                let help = "write the name out, as in `tables.segments`: a run is pinned to the version of its tables";
                self.refuse(place, 1, "`tables` without the name of a table", help);
                Known::Unknown
            }
            ["tables", name, rest @ ..] => self.table_reference(place, name, rest, needs),
            [root, rest @ ..] if *root == secrets::ROOT => {
                self.secret_reference(place, rest, context)
            }
            ["params" | "run"] => Known::Unknown,
            ["item", ..] if context.has_item => Known::Unknown,
            ["item", ..] => {
                let span = place.span(self, 1);
                let message = "there is no `item` here";
                let help = "`item` is for `with` of a stage that has `for_each`";
                self.error(span, codes::UNKNOWN_REFERENCE, message, help);
                Known::Unknown
            }
            ["run", part, ..] => {
                if RUN_PARTS.contains(part) {
                    return Known::Text;
                }
                let help = suggestion(part, RUN_PARTS, "it has").unwrap_or_default();
                self.refuse(place, 2, &format!("`run` has no {}", quoted(part)), &help);
                Known::Unknown
            }
            [root, ..] => {
                self.unknown_root(place, root, context);
                Known::Unknown
            }
            [] => Known::Unknown,
        }
    }

    /// A secret, where a worker can put it in.
    fn secret_reference(
        &mut self,
        place: &Place<'_>,
        names: &[&str],
        context: &Context<'_>,
    ) -> Known {
        if !context.has_secrets {
            let message = "a secret cannot be read here";
            let help = "only the worker knows its value: secrets are for `with` of a stage that a worker runs";
            self.error(place.span(self, 2), codes::UNKNOWN_REFERENCE, message, help);
            return Known::Unknown;
        }
        match names {
            [name] if is_secret_name(name) => {}
            _ => {
                let message =
                    "the name of a secret is a letter or `_`, then letters, digits or `_`";
                let help = "write one name, as in `secrets.TOKEN`";
                self.error(place.span(self, 2), codes::BAD_NAME, message, help);
            }
        }
        Known::Text
    }

    fn unknown_root(&mut self, place: &Place<'_>, root: &str, context: &Context<'_>) {
        let span = place.span(self, 1);
        if LATER_ROOTS.contains(&root) {
            let message = format!("`{root}` is not in this version");
            let help = "expressions read `params`, `stages`, `tables` and `run`";
            self.error(span, codes::NOT_IN_THIS_VERSION, &message, help);
            return;
        }
        let help = if context.stages.contains_key(root) {
            format!("write `stages.{root}` for the stage")
        } else if context.params.contains_key(root) {
            format!("write `params.{root}` for the parameter")
        } else if let Some(meant) = nearest(root, ROOTS) {
            format!("did you mean `{meant}`?")
        } else {
            "expressions read `params.NAME`, `stages.NAME`, `tables.NAME`, `run.id`; a text stands in quotes"
                .to_owned()
        };
        let message = format!("there is no {} in expressions", quoted(root));
        self.error(span, codes::UNKNOWN_REFERENCE, &message, &help);
    }

    fn param_reference(
        &mut self,
        place: &Place<'_>,
        name: &str,
        rest: &[&str],
        context: &Context<'_>,
    ) -> Known {
        let Some(spec) = context.params.get(name) else {
            let help = if self.is_full() {
                None
            } else {
                let names = context.params.keys().map(String::as_str);
                suggestion(name, names, "the parameters are")
            };
            let help = help.unwrap_or_else(|| there_are("parameters", []));
            self.refuse(
                place,
                2,
                &format!("there is no parameter {}", quoted(name)),
                &help,
            );
            return Known::Unknown;
        };
        match spec {
            Some(spec) if rest.is_empty() => spec.kind.into(),
            _ => Known::Unknown,
        }
    }

    /// The last published version of a table; null where there is none yet.
    fn table_reference(
        &mut self,
        place: &Place<'_>,
        name: &str,
        rest: &[&str],
        needs: &mut Needs,
    ) -> Known {
        let Some(name) = self.published_name(place.span(self, 2), name, "table") else {
            return Known::Unknown;
        };
        needs.read_table(name);
        match rest {
            [] => Known::Dataset,
            ["rows" | "version"] => Known::Int,
            [part, ..] => {
                let help = suggestion(part, TABLE_PARTS, "it has").unwrap_or_default();
                self.refuse(place, 3, &format!("a table has no {}", quoted(part)), &help);
                Known::Unknown
            }
        }
    }

    fn stage_reference(
        &mut self,
        place: &Place<'_>,
        name: &str,
        rest: &[&str],
        own: &str,
        context: &Context<'_>,
        needs: &mut Needs,
    ) -> Known {
        if name == own {
            let message = format!("the stage `{own}` refers to itself");
            let help = "a stage reads what other stages give";
            self.error(place.span(self, 2), codes::CYCLE, &message, help);
            return Known::Unknown;
        }
        if !context.stages.contains_key(name) {
            self.unknown_stage(name, place.span(self, 2), context);
            return Known::Unknown;
        }
        needs.add(name);
        let Some(Some(descriptor)) = context.stages.get(name) else {
            return Known::Unknown;
        };
        let outputs = descriptor.outputs.iter().map(|output| output.name.as_str());
        let metrics = descriptor.metrics.iter().map(|metric| metric.name.as_str());
        let kind = &descriptor.kind;
        // What the other workflow gives is not known here.
        if ControlKind::of(kind) == Some(ControlKind::Run)
            && let ["outputs", _, rest @ ..] = rest
        {
            return match rest {
                [] => Known::Dataset,
                _ => Known::Int,
            };
        }
        let first_output = |reader: &mut Self, known| {
            if descriptor.outputs.is_empty() {
                let message = format!("the stage `{name}` has no output: `{kind}` gives none");
                let help = match ControlKind::of(kind) {
                    Some(ControlKind::Run) => format!(
                        "write `stages.{name}.outputs.NAME` with a name of the other workflow's `outputs`"
                    ),
                    _ => format!("write `stages.{name}.metrics.NAME` or `stages.{name}.status`"),
                };
                reader.refuse(place, 2, &message, &help);
                return Known::Unknown;
            }
            known
        };
        match rest {
            [] => first_output(self, Known::Dataset),
            ["rows"] => first_output(self, Known::Int),
            ["status"] => Known::Text,
            ["outputs" | "metrics"] => Known::Unknown,
            ["outputs", output, rest @ ..] => {
                if !outputs.clone().any(|known| known == *output) {
                    let message = format!("the stage `{name}` has no output {}", quoted(output));
                    let what = format!("the outputs of `{kind}` are");
                    let help = suggestion(output, outputs, &what)
                        .unwrap_or_else(|| format!("`{kind}` gives no outputs"));
                    self.refuse(place, 4, &message, &help);
                    return Known::Unknown;
                }
                match rest {
                    [] => Known::Dataset,
                    ["rows"] => Known::Int,
                    [part, ..] => {
                        let message = format!("an output has no {}", quoted(part));
                        self.refuse(place, 5, &message, "it has `rows`, how many there are");
                        Known::Unknown
                    }
                }
            }
            ["metrics", metric, ..] => {
                if !descriptor.metrics.is_empty() && !metrics.clone().any(|known| known == *metric)
                {
                    let message = format!("the stage `{name}` has no metric {}", quoted(metric));
                    let what = format!("the metrics of `{kind}` are");
                    let help = suggestion(metric, metrics, &what).unwrap_or_default();
                    self.refuse(place, 4, &message, &help);
                }
                Known::Float
            }
            [part, ..] => {
                let help = if outputs.clone().any(|output| output == *part) {
                    format!("write `stages.{name}.outputs.{part}` for the output")
                } else if metrics.clone().any(|metric| metric == *part) {
                    format!("write `stages.{name}.metrics.{part}` for the metric")
                } else {
                    suggestion(part, STAGE_PARTS, "it has").unwrap_or_default()
                };
                self.refuse(place, 3, &format!("a stage has no {}", quoted(part)), &help);
                Known::Unknown
            }
        }
    }

    /// An unknown reference, marking the first `names` names of its path.
    fn refuse(&mut self, place: &Place<'_>, names: usize, message: &str, help: &str) {
        let span = place.span(self, names);
        self.error(span, codes::UNKNOWN_REFERENCE, message, help);
    }
}

/// A reference within the scalar that holds it.
struct Place<'n> {
    node: &'n Node,
    /// Where it begins, in characters of the scalar's value.
    offset: usize,
    reference: &'n Reference,
}

impl Place<'_> {
    /// The place of the first names of the path.
    fn span(&self, reader: &Reader<'_>, names: usize) -> Span {
        if reader.is_full() {
            return self.node.span;
        }
        let taken = self.reference.path.iter().take(names);
        let length = taken.map(|name| name.chars().count() + 1).sum::<usize>();
        reader
            .source
            .place_in_scalar(self.node, self.offset, length.saturating_sub(1))
    }
}
