//! Collections in worlds that are made up: what somebody may need stays, and whatever else is old goes.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use marquetry_engine::{Record, RunStatus};
use marquetry_history::Archive;
use marquetry_history::collect::{Collector, Rules};
use marquetry_journal::testing::samples;
use marquetry_journal::{Discard, FinishedThrough, Journal, JournalReader, SqliteJournal};
use marquetry_lake::{DataFile, FileLocation, Lake, Manifest, SessionOptions};
use marquetry_types::{
    AttemptId, AttemptNumber, DatasetRef, Diagnostic, Epoch, FailureClass, FencingToken, Outcome,
    Published, PublishedKind, RunId, StageFailure, Timestamp, codes,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tempfile::TempDir;

/// How an attempt came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Failed,
    Lost,
    /// With rows of its own, and those of so many earlier datasets.
    Succeeded {
        borrows: usize,
        publishes: bool,
    },
}

#[derive(Debug, Clone)]
struct Plan {
    /// What its attempts came to. After a success it is done again.
    attempts: Vec<End>,
    ends: bool,
    ended_long_ago: bool,
    is_known: bool,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Failed),
        Just(End::Lost),
        (0..3_usize, any::<bool>())
            .prop_map(|(borrows, publishes)| End::Succeeded { borrows, publishes }),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let attempts = prop::collection::vec(end(), 1..4);
    let flags = (
        prop::bool::weighted(0.8),
        any::<bool>(),
        prop::bool::weighted(0.9),
    );
    (attempts, flags).prop_map(|(attempts, (ends, ended_long_ago, is_known))| Plan {
        attempts,
        ends,
        ended_long_ago,
        is_known,
    })
}

