//! Every metric by name, type and help. `docs/metrics.md` has the same as a table, and a test compares
//! the two.

use std::fmt;
use std::sync::atomic::AtomicU64;

use marquetry_engine::{RunStatus, StageStatus};
use marquetry_types::FailureClass;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::Operation;
use super::methods::Methods;
use super::queues::Queues;

/// The beginning of every name.
const PREFIX: &str = "marquetry";

/// Every metric of a coordinator, and the registry that writes them.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) runs_submitted: Counter,
    pub(super) runs_resumed: Counter,
    pub(super) runs_ended: Each<RunStatus>,
    pub(super) runs_active: Gauge,
    pub(super) stages_ended: Each<StageStatus>,
    pub(super) stages_ready: Queues,
    pub(super) stage_wait: Histogram,
    pub(super) attempts_granted: Counter,
    pub(super) attempts_failed: Each<FailureClass>,
    pub(super) stages_cached: Each<bool>,
    pub(super) attempts_lost: Counter,
    pub(super) workers_connected: Gauge,
    pub(super) worker_slots: Gauge,
    pub(super) worker_slots_in_use: Gauge,
    pub(super) dispatch_duration: Histogram,
    pub(super) commit_duration: Histogram,
    pub(super) commit_requests: Histogram,
    pub(super) commit_records: Histogram,
    pub(super) journal_errors: Each<Operation>,
    pub(super) leading: Gauge,
    pub(super) epoch: Gauge<u64, AtomicU64>,
    pub(super) leader_changes: Counter,
    pub(super) archived_runs: Counter,
    pub(super) archive_lag: Gauge<f64, AtomicU64>,
    pub(super) discarded_runs: Counter,
    pub(super) collected_bytes: Counter,
    pub(super) methods: Methods,
    registry: Registry,
}

