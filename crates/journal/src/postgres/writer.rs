//! The one task that writes, and its group commit.
//!
//! Appends that arrive while a commit is under way, all of one epoch, share the next statement. What can
//! be refused in memory is found out before anything is sent; a refusal among several makes each go on
//! its own, so that it costs its neighbours nothing but time.

use std::collections::HashSet;

use marquetry_engine::Record;
use marquetry_types::{Epoch, RunId, Timestamp};
use tokio::sync::mpsc;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Statement};

use super::connect::{Place, cause};
use super::patience::{Failure, in_time, read_in_time};
use super::statements::{Batch, prepare};
use super::{archive, deployments, leadership, loading, reader};
use crate::JournalError;
use crate::histories::Histories;
use crate::requests::{Answer, Done, LARGEST_GROUP, Request, Requests, SNAPSHOT_EVERY, Work};
use crate::rows::bundle_checksum;

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
            Ok(()) => vec![Ok(Done::Written); appends.len()],
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
                    answers.push(alone.map(|()| Done::Written));
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
        let unknown = unknown(&self.histories, appends.iter().flatten());
        if !unknown.is_empty() {
            let loaded = loading::load_histories(&session.client, &unknown);
            for (_, history) in read_in_time(loaded).await? {
                self.histories.keep(history?);
            }
        }
        let mut batch = Batch::default();
        for record in appends.iter().flatten() {
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
            Ok(false) => Err(match repeated(&session.client, appends).await? {
                Some(error) => error,
                None => leadership::fenced(&session.client, epoch).await,
            }),
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
                leadership::campaign(client, candidate).await
            }
            Work::Renew { epoch, lease } => leadership::renew(client, *epoch, *lease).await,
            Work::PutBundle { digest, bytes } => put_bundle(client, digest, bytes).await,
            // Appends are grouped by the caller.
            Work::Append { .. } => Ok(Done::Written),
            Work::Deploy { epoch, proposal } => deployments::deploy(client, *epoch, proposal)
                .await
                .map(|deployed| Done::Deployed(Box::new(deployed))),
            Work::Retire { epoch, name } => deployments::retire(client, *epoch, name)
                .await
                .map(Done::Retired),
            Work::PlanArchive { epoch, limit } => archive::plan(client, *epoch, *limit)
                .await
                .map(Done::Planned),
            Work::Archived {
                epoch,
                number,
                unreadable,
            } => archive::archived(client, *epoch, *number, unreadable)
                .await
                .map(|()| Done::Written),
            Work::Discard { epoch, discard } => archive::discard(client, *epoch, discard)
                .await
                .map(Done::Discarded),
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
            let client = read_in_time(place.connect(place.patience)).await?;
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

/// The runs that these records go on with, and that must be read first.
fn unknown<'r>(histories: &Histories, records: impl Iterator<Item = &'r Record>) -> Vec<&'r RunId> {
    let mut seen = HashSet::new();
    let mut unknown = Vec::new();
    for record in records {
        let run = record.run();
        // The id of a run that is submitted is new.
        let begins = matches!(record, Record::RunSubmitted(_));
        if seen.insert(run) && !begins && !histories.knows(run) {
            unknown.push(run);
        }
    }
    unknown
}

/// Which of the appends broke a rule of uniqueness.
async fn duplicate(
    client: &Client,
    appends: &[Vec<Record>],
    error: &tokio_postgres::Error,
) -> JournalError {
    match repeated(client, appends).await {
        Ok(Some(error)) | Err(error) => return error,
        Ok(None) => {}
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

/// The first of the submissions whose request another run has made already, as an error.
async fn repeated(
    client: &Client,
    appends: &[Vec<Record>],
) -> Result<Option<JournalError>, JournalError> {
    for record in appends.iter().flatten() {
        let Record::RunSubmitted(submitted) = record else {
            continue;
        };
        let Some(request_id) = &submitted.request_id else {
            continue;
        };
        let first = read_in_time(reader::find_by_request(client, request_id)).await?;
        if let Some(first) = first.filter(|first| first.run != submitted.run) {
            return Ok(Some(JournalError::DuplicateRequest {
                request_id: request_id.clone(),
                run: first.run,
            }));
        }
    }
    Ok(None)
}

async fn put_bundle(client: &Client, digest: &str, bytes: &[u8]) -> Answer {
    let checksum = i64::from(bundle_checksum(digest, bytes));
    let now = Timestamp::now().as_millis();
    in_time(client.execute(
        "WITH put AS (
             INSERT INTO bundle_uses (digest, runs, put_at) VALUES ($1, 0, $4)
             ON CONFLICT (digest) DO UPDATE SET put_at = excluded.put_at
         )
         INSERT INTO bundles (digest, checksum, payload) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        &[&digest, &checksum, &bytes, &now],
    ))
    .await?;
    Ok(Done::Written)
}
