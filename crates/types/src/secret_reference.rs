//! Secrets by reference: what a journal and a coordinator see of them is their names.

use serde::{Deserialize, Serialize};

/// The key that marks a JSON object as a text with secrets in it, which only a worker makes a text of:
/// `{"$secret": [{"text": "Bearer "}, {"name": "TOKEN"}]}`. Its value is a list of [`SecretPiece`]s.
pub const SECRET_KEY: &str = "$secret";

/// The longest name of a secret.
const MAX_NAME: usize = 128;

/// A part of a text with secrets in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretPiece {
    /// Text as it is.
    Text(String),
    /// The value of the secret of that name.
    Name(String),
}

/// Whether a secret can have that name: a letter or `_`, then letters, digits or `_`, as the names of
/// environment variables have it.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(is_word)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::is_secret_name;

    #[test]
    fn names_are_those_of_environment_variables() {
        for good in ["TOKEN", "api_key", "_x1"] {
            assert!(is_secret_name(good), "{good}");
        }
        let long = "x".repeat(129);
        for bad in ["", "1st", "a-b", "a/b", "..", "a b", "ä", &long] {
            assert!(!is_secret_name(bad), "{bad}");
        }
    }
}
