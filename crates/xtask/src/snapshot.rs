//! `cargo xtask snapshot`: accepts what the snapshot tests say now.

use clap::Args;

use crate::place::cargo;
use crate::steps::Steps;

/// Options of `cargo xtask snapshot`.
#[derive(Debug, Args)]
pub(crate) struct SnapshotArguments {
    /// Only the tests of this package, as in `marquetry-workflow`.
    #[arg(long, short)]
    package: Option<String>,
}

/// Runs the tests with every snapshot rewritten; tests that fail for another reason still fail.
pub(crate) fn run(arguments: &SnapshotArguments) -> Result<(), String> {
    let mut steps = Steps::default();
    let mut tests = cargo(["test", "--no-fail-fast"]);
    match &arguments.package {
        Some(package) => tests.args(["--package", package]),
        None => tests.arg("--workspace"),
    };
    tests.env("INSTA_UPDATE", "always");
    steps.run("tests", &mut tests)?;
    println!("\nsnapshots are up to date: `git diff` shows what changed");
    Ok(())
}
