//! A lake: one object store, below one root.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use marquetry_types::{AttemptId, DatasetRef, Timestamp};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use crate::LakeError;
use crate::durable::DurableFolder;
use crate::listing::list_all;
use crate::manifest::Manifest;
use crate::prefixed::Prefixed;
use crate::remote::{self, StoreSettings};

/// The folder of an attempt's log below its own.
pub const LOG_FOLDER: &str = "log";
/// The name of a dataset's manifest below the dataset's own folder.
const MANIFEST: &str = "manifest.json";

/// A place for datasets, artifacts and logs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    location: String,
    store: Arc<dyn ObjectStore>,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its path below the lake's root.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// When it was last written, by the store's clock.
    pub modified: Timestamp,
}

impl Lake {
    /// Opens a lake: a local folder, which is made if it is not there, or a URL that `object_store`
    /// knows (`s3://bucket/prefix`, `gs://`, `az://`, `memory:///`), with credentials from the
    /// environment. Whether such a store answers is not asked yet.
    ///
    /// # Errors
    /// The location cannot be understood, or the folder not made.
    pub async fn open(location: &str) -> Result<Self, LakeError> {
        Self::open_with(location, &StoreSettings::from_environment()).await
    }

    /// The same, with what the environment would say.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(location: &str, settings: &StoreSettings) -> Result<Self, LakeError> {
        let bad = |reason: String| LakeError::BadLocation {
            location: location.to_owned(),
            reason,
        };
        match Url::parse(location) {
            Ok(url) if url.scheme() == "file" => {
                let path = url
                    .to_file_path()
                    .map_err(|()| bad("it is no absolute path".to_owned()))?;
                Self::open_folder(location, &path)
            }
            // A single letter is a drive, not a scheme.
            Ok(url) if url.scheme().len() > 1 => {
                let (store, prefix) = remote::open(&url, settings)?;
                let store: Arc<dyn ObjectStore> = if prefix.as_ref().is_empty() {
                    store
                } else {
                    Arc::new(Prefixed::new(store, prefix))
                };
                Ok(Self::with_store(location, store))
            }
            _ => Self::open_folder(location, Path::new(location)),
        }
    }

    fn open_folder(location: &str, path: &Path) -> Result<Self, LakeError> {
        let folder = DurableFolder::open(path).map_err(|error| LakeError::BadLocation {
            location: location.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self::with_store(location, Arc::new(folder)))
    }

    /// A lake on any store, which must be durable by itself.
    #[must_use]
    pub fn with_store(location: &str, store: Arc<dyn ObjectStore>) -> Self {
        Self {
            location: location.to_owned(),
            store,
        }
    }

    /// Where it lies, as it was opened.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// An object as an error names it: with the lake that it is in.
    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}/{path}", self.location.trim_end_matches('/'))
    }

    /// Writes an object. It is durable when this returns.
    ///
    /// # Errors
    /// The store refuses, or the disk.
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<(), LakeError> {
        let object = ObjectPath::from(path);
        let put = self.store.put(&object, bytes.into()).await;
        put.map_err(|error| LakeError::store("write", self.address(path), error))?;
        Ok(())
    }

    /// Reads an object.
    ///
    /// # Errors
    /// There is none, or the store fails.
    pub async fn get(&self, path: &str) -> Result<Bytes, LakeError> {
        let failed = |error| LakeError::store("read", self.address(path), error);
        let object = self
            .store
            .get(&ObjectPath::from(path))
            .await
            .map_err(failed)?;
        object.bytes().await.map_err(failed)
    }

    /// The size of an object in bytes; none if there is no such object.
    ///
    /// # Errors
    /// The store fails.
    pub async fn size(&self, path: &str) -> Result<Option<u64>, LakeError> {
        match self.store.head(&ObjectPath::from(path)).await {
            Ok(object) => Ok(Some(object.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(LakeError::store("read", self.address(path), error)),
        }
    }

    /// The objects below a folder.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, LakeError> {
        let listed = list_all(&self.store, &ObjectPath::from(prefix)).await;
        let listed =
            listed.map_err(|error| LakeError::store("list", self.address(prefix), error))?;
        let objects = listed.into_iter().map(|object| ObjectInfo {
            path: object.location.to_string(),
            bytes: object.size,
            modified: Timestamp::from_millis(object.last_modified.timestamp_millis()),
        });
        Ok(objects.collect())
    }

    /// The names of the folders in a folder, in their order.
    ///
    /// # Errors
    /// The store fails.
    pub async fn folders(&self, prefix: &str) -> Result<Vec<String>, LakeError> {
        let folder = ObjectPath::from(prefix);
        let listed = self.store.list_with_delimiter(Some(&folder)).await;
        let listed =
            listed.map_err(|error| LakeError::store("list", self.address(prefix), error))?;
        let names = listed.common_prefixes.iter();
        let mut names: Vec<_> = names
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn delete(&self, path: &str) -> Result<(), LakeError> {
        match self.store.delete(&ObjectPath::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(LakeError::store("remove", self.address(path), error)),
        }
    }

    /// The folder that belongs to an attempt alone: `runs/<run>/<stage>/<attempt>`.
    #[must_use]
    pub fn attempt_prefix(attempt: &AttemptId) -> String {
        format!("runs/{}/{}/{}", attempt.run, attempt.stage, attempt.attempt)
    }

    /// Reads a dataset's manifest and checks that it is the one that was committed.
    ///
    /// # Errors
    /// It is missing, or differs from its reference.
    pub async fn manifest(&self, dataset: &DatasetRef) -> Result<Manifest, LakeError> {
        let damaged = |reason: String| LakeError::Damaged {
            manifest: dataset.manifest.clone(),
            reason,
        };
        let bytes = match self.get(&dataset.manifest).await {
            Err(LakeError::Store {
                source: object_store::Error::NotFound { .. },
                ..
            }) => {
                return Err(damaged("its manifest is missing".to_owned()));
            }
            other => other?,
        };
        if blake3::hash(&bytes).to_hex().as_str() != dataset.digest {
            return Err(damaged(
                "its manifest is not the one that was committed".to_owned(),
            ));
        }
        Manifest::from_bytes(&bytes).map_err(damaged)
    }

    /// Writes the manifest of a dataset whose objects are durable already, below `prefix`.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn commit_manifest(
        &self,
        prefix: &str,
        manifest: &Manifest,
    ) -> Result<DatasetRef, LakeError> {
        let path = format!("{prefix}/{MANIFEST}");
        let bytes = manifest.to_bytes().map_err(|reason| LakeError::Damaged {
            manifest: path.clone(),
            reason,
        })?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        self.put(&path, Bytes::from(bytes)).await?;
        Ok(DatasetRef {
            manifest: path,
            digest,
            rows: manifest.rows,
            bytes: manifest.bytes(),
            content: manifest.content_digest(),
        })
    }
}
