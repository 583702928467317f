//! Which stage kinds there are, as far as a workflow file is concerned.

use marquetry_types::StageDescriptor;

/// The stage kinds that a workflow may use. A registry of plugins is one; so is a list of
/// descriptors that a worker sent.
pub trait StageCatalogue {
    /// What the kind says of itself, or `None` if there is no such kind.
    fn descriptor(&self, kind: &str) -> Option<&StageDescriptor>;

    /// Every kind, for suggestions and listings.
    fn kinds(&self) -> Vec<&str>;
}
