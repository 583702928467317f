//! `cargo xtask demo`: from a fresh clone to a report on customers, in one command.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Args;

use crate::place::{BUILD, cargo, marquetry, repository};
use crate::steps::{Steps, seconds, shown};

const WORKFLOW: &str = "workflows/retail.yaml";
/// Where the workflow looks for orders unless it is told otherwise.
const ORDERS: &str = "data/orders";
/// How many rows those have.
const ROWS: &str = "data/orders-rows";

/// Options of `cargo xtask demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// How many order lines to make, if there are none yet.
    #[arg(long, default_value_t = 200_000)]
    rows: u64,
    /// Makes the orders anew, even if there are some.
    #[arg(long)]
    fresh: bool,
}

/// Builds, makes orders, runs the workflow twice, writes the report.
pub(crate) fn run(arguments: &DemoArguments) -> Result<(), String> {
    let start = Instant::now();
    let mut steps = Steps::default();
    let program = marquetry("debug")?;
    if !program.exists() {
        println!(
            "The first build compiles some 450 crates, among them the query engine (DataFusion, Arrow,\n\
             Parquet) and SQLite: 10 to 15 minutes on two cores. They are kept; the next demo builds\n\
             nothing and takes seconds."
        );
    }
    steps.run("build", &mut cargo(BUILD))?;
    make_orders(&mut steps, &program, arguments)?;
    // Once with a policy that knows nothing, and once with what it learned of the responses.
    let sample = format!("sample_rows={}", arguments.rows);
    for step in ["first run", "second run"] {
        let run = ["run", WORKFLOW, "--set", &sample];
        steps.run(step, in_repository(&program).args(run))?;
    }

    let run = newest_run(&program)?;
    steps.run("report", in_repository(&program).args(["report", &run]))?;
    println!(
        "\ndone in {}: {}",
        seconds(start.elapsed()),
        steps.summary()
    );
    println!(
        "The report's place stands above: open it in a browser. The first run made its offers by a policy that\n\
         knew nothing, the second by what it had learned. Then look around, from {}:\n\
         \n    {program} show {run}\n    {program} head {run}/segments\n    {program} policies show offers\n    {program} run {WORKFLOW} --set segments=8",
        repository().display(),
        program = program.display(),
    );
    Ok(())
}

/// Makes the sample unless it is there. Its files appear when all of them are whole, so an interrupted
/// demo leaves nothing to be read.
fn make_orders(steps: &mut Steps, program: &Path, arguments: &DemoArguments) -> Result<(), String> {
    let orders = repository().join(ORDERS);
    // The responses of the demo are those of the customers of a sample of so many rows.
    let rows = repository().join(ROWS);
    let is_of_these = fs::read_to_string(&rows).is_ok_and(|it| it == arguments.rows.to_string());
    if arguments.fresh || !is_of_these {
        remove(&orders)?;
    }
    if has_parquet(&orders) {
        println!(
            "\n==> sample: {} is there already (--fresh makes it anew)",
            orders.display()
        );
        return Ok(());
    }
    let mut sample = in_repository(program);
    sample
        .args(["sample", "orders", "--seed", "1", "--rows"])
        .arg(arguments.rows.to_string());
    steps.run("sample", sample.arg("--out").arg(&orders))?;
    fs::write(&rows, arguments.rows.to_string())
        .map_err(|error| format!("cannot write {}: {error}", rows.display()))
}

fn has_parquet(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|file| file.path())
        .any(|path| path.extension().is_some_and(|it| it == "parquet"))
}

fn remove(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn in_repository(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(repository());
    command
}

/// The run that was submitted last, as `marquetry runs` knows it.
fn newest_run(program: &Path) -> Result<String, String> {
    let mut command = in_repository(program);
    command
        .args(["runs", "--output", "json"])
        .stderr(Stdio::inherit());
    let output = command
        .output()
        .map_err(|error| format!("cannot list the runs: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    newest_run_id(&text).ok_or_else(|| format!("`{}` lists no run", shown(&command)))
}

/// The largest run id in a text. Ids are ULIDs, so the largest is the latest; and looking for their
/// shape spares this program a JSON reader.
pub(crate) fn newest_run_id(text: &str) -> Option<String> {
    text.split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| word.len() == 26 && word.starts_with(|first: char| first.is_ascii_digit()))
        .max()
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_run_is_found_whatever_the_order_of_the_list() {
        let text = r#"[{"run":"01kb6r5y3v0000000000000000","name":"abcdefghijklmnopqrstuvwxyz"},
                       {"run":"01kb6r5y3v0000000000000009"},{"run":"01kb6r5y3v0000000000000003"}]"#;
        assert_eq!(
            newest_run_id(text).as_deref(),
            Some("01kb6r5y3v0000000000000009")
        );
        assert_eq!(newest_run_id("[]"), None);
    }
}
