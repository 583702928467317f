//! Secrets by reference: a stage gets the value, and nothing that is kept or said has it.

use std::path::Path;
use std::process::{Command, Output};

use marquetry_tests::{Cluster, said};
use serde_json::Value;

const TOKEN: &str = "open-sesame-1001";
const PASSWORD: &str = "swordfish-1002";

const TOLD: &str = "
marquetry: v1
name: told
stages:
  tell:
    uses: probe/echo
    with: { message: \"Bearer ${{ secrets.TOKEN }}\" }
    retry: { attempts: 100, backoff: { initial: 500ms, factor: 1 } }
  fail:
    uses: probe/echo
    needs: [tell]
    with: { message: \"${{ secrets.PASSWORD }}\", fails: true }
";

const PANICS: &str = "
marquetry: v1
name: panics
stages:
  panic:
    uses: probe/echo
    with: { message: \"not ${{ secrets.PASSWORD }}\", panics: true }
";

/// Every file below a folder that holds a text.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(text.len()).any(|it| it == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

fn stage<'a>(shown: &'a Value, name: &str) -> &'a Value {
    let stages = shown["stages"].as_array().unwrap();
    stages.iter().find(|it| it["name"] == name).unwrap()
}

/// What a command said, on both of its streams.
fn all_of(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}

fn told_everything(shown: &Value) {
    assert_eq!(stage(shown, "tell")["status"], "succeeded");
    let bytes = "Bearer ".len() + TOKEN.len();
    let told = stage(shown, "tell")["metrics"]["bytes"].as_f64();
    assert_eq!(told, Some(f64::from(u32::try_from(bytes).unwrap())));
    let failed = stage(shown, "fail").to_string();
    assert!(
        failed.contains("***") && !failed.contains(PASSWORD),
        "{failed}"
    );
}

#[test]
fn a_secret_reaches_its_stage_and_no_file_and_no_message() {
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("TOKEN"), format!("{TOKEN}\n")).unwrap();
    std::fs::write(secrets.path().join("PASSWORD"), PASSWORD).unwrap();
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("told.yaml", TOLD);
    let folder = secrets.path().to_str().unwrap();
    let log = secrets.path().join("worker.log");
    cluster.add_logging_worker(&["--secrets-dir", folder, "--log", "trace"], &log);
    let run = cluster.submit("told.yaml", &[]);
    told_everything(&cluster.watch(&run));
    let logs = cluster.command(&["logs", &run]).output().unwrap();
    assert!(all_of(&logs).contains("Bearer ***"), "{}", said(&logs));
    for value in [TOKEN, PASSWORD] {
        assert!(!all_of(&logs).contains(value), "{}", said(&logs));
        assert_eq!(files_with(cluster.place.path(), value), [""; 0]);
        let log = std::fs::read_to_string(&log).unwrap();
        assert!(log.len() > 100 && !log.contains(value), "{log}");
    }
}

/// What a panic said is in the stage's log and in its failure, without the secret.
fn panicked(logs: &Output, shown: &Value) {
    let said = all_of(logs);
    // Once on a thread that the stage started, and once on its own.
    let told = said.lines().filter(|line| line.contains("it panicked at "));
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 2, "{said}");
    assert!(told.iter().all(|line| line.contains("not ***")), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
    let failed = stage(shown, "panic").to_string();
    assert!(failed.contains("the stage panicked: not ***"), "{failed}");
}

#[test]
fn a_panic_with_a_secret_in_its_message_tells_it_nowhere() {
    let mut cluster = Cluster::start_with(
        &[("MARQUETRY_SECRET_PASSWORD".to_owned(), PASSWORD.to_owned())],
        &[],
    );
    cluster.place.file("panics.yaml", PANICS);
    let logs = tempfile::tempdir().unwrap();
    for isolation in ["process", "thread"] {
        let log = logs.path().join(isolation);
        cluster.add_logging_worker(&["--isolation", isolation, "--name", isolation], &log);
        let run = cluster.submit("panics.yaml", &[]);
        let shown = cluster.watch(&run);
        let told = cluster.command(&["logs", &run]).output().unwrap();
        panicked(&told, &shown);
        assert_eq!(files_with(cluster.place.path(), PASSWORD), [""; 0]);
        let log = std::fs::read_to_string(&log).unwrap();
        assert!(
            log.contains("a stage panicked") && !log.contains(PASSWORD),
            "{log}"
        );
        cluster.drop_workers();
    }
}

#[test]
fn a_panic_in_one_process_tells_no_secret_either() {
    let place = marquetry_tests::Place::new();
    place.file("panics.yaml", PANICS);
    let mut run: Command = place.command(&["run", "panics.yaml"]);
    run.env("MARQUETRY_PROBES", "1");
    run.env("MARQUETRY_SECRET_PASSWORD", PASSWORD);
    let ended = run.output().unwrap();
    assert!(!ended.status.success(), "{}", said(&ended));
    let asked = |arguments: &[&str]| place.command(arguments).output().unwrap();
    let shown = asked(&["show", "latest", "--output", "json"]);
    let logs = asked(&["logs", "latest"]);
    panicked(&logs, &serde_json::from_slice(&shown.stdout).unwrap());
    assert!(
        all_of(&ended).contains("a stage panicked"),
        "{}",
        said(&ended)
    );
    assert!(!all_of(&ended).contains(PASSWORD), "{}", said(&ended));
    assert_eq!(files_with(place.path(), PASSWORD), [""; 0]);
}

#[test]
fn a_missing_secret_is_told_and_another_worker_may_have_it() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("told.yaml", TOLD);
    cluster.add_worker(&["--name", "bare"]);
    let run = cluster.submit("told.yaml", &[]);
    cluster.wait_for_stage(&run, "tell", "retrying");
    let shown = stage(&cluster.show(&run), "tell").to_string();
    let why = "cannot give secret `TOKEN`: it has none";
    assert!(shown.contains(why), "{shown}");
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("TOKEN"), TOKEN).unwrap();
    cluster.add_worker(&["--secrets-dir", secrets.path().to_str().unwrap()]);
    cluster.wait_for_stage(&run, "tell", "succeeded");
}

#[test]
fn one_process_reads_secrets_from_its_environment() {
    let place = marquetry_tests::Place::new();
    place.file("told.yaml", TOLD);
    let mut run: Command = place.command(&["run", "told.yaml"]);
    run.env("MARQUETRY_PROBES", "1");
    run.env("MARQUETRY_SECRET_TOKEN", TOKEN);
    run.env("MARQUETRY_SECRET_PASSWORD", PASSWORD);
    let ended = run.output().unwrap();
    assert!(!ended.status.success(), "{}", said(&ended));
    let show = place
        .command(&["show", "latest", "--output", "json"])
        .output()
        .unwrap();
    told_everything(&serde_json::from_slice(&show.stdout).unwrap());
    for value in [TOKEN, PASSWORD] {
        assert!(!all_of(&ended).contains(value), "{}", said(&ended));
        assert_eq!(files_with(place.path(), value), [""; 0]);
    }
}
