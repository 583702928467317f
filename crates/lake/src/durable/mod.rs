//! A local folder as a store whose writes survive a power cut.
//!
//! `object_store` writes a file beside its place and renames it, but never asks the system to put
//! anything on the disk: after a power cut the name can be there with nothing behind it. Here the file
//! is on the disk before it gets its name, and the name, with every folder above it, before the write is
//! answered. Cloud stores are durable when they answer, so they need none of this.

mod disk;
mod files;
mod upload;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};

use self::disk::{Disk, SystemDisk};
use self::files::{Files, Publish, blocking};
use self::upload::FileUpload;

/// A folder, made if it is not there, as a durable object store.
#[derive(Debug)]
pub(crate) struct DurableFolder {
    /// Reads, lists and deletes, which need no durability of their own.
    reader: LocalFileSystem,
    files: Arc<Files>,
}

impl DurableFolder {
    /// Opens a folder.
    pub(crate) fn open(folder: &FilePath) -> Result<Self> {
        Self::with_disk(folder, Arc::new(SystemDisk))
    }

    fn with_disk(folder: &FilePath, disk: Arc<dyn Disk>) -> Result<Self> {
        let files = Files::open(folder, disk)?;
        let reader = LocalFileSystem::new_with_prefix(files.root())?;
        Ok(Self {
            reader,
            files: Arc::new(files),
        })
    }

    fn unsupported(&self, operation: &str) -> Error {
        Error::NotImplemented {
            operation: operation.to_owned(),
            implementer: self.to_string(),
        }
    }
}

impl fmt::Display for DurableFolder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.files.root().display())
    }
}

#[async_trait]
impl ObjectStore for DurableFolder {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let publish = match options.mode {
            PutMode::Overwrite => Publish::Replace,
            PutMode::Create => Publish::Create,
            PutMode::Update(_) => return Err(self.unsupported("put with a condition")),
        };
        if !options.attributes.is_empty() {
            return Err(self.unsupported("put with attributes"));
        }
        let target = self.reader.path_to_filesystem(path)?;
        let files = Arc::clone(&self.files);
        blocking(move || files.write(&target, &payload, publish)).await?;
        let e_tag = self.head(path).await?.e_tag;
        Ok(PutResult {
            e_tag,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !options.attributes.is_empty() {
            return Err(self.unsupported("put with attributes"));
        }
        let target = self.reader.path_to_filesystem(path)?;
        let upload = FileUpload::begin(Arc::clone(&self.files), target).await?;
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.reader.get_opts(path, options).await
    }

    async fn get_ranges(
        &self,
        path: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<bytes::Bytes>> {
        self.reader.get_ranges(path, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.reader.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reader.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.reader.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.reader.copy_opts(from, to, options).await?;
        let target = self.reader.path_to_filesystem(to)?;
        let files = Arc::clone(&self.files);
        blocking(move || files.sync_name(&target)).await
    }
}
