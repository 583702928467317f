//! No file in `deploy/` holds a secret, nor something that looks like one and would be taken over as it is.

use std::fs;
use std::path::Path;

use crate::findings::Findings;

/// Variables and keys with one of these in their names hold a secret, unless they name the file that does.
const TELLING: &[&str] = &["PASSWORD", "SECRET", "ACCESS_KEY", "MARQUETRY_TOKEN"];
/// Digits of a token, of which there are 64, that nobody writes by chance.
const DIGITS: usize = 16;

pub(crate) fn check(deploy: &Path, findings: &mut Findings) {
    for file in crate::files(deploy) {
        let text = fs::read_to_string(deploy.join(&file)).unwrap_or_default();
        for (number, line) in (1..).zip(text.lines()) {
            if holds_token(line) {
                findings.add(&file, format!("a token stands in line {number}"));
            }
            if line.contains("PRIVATE KEY-----") {
                findings.add(&file, format!("a key stands in line {number}"));
            }
            if holds_password(line) {
                findings.add(
                    &file,
                    format!("a URL with a password stands in line {number}"),
                );
            }
            for name in given(line) {
                findings.add(&file, format!("a value for {name} stands in line {number}"));
            }
        }
    }
}

fn holds_token(line: &str) -> bool {
    line.split("mq_").skip(1).any(|rest| {
        let digits = rest.chars().take_while(char::is_ascii_hexdigit);
        digits.count() >= DIGITS
    })
}

/// Whether a URL has a password that is neither a shell's variable nor a word for people in capitals.
fn holds_password(line: &str) -> bool {
    line.split("://").skip(1).any(|rest| {
        let authority = rest
            .split(['/', '?', '"', '\'', '`'])
            .next()
            .unwrap_or_default();
        let Some((user, _)) = authority.rsplit_once('@') else {
            return false;
        };
        user.split_once(':')
            .is_some_and(|(_, password)| !stands_for_another(password))
    })
}

fn stands_for_another(value: &str) -> bool {
    let is_word = value.chars().all(|c| c.is_ascii_uppercase());
    value.is_empty() || value.starts_with('$') || is_word
}

/// The names of secrets that are given a value, as in `NAME=value` or `NAME: value`.
fn given(line: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let mut found = Vec::new();
    for (start, _) in line.match_indices(['=', ':']) {
        let before = &line[..start];
        let name = &before[before.rfind(|c: char| !is_name(c)).map_or(0, |at| at + 1)..];
        let is_telling = TELLING.iter().any(|part| name.contains(part));
        // `MARQUETRY_TOKENS` and `…_FILE` name files.
        if !is_telling || name.ends_with("_FILE") || name == "MARQUETRY_TOKENS" {
            continue;
        }
        let value = line[start + 1..].trim_start();
        let end = value
            .find(|c: char| c.is_whitespace() || c == '"')
            .unwrap_or(value.len());
        if !stands_for_another(&value[..end]) {
            found.push(name.to_owned());
        }
    }
    found
}
