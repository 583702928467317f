//! `cargo xtask test` and `lint`: what must be green. It needs nothing but cargo with rustfmt and clippy, and,
//! where the real data lies beside the repository, Python 3 for the tools that results are compared with.

use std::process::Stdio;

use clap::Args;

use crate::place::{BUILD, cargo};
use crate::steps::Steps;
use crate::tools;

/// Options of `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// Only the format and the unit tests: no lints, no end-to-end tests, no documentation's examples.
    #[arg(long)]
    quick: bool,
    /// Only tests whose names contain this.
    filter: Option<String>,
}

/// Runs the suite and says how long each part took.
pub(crate) fn run(arguments: &TestArguments) -> Result<(), String> {
    let mut steps = Steps::default();
    format(&mut steps)?;
    if !arguments.quick {
        clippy(&mut steps)?;
        // The end-to-end tests start this program.
        steps.run("program", &mut cargo(BUILD))?;
    }
    let mut tests = cargo(["test", "--workspace", "--no-fail-fast"]);
    if arguments.quick {
        tests.args(["--lib", "--bins"]);
    }
    if !arguments.quick
        && let Some(programs) = tools::postgres(&mut steps)
    {
        tests.env(tools::POSTGRES_BIN, programs);
    }
    if let Some(filter) = &arguments.filter {
        tests.args(["--", filter]);
    }
    if std::env::var_os("INSTA_UPDATE").is_none() {
        // A snapshot that differs is a failed test; `cargo xtask snapshot` accepts it.
        tests.env("INSTA_UPDATE", "no");
    }
    steps.run("tests", &mut tests)?;
    let scope = match (arguments.quick, &arguments.filter) {
        (true, _) => "the quick part",
        (false, Some(_)) => "what was asked for",
        (false, None) => "everything",
    };
    println!("\n{scope} is green: {}", steps.summary());
    Ok(())
}

/// Checks the format and the lints.
pub(crate) fn lint() -> Result<(), String> {
    let mut steps = Steps::default();
    format(&mut steps)?;
    clippy(&mut steps)?;
    let has_deny = cargo(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if has_deny {
        steps.run("dependencies", &mut cargo(["deny", "check"]))?;
    } else {
        println!("\ndependencies are not checked: `cargo install cargo-deny` would do it");
    }
    println!("\nlints are green: {}", steps.summary());
    Ok(())
}

fn format(steps: &mut Steps) -> Result<(), String> {
    steps
        .run("format", &mut cargo(["fmt", "--all", "--check"]))
        .map_err(|message| format!("{message}\n`cargo fmt --all` repairs it"))
}

fn clippy(steps: &mut Steps) -> Result<(), String> {
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    steps.run("lints", &mut cargo(arguments))
}
