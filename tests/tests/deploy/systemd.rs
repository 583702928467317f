//! The units of systemd, and the examples of the files with variables that they read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::findings::Findings;
use crate::process::{Process, SECRET, mebibytes, seconds};
use crate::program::Program;

/// What every unit must say.
const HARDENED: &[(&str, &str)] = &[
    ("NoNewPrivileges", "yes"),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("DynamicUser", "yes"),
    ("CapabilityBoundingSet", ""),
    ("KillSignal", "SIGTERM"),
    ("Restart", "on-failure"),
];
/// What the worker's must say besides: the signal is for the worker and not for its stages, and a stage that is killed
/// for its memory does not end the worker.
const OF_WORKERS: &[(&str, &str)] = &[("KillMode", "mixed"), ("OOMPolicy", "continue")];

/// Settings by section and name; a name may be repeated.
type Unit = BTreeMap<(String, String), Vec<String>>;

pub(crate) fn check(deploy: &Path, program: &Program, findings: &mut Findings) {
    let mut processes = Vec::new();
    let mut examples = Vec::new();
    for path in crate::files(&deploy.join("systemd")) {
        let file = format!("systemd/{path}");
        let text = fs::read_to_string(deploy.join(&file)).unwrap_or_default();
        if path.ends_with(".service") {
            let unit = parse(&file, &text, findings);
            let process = process(deploy, &file, &unit, findings);
            check_unit(&file, &unit, &process, findings);
            processes.push(process);
        } else {
            findings.expect(path.ends_with(".env.example"), &file, || {
                "is neither a unit nor an example".to_owned()
            });
            for name in assignments(&text)
                .keys()
                .filter(|it| it.starts_with("MARQUETRY_"))
            {
                findings.expect(program.knows(name), &file, || {
                    format!("the program knows no {name}")
                });
            }
            examples.push((file, assignments(&text)));
        }
    }
    let seats: Vec<_> = processes
        .iter()
        .filter_map(|process| process.check(program, findings))
        .collect();
    // The examples name hosts that are nobody's, so only ports are compared.
    for (file, variables) in examples {
        let named = Process {
            file,
            name: "its coordinators".to_owned(),
            variables,
            ..Process::default()
        };
        named.check_coordinators(&seats, false, findings);
    }
}

fn process(deploy: &Path, file: &str, unit: &Unit, findings: &mut Findings) -> Process {
    let mut variables = BTreeMap::new();
    for line in values(unit, "Environment") {
        let pairs = line.split_whitespace().filter_map(|it| it.split_once('='));
        variables.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    // What a file sets counts more.
    for path in values(unit, "EnvironmentFile") {
        let name = path.rsplit('/').next().unwrap_or_default();
        let example = deploy.join(format!("systemd/{name}.example"));
        match fs::read_to_string(example) {
            Ok(text) => variables.extend(assignments(&text)),
            Err(_) => findings.add(file, format!("there is no example of {name}")),
        }
    }
    let started: Vec<String> = value(unit, "ExecStart")
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let binary = started.first().map_or("", String::as_str);
    findings.expect(binary == "/usr/local/bin/marquetry", file, || {
        format!("starts `{binary}`")
    });
    let credentials = values(unit, "LoadCredential")
        .filter_map(|it| it.split(':').next())
        .map(|name| format!("%d/{name}"));
    Process {
        file: file.to_owned(),
        name: started.get(1).cloned().unwrap_or_default(),
        command: started.into_iter().skip(1).collect(),
        files: credentials.collect(),
        grace: seconds(value(unit, "TimeoutStopSec")),
        memory: mebibytes(value(unit, "MemoryMax")),
        variables,
        ..Process::default()
    }
}

fn check_unit(file: &str, unit: &Unit, process: &Process, findings: &mut Findings) {
    let of_workers = match process.name.as_str() {
        "worker" => OF_WORKERS,
        _ => &[],
    };
    for &(name, expected) in HARDENED.iter().chain(of_workers) {
        let is_so = values(unit, name).eq([expected]);
        findings.expect(is_so, file, || format!("{name} is not `{expected}`"));
    }
    for path in &process.files {
        let is_used = process.variables.values().any(|it| it == path);
        findings.expect(is_used, file, || {
            format!("nothing uses the credential `{path}`")
        });
    }
    let state = format!("/var/lib/{}", value(unit, "StateDirectory"));
    for (name, place) in [
        (
            "MARQUETRY_DATA_DIR",
            process
                .variables
                .get("MARQUETRY_DATA_DIR")
                .map(String::as_str),
        ),
        ("WorkingDirectory", Some(value(unit, "WorkingDirectory"))),
    ] {
        findings.expect(place == Some(&state), file, || {
            format!("{name} is not its state directory, {state}")
        });
    }
}

fn values<'unit>(unit: &'unit Unit, name: &str) -> impl Iterator<Item = &'unit str> {
    let key = ("Service".to_owned(), name.to_owned());
    unit.get(&key).into_iter().flatten().map(String::as_str)
}

fn value<'unit>(unit: &'unit Unit, name: &str) -> &'unit str {
    values(unit, name).last().unwrap_or_default()
}

fn parse(file: &str, text: &str, findings: &mut Findings) -> Unit {
    let mut unit = Unit::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        match line.split_once('=') {
            Some((name, value)) => {
                let key = (section.clone(), name.to_owned());
                unit.entry(key).or_default().push(value.to_owned());
            }
            None => findings.add(file, format!("`{line}` is no assignment")),
        }
    }
    unit
}

/// The variables of a file such as EnvironmentFile takes, those that are commented out too: somebody will use them.
fn assignments(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if !name.is_empty() && name.chars().all(is_name) {
            let value = if value.is_empty() { SECRET } else { value };
            found.insert(name.to_owned(), value.to_owned());
        }
    }
    found
}
