//! Secrets: a worker puts the values of those that a stage names into its options when an attempt
//! begins, and takes them out of whatever the stage says.
//!
//! Values come from files of a folder, as Kubernetes and Docker mount them, or from the environment. They
//! are read anew for each attempt, so that one that was changed needs no restart.

use std::collections::BTreeMap;
use std::path::PathBuf;

use marquetry_types::{
    Diagnostic, FailureClass, LogLine, Progress, SECRET_KEY, SecretPiece, StageFailure, WorkerId,
    codes, is_secret_name,
};
use serde_json::Value;

/// The beginning of the environment variables that hold secrets.
pub(crate) const VARIABLE: &str = "MARQUETRY_SECRET_";
/// The largest secret, in bytes.
const MAX_BYTES: u64 = 64 * 1024;
/// What is shorter than that is not taken out of texts: it would be found in every second word.
const MIN_REDACTED: usize = 4;
/// What stands where a value stood.
const STARS: &str = "***";

/// Where a worker finds secrets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets {
    folder: Option<PathBuf>,
}

impl Secrets {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// Puts the values of all secrets that the options name into them. Gives what takes them out of
    /// texts again.
    ///
    /// It reads files.
    ///
    /// # Errors
    /// A secret is missing or no text; another worker may have it.
    pub(crate) fn resolve(
        &self,
        options: &mut Value,
        worker: &WorkerId,
    ) -> Result<Redaction, StageFailure> {
        let mut values = BTreeMap::new();
        self.fill(options, &mut values)
            .map_err(|problem| problem.failure(worker))?;
        Ok(Redaction::of(values.into_values()))
    }

    fn fill(
        &self,
        value: &mut Value,
        values: &mut BTreeMap<String, String>,
    ) -> Result<(), Problem> {
        match value {
            Value::Object(fields) => match fields.get(SECRET_KEY) {
                Some(pieces) => {
                    let text = self.text(pieces, values)?;
                    *value = Value::String(text);
                    Ok(())
                }
                None => fields
                    .values_mut()
                    .try_for_each(|field| self.fill(field, values)),
            },
            Value::Array(items) => items
                .iter_mut()
                .try_for_each(|item| self.fill(item, values)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn text(
        &self,
        pieces: &Value,
        values: &mut BTreeMap<String, String>,
    ) -> Result<String, Problem> {
        let pieces: Vec<SecretPiece> = serde_json::from_value(pieces.clone())
            .map_err(|_| Problem::new("?", "its reference is malformed"))?;
        let mut text = String::new();
        for piece in pieces {
            match piece {
                SecretPiece::Text(plain) => text.push_str(&plain),
                SecretPiece::Name(name) => {
                    let known = match values.get(&name) {
                        Some(known) => known.clone(),
                        None => self.value(&name)?,
                    };
                    text.push_str(&known);
                    values.insert(name, known);
                }
            }
        }
        Ok(text)
    }

    /// The value of a secret: that of its file, or else of its variable.
    fn value(&self, name: &str) -> Result<String, Problem> {
        // A name that a coordinator of another version sends may lead elsewhere.
        if !is_secret_name(name) {
            return Err(Problem::new(name, "no secret can have that name"));
        }
        if let Some(folder) = &self.folder {
            let path = folder.join(name);
            match std::fs::metadata(&path) {
                Ok(found) if found.len() > MAX_BYTES => {
                    return Err(Problem::new(name, "its file is larger than 64 KiB"));
                }
                Ok(_) => {
                    let text = std::fs::read_to_string(&path).map_err(|error| {
                        Problem::new(name, &format!("its file cannot be read: {}", error.kind()))
                    })?;
                    return Ok(without_line_break(&text).to_owned());
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let why = format!("its file cannot be read: {}", error.kind());
                    return Err(Problem::new(name, &why));
                }
            }
        }
        match std::env::var(format!("{VARIABLE}{name}")) {
            Ok(value) => Ok(value),
            Err(std::env::VarError::NotPresent) => Err(Problem::new(name, "it has none")),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Problem::new(name, "its environment variable is no UTF-8"))
            }
        }
    }
}

/// Files that people write end with a line break.
fn without_line_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Why a secret has no value.
struct Problem {
    name: String,
    why: String,
}

impl Problem {
    fn new(name: &str, why: &str) -> Self {
        Self {
            name: name.to_owned(),
            why: why.to_owned(),
        }
    }

    fn failure(self, worker: &WorkerId) -> StageFailure {
        let Self { name, why } = self;
        let message = format!("worker `{worker}` cannot give secret `{name}`: {why}");
        let help = format!(
            "set {VARIABLE}{name} in the worker's environment, or put a file `{name}` into its `--secrets-dir`"
        );
        StageFailure {
            class: FailureClass::Transient,
            diagnostic: Diagnostic::new(codes::SECRET_MISSING, message).help(help),
        }
    }
}

/// Takes the values of secrets out of texts.
#[derive(Clone, Default)]
pub(crate) struct Redaction {
    /// The longest first: one may be a part of another.
    values: Vec<String>,
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Redaction of {} texts", self.values.len())
    }
}

