//! An object store whose writes fail on purpose, to show that nothing is named before it is durable.

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
pub enum WriteFault {
    /// Nothing is written.
    Refused,
    /// It is written, and the answer gets lost.
    AnswerLost,
}

/// Which writes fail, and how.
#[derive(Debug, Clone, Copy)]
enum Plan {
    /// None: they are only counted.
    Sound,
    /// This one, counted from 1.
    At(u64, WriteFault),
    /// All after so many: the disk is full.
    After(u64),
}

/// A store with a fault in front of a sound one, that counts its writes.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    plan: Plan,
    writes: AtomicU64,
}

impl FaultyStore {
    /// No fault: it only counts.
    #[must_use]
    pub fn counting(inner: Arc<dyn ObjectStore>) -> Self {
        Self::with_plan(inner, Plan::Sound)
    }

    /// The `number`th write fails, counted from 1.
    #[must_use]
    pub fn failing_at(inner: Arc<dyn ObjectStore>, number: u64, fault: WriteFault) -> Self {
        Self::with_plan(inner, Plan::At(number, fault))
    }

    /// So many writes work, and none after them.
    #[must_use]
    pub fn full_after(inner: Arc<dyn ObjectStore>, writes: u64) -> Self {
        Self::with_plan(inner, Plan::After(writes))
    }

    fn with_plan(inner: Arc<dyn ObjectStore>, plan: Plan) -> Self {
        Self {
            inner,
            plan,
            writes: AtomicU64::new(0),
        }
    }

    /// Writes so far, those that failed included.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    async fn write<T>(&self, write: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        match self.plan {
            Plan::At(at, WriteFault::Refused) if at == number => Err(failure("a planned fault")),
            Plan::At(at, WriteFault::AnswerLost) if at == number => {
                write.await?;
                Err(failure("a planned fault"))
            }
            Plan::After(writes) if number > writes => Err(failure("the disk is full")),
            Plan::Sound | Plan::At(..) | Plan::After(_) => write.await,
        }
    }
}

fn failure(reason: &str) -> Error {
    Error::Generic {
        store: "faulty",
        source: reason.into(),
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
