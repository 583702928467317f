//! The power is cut between any two things that the disk is asked to do.
#![expect(clippy::unwrap_used, reason = "tests may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use marquetry_types::DatasetRef;
use object_store::ObjectStoreExt;

use super::DurableFolder;
use super::disk::{Disk, SystemDisk};
use crate::{FileLocation, Lake, LakeError, WriteOptions};

/// What the disk was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Folder(PathBuf),
    File(PathBuf),
    SyncFile(PathBuf),
    Name { from: PathBuf, to: PathBuf },
    SyncFolder(PathBuf),
}

/// A disk that keeps account, and whose power fails after so many steps.
#[derive(Debug)]
struct FrailDisk {
    steps: Mutex<Vec<Step>>,
    power: usize,
}

impl FrailDisk {
    fn new(power: usize) -> Arc<Self> {
        let steps = Mutex::default();
        Arc::new(Self { steps, power })
    }

    fn step(&self, step: Step) -> io::Result<()> {
        let mut steps = self.steps.lock().unwrap();
        if steps.len() >= self.power {
            return Err(io::Error::other("the power is cut"));
        }
        steps.push(step);
        Ok(())
    }

    fn steps(&self) -> Vec<Step> {
        self.steps.lock().unwrap().clone()
    }
}

impl Disk for FrailDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        SystemDisk.create_folder(folder)?;
        self.step(Step::Folder(folder.to_owned()))
    }

    fn create_file(&self, path: &Path) -> io::Result<File> {
        let file = SystemDisk.create_file(path)?;
        self.step(Step::File(path.to_owned()))?;
        Ok(file)
    }

    fn sync_file(&self, _: &File, path: &Path) -> io::Result<()> {
        self.step(Step::SyncFile(path.to_owned()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        SystemDisk.rename(&from, &to)?;
        self.step(Step::Name { from, to })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        SystemDisk.link(&from, &to)?;
        self.step(Step::Name { from, to })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.step(Step::SyncFolder(folder.to_owned()))
    }
}

/// What is certain to be there after a power cut: files whose bytes, and whose names with all folders
/// above, were synced.
fn survivors(root: &Path, steps: &[Step]) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    let mut durable_names = BTreeSet::new();
    let mut synced = BTreeMap::new();
    for step in steps {
        match step {
            Step::Folder(path) => {
                names.insert(path.clone());
            }
            Step::File(path) => {
                names.insert(path.clone());
                synced.insert(path.clone(), false);
            }
            Step::SyncFile(path) => {
                synced.insert(path.clone(), true);
            }
            Step::Name { from, to } => {
                names.insert(to.clone());
                let was_synced = synced.get(from).copied().unwrap_or(false);
                synced.insert(to.clone(), was_synced);
            }
            Step::SyncFolder(folder) => {
                let within = names.iter().filter(|name| name.parent() == Some(folder));
                durable_names.extend(within.cloned());
            }
        }
    }
    let is_named = |path: &Path| {
        path.ancestors()
            .take_while(|it| *it != root)
            .all(|it| durable_names.contains(it))
    };
    let is_whole = |path: &PathBuf| synced.get(path) == Some(&true) && is_named(path);
    synced
        .keys()
        .filter(|path| is_whole(path))
        .cloned()
        .collect()
}

fn rows() -> RecordBatch {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
    let column = Int64Array::from_iter_values(0..500);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).unwrap()
}

/// Writes a dataset of three objects, each sent in several parts.
async fn write(lake: &Lake) -> Result<DatasetRef, LakeError> {
    let options = WriteOptions {
        object_bytes: 1,
        buffer_bytes: 64,
        ..WriteOptions::default()
    };
    let mut writer = lake
        .dataset_writer("runs/a/b", rows().schema(), options)
        .await?;
    for _ in 0..3 {
        writer.write(&rows()).await?;
    }
    writer.finish().await
}

