//! What both kinds of journal have in common: the tables, and the columns that go from one to the other.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Bytes,
}

/// What a row has in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Text(String),
    Number(i64),
    Bytes(Vec<u8>),
}

/// A table of both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, Kind)],
}

impl Table {
    /// The columns, by commas.
    pub(crate) fn list(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

use Kind::{Bytes, Number, Text};

/// All tables. What is particular to one kind (who leads, what is current) is put by that kind.
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "runs",
        columns: &[
            ("run_id", Text),
            ("name", Text),
            ("status", Text),
            ("request_id", Text),
            ("submitted_at", Number),
            ("finished_at", Number),
            ("last_sequence", Number),
            ("summary", Text),
            ("bundle", Text),
        ],
    },
    Table {
        name: "records",
        columns: &[
            ("run_id", Text),
            ("sequence", Number),
            ("version", Number),
            ("checksum", Number),
            ("payload", Text),
        ],
    },
    Table {
        name: "snapshots",
        columns: &[
            ("run_id", Text),
            ("sequence", Number),
            ("version", Number),
            ("checksum", Number),
            ("payload", Text),
        ],
    },
    Table {
        name: "bundles",
        columns: &[("digest", Text), ("checksum", Number), ("payload", Bytes)],
    },
    Table {
        name: "publications",
        columns: &[
            ("kind", Text),
            ("name", Text),
            ("version", Number),
            ("payload", Text),
        ],
    },
    Table {
        name: "deployments",
        columns: &[
            ("name", Text),
            ("version", Number),
            ("format", Number),
            ("checksum", Number),
            ("payload", Text),
        ],
    },
    Table {
        name: "deployments_current",
        columns: &[("name", Text), ("version", Number)],
    },
    Table {
        name: "schedule_positions",
        columns: &[
            ("workflow", Text),
            ("schedule", Text),
            ("scheduled_at", Number),
        ],
    },
    Table {
        name: "archive_queue",
        columns: &[("finished_at", Number), ("run_id", Text), ("batch", Number)],
    },
    Table {
        name: "archive_state",
        columns: &[("id", Number), ("batch", Number), ("epoch", Number)],
    },
    Table {
        name: "bundle_uses",
        columns: &[("digest", Text), ("runs", Number), ("put_at", Number)],
    },
    Table {
        name: "cached_outcomes",
        columns: &[
            ("key", Text),
            ("run_id", Text),
            ("version", Number),
            ("checksum", Number),
            ("payload", Text),
        ],
    },
    Table {
        name: "past_requests",
        columns: &[("request_id", Text), ("run_id", Text), ("summary", Text)],
    },
    Table {
        name: "discarded_runs",
        columns: &[("run_id", Text)],
    },
];