/// A lake and a journal, and the books of what somebody may need.
struct World {
    folder: TempDir,
    lake: Lake,
    journal: Arc<SqliteJournal>,
    epoch: Epoch,
    /// Datasets of successes, and all that they refer to.
    datasets: Vec<(DatasetRef, BTreeSet<String>)>,
    published: u64,
    needed: BTreeSet<String>,
    all: BTreeSet<String>,
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Data of runs that ended before this is not kept, where it is asked for.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(folder.path().join("journal.db")).unwrap();
        let epoch = samples::lead(&journal).await;
        Self {
            lake: Lake::open("memory:///").await.unwrap(),
            folder,
            journal: Arc::new(journal),
            epoch,
            datasets: Vec::new(),
            published: 0,
            needed: BTreeSet::new(),
            all: BTreeSet::new(),
        }
    }

    async fn put(&mut self, path: String) -> String {
        self.lake
            .put(&path, path.clone().into_bytes().into())
            .await
            .unwrap();
        self.all.insert(path.clone());
        path
    }

    /// A dataset of an attempt, with what it refers to.
    async fn dataset(&mut self, folder: &str, borrows: usize) -> (DatasetRef, BTreeSet<String>) {
        let mut files =
            BTreeSet::from([self.put(format!("{folder}/rows/part-00000.parquet")).await]);
        for (_, others) in self.datasets.iter().rev().take(borrows) {
            files.extend(others.iter().filter(|it| it.ends_with(".parquet")).cloned());
        }
        let listed = files.iter().map(|path| DataFile {
            location: FileLocation::InLake { path: path.clone() },
            bytes: 1,
            rows: 1,
            digest: None,
        });
        let field = Field::new("x", DataType::Int64, true);
        let manifest = Manifest {
            version: 1,
            schema: Arc::new(Schema::new(vec![field])),
            files: listed.collect(),
            rows: 1,
        };
        let prefix = format!("{folder}/rows");
        let dataset = self.lake.commit_manifest(&prefix, &manifest);
        let dataset = dataset.await.unwrap();
        self.all.insert(dataset.manifest.clone());
        files.insert(dataset.manifest.clone());
        (dataset, files)
    }

    /// A run as it is planned. `expires` where the data of those that ended long ago is not kept.
    async fn run(&mut self, number: u64, plan: &Plan, expires: bool) -> RunId {
        let run = samples::run_id(number);
        let now = Timestamp::now();
        let at = match plan.ended_long_ago {
            true => Timestamp::from_millis(1_763_886_600_000),
            false => now,
        };
        let is_kept = !(expires && plan.ends && plan.ended_long_ago);
        let mut records = samples::begun_run(&run, "retail", None);
        records.truncate(1);
        let stage: marquetry_types::StageName = "orders".parse().unwrap();
        // The files of the last success, which the stage still has.
        let mut current: Option<(BTreeSet<String>, bool)> = None;
        let mut logs = BTreeSet::new();
        for (place, end) in (1..).zip(&plan.attempts) {
            if current.take().is_some() {
                records.push(Record::RunFinished {
                    run: run.clone(),
                    status: RunStatus::Succeeded,
                    failure: None,
                    outputs: Outcome::default(),
                    at,
                });
                records.push(Record::RunResumed {
                    run: run.clone(),
                    from: [stage.clone()].into(),
                    at,
                });
            }
            let attempt = AttemptId {
                run: run.clone(),
                stage: stage.clone(),
                attempt: AttemptNumber(place),
            };
            let folder = Lake::attempt_prefix(&attempt);
            let token = FencingToken {
                epoch: self.epoch,
                attempt,
            };
            logs.insert(self.put(format!("{folder}/log/00000.ndjson")).await);
            records.push(Record::AttemptAssigned {
                token: token.clone(),
                worker: "w1".parse().unwrap(),
                learns_from: None,
                slot: None,
                cache: None,
                at,
            });
            match end {
                End::Failed => {
                    self.dataset(&folder, 1).await;
                    records.push(Record::AttemptFailed {
                        token,
                        failure: StageFailure {
                            class: FailureClass::Transient,
                            diagnostic: Diagnostic::new(codes::STAGE_CRASHED, "made up"),
                        },
                        retry_at: Some(at),
                        at,
                    });
                }
                End::Lost => {
                    self.put(format!("{folder}/rows/part-00000.parquet")).await;
                    records.push(Record::AttemptLost {
                        token,
                        reason: "made up".to_owned(),
                        retry_at: None,
                        at,
                    });
                }
                End::Succeeded { borrows, publishes } => {
                    let (dataset, files) = self.dataset(&folder, *borrows).await;
                    let mut published = Vec::new();
                    // An unknown run published nothing that the journal knows.
                    if *publishes && plan.is_known {
                        self.published += 1;
                        published.push(Published {
                            kind: PublishedKind::Table,
                            name: "segments".parse().unwrap(),
                            version: self.published,
                            dataset: dataset.clone(),
                        });
                        self.needed.extend(files.iter().cloned());
                    }
                    self.datasets.push((dataset.clone(), files.clone()));
                    current = Some((files, true));
                    records.push(Record::StageSucceeded {
                        token,
                        outcome: Outcome {
                            outputs: [("rows".to_owned(), dataset)].into(),
                            ..Outcome::default()
                        },
                        published,
                        withheld: Vec::new(),
                        cache: None,
                        at,
                    });
                }
            }
        }
        if plan.ends {
            records.push(Record::RunFinished {
                run: run.clone(),
                status: match current {
                    Some(_) => RunStatus::Succeeded,
                    None => RunStatus::Cancelled,
                },
                failure: None,
                outputs: Outcome::default(),
                at,
            });
        }
        let own = format!("runs/{run}/");
        if !plan.is_known || !plan.ends {
            let of_run = self.all.iter().filter(|path| path.starts_with(&own));
            self.needed.extend(of_run.cloned());
        }
        if plan.is_known {
            if let Some((files, _)) = current
                && is_kept
            {
                self.needed.extend(files);
            }
            if is_kept {
                self.needed.extend(logs);
            }
            self.journal.append(self.epoch, records).await.unwrap();
        }
        run
    }

    fn collector(&self) -> Collector {
        let options = SessionOptions {
            memory_limit: 64 * 1024 * 1024,
            spill_dir: self.folder.path().join("spill"),
            threads: 1,
        };
        let reader = Arc::clone(&self.journal) as Arc<dyn JournalReader>;
        Collector::new(self.lake.clone(), reader, options)
    }

    async fn files(&self) -> BTreeSet<String> {
        let files = self.lake.list("runs").await.unwrap();
        files.into_iter().map(|file| file.path).collect()
    }

    /// Archives every finished run.
    async fn archive(&self) {
        let archive = Archive::new(self.lake.clone());
        while let Some(batch) = self.journal.plan_archive(self.epoch, 100).await.unwrap() {
            let loaded = self.journal.load_runs(&batch.runs).await.unwrap();
            let runs: Vec<_> = loaded.into_iter().map(|(_, run)| run.unwrap()).collect();
            archive.write(&batch, &runs).await.unwrap();
            let done = self.journal.archived(self.epoch, batch.number, Vec::new());
            done.await.unwrap();
        }
    }
}

