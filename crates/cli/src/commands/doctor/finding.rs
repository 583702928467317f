//! What a check found, and how it is shown.

use serde::Serialize;

use crate::failure::Failure;
use crate::output::{self, DIM, GREEN, RED, YELLOW};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Good,
    /// It works, and somebody should know.
    Warning,
    Bad,
}

#[derive(Debug, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    pub(super) state: State,
    /// What was seen.
    seen: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    pub(super) fn good(check: &'static str, seen: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Good,
            seen: seen.into(),
            advice: None,
        }
    }

    pub(super) fn warning(check: &'static str, seen: String, advice: &str) -> Self {
        Self {
            check,
            state: State::Warning,
            seen,
            advice: Some(advice.to_owned()),
        }
    }

    /// Something that does not work, with what to do.
    pub(super) fn wrong(check: &'static str, seen: String, advice: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Bad,
            seen,
            advice: Some(advice.into()),
        }
    }

    /// What a failure says, as a finding.
    pub(super) fn bad(check: &'static str, failure: &Failure) -> Self {
        let first = failure
            .diagnostics()
            .and_then(|(all, _)| all.0.first().cloned());
        Self {
            check,
            state: State::Bad,
            seen: first
                .as_ref()
                .map_or_else(|| "it failed".to_owned(), |it| it.message.clone()),
            advice: first.and_then(|it| it.help),
        }
    }
}

/// A line for people, and one with what to do.
pub(super) fn show(finding: &Finding) -> Result<(), Failure> {
    let mark = match finding.state {
        State::Good => format!("{GREEN}✓{GREEN:#}"),
        State::Warning => format!("{YELLOW}!{YELLOW:#}"),
        State::Bad => format!("{RED}✗{RED:#}"),
    };
    output::line(format!("{mark} {}: {}", finding.check, finding.seen))?;
    match &finding.advice {
        Some(advice) => output::line(format!("  {DIM}{advice}{DIM:#}")),
        None => Ok(()),
    }
}
