//! The few things that durability asks of the system, apart so that a test can cut the power between
//! any two of them.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// A disk.
pub(super) trait Disk: fmt::Debug + Send + Sync {
    /// Makes one folder; its parent is there.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Makes a file that is not there yet, and opens it for writing.
    fn create_file(&self, path: &Path) -> io::Result<File>;
    /// Returns once the bytes of a file are on the disk.
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()>;
    /// Gives a file another name, in place of any file of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, which is not taken yet.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Returns once the names in a folder are on the disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug)]
pub(super) struct SystemDisk;

impl Disk for SystemDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir(folder)
    }

    fn create_file(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn sync_file(&self, file: &File, _: &Path) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    #[cfg(unix)]
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    /// Other systems keep names durable by themselves, and do not open folders.
    #[cfg(not(unix))]
    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}
