//! Between wire messages and the shared nouns.

use std::collections::BTreeMap;

use marquetry_types::{
    Artifact, AttemptId, AttemptNumber, AttemptResult, DatasetRef, Diagnostic, Epoch, ErrorCode,
    FailureClass, FencingToken, InvalidName, Location, LogLevel, LogLine, Outcome, Progress,
    StageFailure, Timestamp,
};
use prost_types::value::Kind;
use serde_json::{Map, Value};

use crate::v1;

/// Why a message cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireError {
    /// A field that must be set is not.
    Missing(&'static str),
    /// A field holds something that this version does not know.
    Unknown(&'static str),
    /// A name is malformed.
    Name(InvalidName),
}

impl std::fmt::Display for WireError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(field) => write!(formatter, "field `{field}` is missing"),
            Self::Unknown(field) => {
                write!(
                    formatter,
                    "field `{field}` holds a value that this version does not know"
                )
            }
            Self::Name(invalid) => invalid.fmt(formatter),
        }
    }
}

impl std::error::Error for WireError {}

impl From<InvalidName> for WireError {
    fn from(invalid: InvalidName) -> Self {
        Self::Name(invalid)
    }
}

/// To the wire.
#[must_use]
pub fn diagnostic_to_wire(diagnostic: &Diagnostic) -> v1::Diagnostic {
    v1::Diagnostic {
        code: diagnostic.code.to_string(),
        message: diagnostic.message.clone(),
        location: diagnostic.location.as_ref().map(|location| v1::Location {
            file: location.file.clone(),
            line: location.line,
            column: location.column,
            length: location.length,
        }),
        help: diagnostic.help.clone().unwrap_or_default(),
    }
}

/// From the wire.
#[must_use]
pub fn diagnostic_from_wire(wire: v1::Diagnostic) -> Diagnostic {
    Diagnostic {
        code: ErrorCode::from_text(&wire.code),
        message: wire.message,
        location: wire.location.map(|location| Location {
            file: location.file,
            line: location.line,
            column: location.column,
            length: location.length,
        }),
        help: (!wire.help.is_empty()).then_some(wire.help),
    }
}

/// To the wire.
#[must_use]
pub fn timestamp_to_wire(at: Timestamp) -> prost_types::Timestamp {
    let milliseconds = at.as_millis();
    let nanos = i32::try_from(milliseconds.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
    prost_types::Timestamp {
        seconds: milliseconds.div_euclid(1000),
        nanos,
    }
}

/// From the wire; parts of a millisecond are dropped.
#[must_use]
pub fn timestamp_from_wire(wire: &prost_types::Timestamp) -> Timestamp {
    let milliseconds = wire.seconds.saturating_mul(1000);
    Timestamp::from_millis(milliseconds.saturating_add(i64::from(wire.nanos) / 1_000_000))
}

/// To the wire. Numbers become doubles, as `google.protobuf.Value` has no other.
#[must_use]
pub fn to_prost_value(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(prost_types::ListValue {
            values: items.iter().map(to_prost_value).collect(),
        }),
        Value::Object(fields) => Kind::StructValue(to_prost_struct(fields)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// To the wire.
#[must_use]
pub fn to_prost_struct(fields: &Map<String, Value>) -> prost_types::Struct {
    prost_types::Struct {
        fields: fields
            .iter()
            .map(|(key, value)| (key.clone(), to_prost_value(value)))
            .collect(),
    }
}

/// From the wire. A whole number within the exact range of a double becomes an integer; one that
/// is not finite becomes null, as JSON has no such number.
#[must_use]
pub fn from_prost_value(wire: prost_types::Value) -> Value {
    /// The integers up to which every double is exact: 2^53.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match wire.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() <= EXACT =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
            Value::from(number as i64)
        }
        Some(Kind::NumberValue(number)) => Value::from(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.into_iter().map(from_prost_value).collect())
        }
        Some(Kind::StructValue(fields)) => Value::Object(
            fields
                .fields
                .into_iter()
                .map(|(key, value)| (key, from_prost_value(value)))
                .collect(),
        ),
    }
}

impl From<&FencingToken> for v1::FencingToken {
    fn from(token: &FencingToken) -> Self {
        Self {
            epoch: token.epoch.0,
            run_id: token.attempt.run.to_string(),
            stage: token.attempt.stage.to_string(),
            attempt: token.attempt.attempt.0,
        }
    }
}

impl TryFrom<v1::FencingToken> for FencingToken {
    type Error = WireError;

    fn try_from(wire: v1::FencingToken) -> Result<Self, WireError> {
        let attempt = AttemptId {
            run: wire.run_id.parse()?,
            stage: wire.stage.parse()?,
            attempt: AttemptNumber(wire.attempt),
        };
        Ok(Self {
            epoch: Epoch(wire.epoch),
            attempt,
        })
    }
}

