//! `cargo xtask bench kmeans`: the example `kmeans_speed` of marquetry-kernels, on the peers' arrays where the
//! peers lie beside the repository, else on its own of the same shape.

use std::path::{Path, PathBuf};

use clap::Args;

use super::example::{build, printed, succeed};
use super::peers::Peers;
use super::text::{median, number, value};
use crate::place::{repository, target};

const CASES: [&str; 3] = ["km1", "km2", "km3"];
/// How often each side runs with `--peers`.
const TURNS: usize = 3;

/// Options of `cargo xtask bench kmeans`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs scikit-learn and faiss too, in turns with ours, and prints the ratios.
    #[arg(long)]
    peers: bool,
    /// Only this case.
    #[arg(long, value_parser = CASES)]
    case: Option<String>,
}

/// Prints a line for each run, and with `--peers` one with the ratio for each case.
pub(super) fn run(options: &Options) -> Result<(), String> {
    let chosen: Vec<&str> = match &options.case {
        Some(case) => vec![case],
        None => CASES.to_vec(),
    };
    let peers = if options.peers {
        Some(Peers::need()?)
    } else {
        Peers::find()?
    };
    if let Some(peers) = &peers {
        peers.set_up()?;
    }
    let program = build("kmeans_speed")?.get_program().to_owned();
    for case in chosen {
        let arrays = peers
            .as_ref()
            .map(|peers| arrays(peers, case))
            .transpose()?;
        let ours = || {
            let mut command = std::process::Command::new(&program);
            printed(command.arg(case).args(&arrays))
        };
        match (&peers, options.peers) {
            (Some(peers), true) => compare(case, &ours, peers)?,
            _ => print!("{}", ours()?),
        }
    }
    Ok(())
}

/// The folder with the case's rows and centres, written by numpy unless they are there.
fn arrays(peers: &Peers, case: &str) -> Result<PathBuf, String> {
    let folder = target()?.join("bench/kmeans");
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    // The rows are written last.
    if !folder.join(format!("{case}-rows.npy")).exists() {
        let script = repository().join("crates/xtask/src/bench/kmeans.py");
        let mut make = peers.python(&script.to_string_lossy());
        succeed(make.arg(case).arg::<&Path>(&folder))?;
    }
    Ok(folder)
}

fn compare(
    case: &str,
    ours: &dyn Fn() -> Result<String, String>,
    peers: &Peers,
) -> Result<(), String> {
    let mut own = Vec::new();
    let mut theirs: Vec<(String, Vec<f64>)> = Vec::new();
    for _ in 0..TURNS {
        let lines = peers.kernel(case)?;
        print!("{lines}");
        for line in lines.lines() {
            let (Some(library), Some(seconds)) = (value(line, "lib"), number(line, "seconds"))
            else {
                continue;
            };
            match theirs.iter_mut().find(|(known, _)| known == library) {
                Some((_, all)) => all.push(seconds),
                None => theirs.push((library.to_owned(), vec![seconds])),
            }
        }
        let line = ours()?;
        print!("{line}");
        own.extend(number(&line, "seconds"));
    }
    let fastest = theirs
        .into_iter()
        .map(|(library, seconds)| (library, median(seconds)))
        .min_by(|left, right| left.1.total_cmp(&right.1));
    let (peer, peer_s) = fastest.ok_or_else(|| format!("the peers gave no seconds for {case}"))?;
    let seconds = median(own);
    println!(
        r#"{{"case":"{case}","seconds":{seconds:.4},"peer":"{peer}","peer_seconds":{peer_s:.4},"ratio":{:.3}}}"#,
        seconds / peer_s
    );
    Ok(())
}
