//! What rows of every database have in common.

use marquetry_types::RunId;

use crate::JournalError;

/// The CRC-32C of a bundle in its place.
pub(crate) fn bundle_checksum(digest: &str, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(digest.as_bytes()), bytes)
}

/// Whether every database keeps a text: in PostgreSQL none has a NUL.
pub(crate) fn can_be_kept(text: &str) -> bool {
    !text.contains('\0')
}

/// The error of a record that is not where it should be.
pub(crate) fn missing(run: &RunId, sequence: u64) -> JournalError {
    JournalError::Damaged {
        run: run.clone(),
        sequence,
        reason: "it is missing".to_owned(),
    }
}

/// A run's id as a row has it.
pub(crate) fn run_id(text: String) -> Result<RunId, JournalError> {
    RunId::try_from(text).map_err(|error| JournalError::Storage {
        doing: "read the journal",
        reason: format!("its table of runs is damaged: {error}"),
    })
}