impl From<FailureClass> for v1::FailureClass {
    fn from(class: FailureClass) -> Self {
        match class {
            FailureClass::Invalid => Self::Invalid,
            FailureClass::Transient => Self::Transient,
            FailureClass::ResourceExhausted => Self::ResourceExhausted,
            FailureClass::Cancelled => Self::Cancelled,
        }
    }
}

impl From<&StageFailure> for v1::Failure {
    fn from(failure: &StageFailure) -> Self {
        Self {
            class: v1::FailureClass::from(failure.class).into(),
            diagnostic: Some(diagnostic_to_wire(&failure.diagnostic)),
        }
    }
}

impl TryFrom<v1::Failure> for StageFailure {
    type Error = WireError;

    fn try_from(wire: v1::Failure) -> Result<Self, WireError> {
        let class = match wire.class() {
            v1::FailureClass::Unspecified => return Err(WireError::Unknown("failure.class")),
            v1::FailureClass::Invalid => FailureClass::Invalid,
            v1::FailureClass::Transient => FailureClass::Transient,
            v1::FailureClass::ResourceExhausted => FailureClass::ResourceExhausted,
            v1::FailureClass::Cancelled => FailureClass::Cancelled,
        };
        let diagnostic = wire
            .diagnostic
            .ok_or(WireError::Missing("failure.diagnostic"))?;
        Ok(Self {
            class,
            diagnostic: diagnostic_from_wire(diagnostic),
        })
    }
}

impl From<&DatasetRef> for v1::Dataset {
    fn from(dataset: &DatasetRef) -> Self {
        Self {
            manifest: dataset.manifest.clone(),
            digest: dataset.digest.clone(),
            rows: dataset.rows,
            bytes: dataset.bytes,
            content: dataset.content.clone().unwrap_or_default(),
        }
    }
}

impl From<v1::Dataset> for DatasetRef {
    fn from(wire: v1::Dataset) -> Self {
        Self {
            manifest: wire.manifest,
            digest: wire.digest,
            rows: wire.rows,
            bytes: wire.bytes,
            content: (!wire.content.is_empty()).then_some(wire.content),
        }
    }
}

impl From<&Outcome> for v1::Outcome {
    fn from(outcome: &Outcome) -> Self {
        let outputs = &outcome.outputs;
        Self {
            outputs: outputs
                .iter()
                .map(|(name, dataset)| (name.clone(), dataset.into()))
                .collect(),
            metrics: outcome
                .metrics
                .iter()
                .map(|(name, value)| (name.clone(), *value))
                .collect(),
            artifacts: outcome.artifacts.iter().map(v1::Artifact::from).collect(),
        }
    }
}

impl From<v1::Outcome> for Outcome {
    fn from(wire: v1::Outcome) -> Self {
        Self {
            outputs: wire
                .outputs
                .into_iter()
                .map(|(name, set)| (name, set.into()))
                .collect(),
            metrics: wire.metrics.into_iter().collect::<BTreeMap<_, _>>(),
            artifacts: wire.artifacts.into_iter().map(Artifact::from).collect(),
        }
    }
}

impl From<&Artifact> for v1::Artifact {
    fn from(artifact: &Artifact) -> Self {
        Self {
            name: artifact.name.clone(),
            media_type: artifact.media_type.clone(),
            path: artifact.path.clone(),
            bytes: artifact.bytes,
            digest: artifact.digest.clone(),
        }
    }
}

impl From<v1::Artifact> for Artifact {
    fn from(wire: v1::Artifact) -> Self {
        Self {
            name: wire.name,
            media_type: wire.media_type,
            path: wire.path,
            bytes: wire.bytes,
            digest: wire.digest,
        }
    }
}

impl v1::AttemptFinished {
    /// The message that reports `result` for `token`.
    #[must_use]
    pub fn new(token: &FencingToken, result: &AttemptResult) -> Self {
        let result = match result {
            AttemptResult::Succeeded(outcome) => {
                v1::attempt_finished::Result::Succeeded(outcome.into())
            }
            AttemptResult::Failed(failure) => v1::attempt_finished::Result::Failed(failure.into()),
        };
        Self {
            token: Some(token.into()),
            result: Some(result),
        }
    }

