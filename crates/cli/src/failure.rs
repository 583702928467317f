//! How a command fails, and with which exit code.

use std::process::ExitCode;

use marquetry_types::{Diagnostic, Diagnostics, codes};

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The run failed or was cancelled; what there is to say has been said.
    Run,
    /// Nothing was started: the input is wrong.
    Input(Diagnostics),
    /// The same, in a text file, whose lines are shown.
    Text {
        diagnostics: Diagnostics,
        source: String,
    },
    /// Marquetry, its journal or its lake failed.
    Internal(Diagnostics),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Run => 1,
            Self::Input(_) | Self::Text { .. } => 2,
            Self::Internal(_) => 3,
        })
    }

    pub(crate) fn diagnostics(&self) -> Option<(&Diagnostics, Option<&str>)> {
        match self {
            Self::Run => None,
            Self::Input(diagnostics) | Self::Internal(diagnostics) => Some((diagnostics, None)),
            Self::Text {
                diagnostics,
                source,
            } => Some((diagnostics, Some(source))),
        }
    }

    /// A file or folder that cannot be read or written.
    pub(crate) fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let message = format!("cannot {doing} {}: {error}", path.display());
        Self::Input(Diagnostic::new(codes::FILE_ACCESS, message).into())
    }

    /// Something that should not happen.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        let diagnostic = Diagnostic::new(codes::INTERNAL, error.to_string())
            .help("this is a bug in marquetry; please report it with the output of `--log debug`");
        Self::Internal(diagnostic.into())
    }

    /// A run that is not in the journal. It may have been, long ago.
    pub(crate) fn unknown_run(name: &str, place: &dyn std::fmt::Display) -> Self {
        let message = format!("there is no run `{name}` in {place}");
        let help = match name {
            "latest" => "`marquetry runs` lists the runs".to_owned(),
            _ => format!(
                "`marquetry runs` lists the runs, and `latest` is the latest; one that ended long ago may be in \
                 the archive only: `marquetry sql \"select * from runs where run like '{}%'\"`",
                name.to_ascii_lowercase().replace('\'', "''")
            ),
        };
        Self::Input(
            Diagnostic::new(codes::UNKNOWN_RUN, message)
                .help(help)
                .into(),
        )
    }

    /// A name on the command line that matches nothing.
    pub(crate) fn no_match(message: String, help: impl Into<String>) -> Self {
        Self::Input(Diagnostic::new(codes::NO_MATCH, message).help(help).into())
    }
}

impl From<Diagnostic> for Failure {
    /// Codes of the journal's and the lake's own trouble are internal; whatever else a person can
    /// put right is input.
    fn from(diagnostic: Diagnostic) -> Self {
        if diagnostic.code == codes::INTERNAL {
            Self::Internal(diagnostic.into())
        } else {
            Self::Input(diagnostic.into())
        }
    }
}

impl From<marquetry_journal::JournalError> for Failure {
    fn from(error: marquetry_journal::JournalError) -> Self {
        error.diagnostic().into()
    }
}

impl From<marquetry_lake::LakeError> for Failure {
    fn from(error: marquetry_lake::LakeError) -> Self {
        Diagnostic::from(error).into()
    }
}

impl From<marquetry_history::HistoryError> for Failure {
    fn from(error: marquetry_history::HistoryError) -> Self {
        Diagnostic::from(error).into()
    }
}

impl From<datafusion::error::DataFusionError> for Failure {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        Diagnostic::new(codes::QUERY, error.strip_backtrace()).into()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Diagnostic::new(
            codes::FILE_ACCESS,
            format!("cannot write the output: {error}"),
        )
        .into()
    }
}
