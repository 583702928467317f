//! The same work in other tools: the scripts of ../shared/peers/science, where they lie beside the repository.
//! Their Python packages, pinned by their `setup.sh`, and the orders that they make are kept below the
//! target folder's `tools`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::example::{printed, succeed};
use crate::place::{repository, target};

/// The scripts, with a place for what they need.
#[derive(Debug)]
pub(super) struct Peers {
    scripts: PathBuf,
    place: PathBuf,
}

impl Peers {
    /// The peers, if their scripts are there. Nothing is installed yet.
    pub(super) fn find() -> Result<Option<Self>, String> {
        let scripts = repository().join("../shared/peers/science");
        let place = target()?.join("tools/peers");
        let is_there = scripts.join("setup.sh").exists();
        Ok(is_there.then_some(Self { scripts, place }))
    }

    /// As [`Self::find`], where there is no going on without them.
    pub(super) fn need() -> Result<Self, String> {
        Self::find()?.ok_or_else(|| {
            "there is nothing to compare with: ../shared/peers/science does not lie beside the repository"
                .to_owned()
        })
    }

    /// Installs what they need, unless it is there: some minutes the first time.
    pub(super) fn set_up(&self) -> Result<(), String> {
        if self.place.join("ready").exists() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.place)
            .map_err(|error| format!("cannot make {}: {error}", self.place.display()))?;
        let mut setup = self.command("bash");
        succeed(
            setup
                .arg(self.scripts.join("setup.sh"))
                .stdout(Stdio::null()),
        )?;
        std::fs::write(self.place.join("ready"), "")
            .map_err(|error| format!("cannot write to {}: {error}", self.place.display()))
    }

    /// The folder with that many lines of orders, made by their generator unless it is there.
    pub(super) fn orders(&self, rows: u64) -> Result<PathBuf, String> {
        let folder = self.place.join(format!("data/events_{}", size(rows)));
        if !folder.exists() {
            let mut make = self.python("gen_events.py");
            make.arg(rows.to_string()).arg(&folder);
            succeed(make.stdout(Stdio::null()))?;
        }
        Ok(folder)
    }

    /// Runs the pipeline over orders in `engine`: the line with its phases and its peak memory.
    pub(super) fn retail(&self, engine: &str, rows: u64) -> Result<String, String> {
        let mut run = self.command("bash");
        run.arg(self.scripts.join("run.sh"));
        printed(run.args(["retail", engine, &size(rows)]))
    }

    /// Runs a kernel once in each of their libraries: a line with `seconds` and one with `inertia` each.
    pub(super) fn kernel(&self, case: &str) -> Result<String, String> {
        let mut run = self.command("bash");
        run.arg(self.scripts.join("run.sh")).env("REPS", "1");
        printed(run.args(["kernel", case]))
    }

    /// A script of theirs, or one of ours that imports theirs, in their Python.
    pub(super) fn python(&self, script: &str) -> Command {
        let mut command = self.command(self.place.join("venv/bin/python"));
        // `join` of an absolute path is that path.
        command.arg(self.scripts.join(script));
        command.env("PYTHONPATH", &self.scripts);
        command
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("PEERS_WORK", &self.place)
            .env("ANCHOR_WORK", &self.place)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// How their files are named: `10m` for ten million.
fn size(rows: u64) -> String {
    match rows % 1_000_000 {
        0 => format!("{}m", rows / 1_000_000),
        _ => rows.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_named_as_the_scripts_name_them() {
        assert_eq!(size(10_000_000), "10m");
        assert_eq!(size(20_500), "20500");
    }
}
