//! How records, snapshots and deployments are stored: a version, a CRC-32C and a JSON payload.
//!
//! The checksum covers whose it is (a run, the name of a workflow), the place and the version as well as the payload, so that an intact
//! payload in the wrong place is found too. Readers accept every version they know; a payload changes
//! by adding fields with defaults, and anything else takes a new version.

use marquetry_types::RunId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::JournalError;

/// The version that this program writes.
pub(crate) const RECORD_VERSION: i64 = 1;
/// The version of snapshots. A snapshot of another version is left unread: the records say the same.
pub(crate) const SNAPSHOT_VERSION: i64 = 1;

/// A payload as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) version: i64,
    pub(crate) checksum: u32,
    pub(crate) payload: String,
}

impl Envelope {
    /// Encodes `value` for place `sequence` of `run`.
    pub(crate) fn seal<T: Serialize>(
        run: &RunId,
        sequence: u64,
        version: i64,
        value: &T,
    ) -> Result<Self, JournalError> {
        let payload = serde_json::to_string(value).map_err(|error| JournalError::Inconsistent {
            run: run.clone(),
            reason: format!("it cannot be written as JSON: {error}"),
        })?;
        Ok(Self::around(run.as_str(), sequence, version, payload))
    }

    /// Puts `payload` into an envelope for place `number` of `owner`.
    pub(crate) fn around(owner: &str, number: u64, version: i64, payload: String) -> Self {
        let checksum = checksum(owner, number, version, payload.as_bytes());
        Self {
            version,
            checksum,
            payload,
        }
    }

    /// Checks and decodes what was sealed for place `sequence` of `run`.
    pub(crate) fn open<T: DeserializeOwned>(
        run: &RunId,
        sequence: u64,
        known_version: i64,
        stored: &StoredEnvelope,
    ) -> Result<T, JournalError> {
        Self::open_at(run.as_str(), sequence, known_version, stored).map_err(|reason| {
            JournalError::Damaged {
                run: run.clone(),
                sequence,
                reason,
            }
        })
    }

    /// Checks and decodes what was put into an envelope for place `number` of `owner`, or says what is
    /// wrong with it.
    pub(crate) fn open_at<T: DeserializeOwned>(
        owner: &str,
        number: u64,
        known_version: i64,
        stored: &StoredEnvelope,
    ) -> Result<T, String> {
        let expected = checksum(owner, number, stored.version, &stored.payload);
        if stored.checksum != i64::from(expected) {
            return Err("it fails its checksum".to_owned());
        }
        if stored.version != known_version {
            return Err(format!(
                "it has version {}, and this version of marquetry reads version {known_version}",
                stored.version
            ));
        }
        serde_json::from_slice(&stored.payload)
            .map_err(|error| format!("it is intact but cannot be understood: {error}"))
    }
}

/// What a database row holds, not yet believed: a damaged payload need not even be text.
#[derive(Debug, Clone)]
pub(crate) struct StoredEnvelope {
    pub(crate) version: i64,
    pub(crate) checksum: i64,
    pub(crate) payload: Vec<u8>,
}

fn checksum(owner: &str, number: u64, version: i64, payload: &[u8]) -> u32 {
    let checksum = crc32c::crc32c(owner.as_bytes());
    let checksum = crc32c::crc32c_append(checksum, &number.to_le_bytes());
    let checksum = crc32c::crc32c_append(checksum, &version.to_le_bytes());
    crc32c::crc32c_append(checksum, payload)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use marquetry_types::Timestamp;

    use super::*;

    fn stored(envelope: &Envelope) -> StoredEnvelope {
        StoredEnvelope {
            version: envelope.version,
            checksum: i64::from(envelope.checksum),
            payload: envelope.payload.clone().into_bytes(),
        }
    }

    #[test]
    fn every_flipped_bit_and_every_wrong_place_is_found() {
        let run = RunId::new(Timestamp::from_millis(1), 1);
        let other = RunId::new(Timestamp::from_millis(1), 2);
        let sealed = Envelope::seal(&run, 7, RECORD_VERSION, &vec!["orders", "customers"]).unwrap();
        let good = stored(&sealed);
        assert_eq!(
            Envelope::open::<Vec<String>>(&run, 7, RECORD_VERSION, &good).unwrap(),
            ["orders", "customers"]
        );
        for (run, sequence) in [(&other, 7), (&run, 8)] {
            let error = Envelope::open::<Vec<String>>(run, sequence, RECORD_VERSION, &good);
            assert!(
                error
                    .unwrap_err()
                    .to_string()
                    .contains("fails its checksum")
            );
        }
        for bit in 0..good.payload.len() * 8 {
            let mut flipped = good.clone();
            flipped.payload[bit / 8] ^= 1 << (bit % 8);
            assert!(Envelope::open::<Vec<String>>(&run, 7, RECORD_VERSION, &flipped).is_err());
        }
    }

    #[test]
    fn a_version_from_the_future_is_named_with_its_place() {
        let run = RunId::new(Timestamp::from_millis(1), 1);
        let sealed = Envelope::seal(&run, 3, 9, &"x").unwrap();
        let error =
            Envelope::open::<String>(&run, 3, RECORD_VERSION, &stored(&sealed)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the journal is damaged at record 3 of run {run}: it has version 9, and this version \
                 of marquetry reads version 1"
            )
        );
    }
}