fn rules(expires: bool) -> Rules {
    Rules {
        // What was just written is a day old by then.
        now: Timestamp::now().saturating_add(DAY + Duration::from_secs(60)),
        older_than: DAY,
        keep_data_for: expires.then_some(KEPT),
        rest: 0,
    }
}

async fn try_world(plans: &[Plan], expires: bool) -> TestCaseResult {
    let mut world = World::new().await;
    for (number, plan) in (1..).zip(plans) {
        world.run(number, plan, expires).await;
    }
    // Nothing is old yet.
    let young = Rules {
        now: Timestamp::now(),
        ..rules(expires)
    };
    let collector = world.collector();
    prop_assert_eq!(collector.find(&young).await.unwrap().files, vec![]);
    let rules = rules(expires);
    let findings = collector.find(&rules).await.unwrap();
    prop_assert_eq!(
        world.files().await,
        world.all.clone(),
        "finding removes nothing"
    );
    collector.remove(&findings, &rules).await.unwrap();
    let left = world.files().await;
    let lost: Vec<_> = world.needed.difference(&left).collect();
    prop_assert!(lost.is_empty(), "needed, and gone: {:#?}", lost);
    let kept: Vec<_> = left.difference(&world.needed).collect();
    prop_assert!(kept.is_empty(), "garbage, and there: {:#?}", kept);
    let again = collector.find(&rules).await.unwrap();
    prop_assert_eq!(again.files, vec![]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_somebody_may_need_stays_and_the_rest_goes(
        plans in prop::collection::vec(plan(), 1..6),
        expires: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(try_world(&plans, expires))?;
    }
}

/// Of a run that is in the archive only it is not known what was committed: it goes as a whole, when its data
/// has expired.
#[tokio::test]
async fn data_of_a_run_that_is_only_archived_stays_until_it_expires() {
    let mut world = World::new().await;
    let published = End::Succeeded {
        borrows: 0,
        publishes: true,
    };
    let plain = End::Succeeded {
        borrows: 0,
        publishes: false,
    };
    for (number, last) in [(1, plain), (2, published)] {
        let plan = Plan {
            attempts: vec![End::Failed, last],
            ends: true,
            ended_long_ago: true,
            is_known: true,
        };
        world.run(number, &plan, true).await;
    }
    world.archive().await;
    let discard = Discard {
        through: FinishedThrough {
            at: Timestamp::from_millis(i64::MAX),
            run: None,
        },
        runs: 100,
        records: 1000,
        bundles_put_before: Timestamp::from_millis(0),
    };
    let discarded = world.journal.discard(world.epoch, discard).await.unwrap();
    assert_eq!(discarded.runs, 2);
    let collector = world.collector();
    let kept = collector.find(&rules(false)).await.unwrap();
    assert_eq!((kept.files, kept.unknown), (vec![], vec![]));
    let rules = rules(true);
    let expired = collector.find(&rules).await.unwrap();
    collector.remove(&expired, &rules).await.unwrap();
    assert_eq!(world.files().await, world.needed);
}

#[tokio::test]
async fn files_of_runs_that_nobody_knows_are_named_and_left_alone() {
    let mut world = World::new().await;
    let plan = Plan {
        attempts: vec![End::Failed],
        ends: true,
        ended_long_ago: true,
        is_known: false,
    };
    let run = world.run(1, &plan, false).await;
    world.put("runs/somebody-elses/file".to_owned()).await;
    let findings = world.collector().find(&rules(true)).await.unwrap();
    assert_eq!(findings.files, vec![]);
    assert_eq!(
        findings.unknown,
        ["somebody-elses".to_owned(), run.to_string()]
    );
}
