//! Over which workers the queries of a stage are spread, and what its log says of that.

use std::sync::Arc;

use marquetry_lake::{Peers, QueryNote, Spread};
use marquetry_plugin::StageEvents;
use marquetry_types::{LogLevel, LogLine, Membership, Parallelism, Timestamp};
use serde_json::Value;

/// Who takes parts of queries, and who signed their certificates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members {
    pub(crate) membership: Membership,
    /// As PEM; without one, the system's.
    pub(crate) authority: Option<Vec<u8>>,
}

/// What a stage's session needs to know of them. How its queries ran goes to the stage's log.
pub(crate) fn spread(
    parallelism: Parallelism,
    members: &Members,
    events: Arc<dyn StageEvents>,
) -> Spread {
    let peers = Peers::new(&members.membership, members.authority.clone());
    Spread {
        parallelism,
        peers,
        listener: Arc::new(move |note| events.log(line(note))),
    }
}

fn line(note: QueryNote) -> LogLine {
    let (message, fields): (&str, Vec<(&str, Value)>) = match note {
        QueryNote::Spread {
            workers,
            tasks,
            rows,
            bytes,
        } => (
            "a query was spread over workers",
            vec![
                ("workers", workers.into()),
                ("tasks", tasks.into()),
                ("rows_exchanged", rows.into()),
                ("bytes_exchanged", bytes.into()),
            ],
        ),
        QueryNote::KeptLocal { reason } => (
            "a query was not spread over workers",
            vec![("reason", reason.into())],
        ),
    };
    let fields = fields.into_iter();
    LogLine {
        at: Timestamp::now(),
        level: LogLevel::Info,
        message: message.to_owned(),
        fields: fields
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}
