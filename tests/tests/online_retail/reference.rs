//! The independent computation: a Python with what `reference/requirements.txt` pins, made once and kept
//! in the target folder, and the results of `reference/online_retail.py`, computed once in a process.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use marquetry_tests::{program, said};
use serde_json::Value;

use crate::table::Table;

const NEEDS: &str = "the expected results are computed in Python: install python3 (3.11 or later) with venv \
    and pip, as by `apt-get install python3-venv python3-pip`, and let pip reach its index the first time";

/// What the other tools computed.
pub(crate) struct Reference {
    /// The folder with the invoice lines.
    pub(crate) data: PathBuf,
    /// The Parquet file with the centres from which k-means starts.
    pub(crate) start: Vec<u8>,
    /// Metrics of stages, by stage.
    pub(crate) figures: Value,
    files: BTreeMap<String, Table>,
}

impl Reference {
    /// The table of that name, its rows in the order of a key.
    pub(crate) fn table(&self, name: &str, key: &[&str]) -> Table {
        self.files[name].sorted_by(key)
    }
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The results, or none where the data is not there.
pub(crate) fn get() -> Option<&'static Reference> {
    static RESULTS: OnceLock<Option<Reference>> = OnceLock::new();
    RESULTS.get_or_init(compute).as_ref()
}

fn compute() -> Option<Reference> {
    let beside = repository().join("../shared/data/online_retail");
    let Ok(data) = beside.join("by-day").canonicalize() else {
        #[expect(clippy::print_stderr, reason = "says why the test proves nothing here")]
        {
            eprintln!("skipped: {} is not there", beside.display());
        }
        return None;
    };
    let script = repository().join("tests/reference/online_retail.py");
    let out = tempfile::tempdir().unwrap();
    let python = python();
    // -I: nothing of the user's own Python set-up takes part.
    let arguments = [OsStr::new("-I"), script.as_ref(), data.as_ref()];
    let arguments = arguments.into_iter().chain([out.path().as_ref()]);
    succeed(&python, arguments, "the reference computation fails");
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(out.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension() == Some(OsStr::new("parquet")) {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            files.insert(name, Table::read(&path, &[]));
        }
    }
    let figures = std::fs::read(out.path().join("figures.json")).unwrap();
    Some(Reference {
        data,
        start: std::fs::read(out.path().join("start.parquet")).unwrap(),
        figures: serde_json::from_slice(&figures).unwrap(),
        files,
    })
}

/// A Python that has the pinned packages: `target/tools/reference-HASH`, made if it is not there.
///
/// It is made beside and renamed, so that what is there is whole; of two processes that make it at once
/// one wins, and both use the winner's.
fn python() -> PathBuf {
    let requirements = repository().join("tests/reference/requirements.txt");
    let pins = std::fs::read_to_string(&requirements).unwrap();
    let version = succeed(Path::new("python3"), ["-VV"], NEEDS);
    let mut hasher = DefaultHasher::new();
    (pins, version).hash(&mut hasher);
    let tools = program().ancestors().nth(2).unwrap().join("tools");
    let home = tools.join(format!("reference-{:016x}", hasher.finish()));
    let python = home.join("bin/python");
    if python.exists() {
        return python;
    }
    std::fs::create_dir_all(&tools).unwrap();
    let mut named = tempfile::Builder::new();
    let beside = named.prefix(".reference-").tempdir_in(&tools).unwrap();
    let venv = ["-m", "venv"].map(OsStr::new);
    let venv = venv.into_iter().chain([beside.path().as_ref()]);
    succeed(Path::new("python3"), venv, NEEDS);
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--only-binary=:all:",
        "-r",
    ]
    .map(OsStr::new);
    let install = install.into_iter().chain([requirements.as_ref()]);
    succeed(&beside.path().join("bin/python"), install, NEEDS);
    let renamed = std::fs::rename(beside.path(), &home);
    assert!(
        renamed.is_ok() || python.exists(),
        "{}: {renamed:?}",
        home.display()
    );
    python
}

/// What a program prints, which must succeed.
fn succeed<'a, T: AsRef<OsStr> + ?Sized + 'a>(
    program: &Path,
    arguments: impl IntoIterator<Item = &'a T>,
    otherwise: &str,
) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output();
    match output {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => panic!("{otherwise}\n{}: {}", program.display(), said(&output)),
        Err(error) => panic!("{otherwise}\n{}: {error}", program.display()),
    }
}
