//! An object store that counts its writes, and one of whose writes fails, before or after it took effect.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// How the write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteFault {
    /// Nothing is written.
    Refused,
    /// It is written, and the answer gets lost.
    AnswerLost,
}

/// A store with a fault in front of a sound one.
#[derive(Debug)]
pub(crate) struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    fault: Option<(u64, WriteFault)>,
    writes: AtomicU64,
}

impl FaultyStore {
    /// No fault: it only counts.
    pub(crate) fn counting(inner: Arc<dyn ObjectStore>) -> Self {
        Self {
            inner,
            fault: None,
            writes: AtomicU64::new(0),
        }
    }

    /// The `number`th write fails, counted from 1.
    pub(crate) fn failing_at(inner: Arc<dyn ObjectStore>, number: u64, fault: WriteFault) -> Self {
        Self {
            fault: Some((number, fault)),
            ..Self::counting(inner)
        }
    }

    /// Writes so far, those that failed included.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    async fn write<T>(&self, write: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        let failure = || Error::Generic {
            store: "faulty",
            source: "a planned fault".into(),
        };
        match self.fault {
            Some((at, WriteFault::Refused)) if at == number => Err(failure()),
            Some((at, WriteFault::AnswerLost)) if at == number => {
                write.await?;
                Err(failure())
            }
            _ => write.await,
        }
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "faulty {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.write(self.inner.put_opts(path, payload, options))
            .await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.write(self.inner.put_multipart_opts(path, options))
            .await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.write(self.inner.copy_opts(from, to, options)).await
    }
}
