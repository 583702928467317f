//! What README.md tells people to type, and every variable that any file names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use object_store::aws::AmazonS3ConfigKey;

use crate::findings::Findings;
use crate::program::{PREFIX, Program, names};
use crate::yaml::{documents, entries, text};

const FILE: &str = "README.md";
/// Words after which a command line of the program follows; `client` is an alias that the text defines.
const NAMES: &[&str] = &["marquetry", "client"];

pub(crate) fn check(deploy: &Path, program: &Program, findings: &mut Findings) {
    for file in crate::files(deploy) {
        let text = fs::read_to_string(deploy.join(&file)).unwrap_or_default();
        for name in names(&text, PREFIX) {
            findings.expect(program.knows(&name), &file, || {
                format!("the program knows no {name}")
            });
        }
        for name in names(&text, "AWS_") {
            let is_known = AmazonS3ConfigKey::from_str(&name.to_ascii_lowercase()).is_ok();
            findings.expect(is_known, &file, || {
                format!("the lake's store knows no {name}")
            });
        }
        for rest in text.split("localhost/marquetry:").skip(1) {
            let tag: String = rest
                .chars()
                .take_while(|c| c.is_ascii_digit() || *c == '.')
                .collect();
            findings.expect(tag.trim_end_matches('.') == program.version, &file, || {
                format!(
                    "an image is {tag}, and the program is of version {}",
                    program.version
                )
            });
        }
    }
    let prose = fs::read_to_string(deploy.join(FILE)).unwrap_or_default();
    for line in typed(&prose) {
        for words in calls(line) {
            if let Err(message) = program.call(&words) {
                findings.add(FILE, message);
            }
        }
    }
    check_made(deploy, &prose, findings);
}

/// The lines of fenced code.
fn typed(prose: &str) -> Vec<&str> {
    let mut is_code = false;
    prose
        .lines()
        .filter(|line| {
            let is_fence = line.starts_with("```");
            is_code ^= is_fence;
            is_code && !is_fence
        })
        .collect()
}

/// The command lines of the program in a line of shell.
fn calls(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" #").next().unwrap_or_default();
    let mut found = Vec::new();
    for part in line.split(['|', ';', '>', '(', ')']) {
        let words: Vec<String> = part
            .split_whitespace()
            .map(|word| word.trim_matches('\'').to_owned())
            .collect();
        match words.split_first() {
            Some((first, rest)) if NAMES.contains(&first.as_str()) => found.push(rest.to_vec()),
            _ => {}
        }
    }
    found
}

/// Every file that compose.yaml takes from secrets/, and every secret of the example, is made in what people type.
fn check_made(deploy: &Path, prose: &str, findings: &mut Findings) {
    let typed = typed(prose);
    let words: BTreeSet<&str> = typed
        .iter()
        .flat_map(|line| line.split_whitespace())
        .map(|word| word.trim_matches([';', '"', '\'']))
        .collect();
    let mut ignored = Findings::default();
    // Told where they are checked themselves.
    let compose = documents(deploy, "compose.yaml", &mut ignored);
    for (_, secret) in compose.iter().flat_map(|it| entries(it, "/secrets")) {
        let path = text(secret, "/file").unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        // The tokens of all roles are made by one line.
        let made = match name.strip_suffix(".token") {
            Some(role) => words.contains("$role.token") && words.contains(role),
            None => words.contains(name),
        };
        findings.expect(made, FILE, || format!("makes no `{name}`"));
    }
    let examples = documents(deploy, "kubernetes/secrets.example.yaml", &mut ignored);
    for secret in &examples {
        let name = text(secret, "/metadata/name").unwrap_or_default();
        findings.expect(words.contains(name.as_str()), FILE, || {
            format!("makes no secret `{name}`")
        });
    }
}
