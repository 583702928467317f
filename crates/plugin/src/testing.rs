//! Running a stage in a test, in a lake of its own.
#![expect(clippy::unwrap_used, reason = "test support fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use marquetry_lake::{Lake, LazySession, SessionOptions, Spread, WriteOptions, session, table};
use marquetry_types::{
    AttemptId, AttemptNumber, DATASET_KEY, DatasetRef, LogLine, Outcome, POLICY_KEY, PolicyVersion,
    Progress, RunId, Timestamp,
};
use marquetry_workflow::check_options;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    PANEL_MEDIA_TYPE, Panel, StageContext, StageError, StageEvents, StageHandler, StageSetup,
};

/// A stage to be run on given inputs.
pub struct TestStage {
    handler: Arc<dyn StageHandler>,
    inputs: BTreeMap<String, Vec<RecordBatch>>,
    schemas: BTreeMap<String, SchemaRef>,
    given: BTreeMap<String, Value>,
    run_number: u128,
    options: Value,
    files: BTreeMap<String, String>,
    seed: u64,
    threads: usize,
    memory_limit: u64,
    base_dir: Option<PathBuf>,
    lake: Option<Lake>,
    cancellation: CancellationToken,
}

/// What came of it.
#[derive(Debug)]
pub struct TestOutput {
    /// The stage's own answer.
    pub result: Result<Outcome, StageError>,
    /// Rows by output.
    pub outputs: BTreeMap<String, Vec<RecordBatch>>,
    /// What it left for the report.
    pub panels: Vec<Panel>,
    /// Bytes by artifact, panels included.
    pub artifacts: BTreeMap<String, Vec<u8>>,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// How far it said it was.
    pub progress: Vec<Progress>,
    /// The lake with everything in it.
    pub lake: Lake,
}

/// Keeps what a stage says.
#[derive(Default)]
struct Heard {
    logs: Mutex<Vec<LogLine>>,
    progress: Mutex<Vec<Progress>>,
}

impl StageEvents for Heard {
    fn progress(&self, progress: Progress) {
        self.progress.lock().unwrap().push(progress);
    }

    fn log(&self, line: LogLine) {
        self.logs.lock().unwrap().push(line);
    }
}

