//! The tokens that a coordinator takes. It keeps digests only: whoever reads its file of tokens learns
//! nothing that opens a door.

use std::fmt;
use std::str::FromStr;

use marquetry_types::{Diagnostic, Location, codes};

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Look at runs, logs and workers.
    Viewer,
    /// The same, and submit, cancel, retry and approve.
    Operator,
    /// The same, and drain workers.
    Admin,
    /// Attach as a worker, and nothing else.
    Worker,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Admin, Self::Worker];

    /// The word in the file of tokens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Worker => "worker",
        }
    }

    /// Whether its holder may do what is open to `needed`.
    #[must_use]
    pub const fn includes(self, needed: Self) -> bool {
        match (self, needed) {
            (Self::Worker, Self::Worker)
            | (Self::Admin, Self::Viewer | Self::Operator | Self::Admin)
            | (Self::Operator, Self::Viewer | Self::Operator)
            | (Self::Viewer, Self::Viewer) => true,
            (Self::Viewer | Self::Operator | Self::Admin | Self::Worker, _) => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == word);
        found.ok_or(())
    }
}

/// A token that a coordinator takes.
#[derive(Clone)]
struct Entry {
    role: Role,
    name: String,
    digest: blake3::Hash,
}

/// The tokens that a coordinator takes. Without any, everybody is let in.
#[derive(Clone, Default)]
pub struct Tokens(Vec<Entry>);

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|entry| (entry.role, &entry.name));
        formatter.debug_list().entries(names).finish()
    }
}

/// A line of a file of tokens that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct TokenError {
    file: String,
    line: u32,
    reason: String,
}

impl From<TokenError> for Diagnostic {
    fn from(error: TokenError) -> Self {
        let location = Location {
            file: error.file,
            line: error.line,
            column: 1,
            length: 0,
        };
        Self::new(codes::BAD_ENDPOINT, error.reason)
            .at(location)
            .help(
                "`marquetry token new --role operator --name ci` makes a token and prints its line",
            )
    }
}

impl Tokens {
    /// Reads a file of tokens: a line `ROLE NAME DIGEST` each, empty lines and those that begin with
    /// `#` aside.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse(file: &str, text: &str) -> Result<Self, TokenError> {
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let bad = |reason: &str| TokenError {
                file: file.to_owned(),
                line: number,
                reason: reason.to_owned(),
            };
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                [role, name, digest] => {
                    let role = role.parse().map_err(|()| {
                        bad("the line does not begin with viewer, operator, admin or worker")
                    })?;
                    let digest = blake3::Hash::from_hex(digest)
                        .map_err(|_| bad("the digest is not 64 hexadecimal digits"))?;
                    let name = (*name).to_owned();
                    entries.push(Entry { role, name, digest });
                }
                _ => return Err(bad("the line is not `ROLE NAME DIGEST`")),
            }
        }
        Ok(Self(entries))
    }

    /// Whether anybody is asked for a token.
    #[must_use]
    pub fn are_asked_for(&self) -> bool {
        !self.0.is_empty()
    }

    /// The role and name of the holder of a token.
    pub(crate) fn find(&self, token: &str) -> Option<(Role, &str)> {
        // Comparing digests takes the same time for every wrong token.
        let digest = blake3::hash(token.as_bytes());
        let entry = self.0.iter().find(|entry| entry.digest == digest)?;
        Some((entry.role, &entry.name))
    }
}

/// A new token, and the line for the file of tokens that lets its holder in.
#[must_use]
pub fn new_token(role: Role, name: &str) -> (String, String) {
    let secret: [u8; 32] = rand::random();
    let token = format!("mq_{}", blake3::Hash::from_bytes(secret).to_hex());
    let line = format!("{role} {name} {}", blake3::hash(token.as_bytes()).to_hex());
    (token, line)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_token_opens_what_its_role_includes_and_is_not_in_the_file() {
        let (token, line) = new_token(Role::Operator, "ci");
        assert!(!line.contains(&token));
        let tokens = Tokens::parse("tokens", &format!("# people\n\n{line}\n")).unwrap();
        let (role, name) = tokens.find(&token).unwrap();
        assert_eq!((role, name), (Role::Operator, "ci"));
        assert!(role.includes(Role::Viewer) && !role.includes(Role::Admin));
        assert!(!role.includes(Role::Worker) && !Role::Worker.includes(Role::Viewer));
        assert!(tokens.find("mq_00").is_none());
    }

    #[test]
    fn a_bad_line_is_told_with_its_place() {
        let digest = "0".repeat(64);
        for (text, message) in [
            (
                format!("\nboss ci {digest}"),
                "tokens:2: the line does not begin with viewer, operator, admin or worker",
            ),
            (
                "viewer ci 12".to_owned(),
                "tokens:1: the digest is not 64 hexadecimal digits",
            ),
            (
                "viewer ci".to_owned(),
                "tokens:1: the line is not `ROLE NAME DIGEST`",
            ),
        ] {
            let error = Tokens::parse("tokens", &text).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
