//! `marquetry doctor` and the ports that servers and workers need.

use std::net::TcpListener;

use marquetry_tests::{Cluster, said};
use serde_json::Value;

/// What the doctor finds for a check, and its exit code.
fn found(cluster: &Cluster, check: &str, more: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["doctor", "--output", "json"][..], more].concat();
    let output = cluster.command(&arguments).output().unwrap();
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        let said = said(&output);
        Value::from(said)
    });
    let all = findings.as_array().unwrap();
    let finding = all.iter().rfind(|it| it["check"] == check).unwrap();
    (output.status.code(), finding.clone())
}

#[test]
fn the_doctor_says_who_has_a_port_and_what_to_do() {
    let cluster = Cluster::start(&[]);
    let served = cluster.url(0).split_once("://").unwrap().1.to_owned();
    let (code, ours) = found(&cluster, "listen", &["--listen", &served]);
    let seen = ours["seen"].as_str().unwrap();
    assert_eq!(
        (code, &ours["state"]),
        (Some(0), &Value::from("good")),
        "{ours}"
    );
    assert!(seen.contains("a marquetry server listens on"), "{seen}");
    assert!(
        seen.contains(&format!("process {}", cluster.server_id(0))),
        "{seen}"
    );

    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = stranger.local_addr().unwrap().to_string();
    for (check, option) in [
        ("listen", "--listen"),
        ("metrics", "--metrics"),
        ("data_plane", "--data-plane"),
    ] {
        let (code, theirs) = found(&cluster, check, &[option, &taken]);
        assert_eq!(
            (code, &theirs["state"]),
            (Some(1), &Value::from("bad")),
            "{theirs}"
        );
        let seen = theirs["seen"].as_str().unwrap();
        assert!(
            seen.contains(&format!("held by process {}", std::process::id())),
            "{seen}"
        );
        assert!(
            theirs["advice"].as_str().unwrap().contains(option),
            "{theirs}"
        );
    }
    drop(stranger);
    let (code, free) = found(&cluster, "metrics", &["--metrics", &taken]);
    assert_eq!(
        (code, &free["state"]),
        (Some(0), &Value::from("good")),
        "{free}"
    );
    let twice = ["--listen", taken.as_str(), "--metrics", taken.as_str()];
    let (code, twice) = found(&cluster, "metrics", &twice);
    assert_eq!(code, Some(1));
    assert!(
        twice["seen"].as_str().unwrap().contains("wanted twice"),
        "{twice}"
    );
}

#[test]
fn the_doctor_knows_what_is_no_address_of_this_machine() {
    let cluster = Cluster::start(&[]);
    for (address, expected) in [
        // RFC 5737 keeps it for documentation: nobody has it.
        ("192.0.2.1:7070", "is no address of this machine"),
        ("7070", "is no address"),
    ] {
        let (code, finding) = found(&cluster, "listen", &["--listen", address]);
        assert_eq!(
            (code, &finding["state"]),
            (Some(1), &Value::from("bad")),
            "{finding}"
        );
        assert!(
            finding["seen"].as_str().unwrap().contains(expected),
            "{finding}"
        );
    }
}
