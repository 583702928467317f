//! The nouns that every floor of Marquetry shares, as plain data: ids, time, error codes and
//! diagnostics, dataset references, stage descriptors, and what an attempt of a stage reports.
//!
//! Nothing here does I/O or decides anything. What is here is written to journals and sent over
//! wires, so a change to a field is a change of format: add with a default, never rename.

mod attempt;
mod dataset;
mod descriptor;
mod diagnostic;
mod error_code;
mod ids;
mod membership;
mod published;
mod secret;
mod secret_reference;
mod thousands;
mod time;
mod trace;

pub use attempt::{
    Artifact, AttemptResult, FailureClass, LogLevel, LogLine, Outcome, Progress, StageFailure,
};
pub use dataset::{DATASET_KEY, DatasetRef};
pub use descriptor::{OutputDescriptor, SCHEMA_MARK, SchemaMark, StageDescriptor};
pub use diagnostic::{Diagnostic, Diagnostics, Location};
pub use error_code::{ErrorCode, codes};
pub use ids::{
    AttemptId, AttemptNumber, Epoch, FencingToken, InvalidName, PublishedName, QueueName, RunId,
    ScheduleName, StageKind, StageName, WorkerId, is_label,
};
pub use membership::{Membership, Parallelism, Peer};
pub use published::{
    POLICY_KEY, POLICY_OUTPUT, PolicyUse, PolicyVersion, Publication, Published, PublishedKind,
};
pub use secret::Secret;
pub use secret_reference::{SECRET_KEY, SecretPiece, is_secret_name};
pub use thousands::thousands;
pub use time::{InvalidInstant, Timestamp};
pub use trace::{InvalidTraceContext, SPAN_TARGET, TRACEPARENT, TraceContext};
