//! The order in which stages may run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use marquetry_types::StageName;

use crate::Workflow;

impl Workflow {
    /// Every stage after those that it needs; stages that do not depend on each other keep the order
    /// of the file. Kahn's algorithm, in time O((stages + needs) log stages).
    ///
    /// A workflow that [`parse`](crate::parse) gave has no cycles; of any other, the stages in and
    /// after a cycle are left out.
    #[must_use]
    pub fn topological_order(&self) -> Vec<StageName> {
        let mut needed_by = vec![Vec::new(); self.stages.len()];
        let mut waits_for = vec![0_usize; self.stages.len()];
        for (index, stage) in self.stages.values().enumerate() {
            for need in &stage.needs {
                if let Some(needed) = self.stages.get_index_of(need) {
                    needed_by[needed].push(index);
                    waits_for[index] += 1;
                }
            }
        }
        let mut ready: BinaryHeap<Reverse<usize>> = waits_for
            .iter()
            .enumerate()
            .filter(|(_, count)| **count == 0)
            .map(|(index, _)| Reverse(index))
            .collect();
        let mut order = Vec::with_capacity(self.stages.len());
        while let Some(Reverse(index)) = ready.pop() {
            if let Some((name, _)) = self.stages.get_index(index) {
                order.push(name.clone());
            }
            for next in &needed_by[index] {
                waits_for[*next] -= 1;
                if waits_for[*next] == 0 {
                    ready.push(Reverse(*next));
                }
            }
        }
        order
    }
}
