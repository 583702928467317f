//! The lake in an object store that is met over a network: an S3 server, and what goes wrong with one.

mod contract;
mod faults;
mod outages;
mod server;
mod spread;
mod workflows;
