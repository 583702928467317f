//! Over which workers the queries of a stage are spread, and what its log says of that.

use std::sync::Arc;

use marquetry_lake::{Functions, PeerConnections, Peers, QueryNote, Spread};
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

/// What a stage's session needs to know of them. How its queries ran goes to the stage's log, and that they
/// will not run as the stage wants.
pub(crate) fn spread(
    parallelism: Parallelism,
    members: &Members,
    connections: &PeerConnections,
    functions: &Functions,
    events: Arc<dyn StageEvents>,
) -> Spread {
    let peers = Peers::new(&members.membership, members.authority.clone());
    let spread = Spread {
        parallelism,
        peers,
        connections: connections.clone(),
        functions: functions.clone(),
        listener: Arc::new(move |note| events.log(line(note))),
    };
    if parallelism == Parallelism::Cluster && !spread.is_possible() {
        let reason = "fewer than two workers of this version take parts of queries".to_owned();
        (spread.listener)(QueryNote::KeptLocal { reason });
    }
    spread
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
            "queries are not spread over workers",
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Mutex;

    use marquetry_lake::PLAN_VERSION;
    use marquetry_types::{Peer, Progress};

    use super::*;

    #[derive(Default)]
    struct Ear(Mutex<Vec<LogLine>>);

    impl StageEvents for Ear {
        fn progress(&self, _: Progress) {}

        fn log(&self, line: LogLine) {
            self.0.lock().unwrap().push(line);
        }
    }

    fn members(versions: &[&str]) -> Members {
        let peers = versions.iter().enumerate().map(|(number, version)| Peer {
            url: format!("http://w{number}:7071"),
            version: (*version).to_owned(),
        });
        let peers = peers.collect();
        Members {
            membership: Membership {
                peers,
                ..Membership::default()
            },
            authority: None,
        }
    }

    #[test]
    fn a_stage_that_wants_a_cluster_and_finds_none_says_so() {
        for (parallelism, versions, lines) in [
            (Parallelism::Cluster, &[PLAN_VERSION, PLAN_VERSION][..], 0),
            (Parallelism::Cluster, &[PLAN_VERSION, "0.0.0-other"], 1),
            (Parallelism::Cluster, &[], 1),
            (Parallelism::Auto, &[], 0),
            (Parallelism::Local, &[PLAN_VERSION, PLAN_VERSION], 0),
        ] {
            let ear = Arc::new(Ear::default());
            let events: Arc<dyn StageEvents> = Arc::<Ear>::clone(&ear);
            let spread = spread(
                parallelism,
                &members(versions),
                &PeerConnections::default(),
                &Functions::default(),
                events,
            );
            let said = ear.0.lock().unwrap();
            assert_eq!(said.len(), lines, "{parallelism} {versions:?}");
            let wanted = parallelism == Parallelism::Cluster && lines == 0;
            assert_eq!(spread.is_wanted(), wanted);
        }
    }
}
