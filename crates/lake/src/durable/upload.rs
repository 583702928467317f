//! A file that is written in parts, each as soon as it is there.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::FutureExt;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::files::{Files, Publish, blocking, failed};

/// A file in the making.
#[derive(Debug)]
pub(super) struct FileUpload {
    files: Arc<Files>,
    target: PathBuf,
    staged: PathBuf,
    /// None once it is complete or given up.
    file: Arc<Mutex<Option<File>>>,
    /// Where the next part begins.
    offset: u64,
}

impl FileUpload {
    pub(super) async fn begin(files: Arc<Files>, target: PathBuf) -> Result<Self> {
        let (its_files, its_target) = (Arc::clone(&files), target.clone());
        let (file, staged) = blocking(move || its_files.stage(&its_target)).await?;
        Ok(Self {
            files,
            target,
            staged,
            file: Arc::new(Mutex::new(Some(file))),
            offset: 0,
        })
    }

    fn take(&self) -> Option<File> {
        self.file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

fn ended() -> Error {
    Error::Generic {
        store: "local folder",
        source: "the upload is complete or was given up".into(),
    }
}

#[async_trait]
impl MultipartUpload for FileUpload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let offset = self.offset;
        self.offset += part.content_length() as u64;
        let (file, staged) = (Arc::clone(&self.file), self.staged.clone());
        blocking(move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let file = file.as_mut().ok_or_else(ended)?;
            let written = file
                .seek(SeekFrom::Start(offset))
                .and_then(|_| part.iter().try_for_each(|piece| file.write_all(piece)));
            written.map_err(|source| failed("write", &staged, source))
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let file = self.take().ok_or_else(ended)?;
        let files = Arc::clone(&self.files);
        let (staged, target) = (self.staged.clone(), self.target.clone());
        blocking(move || {
            let done = files.publish(file, &staged, &target, Publish::Replace);
            if done.is_err() {
                files.discard(&staged);
            }
            done
        })
        .await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn abort(&mut self) -> Result<()> {
        drop(self.take());
        let (files, staged) = (Arc::clone(&self.files), self.staged.clone());
        blocking(move || {
            files.discard(&staged);
            Ok(())
        })
        .await
    }
}

impl Drop for FileUpload {
    fn drop(&mut self) {
        if self.take().is_some() {
            self.files.discard(&self.staged);
        }
    }
}
