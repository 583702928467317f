//! Functions of queries that are not the engine's own.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

/// Functions that every process of this version knows by name. A plan names them and nothing more: what one
/// is to work with is in its arguments, so that a name means the same everywhere.
#[derive(Debug, Clone, Default)]
pub struct Functions {
    /// Of the values of a row.
    pub scalar: Vec<Arc<ScalarUDF>>,
    /// Of all rows.
    pub aggregate: Vec<Arc<AggregateUDF>>,
}

impl Functions {
    /// A session's state that knows them.
    pub(super) fn known_to(&self, mut builder: SessionStateBuilder) -> SessionStateBuilder {
        let scalar = self.scalar.iter().cloned();
        let known = builder.scalar_functions().get_or_insert_default();
        known.extend(scalar);
        let aggregate = self.aggregate.iter().cloned();
        let known = builder.aggregate_functions().get_or_insert_default();
        known.extend(aggregate);
        builder
    }
}
