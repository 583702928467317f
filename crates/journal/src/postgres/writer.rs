//! The one task that writes, and its group commit.
//!
//! Appends that arrive while a commit is under way, all of one epoch, share the next statement. What can
//! be refused in memory is found out before anything is sent; a refusal among several makes each go on
//! its own, so that it costs its neighbours nothing but time.

use std::time::Duration;

use marquetry_engine::Record;
use marquetry_types::Epoch;
use tokio::sync::mpsc;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Statement};

use super::connect::{Place, cause};
use super::reader;
use super::statements::{Batch, from_database, prepare, to_database};
use crate::histories::Histories;
use crate::requests::{Answer, LARGEST_GROUP, Request, Requests, SNAPSHOT_EVERY, Work};
use crate::rows::bundle_checksum;
use crate::{Campaign, Candidate, JournalError, Leader};

/// How long a statement may take, the network included, before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(15);

/// Starts the task, which ends when the requests are dropped and what was sent is committed.
pub(super) fn start(place: Place) -> Requests {
    let (requests, received) = Requests::queue();
    let committer = Committer {
        place,
        session: None,
        histories: Histories::default(),
    };
    tokio::spawn(committer.run(received));
    requests
}

/// A connection with its prepared statement.
struct Session {
    client: Client,
    commit: Statement,
}

/// The receiving half.
struct Committer {
    place: Place,
    session: Option<Session>,
    histories: Histories,
}

