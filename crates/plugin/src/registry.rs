//! The stage kinds that a program has.

use std::collections::BTreeMap;
use std::sync::Arc;

use marquetry_types::StageDescriptor;
use marquetry_workflow::StageCatalogue;

use crate::StageHandler;
use crate::gather::Gather;
use crate::reuse::Reuse;

/// Handlers by the name of their kind.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<String, Arc<dyn StageHandler>>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl Registry {
    /// A registry of these handlers, and of what the coordinator itself asks of workers. Of two with the
    /// same kind the later one counts.
    #[must_use]
    pub fn new(handlers: Vec<Arc<dyn StageHandler>>) -> Self {
        let by_kind = [Gather::handler(), Reuse::handler()]
            .into_iter()
            .chain(handlers)
            .map(|it| (it.descriptor().kind.to_string(), it));
        Self(by_kind.collect())
    }

    /// The handler of a kind.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&Arc<dyn StageHandler>> {
        self.0.get(kind)
    }
}

impl StageCatalogue for Registry {
    fn descriptor(&self, kind: &str) -> Option<&StageDescriptor> {
        self.0.get(kind).map(|handler| handler.descriptor())
    }

    fn kinds(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}