impl std::fmt::Debug for TestStage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TestStage")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl TestStage {
    /// A run of this handler, with no options.
    #[must_use]
    pub fn new(handler: Arc<dyn StageHandler>) -> Self {
        Self {
            handler,
            inputs: BTreeMap::new(),
            schemas: BTreeMap::new(),
            given: BTreeMap::new(),
            run_number: 1,
            options: json!({}),
            files: BTreeMap::new(),
            seed: 7,
            threads: 2,
            memory_limit: 512 * 1024 * 1024,
            base_dir: None,
            lake: None,
            cancellation: CancellationToken::new(),
        }
    }

    /// An input: options name it as `"$NAME"`. At least one batch, perhaps without rows.
    #[must_use]
    pub fn input(mut self, name: &str, batches: Vec<RecordBatch>) -> Self {
        let schema = batches
            .first()
            .map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        self.schemas.insert(name.to_owned(), schema);
        self.inputs.insert(name.to_owned(), batches);
        self
    }

    /// An input that lies in the lake already, such as an output of a stage that ran before: options
    /// name it as `"$NAME"`. See [`lake`](Self::lake).
    #[must_use]
    pub fn dataset(mut self, name: &str, dataset: &DatasetRef) -> Self {
        let dataset = json!({DATASET_KEY: dataset});
        self.given.insert(name.to_owned(), dataset);
        self
    }

    /// A policy as an attempt gets it: options name it as `"$NAME"`. Its versions count from 1, and the
    /// dataset is in the lake; without one nothing is published yet.
    #[must_use]
    pub fn policy(mut self, name: &str, version: Option<(u64, &DatasetRef)>) -> Self {
        let policy = PolicyVersion {
            name: name.parse().unwrap(),
            version: version.map_or(0, |(version, _)| version),
            dataset: version.map(|(_, dataset)| dataset.clone()),
        };
        let policy = json!({POLICY_KEY: policy});
        self.given.insert(name.to_owned(), policy);
        self
    }

    /// Which run it is; 1 if not given. Runs that share a lake need numbers of their own.
    #[must_use]
    pub const fn run_number(mut self, number: u128) -> Self {
        self.run_number = number;
        self
    }

    /// The options. A text `"$NAME"` stands for the input or the policy of that name.
    #[must_use]
    pub fn options(mut self, options: Value) -> Self {
        self.options = options;
        self
    }

    /// A file that travels with the workflow.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.insert(name.to_owned(), text.to_owned());
        self
    }

    /// The seed; 7 if not given.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The threads; 2 if not given.
    #[must_use]
    pub const fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Bytes of memory; 512 MiB if not given.
    #[must_use]
    pub const fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// The folder in which relative source paths start.
    #[must_use]
    pub fn base_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.base_dir = Some(folder.into());
        self
    }

    /// A lake to work on, such as that of a stage that ran before.
    #[must_use]
    pub fn lake(mut self, lake: Lake) -> Self {
        self.lake = Some(lake);
        self
    }

    /// What may cancel it.
    #[must_use]
    pub fn cancellation(mut self, cancellation: CancellationToken) -> Self {
        self.cancellation = cancellation;
        self
    }

    /// What the stage is called: as the second word of its kind.
    fn name(&self) -> String {
        let kind = self.handler.descriptor().kind.as_str();
        kind.rsplit('/').next().unwrap_or(kind).to_owned()
    }

    /// Runs the stage. Options that break its schema are answered as a worker answers them.
    pub async fn run(self) -> TestOutput {
        let name = self.name();
        let lake = match self.lake {
            Some(lake) => lake,
            None => Lake::open("memory:///").await.unwrap(),
        };
        let mut options = self.options;
        for (name, given) in &self.given {
            put_in(&mut options, &format!("${name}"), given);
        }
        for (name, batches) in &self.inputs {
            let schema = Arc::clone(&self.schemas[name]);
            let prefix = format!("inputs/{}/{name}", self.run_number);
            let mut writer = lake
                .dataset_writer(&prefix, schema, WriteOptions::default())
                .await
                .unwrap();
            for batch in batches {
                writer.write(batch).await.unwrap();
            }
            let dataset = json!({DATASET_KEY: writer.finish().await.unwrap()});
            put_in(&mut options, &format!("${name}"), &dataset);
        }
        let spill = tempfile::tempdir().unwrap();
        let spill_dir = spill.path().to_owned();
        let session_options = SessionOptions {
            memory_limit: self.memory_limit,
            spill_dir,
            threads: self.threads,
        };
        let run = RunId::new(Timestamp::from_millis(0), self.run_number);
        let attempt = AttemptId {
            run,
            // Stages of several kinds can run one after the other in one lake.
            stage: name.parse().unwrap(),
            attempt: AttemptNumber(1),
        };
        let heard = Arc::new(Heard::default());
        let context = StageContext::new(StageSetup {
            spread: Spread::default(),
            attempt,
            options: options.clone(),
            files: self.files,
            lake: lake.clone(),
            session: LazySession::new(&lake, session_options.clone()),
            seed: self.seed,
            base_dir: self.base_dir,
            memory_limit: self.memory_limit,
            threads: self.threads,
            cancellation: self.cancellation,
            events: Arc::clone(&heard) as Arc<_>,
        });
        let result = match check_options(self.handler.descriptor(), &options) {
            Ok(()) => self.handler.run(context).await,
            Err(diagnostic) => Err(StageError::Invalid(diagnostic)),
        };
        let mut output = TestOutput {
            result,
            outputs: BTreeMap::new(),
            panels: Vec::new(),
            artifacts: BTreeMap::new(),
            logs: std::mem::take(&mut heard.logs.lock().unwrap()),
            progress: std::mem::take(&mut heard.progress.lock().unwrap()),
            lake,
        };
        output.read(&session_options).await;
        output
    }
}

impl TestOutput {
    /// What it gave; panics with its error if it failed.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        self.result.as_ref().unwrap()
    }

    /// Why it failed; panics if it did not.
    #[must_use]
    pub fn error(&self) -> &StageError {
        self.result.as_ref().unwrap_err()
    }

    /// Reads outputs and artifacts back, in the order in which they were written.
    async fn read(&mut self, options: &SessionOptions) {
        let Ok(outcome) = &self.result else { return };
        let one_thread = SessionOptions {
            threads: 1,
            ..options.clone()
        };
        for (name, dataset) in &outcome.outputs {
            let session = session(&self.lake, &one_thread).unwrap();
            let rows = table(&self.lake, &session, dataset).await.unwrap();
            let batches = session.read_table(rows).unwrap().collect().await.unwrap();
            self.outputs.insert(name.clone(), batches);
        }
        for artifact in &outcome.artifacts {
            let bytes = self.lake.get(&artifact.path).await.unwrap().to_vec();
            if artifact.media_type == PANEL_MEDIA_TYPE {
                self.panels.push(serde_json::from_slice(&bytes).unwrap());
            }
            self.artifacts.insert(artifact.name.clone(), bytes);
        }
    }
}

/// Replaces the text `name` by `given`, wherever it stands.
fn put_in(value: &mut Value, name: &str, given: &Value) {
    match value {
        Value::String(text) if text == name => *value = given.clone(),
        Value::Array(items) => items.iter_mut().for_each(|item| put_in(item, name, given)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| put_in(field, name, given)),
        _ => {}
    }
}
