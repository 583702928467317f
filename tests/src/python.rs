//! The independent computations: a Python with what `reference/requirements.txt` pins, made once and kept
//! in the target folder, and what scripts beside that file compute with it.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::{program, said};

const NEEDS: &str = "some tests compute their expected results in Python, or speak with a server from there: install python3 (3.11 or later) with venv \
    and pip, as by `apt-get install python3-venv python3-pip`, and let pip reach its index the first time";

/// The root of the repository.
///
/// # Panics
/// Cargo does not run the test.
#[must_use]
pub fn repository() -> &'static Path {
    // Not as it was when this was compiled: another clone may share the target folder.
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let own = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
        own.parent().unwrap().to_owned()
    });
    &ROOT
}

/// A file or folder of `../shared/data`, by its path there. Says that the test is skipped where it is not
/// there.
#[must_use]
pub fn shared_data(path: &str) -> Option<PathBuf> {
    let beside = repository().join("../shared/data").join(path);
    let found = beside.canonicalize().ok();
    if found.is_none() {
        #[expect(clippy::print_stderr, reason = "says why the test proves nothing here")]
        {
            eprintln!("skipped: {} is not there", beside.display());
        }
    }
    found
}

/// A folder with what `reference/SCRIPT` computes from `data`.
///
/// # Panics
/// There is no Python, or the script fails.
#[must_use]
pub fn computed(script: &str, data: &Path) -> TempDir {
    let script = repository().join("tests/reference").join(script);
    let out = tempfile::tempdir().unwrap();
    let python = python("requirements.txt");
    // -I: nothing of the user's own Python set-up takes part.
    let arguments = [OsStr::new("-I"), script.as_ref(), data.as_ref()];
    let arguments = arguments.into_iter().chain([out.path().as_ref()]);
    succeed(&python, arguments, "the reference computation fails");
    out
}

/// What `reference/grpc_client.py` saw of a server, as JSON.
///
/// # Panics
/// There is no Python, or the client fails.
#[must_use]
pub fn client_saw(address: &str, workflow: &Path) -> serde_json::Value {
    let script = repository().join("tests/reference/grpc_client.py");
    let proto = repository().join("proto");
    let python = python("grpc-requirements.txt");
    let arguments = [OsStr::new("-I"), script.as_ref(), proto.as_ref()];
    let arguments = arguments
        .into_iter()
        .chain([OsStr::new(address), workflow.as_ref()]);
    let printed = succeed(&python, arguments, "the Python client fails");
    serde_json::from_slice(&printed).unwrap()
}

/// A Python that has the pinned packages of a file: `target/tools/reference-HASH`, made if it is not there.
///
/// It is made beside and renamed, so that what is there is whole; of two processes that make it at once
/// one wins, and both use the winner's.
fn python(requirements: &str) -> PathBuf {
    let requirements = repository().join("tests/reference").join(requirements);
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