impl Redaction {
    fn of(secrets: impl Iterator<Item = String>) -> Self {
        let mut values = Vec::new();
        for secret in secrets {
            // A key of many lines may be told line by line, and a text with quotes in quotes.
            values.extend(secret.lines().map(str::to_owned));
            let quoted = format!("{secret:?}");
            let quoted = quoted.strip_prefix('"').unwrap_or(&quoted);
            let quoted = quoted.strip_suffix('"').unwrap_or(quoted);
            if quoted != secret {
                values.push(quoted.to_owned());
            }
            values.push(secret);
        }
        values.retain(|value| value.chars().count() >= MIN_REDACTED);
        values.sort_by(|left, right| right.len().cmp(&left.len()).then(left.cmp(right)));
        values.dedup();
        Self { values }
    }

    fn text(&self, text: &mut String) {
        for value in &self.values {
            if text.contains(value.as_str()) {
                *text = text.replace(value.as_str(), STARS);
            }
        }
    }

    fn json(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.json(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A line of a log without secrets.
    pub(crate) fn line(&self, mut line: LogLine) -> LogLine {
        self.text(&mut line.message);
        line.fields.values_mut().for_each(|field| self.json(field));
        line
    }

    /// Progress without secrets.
    pub(crate) fn progress(&self, mut progress: Progress) -> Progress {
        self.text(&mut progress.phase);
        progress
    }

    /// A failure without secrets.
    pub(crate) fn failure(&self, mut failure: StageFailure) -> StageFailure {
        self.text(&mut failure.diagnostic.message);
        if let Some(help) = &mut failure.diagnostic.help {
            self.text(help);
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn worker() -> WorkerId {
        "w1".parse().unwrap()
    }

    fn folder() -> (tempfile::TempDir, Secrets) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("TOKEN"), "open sesame\n").unwrap();
        std::fs::write(folder.path().join("PIN"), "12").unwrap();
        std::fs::write(folder.path().join("KEY"), "first line\nsecond \"line\"\n").unwrap();
        let secrets = Secrets::new(Some(folder.path().to_owned()));
        (folder, secrets)
    }

    #[test]
    fn options_get_the_values_of_the_secrets_that_they_name() {
        let (_folder, secrets) = folder();
        let mut options = json!({
            "header": {"$secret": [{"text": "Bearer "}, {"name": "TOKEN"}]},
            "list": [{"$secret": [{"name": "PIN"}]}, "plain", 3],
        });
        secrets.resolve(&mut options, &worker()).unwrap();
        let expected = json!({"header": "Bearer open sesame", "list": ["12", "plain", 3]});
        assert_eq!(options, expected);
    }

    #[test]
    fn a_missing_secret_is_told_with_its_name_and_the_worker() {
        let (_folder, secrets) = folder();
        let mut options = json!({"x": {"$secret": [{"name": "NOWHERE"}]}});
        let failure = secrets.resolve(&mut options, &worker()).unwrap_err();
        assert_eq!(
            failure.class,
            FailureClass::Transient,
            "another worker may have it"
        );
        assert_eq!(failure.diagnostic.code, codes::SECRET_MISSING);
        assert_eq!(
            failure.diagnostic.message,
            "worker `w1` cannot give secret `NOWHERE`: it has none"
        );
    }

    #[test]
    fn a_name_leads_to_no_other_folder() {
        let (folder, _) = folder();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        let secrets = Secrets::new(Some(folder.path().join("inner")));
        let mut options = json!({"x": {"$secret": [{"name": "../TOKEN"}]}});
        assert!(secrets.resolve(&mut options, &worker()).is_err());
    }

    #[test]
    fn what_a_stage_says_is_told_without_secrets() {
        let (_folder, secrets) = folder();
        let named = ["TOKEN", "PIN", "KEY"].map(|name| json!({"$secret": [{"name": name}]}));
        let mut options = json!(named);
        let redaction = secrets.resolve(&mut options, &worker()).unwrap();
        let clean = |text: &str| {
            let mut text = text.to_owned();
            redaction.text(&mut text);
            text
        };
        assert_eq!(
            clean("got open sesame, twice: open sesame"),
            "got ***, twice: ***"
        );
        assert_eq!(clean("12 rows"), "12 rows", "too short to be looked for");
        assert_eq!(clean("first line\nsecond \"line\""), "***");
        assert_eq!(clean("in: second \"line\"."), "in: ***.");
        assert_eq!(
            clean(&format!("{:?}", "first line\nsecond \"line\"")),
            "\"***\""
        );
        let mut fields = json!({"a": ["open sesame"]});
        redaction.json(&mut fields);
        assert_eq!(fields, json!({"a": ["***"]}));
        assert_eq!(format!("{redaction:?}"), "Redaction of 5 texts");
    }
}