impl Committer {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut group = Vec::new();
        while requests.recv_many(&mut group, LARGEST_GROUP).await > 0 {
            let mut waiting = group.drain(..).peekable();
            while let Some(Request { work, reply }) = waiting.next() {
                let Work::Append { epoch, records } = work else {
                    let _ = reply.send(self.alone(&work).await);
                    continue;
                };
                let (mut appends, mut replies) = (vec![records], vec![reply]);
                while let Some(next) = waiting.next_if(
                    |next| matches!(&next.work, Work::Append { epoch: its, .. } if *its == epoch),
                ) {
                    if let Work::Append { records, .. } = next.work {
                        appends.push(records);
                        replies.push(next.reply);
                    }
                }
                let answers = self.append_all(epoch, &appends).await;
                for (reply, answer) in replies.into_iter().zip(answers) {
                    let _ = reply.send(answer);
                }
            }
            self.histories.tidy();
        }
    }

    /// Appends what shares an epoch: together, or, where one of them is refused, each on its own.
    async fn append_all(&mut self, epoch: Epoch, appends: &[Vec<Record>]) -> Vec<Answer> {
        match self.append(epoch, appends).await {
            Ok(()) => vec![Ok(Campaign::Won(epoch)); appends.len()],
            Err(error) if appends.len() == 1 => {
                tracing::warn!(%error, "journal request refused");
                vec![Err(error)]
            }
            Err(
                error @ (JournalError::Storage { .. }
                | JournalError::Doubtful { .. }
                | JournalError::Fenced { .. }),
            ) => {
                tracing::error!(%error, requests = appends.len(), "journal commit failed");
                vec![Err(error); appends.len()]
            }
            Err(_) => {
                let mut answers = Vec::with_capacity(appends.len());
                for append in appends {
                    let alone = self.append(epoch, std::slice::from_ref(append)).await;
                    answers.push(alone.map(|()| Campaign::Won(epoch)));
                }
                answers
            }
        }
    }

    async fn append(&mut self, epoch: Epoch, appends: &[Vec<Record>]) -> Result<(), JournalError> {
        let result = self.try_append(epoch, appends).await;
        if result.is_err() {
            self.histories.forget(appends.iter().flatten());
        }
        if matches!(
            result,
            Err(JournalError::Storage { .. } | JournalError::Doubtful { .. })
        ) {
            // Whatever is wrong with the connection, the next request begins with a new one.
            self.session = None;
            self.histories.clear();
        }
        result
    }

    async fn try_append(
        &mut self,
        epoch: Epoch,
        appends: &[Vec<Record>],
    ) -> Result<(), JournalError> {
        let session = session(&mut self.session, &self.place).await?;
        let mut batch = Batch::default();
        for record in appends.iter().flatten() {
            let run = record.run();
            // The id of a run that is submitted is new.
            if !matches!(record, Record::RunSubmitted(_))
                && !self.histories.knows(run)
                && let Some(stored) =
                    read_in_time(reader::load_history(&session.client, run)).await?
            {
                self.histories.keep(stored);
            }
            let history = self.histories.apply(record)?;
            batch.record(history, record)?;
            for publication in record.publications() {
                read_in_time(batch.publication(&session.client, &publication)).await?;
            }
        }
        self.histories
            .for_each_of(appends.iter().flatten(), |history| {
                batch.summary(history)?;
                if history.is_snapshot_due(SNAPSHOT_EVERY) {
                    batch.snapshot(history)?;
                    history.snapshot_taken();
                }
                Ok(())
            })?;
        let committed = in_time(batch.commit(&session.client, &session.commit, epoch)).await;
        match committed {
            Ok(true) => Ok(()),
            Ok(false) => Err(fenced(&session.client, epoch).await),
            Err(Failure::Database(error)) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                Err(duplicate(&session.client, appends, &error).await)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// What shares its statement with nothing.
    async fn alone(&mut self, work: &Work) -> Answer {
        let session = session(&mut self.session, &self.place).await?;
        let client = &session.client;
        let answer = match work {
            Work::Campaign(candidate) => {
                // Another coordinator may have written since this one led.
                self.histories.clear();
                campaign(client, candidate).await
            }
            Work::Renew { epoch, lease } => renew(client, *epoch, *lease).await,
            Work::PutBundle { digest, bytes } => put_bundle(client, digest, bytes).await,
            // Appends are grouped by the caller.
            Work::Append { epoch, .. } => Ok(Campaign::Won(*epoch)),
        };
        if matches!(
            answer,
            Err(JournalError::Storage { .. } | JournalError::Doubtful { .. })
        ) {
            self.session = None;
        }
        answer
    }
}

async fn session<'s>(
    kept: &'s mut Option<Session>,
    place: &Place,
) -> Result<&'s Session, JournalError> {
    let fresh = match kept.take().filter(|session| !session.client.is_closed()) {
        Some(session) => session,
        None => {
            let client = read_in_time(place.connect()).await?;
            let commit = in_time(prepare(&client)).await;
            let commit = commit.map_err(|failure| match failure.into() {
                // Preparing changes nothing, so there is nothing to doubt.
                JournalError::Doubtful { reason } => JournalError::Storage {
                    doing: "write to the journal",
                    reason,
                },
                other => other,
            })?;
            Session { client, commit }
        }
    };
    Ok(kept.insert(fresh))
}

/// Why a statement failed.
enum Failure {
    Database(tokio_postgres::Error),
    TooSlow,
}

impl From<Failure> for JournalError {
    /// A statement that the database refused has no effect. When the connection broke, or the server
    /// went down around it, nobody knows.
    fn from(failure: Failure) -> Self {
        let error = match failure {
            Failure::Database(error) => error,
            Failure::TooSlow => {
                return Self::Doubtful {
                    reason: format!("the database did not answer within {PATIENCE:?}"),
                };
            }
        };
        let reason = cause(&error);
        let is_refusal = error.code().is_some_and(|code| {
            let class = code.code().get(..2).unwrap_or_default();
            // 57P0x: the server was shut down or crashed; 08: the connection failed.
            class != "08" && !code.code().starts_with("57P")
        });
        match is_refusal {
            true => Self::Storage {
                doing: "write to the journal",
                reason,
            },
            false => Self::Doubtful { reason },
        }
    }
}

