//! The object stores that a part of a query reads. Its plan names them by URL only: the lake, which this
//! process has opened, and those of source objects that were not copied, which it opens when they are
//! first named.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use object_store::ObjectStore;
use url::Url;

use crate::Lake;
use crate::session::LAKE_URL;
use crate::source::store_of;

/// Stores by URL.
#[derive(Debug)]
pub(super) struct Stores(DefaultObjectStoreRegistry);

impl Stores {
    /// Those of a lake and, as they are asked for, of others.
    pub(super) fn new(lake: &Lake) -> Self {
        let stores = DefaultObjectStoreRegistry::new();
        if let Ok(url) = Url::parse(LAKE_URL) {
            stores.register_store(&url, Arc::clone(lake.store()));
        }
        Self(stores)
    }
}

impl ObjectStoreRegistry for Stores {
    fn register_store(
        &self,
        url: &Url,
        store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        self.0.register_store(url, store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if let Ok(store) = self.0.get_store(url) {
            return Ok(store);
        }
        let opened = store_of(url.as_str());
        let (store, _, root) =
            opened.map_err(|error| DataFusionError::External(Box::new(error)))?;
        self.0.register_store(&root, Arc::clone(&store));
        Ok(store)
    }
}
