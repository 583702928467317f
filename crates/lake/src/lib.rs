//! The lake: datasets in object stores, and the sessions that query them.
//!
//! A dataset is a manifest, a small JSON object that lists a schema and Parquet objects with sizes and
//! digests. Writing one is writing its objects, making them durable, and only then its manifest; it
//! counts for nothing until the journal names that manifest by its digest. So a reader never meets a
//! dataset of which something is missing, and files of lost attempts are mere garbage.

mod dataset_writer;
mod distributed;
mod durable;
mod error;
mod lake;
mod listing;
mod manifest;
mod parquet_format;
mod prefixed;
mod query_spans;
mod reason;
mod remote;
mod session;
mod source;
mod table;
pub mod testing;

pub use dataset_writer::{DatasetWriter, WriteOptions};
pub use distributed::{
    FragmentOptions, Functions, PLAN_VERSION, PeerConnections, PeerLost, Peers, QueryListener,
    QueryNote, Spread, fragment_routes,
};
pub use error::LakeError;
pub use lake::{LOG_FOLDER, Lake, ObjectInfo};
pub use manifest::{DataFile, FileLocation, Manifest};
pub use remote::StoreSettings;
pub use session::{LAKE_URL, LazySession, SessionOptions, session};
pub use source::{Source, SourceObject};
pub use table::table;
