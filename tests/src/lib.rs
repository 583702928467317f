//! What the end-to-end tests share: the real program, in folders of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test support fails by panicking"
)]

mod cluster;
mod dice;
pub mod interrupted;
mod proxy;
mod python;
mod run;
mod small_disk;
mod table;

pub use cluster::{Cluster, Worker, attempts, eventually, lives, send, stage};
pub use dice::Dice;
pub use proxy::Proxy;
pub use python::{client_saw, computed, repository, shared_data};
pub use run::Run;
pub use small_disk::SmallDisk;
pub use table::{Table, is_close};

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The program, which `cargo xtask test` has built beside the tests.
///
/// # Panics
/// It is not there.
#[must_use]
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let program = folder.join(format!("marquetry{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is missing: `cargo build` makes it",
        program.display()
    );
    program
}

/// A folder in which the program runs, with a data folder inside.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    /// What the program finds in its environment.
    environment: Vec<(String, String)>,
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// An empty one.
    ///
    /// # Panics
    /// There is no room for temporary files.
    #[must_use]
    pub fn new() -> Self {
        Self::with_environment(&[])
    }

    /// An empty one, in which the program finds these variables.
    ///
    /// # Panics
    /// There is no room for temporary files.
    #[must_use]
    pub fn with_environment(environment: &[(String, String)]) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            environment: environment.to_vec(),
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// The program with these arguments, to be started in the folder.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        // Whoever runs the tests may use object stores for something else.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"AWS_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(self.path())
            .args(arguments)
            .env_remove("MARQUETRY_DATA_DIR")
            .env_remove("MARQUETRY_LAKE")
            .env_remove("MARQUETRY_LAKE_PATIENCE")
            .env_remove("MARQUETRY_LOG")
            .env_remove("MARQUETRY_LOG_FORMAT")
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .env_remove("TRACEPARENT")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the program to its end.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the program with `--output json` and reads what it prints. It must succeed.
    ///
    /// # Panics
    /// It fails, or prints something else.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        json_of(self.command(arguments))
    }
}

/// What a command prints with `--output json`.
pub(crate) fn json_of(mut command: Command) -> Value {
    let output = command.args(["--output", "json"]).output().unwrap();
    let arguments: Vec<_> = command.get_args().collect();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Everything that a program said.
#[must_use]
pub fn said(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{}\n{out}\n{err}", output.status)
}
