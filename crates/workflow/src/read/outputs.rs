//! `outputs`: what a run gives to whoever asked for it, by name.

use indexmap::IndexMap;
use marquetry_types::codes;

use super::graph::Needs;
use super::stage::declared;
use super::{Context, Reader};
use crate::WorkflowOutput;
use crate::yaml::{Entry, Node, Yaml};

impl Reader<'_> {
    /// `outputs: { segments: "${{ stages.segments }}", quality: "${{ stages.quality.metrics.silhouette }}" }`.
    /// Gives the tables that they read, too.
    pub(super) fn outputs(
        &mut self,
        entry: &Entry,
        context: &Context<'_>,
    ) -> (IndexMap<String, WorkflowOutput>, Needs) {
        let example = "outputs: { segments: \"${{ stages.segments }}\" }";
        let mut outputs = IndexMap::new();
        let mut all = Needs::default();
        for entry in self.map(&entry.value, "`outputs`", example) {
            let name = self.check_name(entry, "run's output");
            let mut needs = Needs::default();
            let is_expression = self.is_expression(&entry.value);
            // No stage has an empty name: each may be read.
            let value = self.value(&entry.value, "", context, &mut needs);
            if let (Some(name), Some(value), true) = (name, value, is_expression) {
                let needed = declared(&needs, context);
                let output = WorkflowOutput {
                    value,
                    needs: needed,
                };
                outputs.insert(name.to_string(), output);
            }
            all.absorb(needs);
        }
        (outputs, all)
    }

    fn is_expression(&mut self, node: &Node) -> bool {
        let is_expression = matches!(&node.value, Yaml::Text { text, .. } if text.contains("${{"));
        if !is_expression && !matches!(node.value, Yaml::Refused) {
            let message = format!(
                "an output must be an expression, got {}",
                node.value.describe()
            );
            let help = "a run gives datasets and numbers, as in `\"${{ stages.segments }}\"` and `\"${{ stages.quality.metrics.silhouette }}\"`";
            self.error(node.span, codes::WRONG_VALUE, &message, help);
        }
        is_expression
    }
}
