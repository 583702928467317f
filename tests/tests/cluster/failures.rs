//! Bad input and failures: each gives a state and a message that says what to do, in `show` and in the gRPC
//! status, and nothing hangs without saying why.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use marquetry_proto::v1;
use marquetry_proto::v1::attach_request::Message as ToCoordinator;
use marquetry_proto::v1::run_service_client::RunServiceClient;
use marquetry_proto::v1::worker_service_client::WorkerServiceClient;
use marquetry_tests::{Cluster, eventually, lives, said, send};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const NOTHING: &str = "
marquetry: v1
name: nothing
params: { text: { type: string, default: none } }
stages: { nothing: { uses: probe/nothing, with: {} } }
";
const SLEEPS: &str = "
marquetry: v1
name: sleeps
stages: { sleep: { uses: probe/sleep, with: { milliseconds: 1000 } } }
";
/// What takes longer has hung.
const PROMPT: Duration = Duration::from_secs(5);

fn cluster() -> Cluster {
    let cluster = Cluster::start(&[]);
    cluster.place.file("nothing.yaml", NOTHING);
    cluster.place.file("sleeps.yaml", SLEEPS);
    cluster
}

fn submission(yaml: &str) -> v1::SubmitRunRequest {
    v1::SubmitRunRequest {
        bundle: Some(v1::WorkflowBundle {
            entry: "w.yaml".to_owned(),
            files: [("w.yaml".to_owned(), yaml.to_owned())].into(),
        }),
        ..v1::SubmitRunRequest::default()
    }
}

/// What a client of any language is told, which must be soon.
fn submitted(url: &str, request: v1::SubmitRunRequest) -> Result<String, Status> {
    let start = Instant::now();
    let answer = Runtime::new().unwrap().block_on(async {
        let runs = RunServiceClient::connect(url.to_owned()).await.unwrap();
        runs.max_encoding_message_size(usize::MAX)
            .submit_run(request)
            .await
    });
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    answer.map(|it| it.into_inner().run_id)
}

/// The code and the message of a refusal, whose details must say the same.
fn refused(status: &Status, code: Code) -> (String, String) {
    assert_eq!(status.code(), code, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, "marquetry.v1");
    (info.reason, status.message().to_owned())
}

/// A program that must end by itself.
fn ended(mut command: Command) -> Output {
    let mut process = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("it ends", || process.try_wait().unwrap().is_some());
    process.wait_with_output().unwrap()
}

#[test]
fn a_stage_kind_that_nobody_knows_is_refused_with_what_was_meant() {
    let cluster = cluster();
    let yaml = NOTHING.replace("probe/nothing", "probe/nothng");
    let status = submitted(cluster.url(0), submission(&yaml)).unwrap_err();
    let (code, message) = refused(&status, Code::InvalidArgument);
    assert_eq!(code, "MQ0109");
    assert!(message.contains("w.yaml:5:"), "{message}");
    assert!(message.contains("probe/nothing"), "{message}");
}

