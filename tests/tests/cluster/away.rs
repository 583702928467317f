//! What a server waits for at its start, and what it does not wait for.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use marquetry_journal::testing::PostgresServer;
use marquetry_tests::{Place, eventually, said, send};

const ONE: &str = "
marquetry: v1
name: one
stages:
  only: { uses: probe/nothing, with: {} }
";

/// A port of this machine that nobody has at the moment.
fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

/// A process that is killed with the value.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server on such a port, and its URL.
fn server(place: &Place, journal: &str) -> (Killed, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let log = std::fs::File::create(place.path().join("server.log")).unwrap();
    let server = place
        .command(&["server", "--listen", &address, "--output", "json"])
        .env("MARQUETRY_JOURNAL", journal)
        .env("MARQUETRY_PROBES", "1")
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn();
    (Killed(server.unwrap()), format!("http://{address}"))
}

fn log(place: &Place) -> String {
    std::fs::read_to_string(place.path().join("server.log")).unwrap()
}

#[test]
fn a_server_waits_for_its_database_and_says_so() {
    let Some(mut postgres) = PostgresServer::start() else {
        return;
    };
    let journal = postgres.new_journal();
    postgres.kill();
    let place = Place::with_environment(&[("MARQUETRY_PROBES".to_owned(), "1".to_owned())]);
    let secret = journal.replace("marquetry@", "marquetry:hush-hush@");
    let (mut server, url) = server(&place, &secret);
    eventually("it says for what it waits", || {
        log(&place).contains("this server waits for its journal")
    });
    let waits = log(&place);
    assert!(waits.contains(&journal), "where: {waits}");
    assert!(!waits.contains("hush-hush"), "{waits}");
    // It lives, does not lead, and refuses what it cannot do with the reason.
    let command = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("MARQUETRY_COORDINATOR", &url);
        command
    };
    let alive = command(&["health"]).output().unwrap();
    assert_eq!(alive.status.code(), Some(0), "{}", said(&alive));
    let leads = command(&["health", "--leads"]).output().unwrap();
    assert_eq!(leads.status.code(), Some(1), "{}", said(&leads));
    // Who submits meanwhile, and a worker, wait with it.
    place.file("one.yaml", ONE);
    let mut submitting = Killed(
        command(&["submit", "one.yaml", "--request-id", "early", "--wait"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let _worker = Killed(command(&["worker"]).spawn().unwrap());
    assert!(server.0.try_wait().unwrap().is_none(), "{}", log(&place));
    postgres.restart();
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let announced = lines.any(|line| line.unwrap().contains(&url));
    assert!(announced, "{}", log(&place));
    let mut submitted = None;
    eventually("the run that was submitted meanwhile ends", || {
        submitted = submitting.0.try_wait().unwrap();
        submitted.is_some()
    });
    assert!(submitted.unwrap().success());
    let leads = command(&["health", "--leads"]).output().unwrap();
    assert_eq!(leads.status.code(), Some(0), "{}", said(&leads));
}

#[test]
fn a_server_that_waits_stops_when_it_is_told() {
    let place = Place::new();
    let journal = format!("postgres://me@127.0.0.1:{}/none", free_port());
    let (mut server, _) = server(&place, &journal);
    eventually("it waits", || log(&place).contains("waits for its journal"));
    let told = Instant::now();
    send(server.0.id(), "TERM");
    let mut status = None;
    eventually("it stops", || {
        status = server.0.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success(), "{}", log(&place));
    assert!(
        told.elapsed() < Duration::from_secs(5),
        "{:?}",
        told.elapsed()
    );
}

#[test]
fn what_does_not_pass_is_not_waited_for() {
    let Some(postgres) = PostgresServer::start() else {
        return;
    };
    let place = Place::new();
    let refused = |journal: &str| {
        let output = place
            .command(&["server", "--listen", "127.0.0.1:0"])
            .env("MARQUETRY_JOURNAL", journal)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{journal}");
        said(&output)
    };
    let nowhere = refused(&postgres.url().replace("/postgres", "/nowhere"));
    assert!(nowhere.contains("\"nowhere\" does not exist"), "{nowhere}");
    let nobody = refused(&postgres.url().replace("marquetry@", "nobody:wrong@"));
    assert!(
        nobody.contains("role \"nobody\" does not exist"),
        "{nobody}"
    );
}
