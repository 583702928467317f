//! Where things lie: the repository, and what cargo builds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository: the parent of `crates/`.
pub(crate) fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// The `marquetry` binary of a profile's folder, `debug` or `release`, built or not. This program lies
/// in the same target folder, whatever `CARGO_TARGET_DIR` or a cargo configuration makes it.
pub(crate) fn marquetry(profile_folder: &str) -> Result<PathBuf, String> {
    let this =
        std::env::current_exe().map_err(|error| format!("cannot find my own file: {error}"))?;
    let target = this
        .ancestors()
        .nth(2)
        .ok_or_else(|| format!("{} does not lie in a target folder", this.display()))?;
    Ok(target
        .join(profile_folder)
        .join(format!("marquetry{}", std::env::consts::EXE_SUFFIX)))
}

/// A cargo command in the repository: the same cargo that started this program.
pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(repository());
    command
}

/// Builds the `marquetry` binary. With `--workspace` its dependencies get the features that the tests
/// use too, so that the demo and the tests share one build of them.
pub(crate) const BUILD: [&str; 4] = ["build", "--workspace", "--bin", "marquetry"];
