//! One file for each command.

pub(crate) mod backup;
pub(crate) mod cluster;
pub(crate) mod collect;
pub(crate) mod data;
pub(crate) mod data_plane;
pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod health;
pub(crate) mod logs;
pub(crate) mod policies;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod sample;
pub(crate) mod server;
pub(crate) mod sql;
pub(crate) mod submit;
pub(crate) mod tables;
pub(crate) mod worker;
pub(crate) mod workflows;
