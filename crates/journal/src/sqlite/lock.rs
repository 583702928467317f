//! One writing coordinator per laptop journal: an advisory lock on a file beside the database.
//!
//! The epoch fences a coordinator that lost its leadership; this lock keeps two from fighting over it
//! in the first place. The operating system releases it when its holder ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::JournalError;

/// Held for as long as the value lives.
#[derive(Debug)]
pub(super) struct WriterLock {
    file: File,
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        // Closing the file would do, but for a process that was begun at this very moment: until it runs
        // its own program it has the file too, and with it the lock.
        let _ = self.file.unlock();
    }
}

impl WriterLock {
    /// Takes the lock beside `database`, or says who holds it.
    pub(super) fn acquire(database: &Path) -> Result<Self, JournalError> {
        let path = lock_path(database);
        let refuse = |error: std::io::Error| JournalError::Open {
            journal: database.display().to_string(),
            reason: format!("the lock file {} fails: {error}", path.display()),
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false) // its text names the holder until the lock is ours
            .open(&path)
            .map_err(refuse)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The holder may not have written its id yet: the lock is refused all the same.
                let _ = file.read_to_string(&mut text);
                let holder = text.trim().parse().ok();
                return Err(JournalError::InUse {
                    journal: database.display().to_string(),
                    holder,
                });
            }
            Err(TryLockError::Error(error)) => return Err(refuse(error)),
        }
        file.set_len(0).map_err(refuse)?;
        file.rewind().map_err(refuse)?;
        writeln!(file, "{}", std::process::id()).map_err(refuse)?;
        Ok(Self { file })
    }
}

/// `journal.db` → `journal.db.lock`.
fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is_and_may_follow_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("journal.db");
        let first = WriterLock::acquire(&database).unwrap();
        assert_eq!(
            WriterLock::acquire(&database).unwrap_err(),
            JournalError::InUse {
                journal: database.display().to_string(),
                holder: Some(std::process::id())
            }
        );
        drop(first);
        WriterLock::acquire(&database).unwrap();
    }

    #[test]
    fn a_copy_of_the_file_in_a_new_process_does_not_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("journal.db");
        let lock = WriterLock::acquire(&database).unwrap();
        let copy = lock.file.try_clone().unwrap();
        drop(lock);
        assert!(WriterLock::acquire(&database).is_ok());
        drop(copy);
    }
}