#[test]
fn a_stage_waits_for_a_worker_of_its_version_and_says_so() {
    let mut cluster = cluster();
    let url = cluster.url(0).to_owned();
    let runtime = Runtime::new().unwrap();
    let hello = v1::Hello {
        worker_id: "old".to_owned(),
        slots: 1,
        kinds: vec![v1::SupportedKind {
            kind: "probe/nothing".to_owned(),
            version: 0,
        }],
        version: "0.0.1".to_owned(),
        ..v1::Hello::default()
    };
    let (sender, messages) = tokio::sync::mpsc::channel(1);
    let _stream = runtime.block_on(async {
        let message = Some(ToCoordinator::Hello(hello));
        sender.send(v1::AttachRequest { message }).await.unwrap();
        let mut workers = WorkerServiceClient::connect(url).await.unwrap();
        workers.attach(ReceiverStream::new(messages)).await.unwrap()
    });
    let run = cluster.submit("nothing.yaml", &[]);
    let expected =
        "a worker: none has version 1 of `probe/nothing` or a later one: upgrade the workers";
    eventually("it says so", || {
        let shown = cluster.show(&run);
        assert_eq!(shown["status"], "running", "{shown:#}");
        shown["stages"][0]["waiting_for"] == expected
    });
    cluster.add_worker(&[]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
}

#[test]
fn a_host_that_never_answers_is_killed_at_the_stages_timeout() {
    let mut cluster = cluster();
    let impatient = SLEEPS.replace(
        "milliseconds: 1000 }",
        "milliseconds: 600000 }, timeout: 2s, retry: { attempts: 1 }",
    );
    cluster.place.file("impatient.yaml", &impatient);
    cluster.add_worker(&["--slots", "1", "--cancel-patience", "0"]);
    let run = cluster.submit("impatient.yaml", &[]);
    cluster.wait_for_stage(&run, "sleep", "running");
    let hosts = cluster.hosts_of(0);
    hosts.iter().for_each(|host| send(*host, "STOP"));
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "failed", "{shown:#}");
    assert_eq!(shown["error"]["code"], "MQ0801", "{shown:#}");
    assert!(
        shown["error"]["help"]
            .as_str()
            .unwrap()
            .contains("`timeout`")
    );
    eventually("it is gone", || !hosts.iter().any(|host| lives(*host)));
    let shown = cluster.watch(&cluster.submit("nothing.yaml", &[]));
    assert_eq!(shown["status"], "succeeded", "the worker lives: {shown:#}");
}

#[test]
fn a_second_server_on_a_sqlite_file_is_told_who_has_it() {
    let cluster = cluster();
    let second = ended(cluster.command(&["server", "--listen", "127.0.0.1:0"]));
    assert!(!second.status.success(), "{}", said(&second));
    let holder = format!("in use by process {}", cluster.server_id(0));
    for part in ["MQ0603", &holder, "use another data folder"] {
        assert!(said(&second).contains(part), "{}", said(&second));
    }
    assert!(lives(cluster.server_id(0)));
}

/// Moves what was written beside the file into it.
fn checkpoint(file: &Path) {
    let database = rusqlite::Connection::open(file).unwrap();
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    database.query_row(checkpoint, [], |_| Ok(())).unwrap();
}

#[test]
fn a_damaged_page_of_the_journal_is_named_and_costs_no_more_than_it_holds() {
    let mut cluster = cluster();
    cluster.add_worker(&[]);
    let sound = cluster.submit("nothing.yaml", &["--set", "text=sound"]);
    let spoilt = cluster.submit("nothing.yaml", &["--set", "text=a-text-of-one-run-only"]);
    for run in [&sound, &spoilt] {
        assert_eq!(cluster.watch(run)["status"], "succeeded");
    }
    cluster.stop_server(0);
    let file = cluster.place.path().join("marquetry-data/journal.db");
    checkpoint(&file);
    let whole = std::fs::read(&file).unwrap();

    // Within what was written of one run.
    let mut damaged = whole.clone();
    let wanted = b"a-text-of-one-run-only";
    let places: Vec<usize> = (0..whole.len() - wanted.len())
        .filter(|&at| whole[at..].starts_with(wanted))
        .collect();
    assert!(!places.is_empty(), "it is in the file");
    for place in places {
        damaged[place] ^= 0x20;
    }
    std::fs::write(&file, &damaged).unwrap();
    cluster.restart_server(0);
    assert_eq!(cluster.show(&sound)["status"], "succeeded");
    let shown = cluster.command(&["show", &spoilt]).output().unwrap();
    assert_eq!(shown.status.code(), Some(3), "{}", said(&shown));
    for part in ["MQ0602", &spoilt, "restore the journal from a backup"] {
        assert!(said(&shown).contains(part), "{}", said(&shown));
    }
    let next = cluster.watch(&cluster.submit("nothing.yaml", &[]));
    assert_eq!(next["status"], "succeeded", "{next:#}");
    cluster.stop_server(0);
    checkpoint(&file);

    // Where SQLite keeps what tables there are.
    let mut damaged = std::fs::read(&file).unwrap();
    damaged[100..600].fill(0xa5);
    std::fs::write(&file, &damaged).unwrap();
    let refused = ended(cluster.command(&["server", "--listen", "127.0.0.1:0"]));
    assert!(!refused.status.success(), "{}", said(&refused));
    let file = file.display().to_string();
    for part in [
        "MQ0602",
        &file,
        "is damaged",
        "restore the journal from a backup",
    ] {
        assert!(said(&refused).contains(part), "{}", said(&refused));
    }
    let logs = format!("{}{}", cluster.logs(), said(&refused));
    assert!(!logs.contains("panicked"), "{logs}");
}

