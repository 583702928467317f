//! Benchmarks that are examples of a crate: built with the workspace, so that they get the dependencies that
//! the program itself has, and run from where cargo puts them.

use std::process::{Command, Stdio};

use crate::place::{cargo, program, repository};

/// Builds an example of a workspace's member and gives the command that runs it in the repository.
pub(super) fn build(name: &str) -> Result<Command, String> {
    build_release(["--example", name])?;
    let mut command = Command::new(program("release/examples", name)?);
    command.current_dir(repository());
    Ok(command)
}

/// Builds something of the workspace in release. What cargo has to say goes to standard error.
pub(super) fn build_release(what: [&str; 2]) -> Result<(), String> {
    let mut build = cargo(["build", "--quiet", "--release", "--workspace"]);
    succeed(build.args(what).stdout(Stdio::null()))
}

/// Runs a command to its end, with its output going where ours goes.
pub(super) fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command
        .status()
        .map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!(
            "{} failed ({status})",
            crate::steps::shown(command)
        )),
    }
}

/// What a command prints, which must succeed.
pub(super) fn printed(command: &mut Command) -> Result<String, String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!(
            "{} failed ({})",
            crate::steps::shown(command),
            output.status
        )),
    }
}
