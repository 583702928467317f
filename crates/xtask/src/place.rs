//! Where things lie: the repository, and what cargo builds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository: the parent of `crates/`.
pub(crate) fn repository() -> PathBuf {
    // As cargo says at run time, not when this was compiled: two clones that share a target folder share
    // this program, which would else work in the one that it was built in.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.ancestors().nth(2).unwrap_or(&manifest).to_owned()
}

/// The target folder, whatever `CARGO_TARGET_DIR` or a cargo configuration makes it: this program lies in it.
pub(crate) fn target() -> Result<PathBuf, String> {
    let this =
        std::env::current_exe().map_err(|error| format!("cannot find my own file: {error}"))?;
    this.ancestors()
        .nth(2)
        .map(Path::to_owned)
        .ok_or_else(|| format!("{} does not lie in a target folder", this.display()))
}

/// The `marquetry` binary of a profile's folder, `debug` or `release`, built or not.
pub(crate) fn marquetry(profile_folder: &str) -> Result<PathBuf, String> {
    program(profile_folder, "marquetry")
}

/// A program below the target folder, built or not.
pub(crate) fn program(folder: &str, name: &str) -> Result<PathBuf, String> {
    Ok(target()?
        .join(folder)
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// A cargo command in the repository: the same cargo that started this program.
pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(repository());
    // What `cargo run` says about this package must not reach the build: the build script of `ring` looks at
    // it, and everything above `ring`, the query engine too, would be compiled anew each time that `cargo
    // xtask` and plain `cargo` take turns.
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| is_about_this_package(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
}

/// Whether cargo sets the variable for the package that it runs.
fn is_about_this_package(name: &str) -> bool {
    [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_CRATE_",
        "CARGO_BIN_",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

/// Builds the `marquetry` binary. With `--workspace` its dependencies get the features that the tests
/// use too, so that the demo and the tests share one build of them.
pub(crate) const BUILD: [&str; 4] = ["build", "--workspace", "--bin", "marquetry"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_the_one_that_cargo_runs_in() {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        assert_eq!(manifest, Some(repository().join("crates/xtask")));
        assert!(repository().join("ARCHITECTURE.md").exists());
    }

    #[test]
    fn a_build_hears_nothing_of_this_package() {
        // Cargo sets these for tests as it does for `cargo run`.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
        let command = cargo(["build"]);
        let removed: Vec<_> = command
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .collect();
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR"] {
            assert!(
                removed.iter().any(|(removed, _)| *removed == name),
                "{name}"
            );
        }
        assert!(!is_about_this_package("CARGO_TARGET_DIR"));
    }
}
