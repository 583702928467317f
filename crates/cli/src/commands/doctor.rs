//! `doctor`: whether what a cluster needs is there, and what to do where it is not.

mod finding;
mod holder;
mod ports;

use std::time::{Duration, Instant};

use bytes::Bytes;
use marquetry_journal::Location;
use marquetry_proto::{timestamp_from_wire, v1};
use marquetry_types::Timestamp;

use self::finding::{Finding, State, show};
use crate::arguments::{Common, Doctor, Format};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output;
use crate::place::Place;

/// The object that is written to see whether the lake takes it; each check writes it anew.
const PROBE: &str = "doctor/probe";
/// Clocks that differ by more make times in `show` misleading. Nothing is decided by them.
const SKEW: Duration = Duration::from_secs(2);
/// A lake that answers later than that is away.
const PATIENCE: Duration = Duration::from_secs(10);
/// A lake that answers slower makes short stages slow.
const SLOW: Duration = Duration::from_millis(500);

/// `marquetry doctor`
pub(crate) async fn examine(common: &Common, arguments: &Doctor) -> Result<(), Failure> {
    let place = Place::of(common)?;
    let mut findings = vec![journal(&place).await, lake(&place).await];
    findings.extend(ports::examine(common, arguments).await);
    // A cluster is looked at where one is meant: a laptop has none.
    if let Some(cluster) = Cluster::named(common)? {
        findings.extend(of_cluster(&cluster).await);
    }
    let is_bad = findings.iter().any(|it| it.state == State::Bad);
    match common.output {
        Format::Json => output::json(&findings)?,
        Format::Text => {
            for finding in &findings {
                show(finding)?;
            }
        }
    }
    match is_bad {
        true => Err(Failure::Run),
        false => Ok(()),
    }
}

async fn journal(place: &Place) -> Finding {
    const CHECK: &str = "journal";
    let location = place.journal();
    if let Location::Sqlite(path) = &location
        && !path.exists()
    {
        let seen = format!("{} is not there yet", path.display());
        let advice = "`marquetry run` or `marquetry server` makes it";
        return Finding::warning(CHECK, seen, advice);
    }
    let reader = match place.reader().await {
        Ok(reader) => reader,
        Err(failure) => return Finding::bad(CHECK, &failure),
    };
    let start = Instant::now();
    match reader.leader().await {
        Ok(leader) => {
            let led = match leader {
                Some(leader) if !leader.url.is_empty() => {
                    format!(", last led by {} in epoch {}", leader.url, leader.epoch)
                }
                Some(leader) => format!(", epoch {}", leader.epoch),
                None => ", nobody led yet".to_owned(),
            };
            let took = output::duration(start.elapsed());
            // Not its URL, which may hold a password.
            let what = match location {
                Location::Sqlite(path) => path.display().to_string(),
                Location::Postgres(_) => "PostgreSQL".to_owned(),
            };
            Finding::good(CHECK, format!("{what} answers in {took}{led}"))
        }
        Err(error) => Finding::bad(CHECK, &error.into()),
    }
}

async fn lake(place: &Place) -> Finding {
    const CHECK: &str = "lake";
    let lake = match place.lake().await {
        Ok(lake) => lake,
        Err(failure) => return Finding::bad(CHECK, &failure),
    };
    let start = Instant::now();
    let written = Bytes::from(Timestamp::now().to_string());
    let asked = async {
        lake.put(PROBE, written.clone()).await?;
        lake.get(PROBE).await
    };
    let Ok(read) = tokio::time::timeout(PATIENCE, asked).await else {
        let seen = format!(
            "{} does not answer within {}",
            lake.location(),
            output::duration(PATIENCE)
        );
        return Finding::wrong(
            CHECK,
            seen,
            "check the store's endpoint and keys in the environment, and the network to it",
        );
    };
    let took = start.elapsed();
    let seen = format!(
        "{} takes and gives an object in {}",
        lake.location(),
        output::duration(took)
    );
    match read {
        Err(error) => Finding::bad(CHECK, &error.into()),
        Ok(read) if read != written => {
            let seen = format!("{} gives another object than was written", lake.location());
            Finding::wrong(
                CHECK,
                seen,
                "use a store that reads what was written, as S3 does",
            )
        }
        Ok(_) if took > SLOW => Finding::warning(
            CHECK,
            seen,
            "put servers, workers and lake nearer to each other",
        ),
        Ok(_) => Finding::good(CHECK, seen),
    }
}

