//! compose.yaml: services that the program runs in, and those that it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::findings::Findings;
use crate::process::{Process, is_pinned, port_of, seconds};
use crate::program::Program;
use crate::yaml::{documents, entries, scalar, text, texts};

const FILE: &str = "compose.yaml";
/// Where a secret is mounted.
const SECRETS: &str = "/run/secrets/";

pub(crate) fn check(deploy: &Path, program: &Program, findings: &mut Findings) {
    let documents = documents(deploy, FILE, findings);
    let Some(compose) = documents.first() else {
        return;
    };
    check_secrets(compose, findings);
    check_volumes(compose, findings);
    let mut processes = Vec::new();
    for (name, service) in entries(compose, "/services") {
        check_service(name, service, compose, findings);
        let image = text(service, "/image").unwrap_or_default();
        if image.contains("/marquetry:") {
            processes.push(process(name, service));
        } else {
            check_neighbour(name, service, findings);
        }
    }
    let seats: Vec<_> = processes
        .iter()
        .filter_map(|process| process.check(program, findings))
        .collect();
    for process in &processes {
        process.check_coordinators(&seats, true, findings);
    }
}

/// A service of ours as a process.
fn process(name: &str, service: &Value) -> Process {
    let probe = texts(service, "/healthcheck/test");
    let probes = match probe.split_first() {
        Some((kind, words)) if kind == "CMD" => vec![words.to_vec()],
        Some(_) => vec![probe],
        None => Vec::new(),
    };
    let mounted = texts(service, "/secrets");
    Process {
        file: FILE.to_owned(),
        name: name.to_owned(),
        command: texts(service, "/command"),
        probes,
        variables: environment(service),
        files: mounted
            .iter()
            .map(|name| format!("{SECRETS}{name}"))
            .collect(),
        grace: text(service, "/stop_grace_period")
            .as_deref()
            .and_then(seconds),
        memory: None,
    }
}

fn environment(service: &Value) -> BTreeMap<String, String> {
    entries(service, "/environment")
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), scalar(value)?)))
        .collect()
}

/// What must hold for any service.
fn check_service(name: &str, service: &Value, compose: &Value, findings: &mut Findings) {
    let image = text(service, "/image").unwrap_or_default();
    findings.expect(is_pinned(&image), FILE, || {
        format!("{name}: `{image}` is not pinned to a version")
    });
    findings.expect(service.get("restart").is_some(), FILE, || {
        format!("{name}: it is not said whether it is started again")
    });
    for file in texts(service, "/env_file") {
        findings.expect(file.starts_with("secrets/"), FILE, || {
            format!("{name}: `{file}` lies outside of secrets/")
        });
    }
    let mounted = texts(service, "/secrets");
    for (variable, value) in environment(service) {
        if let Some(secret) = value.strip_prefix(SECRETS) {
            findings.expect(mounted.iter().any(|it| it == secret), FILE, || {
                format!("{name}: `{value}` is not mounted, and {variable} names it")
            });
        }
        if variable == "AWS_ENDPOINT" {
            check_endpoint(name, &value, compose, findings);
        }
    }
    for (needed, condition) in entries(service, "/depends_on") {
        let other = compose.pointer(&format!("/services/{needed}"));
        let is_checked = other.is_some_and(|other| other.get("healthcheck").is_some());
        let waits = text(condition, "/condition").is_some_and(|it| it == "service_healthy");
        findings.expect(other.is_some() && (is_checked || !waits), FILE, || {
            format!("{name}: waits for `{needed}`, which is not there or has no health check")
        });
    }
}

/// A service of others says whether it is well, of a port that it has.
fn check_neighbour(name: &str, service: &Value, findings: &mut Findings) {
    let probe = texts(service, "/healthcheck/test");
    findings.expect(!probe.is_empty(), FILE, || {
        format!("{name}: it has no health check")
    });
    for port in probe
        .iter()
        .filter(|it| it.contains("://"))
        .filter_map(|it| port_of(it))
    {
        findings.expect(listens(service, port), FILE, || {
            format!("{name}: its health check asks port {port}")
        });
    }
}

fn listens(service: &Value, port: u16) -> bool {
    let listen = format!(":{port}");
    texts(service, "/command")
        .iter()
        .any(|word| word.ends_with(&listen))
}

/// The lake's endpoint is a service that listens there.
fn check_endpoint(name: &str, endpoint: &str, compose: &Value, findings: &mut Findings) {
    let authority = endpoint.split_once("://").map_or("", |(_, rest)| rest);
    let host = authority.split(':').next().unwrap_or_default();
    let port = port_of(endpoint).unwrap_or_default();
    let server = compose.pointer(&format!("/services/{host}"));
    findings.expect(server.is_some_and(|it| listens(it, port)), FILE, || {
        format!("{name}: `{host}` does not listen on {port}")
    });
}

/// Secrets are declared, used, and in the folder that git ignores.
fn check_secrets(compose: &Value, findings: &mut Findings) {
    let declared = entries(compose, "/secrets");
    for (name, secret) in &declared {
        let file = text(secret, "/file").unwrap_or_default();
        findings.expect(file.starts_with("secrets/"), FILE, || {
            format!("the secret `{name}` lies outside of secrets/")
        });
    }
    let declared: BTreeSet<String> = declared
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let mut used = BTreeSet::new();
    for (name, service) in entries(compose, "/services") {
        for secret in texts(service, "/secrets") {
            findings.expect(declared.contains(&secret), FILE, || {
                format!("{name}: the secret `{secret}` is not declared")
            });
            used.insert(secret);
        }
    }
    for secret in declared.difference(&used) {
        findings.add(FILE, format!("nothing uses the secret `{secret}`"));
    }
}

/// Named volumes are declared.
fn check_volumes(compose: &Value, findings: &mut Findings) {
    let declared: Vec<&str> = entries(compose, "/volumes").iter().map(|it| it.0).collect();
    for (name, service) in entries(compose, "/services") {
        for volume in texts(service, "/volumes") {
            let source = volume.split(':').next().unwrap_or_default();
            let is_path = source.starts_with(['.', '/']);
            findings.expect(is_path || declared.contains(&source), FILE, || {
                format!("{name}: the volume `{source}` is not declared")
            });
        }
    }
}
