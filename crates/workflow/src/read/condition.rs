//! `if`: when a stage runs.

use marquetry_script::{Expression, Template};
use marquetry_types::codes;

use super::graph::Needs;
use super::{Context, Reader};
use crate::Condition;
use crate::options::Known;
use crate::yaml::{Node, Yaml};

impl Reader<'_> {
    /// The condition; `None` for `success()`, which is what a stage without a condition has.
    pub(super) fn condition(
        &mut self,
        node: &Node,
        own: &str,
        context: &Context<'_>,
        needs: &mut Needs,
    ) -> Option<Condition> {
        let help = "write an expression, as in `if: stages.quality.metrics.silhouette > 0.2`";
        let expression = match &node.value {
            Yaml::Text { text, .. } if text.contains("${{") => match Template::parse(text) {
                Ok(Template::Whole(expression)) => Ok(expression),
                Ok(_) => {
                    let message =
                        "a condition must be one expression, not a text around expressions";
                    let help =
                        "put the whole condition into one `${{ … }}`, or leave `${{` and `}}` out";
                    self.error(node.span, codes::WRONG_VALUE, message, help);
                    return None;
                }
                Err(error) => Err(error),
            },
            Yaml::Text { text, .. } => Expression::compile(text),
            Yaml::Bool(flag) => Expression::compile(&flag.to_string()),
            _ => {
                self.wrong(node, "`if` must be an expression", help);
                return None;
            }
        };
        let expression = match expression {
            Ok(expression) => expression,
            Err(error) => {
                self.script_error(node, &error, "the condition does not parse");
                return None;
            }
        };
        let known = self.expression(node, &expression, own, context, needs);
        if !matches!(known, Known::Unknown | Known::Bool) {
            let source = expression.source().trim();
            let message = format!(
                "a condition must be true or false, and `{source}` is {}",
                known.describe()
            );
            let help = match known {
                Known::Int | Known::Float => format!("compare it, as in `{source} > 0`"),
                Known::Dataset => format!("compare its rows, as in `{source}.rows > 0`"),
                _ => format!("compare it, as in `{source} == \"daily\"`"),
            };
            self.error(node.span, codes::WRONG_VALUE, &message, &help);
        }
        let bare: String = expression.source().split_whitespace().collect();
        match bare.as_str() {
            "always()" => Some(Condition::Always),
            "failure()" => Some(Condition::Failure),
            "success()" => None,
            _ => Some(Condition::When(expression)),
        }
    }
}