impl Figures {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let all = &mut registry;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        all.register("build", "The version of the binary", version);
        let figures = Self {
            runs_submitted: counter(all, "runs_submitted", "Runs that began"),
            runs_resumed: counter(all, "runs_resumed", "Runs that had ended and went on"),
            runs_ended: Each::register(
                all,
                "runs_ended",
                "Runs that ended, by how",
                "status",
                &[
                    (RunStatus::Succeeded, RunStatus::Succeeded.as_str()),
                    (RunStatus::Failed, RunStatus::Failed.as_str()),
                    (RunStatus::Cancelled, RunStatus::Cancelled.as_str()),
                ],
            ),
            runs_active: gauge(all, "runs_active", "Runs that have not ended"),
            stages_ended: Each::register(
                all,
                "stages_ended",
                "Stages that ended, by how; those that a cancelled run left behind count when it ends",
                "status",
                &[
                    (StageStatus::Succeeded, StageStatus::Succeeded.as_str()),
                    (StageStatus::Failed, StageStatus::Failed.as_str()),
                    (StageStatus::Skipped, StageStatus::Skipped.as_str()),
                    (StageStatus::Cancelled, StageStatus::Cancelled.as_str()),
                ],
            ),
            stages_ready: Queues::register(
                all,
                "stages_ready",
                "Stages that may run and wait for a worker, by queue",
            ),
            stage_wait: waits(
                all,
                "stage_wait_duration",
                "How long stages that were granted had waited for a worker since they might run",
            ),
            attempts_granted: counter(
                all,
                "attempts_granted",
                "Attempts that were granted to workers",
            ),
            attempts_failed: Each::register(
                all,
                "attempts_failed",
                "Attempts that failed, by whose concern it is",
                "class",
                &[
                    (FailureClass::Invalid, "invalid"),
                    (FailureClass::Transient, "transient"),
                    (FailureClass::ResourceExhausted, "resource_exhausted"),
                    (FailureClass::Cancelled, "cancelled"),
                ],
            ),
            stages_cached: Each::register(
                all,
                "stages_cached",
                "Attempts of stages with `cache`: whether they look at what was computed before, or compute",
                "result",
                &[(true, "hit"), (false, "miss")],
            ),
            attempts_lost: counter(
                all,
                "attempts_lost",
                "Attempts that were given up with their workers",
            ),
            workers_connected: gauge(
                all,
                "workers_connected",
                "Workers whose streams to this coordinator are open",
            ),
            worker_slots: gauge(
                all,
                "worker_slots",
                "Attempts that the connected workers run at a time",
            ),
            worker_slots_in_use: gauge(
                all,
                "worker_slots_in_use",
                "Attempts that the connected workers were granted and that have not ended",
            ),
            dispatch_duration: seconds(
                all,
                "dispatch_duration",
                "From the first of the requests that were decided together to the assignments that followed",
            ),
            commit_duration: seconds(
                all,
                "commit_duration",
                "How long the journal took to make a commit durable",
            ),
            commit_requests: sizes(
                all,
                "commit_requests",
                "Requests that shared a commit; none where a timer was its cause",
                9,
            ),
            commit_records: sizes(all, "commit_records", "Records of a commit", 14),
            journal_errors: Each::register(
                all,
                "journal_errors",
                "Failures of the journal, by what was asked of it; that another coordinator leads is none",
                "operation",
                &[
                    (Operation::Append, "append"),
                    (Operation::Campaign, "campaign"),
                    (Operation::Renew, "renew"),
                    (Operation::Restore, "restore"),
                ],
            ),
            leading: gauge(
                all,
                "leading",
                "1 while this coordinator leads, 0 otherwise",
            ),
            epoch: Gauge::default(),
            leader_changes: counter(
                all,
                "leader_changes",
                "Times that this coordinator saw another one lead than before, or itself; the first one counts",
            ),
            archived_runs: counter(
                all,
                "archived_runs",
                "Finished runs that were written to the archive; one that went on counts once more",
            ),
            archive_lag: Gauge::default(),
            discarded_runs: counter(
                all,
                "discarded_runs",
                "Archived runs that were deleted from the journal",
            ),
            collected_bytes: Counter::default(),
            methods: Methods::default(),
            registry: Registry::default(),
        };
        all.register_with_unit(
            "archive_lag_duration",
            "How long the first of the finished runs that are not archived has waited",
            Unit::Seconds,
            figures.archive_lag.clone(),
        );
        all.register_with_unit(
            "collected",
            "Bytes of files that nobody needed and that were removed from the lake",
            Unit::Bytes,
            figures.collected_bytes.clone(),
        );
        all.register(
            "epoch",
            "The epoch of the latest leader that this coordinator knows, itself included",
            figures.epoch.clone(),
        );
        all.register(
            "grpc_requests",
            "gRPC calls that ended, by method and status code; CANCELLED also where the caller went away",
            figures.methods.requests.clone(),
        );
        all.register_with_unit(
            "grpc_received",
            "Bytes of the messages that callers sent",
            Unit::Bytes,
            figures.methods.received.clone(),
        );
        all.register_with_unit(
            "grpc_sent",
            "Bytes of the messages that callers were sent",
            Unit::Bytes,
            figures.methods.sent.clone(),
        );
        Self {
            registry,
            ..figures
        }
    }

    /// All of them as OpenMetrics text.
    pub(super) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The counters of a family, one for each value of an enum: found without a lock and without a label
/// being written.
#[derive(Debug)]
pub(super) struct Each<K>(Vec<(K, Counter)>);

impl<K: Copy + PartialEq> Each<K> {
    fn register(
        registry: &mut Registry,
        name: &str,
        help: &str,
        label: &'static str,
        values: &[(K, &'static str)],
    ) -> Self {
        let family = Family::<[(&'static str, &'static str); 1], Counter>::default();
        let counters = values
            .iter()
            .map(|(key, value)| (*key, family.get_or_create_owned(&[(label, *value)])))
            .collect();
        registry.register(name, help, family);
        Self(counters)
    }

    /// Counts; what is not among the values is not.
    pub(super) fn inc(&self, key: K) {
        self.inc_by(key, 1);
    }

    /// Counts so many.
    pub(super) fn inc_by(&self, key: K, count: u64) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == key) {
            counter.inc_by(count);
        }
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

/// A histogram of durations, from a quarter of a millisecond, less than a disk needs, to eight seconds.
fn seconds(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let histogram = Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

/// A histogram of what may be nothing or hours.
fn waits(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let histogram = Histogram::new(exponential_buckets(0.001, 4.0, 12));
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

/// A histogram of sizes by powers of two, so many of them.
fn sizes(registry: &mut Registry, name: &str, help: &str, buckets: u16) -> Histogram {
    let histogram = Histogram::new(exponential_buckets(1.0, 2.0, buckets));
    registry.register(name, help, histogram.clone());
    histogram
}