async fn of_cluster(cluster: &Cluster) -> Vec<Finding> {
    const CHECK: &str = "coordinator";
    let start = Instant::now();
    let asked = Timestamp::now();
    let listed = cluster
        .ask_cluster(
            |mut cluster| async move { cluster.list_workers(v1::ListWorkersRequest {}).await },
        )
        .await;
    let listed = match listed {
        Ok(listed) => listed,
        Err(failure) => return vec![Finding::bad(CHECK, &failure)],
    };
    let took = start.elapsed();
    let own = env!("CARGO_PKG_VERSION");
    let mut findings = vec![if listed.version == own {
        let took = output::duration(took);
        Finding::good(CHECK, format!("version {own} leads and answers in {took}"))
    } else {
        let seen = format!("it is version {}, and this command {own}", listed.version);
        Finding::warning(CHECK, seen, "use the command of the same version")
    }];
    if let Some(theirs) = listed.now.as_ref().map(timestamp_from_wire) {
        findings.push(clocks(asked, theirs, took));
    }
    findings.push(workers(&listed));
    let queues = cluster
        .ask_cluster(
            |mut cluster| async move { cluster.list_queues(v1::ListQueuesRequest {}).await },
        )
        .await;
    findings.push(match queues {
        Ok(listed) => queues_of(&listed),
        Err(failure) => Finding::bad("queues", &failure),
    });
    findings
}

/// The clock of the coordinator, which was read somewhere between question and answer.
fn clocks(asked: Timestamp, theirs: Timestamp, took: Duration) -> Finding {
    const CHECK: &str = "clocks";
    let ahead = theirs.saturating_since(asked).saturating_sub(took);
    let behind = asked.saturating_since(theirs);
    let apart = ahead.max(behind);
    if apart > SKEW {
        let way = if ahead > behind { "ahead" } else { "behind" };
        let seen = format!(
            "the coordinator's clock is {} {way}",
            output::duration(apart)
        );
        return Finding::warning(
            CHECK,
            seen,
            "let NTP set the clocks; nothing is decided by them, but times mislead",
        );
    }
    Finding::good(CHECK, format!("less than {} apart", output::duration(SKEW)))
}

fn workers(listed: &v1::ListWorkersResponse) -> Finding {
    const CHECK: &str = "workers";
    let count = listed.workers.len();
    let active = listed
        .workers
        .iter()
        .filter(|worker| worker.state() == v1::WorkerState::Active);
    let slots: u32 = active.clone().map(|worker| worker.slots).sum();
    let others: Vec<&str> = listed
        .workers
        .iter()
        .filter(|worker| worker.version != listed.version)
        .map(|worker| worker.worker_id.as_str())
        .collect();
    let seen = format!(
        "{count} connected, {} of them take stages, {slots} slots",
        active.count()
    );
    if slots == 0 {
        return Finding::warning(
            CHECK,
            seen,
            "`marquetry worker` starts one; until then runs wait",
        );
    }
    if !others.is_empty() {
        let seen = format!(
            "{seen}; of another version than the coordinator: {}",
            others.join(", ")
        );
        return Finding::warning(
            CHECK,
            seen,
            "upgrade them: `marquetry drain WORKER` lets one end",
        );
    }
    Finding::good(CHECK, seen)
}

fn queues_of(listed: &v1::ListQueuesResponse) -> Finding {
    const CHECK: &str = "queues";
    let stuck = listed
        .queues
        .iter()
        .filter(|queue| queue.waiting > 0 && queue.workers == 0);
    let stuck: Vec<&str> = stuck.map(|queue| queue.name.as_str()).collect();
    let waiting: u64 = listed.queues.iter().map(|queue| queue.waiting).sum();
    if stuck.is_empty() {
        return Finding::good(CHECK, format!("{waiting} stages wait for a slot"));
    }
    let seen = format!(
        "stages wait in queues that no worker serves: {}",
        stuck.join(", ")
    );
    Finding::warning(CHECK, seen, "`marquetry worker --queue QUEUE` serves one")
}
