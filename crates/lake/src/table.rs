//! A dataset as a table of a session.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::prelude::SessionContext;
use futures::FutureExt;
use futures::future::BoxFuture;
use marquetry_types::DatasetRef;
use object_store::ObjectStoreExt;

use crate::parquet_format::NanSafeParquet;
use crate::session::LAKE_URL;
use crate::source::store_of;
use crate::{DataFile, FileLocation, Lake, LakeError};

/// The rows of a dataset: exactly the objects of its manifest. Pinned source objects are checked to be
/// what they were.
///
/// # Errors
/// The manifest is damaged, or a source object changed.
pub async fn table(
    lake: &Lake,
    session: &SessionContext,
    dataset: &DatasetRef,
) -> Result<Arc<dyn TableProvider>, LakeError> {
    let manifest = lake.manifest(dataset).await?;
    if manifest.files.is_empty() {
        return Ok(Arc::new(EmptyTable::new(manifest.schema)));
    }
    let checks = manifest
        .files
        .iter()
        .map(|file| object_url(session, file).boxed());
    let checks: Vec<BoxFuture<'_, _>> = checks.collect();
    let urls = futures::future::try_join_all(checks).await?;
    let options =
        ListingOptions::new(Arc::new(NanSafeParquet::default())).with_file_extension(String::new());
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(manifest.schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// Where the session finds an object, which is known to it from here on.
async fn object_url(
    session: &SessionContext,
    file: &DataFile,
) -> Result<ListingTableUrl, LakeError> {
    match &file.location {
        FileLocation::InLake { path } => Ok(ListingTableUrl::parse(format!("{LAKE_URL}{path}"))?),
        FileLocation::Source {
            url,
            etag,
            last_modified,
        } => {
            let (store, path, root) = store_of(url)?;
            let now = store
                .head(&path)
                .await
                .map_err(|error| LakeError::store("find", url, error))?;
            let is_same = match (etag, &now.e_tag) {
                (Some(then), Some(now)) => then == now,
                _ => {
                    let then = last_modified.timestamp_millis();
                    now.size == file.bytes && now.last_modified.timestamp_millis() == then
                }
            };
            if !is_same {
                return Err(LakeError::SourceChanged { url: url.clone() });
            }
            if root.scheme() != "file" {
                session.register_object_store(&root, store);
            }
            Ok(ListingTableUrl::parse(url)?)
        }
    }
}
