//! The stage kinds that a program has.

use std::collections::BTreeMap;
use std::sync::Arc;

use marquetry_lake::Functions;
use marquetry_types::StageDescriptor;
use marquetry_workflow::StageCatalogue;

use crate::StageHandler;
use crate::gather::Gather;
use crate::reuse::Reuse;

/// Handlers by the name of their kind, and the functions that their queries call.
#[derive(Clone, Default)]
pub struct Registry {
    handlers: BTreeMap<String, Arc<dyn StageHandler>>,
    functions: Functions,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.handlers.keys()).finish()
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
        Self {
            handlers: by_kind.collect(),
            functions: Functions::default(),
        }
    }

    /// The same, with functions that queries of its stages call besides the engine's own. Data planes must
    /// know them too.
    #[must_use]
    pub fn with_functions(mut self, functions: Functions) -> Self {
        self.functions = functions;
        self
    }

    /// What queries of its stages call besides the engine's own functions.
    #[must_use]
    pub const fn functions(&self) -> &Functions {
        &self.functions
    }

    /// The handler of a kind.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&Arc<dyn StageHandler>> {
        self.handlers.get(kind)
    }
}

impl StageCatalogue for Registry {
    fn descriptor(&self, kind: &str) -> Option<&StageDescriptor> {
        self.handlers.get(kind).map(|handler| handler.descriptor())
    }

    fn kinds(&self) -> Vec<&str> {
        self.handlers.keys().map(String::as_str).collect()
    }
}
