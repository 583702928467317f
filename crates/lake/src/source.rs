//! Objects outside of the lake, found by path, folder or pattern.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use crate::LakeError;
use crate::listing::list_all;
use crate::remote::{self, StoreSettings};

/// Objects that are asked about at a time.
const QUESTIONS: usize = 16;

/// Finds source objects.
#[derive(Debug, Clone, Copy)]
pub struct Source;

/// An object that was found.
#[derive(Debug, Clone)]
pub struct SourceObject {
    /// Its URL.
    pub url: String,
    /// Its size in bytes.
    pub size: u64,
    /// What the store calls its version.
    pub etag: Option<String>,
    /// When it was last modified.
    pub last_modified: DateTime<Utc>,
    /// The store that holds it.
    pub store: Arc<dyn ObjectStore>,
    /// Its path in that store.
    pub path: ObjectPath,
}

impl Source {
    /// The objects that `pattern` means, sorted by URL: an object, a folder with all that is below
    /// it, or a pattern in which `*` and `?` stay within a folder, `**` goes below, and `[a-z]` is one
    /// of some characters. A relative path starts at `base_dir`. Nothing found is no error.
    ///
    /// # Errors
    /// The pattern or its store cannot be understood, or the store fails.
    pub async fn resolve(
        pattern: &str,
        base_dir: Option<&Path>,
    ) -> Result<Vec<SourceObject>, LakeError> {
        let url = to_url(pattern, base_dir)?;
        let (store, path, root) = store_of_url(&url)?;
        let full = path.to_string();
        let mut found: Vec<ObjectMeta> = if full.contains(['*', '?', '[']) {
            let glob = glob::Pattern::new(&full).map_err(|error| LakeError::BadLocation {
                location: pattern.to_owned(),
                reason: error.to_string(),
            })?;
            let options = glob::MatchOptions {
                require_literal_separator: true,
                ..glob::MatchOptions::default()
            };
            let plain: Vec<&str> = full
                .split('/')
                .take_while(|part| !part.contains(['*', '?', '[']))
                .collect();
            let prefix = ObjectPath::from(plain.join("/"));
            let all = list(&store, &prefix, pattern).await?;
            let matches =
                |object: &ObjectMeta| glob.matches_with(object.location.as_ref(), options);
            all.into_iter().filter(matches).collect()
        } else {
            match store.head(&path).await {
                Ok(object) => vec![object],
                Err(object_store::Error::NotFound { .. }) => list(&store, &path, pattern).await?,
                // A local folder is no object.
                Err(_) if url.scheme() == "file" => list(&store, &path, pattern).await?,
                Err(error) => return Err(LakeError::store("read", pattern, error)),
            }
        };
        if url.scheme() != "file" {
            name_versions(&store, &mut found, pattern).await?;
        }
        found.sort_by(|left, right| left.location.cmp(&right.location));
        let objects = found.into_iter().map(|object| SourceObject {
            url: url_of(&root, &object.location),
            size: object.size,
            etag: object.e_tag,
            last_modified: object.last_modified,
            store: Arc::clone(&store),
            path: object.location,
        });
        Ok(objects.collect())
    }
}

async fn list(
    store: &Arc<dyn ObjectStore>,
    prefix: &ObjectPath,
    shown: &str,
) -> Result<Vec<ObjectMeta>, LakeError> {
    match list_all(store, prefix).await {
        Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
        other => other.map_err(|error| LakeError::store("list", shown, error)),
    }
}

/// Some stores list objects without their ETags, and with times of another precision than they give later:
/// those are asked about one by one, so that each is pinned by what a reader will be told.
async fn name_versions(
    store: &Arc<dyn ObjectStore>,
    found: &mut [ObjectMeta],
    shown: &str,
) -> Result<(), LakeError> {
    let unnamed = found.iter_mut().filter(|object| object.e_tag.is_none());
    let questions: Vec<BoxFuture<'_, object_store::Result<()>>> =
        unnamed.map(|object| ask(store, object).boxed()).collect();
    futures::stream::iter(questions)
        .buffer_unordered(QUESTIONS)
        .try_collect::<()>()
        .await
        .map_err(|error| LakeError::store("find", shown, error))
}

async fn ask(store: &Arc<dyn ObjectStore>, object: &mut ObjectMeta) -> object_store::Result<()> {
    *object = store.head(&object.location).await?;
    Ok(())
}

/// A path or URL as a URL whose path is as it was written, patterns and all.
fn to_url(pattern: &str, base_dir: Option<&Path>) -> Result<Url, LakeError> {
    if let Ok(url) = Url::parse(pattern)
        && url.scheme().len() > 1
    {
        return Ok(url);
    }
    let base = match base_dir {
        Some(base) => base.to_owned(),
        None => std::env::current_dir().unwrap_or_default(),
    };
    let path = without_dots(&base.join(pattern));
    Url::from_file_path(&path).map_err(|()| LakeError::BadLocation {
        location: pattern.to_owned(),
        reason: format!("{} is no absolute path", path.display()),
    })
}

/// A path with its `.` and `..` taken out, without asking the disk: the rest may hold patterns.
fn without_dots(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// The store that holds an object, the object's path in it, and the URL of the store's root.
pub(crate) fn store_of(url: &str) -> Result<(Arc<dyn ObjectStore>, ObjectPath, Url), LakeError> {
    let parsed = Url::parse(url).map_err(|error| LakeError::BadLocation {
        location: url.to_owned(),
        reason: error.to_string(),
    })?;
    store_of_url(&parsed)
}

fn store_of_url(url: &Url) -> Result<(Arc<dyn ObjectStore>, ObjectPath, Url), LakeError> {
    let bad = |reason: String| LakeError::BadLocation {
        location: url.to_string(),
        reason,
    };
    let path = ObjectPath::from_url_path(url.path()).map_err(|error| bad(error.to_string()))?;
    let mut root = url.clone();
    root.set_path("/");
    root.set_query(None);
    if url.scheme() == "file" {
        return Ok((Arc::new(LocalFileSystem::new()), path, root));
    }
    let (store, _) = remote::open(&root, &StoreSettings::from_environment())?;
    Ok((store, path, root))
}

fn url_of(root: &Url, path: &ObjectPath) -> String {
    if root.scheme() == "file" {
        let local = format!("/{path}");
        if let Ok(url) = Url::from_file_path(local) {
            return url.to_string();
        }
    }
    let mut url = root.clone();
    url.set_path(path.as_ref());
    url.to_string()
}
