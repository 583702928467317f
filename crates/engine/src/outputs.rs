//! What a run that succeeded gives to whoever asked for it.

use std::collections::BTreeSet;

use marquetry_types::{DATASET_KEY, Diagnostic, Outcome, StageName, codes};

use crate::dispatch::diagnostic_of;
use crate::scope::scope;
use crate::{RunState, StageStatus};

impl RunState {
    /// What its workflow's outputs come to.
    ///
    /// # Errors
    /// An expression fails, or gives neither a dataset nor a number.
    pub(crate) fn evaluate_outputs(&self) -> Result<Outcome, Diagnostic> {
        let mut outcome = Outcome::default();
        for (name, output) in &self.workflow().outputs {
            let scope = scope(self, &output.needs);
            let value = output.value.evaluate(&scope).map_err(|error| {
                diagnostic_of(&error, &format!("output `{name}` of the workflow"))
            })?;
            if let Some(number) = value.as_f64() {
                outcome.metrics.insert(name.clone(), number);
                continue;
            }
            let dataset = value.get(DATASET_KEY).cloned();
            match dataset.map(serde_json::from_value) {
                Some(Ok(dataset)) => {
                    outcome.outputs.insert(name.clone(), dataset);
                }
                // What was skipped gave nothing.
                _ if value.is_null() || self.was_skipped(&output.needs) => {}
                _ => {
                    let message = format!(
                        "output `{name}` of the workflow is neither a dataset nor a number"
                    );
                    return Err(Diagnostic::new(codes::SCRIPT_TYPE, message)
                        .help("write `stages.NAME`, `stages.NAME.outputs.OUTPUT` or `stages.NAME.metrics.METRIC`"));
                }
            }
        }
        Ok(outcome)
    }

    fn was_skipped(&self, needs: &BTreeSet<StageName>) -> bool {
        let mut states = needs.iter().filter_map(|need| self.stages.get(need));
        states.any(|state| state.status == StageStatus::Skipped)
    }
}
