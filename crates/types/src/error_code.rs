//! The stable code of every error that a person can meet. Each has a page, `docs/errors/<code>.md`,
//! that says what happened and what to do; a test holds the two lists together.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A stable error code such as `MQ0101`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(std::borrow::Cow<'static, str>);

impl ErrorCode {
    const fn new(code: &'static str) -> Self {
        Self(std::borrow::Cow::Borrowed(code))
    }

    /// The code of an error that was read from a wire or a journal, perhaps of another version.
    #[must_use]
    pub fn from_text(code: &str) -> Self {
        Self(std::borrow::Cow::Owned(code.to_owned()))
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// Every code, by floor and subject.
pub mod codes {
    use super::ErrorCode;

    macro_rules! error_codes {
        ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
            $($(#[$doc])* pub const $name: ErrorCode = ErrorCode::new($code);)*

            /// Every code with the name of its constant, in the order of declaration.
            pub const ALL: &[(&str, ErrorCode)] = &[$((stringify!($name), $name)),*];
        };
    }

    error_codes! {
        // MQ01: workflow files.
        /// The YAML itself is malformed.
        YAML_SYNTAX = "MQ0101";
        /// The file is too large, too deep, or expands to too much.
        YAML_TOO_BIG = "MQ0102";
        /// A key stands twice in one mapping.
        DUPLICATE_KEY = "MQ0103";
        /// A key that the format does not know.
        UNKNOWN_KEY = "MQ0104";
        /// A key of the format that this version does not do yet.
        NOT_IN_THIS_VERSION = "MQ0105";
        /// A required key is absent.
        MISSING_KEY = "MQ0106";
        /// A value of the wrong type or outside its bounds.
        WRONG_VALUE = "MQ0107";
        /// A name that breaks the alphabet of names.
        BAD_NAME = "MQ0108";
        /// `uses` names no stage kind.
        UNKNOWN_STAGE_KIND = "MQ0109";
        /// A reference to a stage, parameter, output or metric that does not exist.
        UNKNOWN_REFERENCE = "MQ0110";
        /// Stages need each other in a circle.
        CYCLE = "MQ0111";
        /// A file named by the workflow cannot be read.
        MISSING_FILE = "MQ0112";
        /// The options of a stage do not fit its schema.
        STAGE_OPTIONS = "MQ0113";

        // MQ02: scripts and expressions.
        /// A script or expression does not parse.
        SCRIPT_SYNTAX = "MQ0201";
        /// A script or expression fails when it runs.
        SCRIPT_RUNTIME = "MQ0202";
        /// A script exceeds the sandbox's limits on operations, depth or sizes.
        SCRIPT_LIMIT = "MQ0203";
        /// A script gives a value of the wrong type.
        SCRIPT_TYPE = "MQ0204";

        // MQ03: parameters and options of a run.
        /// A parameter that the workflow does not declare.
        UNKNOWN_PARAM = "MQ0301";
        /// A parameter without a value.
        MISSING_PARAM = "MQ0302";
        /// A parameter of the wrong type or outside its bounds.
        BAD_PARAM = "MQ0303";

        // MQ04: data.
        /// No object matches the source path.
        NO_INPUT = "MQ0401";
        /// An input file cannot be decoded.
        UNREADABLE_INPUT = "MQ0402";
        /// A column is missing or has the wrong type.
        COLUMN_MISMATCH = "MQ0403";
        /// More rows were rejected than the stage allows.
        TOO_MANY_REJECTED = "MQ0404";
        /// The rows do not suffice for the algorithm.
        TOO_FEW_ROWS = "MQ0405";
        /// A value that the algorithm cannot take, such as NaN.
        BAD_VALUE = "MQ0406";
        /// A query that does not parse, plan or run.
        QUERY = "MQ0407";
        /// A policy that cannot be read, or has another shape than the stage says.
        POLICY_SHAPE = "MQ0408";
        /// Responses that fit no decision, or rewards that the policy cannot learn from.
        BAD_RESPONSES = "MQ0409";
        /// A check of a gate failed.
        GATE_FAILED = "MQ0410";

        // MQ05: the lake.
        /// The object store refuses or fails.
        OBJECT_STORE = "MQ0501";
        /// A lake location that is no URL or folder.
        BAD_LOCATION = "MQ0502";
        /// A dataset's manifest is missing or damaged.
        DAMAGED_DATASET = "MQ0503";
        /// A source object changed after it was pinned.
        SOURCE_CHANGED = "MQ0504";
        /// There is no room where data is written.
        NO_ROOM = "MQ0505";

        // MQ06: the journal.
        /// The journal cannot be opened, read or written.
        JOURNAL = "MQ0601";
        /// A journal record fails its checksum or has an unknown version.
        DAMAGED_JOURNAL = "MQ0602";
        /// Another coordinator holds the journal.
        JOURNAL_IN_USE = "MQ0603";
        /// Another coordinator has taken over.
        FENCED = "MQ0604";
        /// A backup cannot be written or used.
        BAD_BACKUP = "MQ0605";
        /// A backup would replace a journal that has runs.
        JOURNAL_NOT_EMPTY = "MQ0606";
        /// The journal's disk is full.
        JOURNAL_FULL = "MQ0607";

        // MQ07: coordinator and worker.
        /// No such run.
        UNKNOWN_RUN = "MQ0701";
        /// The run is not in a state that allows the request.
        WRONG_RUN_STATE = "MQ0702";
        /// The coordinator cannot be reached.
        UNREACHABLE = "MQ0703";
        /// The request is malformed.
        BAD_REQUEST = "MQ0704";
        /// The coordinator does not lead; another one does, or will.
        NOT_LEADING = "MQ0705";
        /// A coordinator's URL, a token or a certificate that cannot be used.
        BAD_ENDPOINT = "MQ0706";
        /// The caller has no token, or one whose role does not include the call.
        NOT_ALLOWED = "MQ0707";
        /// The run's concurrency group is full.
        GROUP_FULL = "MQ0708";
        /// No such worker is connected.
        UNKNOWN_WORKER = "MQ0709";
        /// No such deployed workflow.
        NOT_DEPLOYED = "MQ0710";
        /// A run cannot be part of another one.
        CHILD_REFUSED = "MQ0711";

        // MQ08: stages.
        /// The stage ran longer than its timeout.
        STAGE_TIMEOUT = "MQ0801";
        /// The worker that ran the attempt was lost.
        WORKER_LOST = "MQ0802";
        /// The stage panicked.
        STAGE_PANIC = "MQ0803";
        /// The stage needs more memory than its limit.
        OUT_OF_MEMORY = "MQ0804";
        /// The run was cancelled.
        CANCELLED = "MQ0805";
        /// The stage failed in a way that it has no code for.
        STAGE_INTERNAL = "MQ0806";
        /// Another run taught the policy while the attempt learned from an older version of it.
        POLICY_OVERTAKEN = "MQ0807";
        /// The process that ran the stage died.
        STAGE_CRASHED = "MQ0808";
        /// A person rejected what the stage waited for.
        REJECTED = "MQ0809";
        /// A worker that had a part of a query was lost.
        PEER_LOST = "MQ0815";
        /// A secret that the stage names has no value on the worker.
        SECRET_MISSING = "MQ0820";

        // MQ09: the command line.
        /// A file or folder that the command needs cannot be read or written.
        FILE_ACCESS = "MQ0901";
        /// A name on the command line matches nothing, or more than one thing.
        NO_MATCH = "MQ0902";
        /// An internal error: a bug in Marquetry.
        INTERNAL = "MQ0999";
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::codes::ALL;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn codes_are_unique_and_each_has_a_page() {
        let distinct: BTreeSet<_> = ALL.iter().map(|(_, code)| code.as_str()).collect();
        assert_eq!(distinct.len(), ALL.len());
        let pages =
            Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../docs/errors");
        let missing: Vec<_> = ALL
            .iter()
            .filter(|(_, code)| !pages.join(format!("{code}.md")).is_file())
            .map(|(name, code)| format!("{code} ({name})"))
            .collect();
        assert!(
            missing.is_empty(),
            "codes without a page in docs/errors: {missing:?}"
        );
    }
}
