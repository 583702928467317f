//! Errors over gRPC: a `google.rpc.Status` with an `ErrorInfo` for any client, and our own
//! `Diagnostics` for clients that show places in files.

use std::collections::HashMap;

use marquetry_types::{Diagnostics, ErrorCode};
use prost::Message;
use tonic::{Code, Status};

use crate::{diagnostic_from_wire, diagnostic_to_wire, v1};

const DOMAIN: &str = "marquetry.v1";
const DIAGNOSTICS_TYPE: &str = "type.googleapis.com/marquetry.v1.Diagnostics";
const ERROR_INFO_TYPE: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// A status whose details carry the diagnostics; its message is their text.
#[must_use]
pub fn status_from_diagnostics(code: Code, diagnostics: &Diagnostics) -> Status {
    status_with_metadata(code, diagnostics, HashMap::new())
}

/// The same, with metadata of the `ErrorInfo` for programs.
#[must_use]
pub fn status_with_metadata(
    code: Code,
    diagnostics: &Diagnostics,
    metadata: HashMap<String, String>,
) -> Status {
    let message = diagnostics.to_string();
    let reason = diagnostics
        .0
        .first()
        .map(|first| first.code.to_string())
        .unwrap_or_default();
    let info = tonic_types::pb::ErrorInfo {
        reason,
        domain: DOMAIN.to_owned(),
        metadata,
    };
    let wire = v1::Diagnostics {
        diagnostics: diagnostics.0.iter().map(diagnostic_to_wire).collect(),
    };
    let status = tonic_types::pb::Status {
        code: code.into(),
        message: message.clone(),
        details: vec![
            prost_types::Any {
                type_url: ERROR_INFO_TYPE.to_owned(),
                value: info.encode_to_vec(),
            },
            prost_types::Any {
                type_url: DIAGNOSTICS_TYPE.to_owned(),
                value: wire.encode_to_vec(),
            },
        ],
    };
    Status::with_details(code, message, status.encode_to_vec().into())
}

/// The diagnostics in a status; one made from its message where it carries none.
#[must_use]
pub fn diagnostics_from_status(status: &Status, otherwise: &ErrorCode) -> Diagnostics {
    let carried = tonic_types::pb::Status::decode(status.details())
        .ok()
        .and_then(|details| {
            let any = details
                .details
                .into_iter()
                .find(|any| any.type_url == DIAGNOSTICS_TYPE)?;
            v1::Diagnostics::decode(any.value.as_slice()).ok()
        });
    match carried {
        Some(wire) if !wire.diagnostics.is_empty() => Diagnostics(
            wire.diagnostics
                .into_iter()
                .map(diagnostic_from_wire)
                .collect(),
        ),
        _ => marquetry_types::Diagnostic::new(otherwise.clone(), status.message()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquetry_types::{Diagnostic, Location, codes};

    #[test]
    fn diagnostics_survive_a_status() {
        let sent = Diagnostics(vec![
            Diagnostic::new(codes::UNKNOWN_KEY, "unknown key `stage`")
                .at(Location {
                    file: "a.yaml".into(),
                    line: 3,
                    column: 1,
                    length: 5,
                })
                .help("did you mean `stages`?"),
            Diagnostic::new(codes::CYCLE, "stages need each other: a, b, a"),
        ]);
        let status = status_from_diagnostics(Code::InvalidArgument, &sent);
        assert_eq!(diagnostics_from_status(&status, &codes::INTERNAL), sent);
    }

    #[test]
    fn a_foreign_status_becomes_one_diagnostic() {
        let received = diagnostics_from_status(&Status::unavailable("gone"), &codes::UNREACHABLE);
        assert_eq!(received, Diagnostic::new(codes::UNREACHABLE, "gone").into());
    }
}