#[test]
fn clients_that_go_away_in_the_middle_of_a_stream_leave_nothing_behind() {
    let mut cluster = cluster();
    let run = cluster.submit("sleeps.yaml", &[]);
    let server = cluster.server_id(0);
    let files = || {
        std::fs::read_dir(format!("/proc/{server}/fd"))
            .unwrap()
            .count()
    };
    let before = files();
    let url = cluster.url(0).to_owned();
    let runtime = Runtime::new().unwrap();
    let watching = runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..50 {
            let mut runs = RunServiceClient::connect(url.clone()).await.unwrap();
            let run_id = run.clone();
            let watched = runs.watch_run(v1::WatchRunRequest { run_id }).await;
            let mut events = watched.unwrap().into_inner();
            assert!(events.message().await.unwrap().is_some());
            streams.push((runs, events));
        }
        streams
    });
    assert!(files() >= before + 50, "they are connected");
    // Without a word to the streams, as when the process dies.
    drop(watching);
    drop(runtime);
    eventually("their connections are gone", || files() <= before + 5);
    cluster.add_worker(&[]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
}

#[test]
fn a_request_of_ten_megabytes_is_taken_and_a_larger_one_refused() {
    let mut cluster = cluster();
    cluster.add_worker(&[]);
    let with_file = |bytes: usize| {
        let mut request = submission(NOTHING);
        let files = &mut request.bundle.as_mut().unwrap().files;
        files.insert("unnamed.sql".to_owned(), "x".repeat(bytes));
        request
    };
    // What the workflow does not name is not kept.
    let run = submitted(cluster.url(0), with_file(10_000_000)).unwrap();
    assert_eq!(cluster.watch(&run)["status"], "succeeded");
    let status = submitted(cluster.url(0), with_file(17_000_000)).unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    assert!(status.message().contains("16777216"), "{status:?}");

    let mut request = submission(NOTHING);
    let text = marquetry_proto::to_prost_value(&Value::String("x".repeat(10_000_000)));
    request.params.insert("text".to_owned(), text);
    let status = submitted(cluster.url(0), request).unwrap_err();
    let (code, message) = refused(&status, Code::InvalidArgument);
    assert_eq!(code, "MQ0303");
    assert!(message.contains("`text` most of it"), "{message}");
    let shown = cluster.watch(&cluster.submit("nothing.yaml", &[]));
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
}

#[test]
fn a_file_of_a_hundred_thousand_stages_is_answered_in_seconds() {
    let cluster = cluster();
    let mut yaml = "marquetry: v1\nname: many\nstages:\n".to_owned();
    for stage in 0..100_000 {
        writeln!(yaml, "  s{stage}: {{ uses: probe/nothing, with: {{}} }}").unwrap();
    }
    let status = submitted(cluster.url(0), submission(&yaml)).unwrap_err();
    let (code, message) = refused(&status, Code::InvalidArgument);
    assert_eq!(code, "MQ0102");
    assert!(
        message.contains("a workflow file may have 1 MB"),
        "{message}"
    );
    cluster.place.file("many.yaml", &yaml);
    let start = Instant::now();
    let submitted = cluster.command(&["submit", "many.yaml"]).output().unwrap();
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    assert_eq!(submitted.status.code(), Some(2), "{}", said(&submitted));
    assert!(said(&submitted).contains("MQ0102"), "{}", said(&submitted));
}