    /// The token and result that the message carries.
    ///
    /// # Errors
    /// A field is missing or malformed.
    pub fn into_parts(self) -> Result<(FencingToken, AttemptResult), WireError> {
        let token = self
            .token
            .ok_or(WireError::Missing("finished.token"))?
            .try_into()?;
        let result = match self.result.ok_or(WireError::Missing("finished.result"))? {
            v1::attempt_finished::Result::Succeeded(outcome) => {
                AttemptResult::Succeeded(outcome.into())
            }
            v1::attempt_finished::Result::Failed(failure) => {
                AttemptResult::Failed(failure.try_into()?)
            }
        };
        Ok((token, result))
    }
}

impl v1::AttemptProgress {
    /// Progress of one attempt.
    #[must_use]
    pub fn new(attempt: &AttemptId, progress: Progress) -> Self {
        Self {
            stage: attempt.stage.to_string(),
            attempt: attempt.attempt.0,
            phase: progress.phase,
            done: progress.done,
            total: progress.total,
            unit: progress.unit,
        }
    }
}

impl From<Progress> for v1::StageProgress {
    fn from(progress: Progress) -> Self {
        Self {
            phase: progress.phase,
            done: progress.done,
            total: progress.total,
            unit: progress.unit,
        }
    }
}

impl From<v1::StageProgress> for Progress {
    fn from(wire: v1::StageProgress) -> Self {
        Self {
            phase: wire.phase,
            done: wire.done,
            total: wire.total,
            unit: wire.unit,
        }
    }
}

impl From<LogLevel> for v1::LogLevel {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::Debug,
            LogLevel::Info => Self::Info,
            LogLevel::Warn => Self::Warn,
            LogLevel::Error => Self::Error,
        }
    }
}

impl v1::AttemptLog {
    /// A log line of one attempt.
    #[must_use]
    pub fn new(attempt: &AttemptId, line: LogLine) -> Self {
        Self {
            stage: attempt.stage.to_string(),
            attempt: attempt.attempt.0,
            at: Some(timestamp_to_wire(line.at)),
            level: v1::LogLevel::from(line.level).into(),
            message: line.message,
            fields: Some(to_prost_struct(&line.fields.into_iter().collect())),
        }
    }
}

impl From<LogLine> for v1::StageLog {
    fn from(line: LogLine) -> Self {
        Self {
            at: Some(timestamp_to_wire(line.at)),
            level: v1::LogLevel::from(line.level).into(),
            message: line.message,
            fields_json: Value::Object(line.fields.into_iter().collect()).to_string(),
        }
    }
}

fn level(wire: v1::LogLevel) -> Result<LogLevel, WireError> {
    match wire {
        v1::LogLevel::Unspecified => Err(WireError::Unknown("log.level")),
        v1::LogLevel::Debug => Ok(LogLevel::Debug),
        v1::LogLevel::Info => Ok(LogLevel::Info),
        v1::LogLevel::Warn => Ok(LogLevel::Warn),
        v1::LogLevel::Error => Ok(LogLevel::Error),
    }
}

impl TryFrom<v1::AttemptLog> for LogLine {
    type Error = WireError;

    fn try_from(wire: v1::AttemptLog) -> Result<Self, WireError> {
        let level = level(wire.level())?;
        let at = wire.at.as_ref().ok_or(WireError::Missing("log.at"))?;
        let fields = wire.fields.unwrap_or_default().fields.into_iter();
        Ok(Self {
            at: timestamp_from_wire(at),
            level,
            message: wire.message,
            fields: fields
                .map(|(name, value)| (name, from_prost_value(value)))
                .collect(),
        })
    }
}

impl TryFrom<v1::StageLog> for LogLine {
    type Error = WireError;

    fn try_from(wire: v1::StageLog) -> Result<Self, WireError> {
        let level = level(wire.level())?;
        let at = wire.at.as_ref().ok_or(WireError::Missing("log.at"))?;
        let fields = serde_json::from_str(&wire.fields_json);
        Ok(Self {
            at: timestamp_from_wire(at),
            level,
            message: wire.message,
            fields: fields.map_err(|_| WireError::Unknown("log.fields_json"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_survives_the_wire() {
        let value = json!({"k": 8, "share": 0.25, "names": ["a", null], "deep": {"on": true}});
        assert_eq!(from_prost_value(to_prost_value(&value)), value);
    }

    #[test]
    fn times_before_1970_survive_the_wire() {
        for milliseconds in [-1, -1000, -1001, 0, 1, 1_700_000_000_123] {
            let at = Timestamp::from_millis(milliseconds);
            assert_eq!(timestamp_from_wire(&timestamp_to_wire(at)), at);
        }
    }

    #[test]
    fn a_failure_of_no_class_is_refused() {
        let wire = v1::Failure {
            class: 99,
            diagnostic: None,
        };
        assert_eq!(
            StageFailure::try_from(wire),
            Err(WireError::Unknown("failure.class"))
        );
    }
}