async fn in_time<T>(
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, statement).await {
        Ok(result) => result.map_err(Failure::Database),
        Err(_) => Err(Failure::TooSlow),
    }
}

/// The same for what changes nothing: there is nothing to doubt.
async fn read_in_time<T>(
    reading: impl Future<Output = Result<T, JournalError>>,
) -> Result<T, JournalError> {
    tokio::time::timeout(PATIENCE, reading)
        .await
        .unwrap_or_else(|_| {
            Err(JournalError::Storage {
                doing: "read the journal",
                reason: format!("the database did not answer within {PATIENCE:?}"),
            })
        })
}

async fn fenced(client: &Client, ours: Epoch) -> JournalError {
    match read_in_time(reader::leader(client)).await {
        Ok(leader) => JournalError::Fenced {
            ours,
            current: leader.map_or(Epoch(0), |leader| leader.epoch),
        },
        Err(error) => error,
    }
}

/// Which of the appends broke a rule of uniqueness.
async fn duplicate(
    client: &Client,
    appends: &[Vec<Record>],
    error: &tokio_postgres::Error,
) -> JournalError {
    for record in appends.iter().flatten() {
        let Record::RunSubmitted(submitted) = record else {
            continue;
        };
        let Some(request_id) = &submitted.request_id else {
            continue;
        };
        match read_in_time(reader::find_by_request(client, request_id)).await {
            Ok(Some(first)) if first.run != submitted.run => {
                return JournalError::DuplicateRequest {
                    request_id: request_id.clone(),
                    run: first.run,
                };
            }
            Ok(_) => {}
            Err(error) => return error,
        }
    }
    let first = appends
        .iter()
        .flatten()
        .next()
        .map(|record| record.run().clone());
    match first {
        Some(run) => JournalError::Inconsistent {
            run,
            reason: cause(error),
        },
        None => JournalError::Storage {
            doing: "write to the journal",
            reason: cause(error),
        },
    }
}

async fn campaign(client: &Client, candidate: &Candidate) -> Answer {
    let lease = milliseconds(candidate.lease);
    let won = in_time(client.query_opt(
        "UPDATE leadership SET epoch = epoch + 1, name = $1, url = $2,
             lease_ends_at = clock_timestamp() + $3 * interval '1 millisecond'
         WHERE id = 1 AND (lease_ends_at <= clock_timestamp() OR name = $1) RETURNING epoch",
        &[&candidate.name, &candidate.url, &lease],
    ))
    .await?;
    if let Some(row) = won {
        let epoch: i64 = row.try_get(0).map_err(Failure::Database)?;
        return Ok(Campaign::Won(Epoch(from_database(epoch))));
    }
    let leader: Option<Leader> = read_in_time(reader::leader(client)).await?;
    leader
        .map(Campaign::Lost)
        .ok_or_else(|| JournalError::Storage {
            doing: "read the journal",
            reason: "it does not say who leads".to_owned(),
        })
}

async fn renew(client: &Client, epoch: Epoch, lease: Duration) -> Answer {
    let (lease, ours) = (milliseconds(lease), to_database(epoch.0));
    let changed = in_time(client.execute(
        "UPDATE leadership SET lease_ends_at = clock_timestamp() + $1 * interval '1 millisecond'
         WHERE id = 1 AND epoch = $2",
        &[&lease, &ours],
    ))
    .await?;
    match changed {
        0 => Err(fenced(client, epoch).await),
        _ => Ok(Campaign::Won(epoch)),
    }
}

async fn put_bundle(client: &Client, digest: &str, bytes: &[u8]) -> Answer {
    let checksum = i64::from(bundle_checksum(digest, bytes));
    in_time(client.execute(
        "INSERT INTO bundles (digest, checksum, payload) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        &[&digest, &checksum, &bytes],
    ))
    .await?;
    Ok(Campaign::Won(Epoch::default()))
}

fn milliseconds(lease: Duration) -> f64 {
    lease.as_secs_f64() * 1000.0
}
