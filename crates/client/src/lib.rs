//! Reaching a coordinator: over TLS or not, as whom, and which of several leads.
//!
//! Workers and the command line both go through [`Coordinators`]. Channels connect when they are first
//! used and again when they break; a coordinator that does not lead says who does, and
//! [`Coordinators::move_on`] goes there.

mod config;
mod coordinators;
mod credentials;

pub use config::{ClientConfig, ClientError, ClientTls};
pub use coordinators::{Connection, Coordinators};
pub use credentials::Credentials;
pub use marquetry_types::Secret;

/// The largest message between a coordinator and whoever speaks with it: a workflow with its files, or
/// an assignment with its options.
pub const MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// The key in the metadata of a google.rpc.ErrorInfo under which a coordinator that does not lead says
/// where the leader is.
pub const LEADER_KEY: &str = "leader";
