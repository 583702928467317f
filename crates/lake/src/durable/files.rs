//! Files below a root: written beside their place, synced, named, and their names synced.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use object_store::{Error, PutPayload, Result};

use super::disk::Disk;

/// What becomes of a file that has the name already.
#[derive(Debug, Clone, Copy)]
pub(super) enum Publish {
    /// It is replaced.
    Replace,
    /// The write fails.
    Create,
}

/// The files below a root.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    /// Folders whose own names are known to be durable, so that they are not synced again and again.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Files {
    /// Opens a root, making it durably where it is missing.
    pub(super) fn open(folder: &Path, disk: Arc<dyn Disk>) -> Result<Self> {
        let absolute = std::path::absolute(folder);
        let root = absolute.map_err(|source| failed("find", folder, source))?;
        let mut missing: Vec<&Path> = root.ancestors().take_while(|it| !it.exists()).collect();
        while let Some(folder) = missing.pop() {
            let made = disk
                .create_folder(folder)
                .or_else(unless_there)
                .and_then(|()| folder.parent().map_or(Ok(()), |it| disk.sync_folder(it)));
            made.map_err(|source| failed("make", folder, source))?;
        }
        let root = root
            .canonicalize()
            .map_err(|source| failed("open", folder, source))?;
        if !root.is_dir() {
            let source = io::Error::from(ErrorKind::NotADirectory);
            return Err(failed("open", &root, source));
        }
        Ok(Self {
            root,
            disk,
            durable: Mutex::default(),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a whole file, durably.
    pub(super) fn write(&self, target: &Path, bytes: &PutPayload, publish: Publish) -> Result<()> {
        let (mut file, staged) = self.stage(target)?;
        let written = bytes.iter().try_for_each(|piece| file.write_all(piece));
        let done = written
            .map_err(|source| failed("write", &staged, source))
            .and_then(|()| self.publish(file, &staged, target, publish));
        if done.is_err() {
            self.discard(&staged);
        }
        done
    }

    /// Begins a file beside its place. Listings leave such names out: `#` and a number.
    pub(super) fn stage(&self, target: &Path) -> Result<(File, PathBuf)> {
        let mut number = 1_u64;
        loop {
            let mut name = target.as_os_str().to_owned();
            name.push(format!("#{number}"));
            let staged = PathBuf::from(name);
            match self.disk.create_file(&staged) {
                Ok(file) => return Ok((file, staged)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.create_folders(target.parent().unwrap_or(&self.root))?;
                }
                Err(source) => return Err(failed("create", &staged, source)),
            }
        }
    }

    /// Gives a written file its name: durable bytes first, then the name, then a durable name.
    pub(super) fn publish(
        &self,
        file: File,
        staged: &Path,
        target: &Path,
        publish: Publish,
    ) -> Result<()> {
        self.disk
            .sync_file(&file, staged)
            .map_err(|source| failed("sync", staged, source))?;
        // Some network file systems send a file only when it is closed.
        drop(file);
        let named = match publish {
            Publish::Replace => self.disk.rename(staged, target),
            Publish::Create => self.disk.link(staged, target),
        };
        named.map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => Error::AlreadyExists {
                path: target.display().to_string(),
                source: Box::new(source),
            },
            _ => failed("name", target, source),
        })?;
        if matches!(publish, Publish::Create) {
            self.discard(staged);
        }
        self.sync_name(target)
    }

    /// Makes the name of a file durable, and those of the folders above it up to the root.
    pub(super) fn sync_name(&self, target: &Path) -> Result<()> {
        let Some(folder) = target.parent() else {
            return Ok(());
        };
        self.sync_folder(folder)?;
        for folder in folder.ancestors() {
            if folder == self.root || !folder.starts_with(&self.root) {
                break;
            }
            if self.durable_folders().contains(folder) {
                break;
            }
            if let Some(parent) = folder.parent() {
                self.sync_folder(parent)?;
            }
        }
        // Only now, with all of them synced: a failure above must not be forgotten.
        let above = folder.ancestors().take_while(|it| *it != self.root);
        let above: Vec<PathBuf> = above.map(Path::to_path_buf).collect();
        self.durable_folders().extend(above);
        Ok(())
    }

    /// Removes a staged file. What is left behind is garbage that no listing shows.
    pub(super) fn discard(&self, staged: &Path) {
        let _ = std::fs::remove_file(staged);
    }

    fn create_folders(&self, folder: &Path) -> Result<()> {
        let mut missing: Vec<&Path> = folder.ancestors().take_while(|it| !it.exists()).collect();
        while let Some(folder) = missing.pop() {
            // It may have been there before, and been deleted since.
            self.durable_folders().remove(folder);
            let made = self.disk.create_folder(folder).or_else(unless_there);
            made.map_err(|source| failed("make", folder, source))?;
        }
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        let synced = self.disk.sync_folder(folder);
        synced.map_err(|source| failed("sync", folder, source))
    }

    fn durable_folders(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A folder that somebody else made in the meantime will do.
fn unless_there(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::AlreadyExists {
        Ok(())
    } else {
        Err(error)
    }
}

/// What the system refused, with the path that it leaves out.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}", path.display())]
struct Refused {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// An error of the system.
pub(super) fn failed(doing: &'static str, path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    Error::Generic {
        store: "local folder",
        source: Box::new(Refused {
            doing,
            path,
            source,
        }),
    }
}

/// Does file work off the threads that serve everything else.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(source) => Err(Error::JoinError { source }),
    }
}
