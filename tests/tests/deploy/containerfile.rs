//! The Containerfile: where it starts from, what it copies, who runs, and what it exposes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use marquetry_tests::repository;

use crate::findings::Findings;
use crate::process::{is_pinned, port_of};
use crate::program::Program;

const FILE: &str = "Containerfile";
const IGNORE: &str = "Containerfile.dockerignore";

/// Checks it; returns the number of the image's user.
pub(crate) fn check(deploy: &Path, program: &Program, findings: &mut Findings) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(deploy.join(file)).unwrap_or_default();
    let instructions = instructions(&read(FILE));
    let sources = check_copies(&instructions, findings);
    let kept = read(IGNORE);
    for source in sources {
        let is_kept = kept
            .lines()
            .any(|line| line.strip_prefix('!') == Some(&source));
        findings.expect(is_kept, IGNORE, || {
            format!("leaves out `{source}`, which is copied")
        });
    }
    for (_, image) in instructions.iter().filter(|(name, _)| name == "FROM") {
        let image = image.split(' ').next().unwrap_or_default();
        findings.expect(is_pinned(image), FILE, || {
            format!("`{image}` is not pinned to a version")
        });
        check_compiler(image, findings);
    }
    let last = instructions.iter().rposition(|(name, _)| name == "FROM");
    let last_stage = &instructions[last.unwrap_or_default()..];
    let value = |name: &str| {
        let found = last_stage
            .iter()
            .rfind(|(instruction, _)| instruction == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let entry = value("ENTRYPOINT");
    findings.expect(entry == r#"["marquetry"]"#, FILE, || {
        format!("the entry point is not `marquetry` alone: {entry}")
    });
    let version = format!("VERSION={}", program.version);
    let is_this = last_stage
        .iter()
        .any(|it| *it == ("ARG".to_owned(), version.clone()));
    findings.expect(is_this, FILE, || {
        format!("the program is of version {}", program.version)
    });
    check_environment(last_stage, program, findings);
    let user: Option<u64> = value("USER")
        .split(':')
        .next()
        .and_then(|it| it.parse().ok());
    let user = user.filter(|&number| number > 0);
    findings.expect(user.is_some(), FILE, || {
        format!("USER {} is not a number above 0", value("USER"))
    });
    user
}

/// Instructions and what follows them, lines put together and comments left out.
fn instructions(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = String::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(part) = line.strip_suffix('\\') {
            open.push_str(part);
            continue;
        }
        open.push_str(line);
        let (name, value) = open.split_once(' ').unwrap_or((&open, ""));
        found.push((name.to_owned(), value.trim().to_owned()));
        open.clear();
    }
    found
}

/// What is copied out of the repository is there. Returns it.
fn check_copies(instructions: &[(String, String)], findings: &mut Findings) -> Vec<String> {
    let copies = instructions
        .iter()
        .filter(|(name, value)| name == "COPY" && !value.starts_with("--from"));
    let mut sources = Vec::new();
    for (_, value) in copies {
        let words: Vec<&str> = value.split(' ').collect();
        for source in words.iter().take(words.len().saturating_sub(1)) {
            let is_there = repository().join(source).exists();
            findings.expect(is_there, FILE, || format!("there is no `{source}` to copy"));
            sources.push((*source).to_owned());
        }
    }
    sources
}

/// The image of the compiler is as new as the workspace needs.
fn check_compiler(image: &str, findings: &mut Findings) {
    let Some((name, tag)) = image.rsplit_once(':') else {
        return;
    };
    if !name.ends_with("/rust") {
        return;
    }
    let minor = |version: &str| -> Option<u32> { version.split('.').nth(1)?.parse().ok() };
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap_or_default();
    let needed = manifest
        .split_once("rust-version = \"")
        .and_then(|(_, rest)| minor(rest.split('"').next()?));
    findings.expect(minor(tag) >= needed, FILE, || {
        format!(
            "`{image}` is older than the workspace needs: 1.{}",
            needed.unwrap_or_default()
        )
    });
}

/// Variables that the program knows, and the port that a server takes where it is told nothing.
fn check_environment(stage: &[(String, String)], program: &Program, findings: &mut Findings) {
    let mut variables = BTreeMap::new();
    for (_, value) in stage.iter().filter(|(name, _)| name == "ENV") {
        let pairs = value.split_whitespace().filter_map(|it| it.split_once('='));
        variables.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    for name in variables
        .keys()
        .filter(|name| name.starts_with("MARQUETRY_"))
    {
        findings.expect(program.knows(name), FILE, || {
            format!("the program knows no {name}")
        });
    }
    let listen = match program.call(&["server".to_owned()]) {
        Ok(call) => call.setting("--listen", &variables),
        Err(message) => {
            findings.add(FILE, message);
            return;
        }
    };
    let port = listen.as_deref().and_then(port_of).unwrap_or_default();
    for (_, exposed) in stage.iter().filter(|(name, _)| name == "EXPOSE") {
        findings.expect(*exposed == port.to_string(), FILE, || {
            format!("EXPOSE {exposed}, and the server listens on {port}")
        });
    }
}
