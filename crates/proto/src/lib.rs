//! The wire: types and services generated from `proto/marquetry/v1`, and their conversions to and
//! from the shared nouns of `marquetry-types`. Conversions from the wire are fallible, because the
//! other side may be another version or another program.

mod convert;
mod membership;
mod status;
mod watched_body;

/// The generated messages, clients and servers of package `marquetry.v1`.
#[expect(
    missing_docs,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; the .proto files carry the documentation"
)]
pub mod v1 {
    tonic::include_proto!("marquetry.v1");
}

/// The .proto files as a `FileDescriptorSet`, for server reflection.
pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("marquetry");

pub use convert::{
    WireError, diagnostic_from_wire, diagnostic_to_wire, from_prost_value, timestamp_from_wire,
    timestamp_to_wire, to_prost_struct, to_prost_value,
};
pub use status::{diagnostics_from_status, status_from_diagnostics, status_with_metadata};
pub use watched_body::{PolledFrame, WatchedBody};
