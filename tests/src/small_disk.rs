//! A disk that a test can fill.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system of its own in memory, of a bounded size, unmounted with the value.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// One of so many MiB, if this machine lets the test mount it, which takes root; says so if it does not. In
    /// CI it must.
    ///
    /// # Panics
    /// It does not, in CI.
    #[must_use]
    pub fn of_mib(size: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}m"), "tmpfs"])
            .arg(folder.path())
            .output();
        let is_mounted = mounted.as_ref().is_ok_and(|it| it.status.success());
        if is_mounted {
            return Some(Self { folder });
        }
        let reason = format!("a disk cannot be mounted, which takes root: {mounted:?}");
        assert!(
            std::env::var_os("CI").is_none(),
            "{reason}, and in CI nothing is skipped"
        );
        #[expect(clippy::print_stderr, reason = "says why the test proves nothing here")]
        {
            eprintln!("skipped: {reason}");
        }
        None
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Writes until nothing more can be written.
    ///
    /// # Panics
    /// It fails in another way than being full.
    pub fn fill(&self) {
        let mut ballast = std::fs::File::create(self.ballast()).unwrap();
        // Whole pages, then what is left.
        for piece in [4096, 1] {
            let piece = vec![1; piece];
            loop {
                match ballast.write(&piece) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Gives back the room that [`fill`](Self::fill) took.
    ///
    /// # Panics
    /// It was not filled.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that ends at this moment may still have a file open.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}
