//! The order in which stages may run.

use marquetry_types::StageName;

use crate::Workflow;

impl Workflow {
    /// Every stage after those that it needs; stages that do not depend on each other keep the order
    /// of the file.
    #[must_use]
    pub fn topological_order(&self) -> Vec<StageName> {
        let mut order: Vec<StageName> = Vec::with_capacity(self.stages.len());
        let mut waiting: Vec<_> = self.stages.values().collect();
        // A checked workflow has no cycles; of a damaged one, what can be ordered is given.
        loop {
            let ready = waiting
                .iter()
                .position(|stage| stage.needs.iter().all(|need| order.contains(need)));
            let Some(index) = ready else { break };
            order.push(waiting.remove(index).name.clone());
        }
        order
    }
}