#[tokio::test]
async fn a_power_cut_at_any_moment_leaves_no_manifest_without_its_objects() {
    let mut cuts = 0;
    for power in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let disk = FrailDisk::new(power);
        let store = DurableFolder::with_disk(&root, Arc::clone(&disk) as Arc<_>).unwrap();
        let lake = Lake::with_store("frail", Arc::new(store));
        let written = write(&lake).await;

        let steps = disk.steps();
        let manifest = root.join("runs/a/b/manifest.json");
        let is_commit = |step: &Step| matches!(step, Step::Name { to, .. } if *to == manifest);
        let survivors = survivors(&root, &steps);
        if let Some(commit) = steps.iter().position(is_commit) {
            // From here on the name may be on the disk even if nobody asked for it.
            let before = survivors_before(&root, &steps, commit);
            for part in [
                "part-00000.parquet",
                "part-00001.parquet",
                "part-00002.parquet",
            ] {
                assert!(
                    before.contains(&root.join("runs/a/b").join(part)),
                    "{part}, {power}"
                );
            }
            let staged = steps[..commit].iter().any(|step| {
                matches!(step, Step::SyncFile(path) if path.starts_with(root.join("runs/a/b"))
                    && path.to_string_lossy().contains("manifest"))
            });
            assert!(
                staged,
                "the manifest has a name before its bytes are durable"
            );
        }
        match written {
            Ok(dataset) => {
                assert!(survivors.contains(&manifest));
                let manifest = lake.manifest(&dataset).await.unwrap();
                assert_eq!(manifest.files.len(), 3);
                for file in &manifest.files {
                    let FileLocation::InLake { path } = &file.location else {
                        unreachable!("{file:?}")
                    };
                    let bytes = lake.get(path).await.unwrap();
                    assert_eq!(bytes.len() as u64, file.bytes);
                    let digest = blake3::hash(&bytes).to_hex().to_string();
                    assert_eq!(file.digest.as_ref(), Some(&digest));
                }
                break;
            }
            Err(error) => {
                assert!(error.to_string().contains("the power is cut"), "{error}");
                cuts += 1;
            }
        }
    }
    assert!(cuts > 15, "only {cuts} moments were tried");
}

fn survivors_before(root: &Path, steps: &[Step], end: usize) -> BTreeSet<PathBuf> {
    survivors(root, &steps[..end])
}

#[tokio::test]
async fn folders_are_synced_once_and_again_after_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let disk = FrailDisk::new(usize::MAX);
    let store = DurableFolder::with_disk(&root, Arc::clone(&disk) as Arc<_>).unwrap();
    for name in ["x/y/1", "x/y/2"] {
        store
            .put(&name.into(), Bytes::from_static(b"1").into())
            .await
            .unwrap();
    }
    let synced = |folder: &str| {
        let step = Step::SyncFolder(root.join(folder));
        disk.steps().iter().filter(|it| **it == step).count()
    };
    assert_eq!((synced("x/y"), synced("x"), synced("")), (2, 1, 1));

    // A disk that failed to sync a folder is asked again.
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let disk = FrailDisk::new(usize::MAX);
    let files = super::Files::open(&root, Arc::clone(&disk) as Arc<_>).unwrap();
    let weak = FrailDisk::new(6);
    let store = DurableFolder::with_disk(&root, Arc::clone(&weak) as Arc<_>).unwrap();
    let name = "x/y/1".into();
    let failed = store.put(&name, Bytes::from_static(b"1").into()).await;
    failed.unwrap_err();
    files.sync_name(&root.join("x/y/1")).unwrap();
    assert_eq!(disk.steps().len(), 3, "{:?}", disk.steps());
}

#[tokio::test]
async fn a_root_that_is_no_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for bad in [file.clone(), file.join("below")] {
        assert!(DurableFolder::open(&bad).is_err(), "{}", bad.display());
    }
    let deep = folder.path().join("a/b/c");
    DurableFolder::open(&deep).unwrap();
    assert!(deep.is_dir());
}

#[tokio::test]
async fn an_upload_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableFolder::open(folder.path()).unwrap();
    let mut upload = store.put_multipart(&"a/b".into()).await.unwrap();
    upload
        .put_part(Bytes::from_static(b"half").into())
        .await
        .unwrap();
    drop(upload);
    let left: Vec<_> = std::fs::read_dir(folder.path().join("a"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
