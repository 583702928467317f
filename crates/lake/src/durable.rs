//! Durability on a local disk: object_store writes and renames files, but does not ask the system to
//! put them on the disk. Cloud stores are durable when they answer.

use std::fs::File;
use std::path::{Path, PathBuf};

use object_store::path::Path as ObjectPath;

use crate::LakeError;

/// Makes a written object, and the folders in which it is listed, survive a power cut.
pub(crate) async fn sync(root: &Path, object: &ObjectPath) -> Result<(), LakeError> {
    let root = root.to_owned();
    let mut path = root.clone();
    path.extend(object.parts().map(|part| part.as_ref().to_owned()));
    let synced = tokio::task::spawn_blocking(move || sync_up_to(&root, path)).await;
    synced.unwrap_or_else(|error| {
        let source = std::io::Error::other(error);
        Err(LakeError::NotDurable {
            path: object.to_string(),
            source,
        })
    })
}

/// Syncs the file, then its folder, and so on up to the root.
fn sync_up_to(root: &Path, file: PathBuf) -> Result<(), LakeError> {
    let mut path = file;
    loop {
        let result = File::open(&path).and_then(|file| file.sync_all());
        result.map_err(|source| LakeError::NotDurable {
            path: path.display().to_string(),
            source,
        })?;
        if path == root || !path.pop() {
            return Ok(());
        }
    }
}
