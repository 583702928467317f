//! The stages of these tests, and what is seen of them: each start is checked against the journal.

use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use bytes::Bytes;
use marquetry_engine::StageStatus;
use marquetry_journal::Journal;
use marquetry_plugin::{
    FileName, Input, LogLevel, StageContext, StageError, StageHandler, describe,
};
use marquetry_types::{AttemptId, Diagnostic, Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::watch;

use crate::house::in_time;

pub(crate) const KIND: &str = "test/step";

/// Options of `test/step`: it writes one more than the sum of its inputs, unless it misbehaves.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    inputs: Vec<Input>,
    #[serde(default)]
    act: Act,
    /// How many attempts misbehave; all of them, if it is not given.
    #[serde(default)]
    times: Option<u32>,
    /// A file that it needs.
    #[serde(default)]
    notes: Option<FileName>,
}

#[derive(Deserialize, JsonSchema, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Act {
    #[default]
    Write,
    /// Waits until the floor is opened, and heeds a cancellation.
    Wait,
    Panic,
    /// Never ends, and heeds nothing.
    Hang,
    /// The same, on its thread.
    Block,
    Invalid,
    Transient,
    Exhausted,
    /// Says that it was cancelled when nobody asked for it.
    GiveUp,
}

/// Where stages run, as the tests see it.
pub(crate) struct Floor {
    journal: OnceLock<Arc<dyn Journal>>,
    starts: watch::Sender<Vec<AttemptId>>,
    open: watch::Sender<bool>,
    is_released: Mutex<bool>,
    released: Condvar,
    wrongs: Mutex<Vec<String>>,
}

impl Floor {
    pub(crate) fn new() -> Self {
        Self {
            journal: OnceLock::new(),
            starts: watch::Sender::default(),
            open: watch::Sender::new(false),
            is_released: Mutex::new(false),
            released: Condvar::new(),
            wrongs: Mutex::default(),
        }
    }

    /// Checks every start against this journal from here on.
    pub(crate) fn check_against(&self, journal: Arc<dyn Journal>) {
        assert!(self.journal.set(journal).is_ok(), "there is one journal");
    }

    /// How often a stage was started.
    pub(crate) fn starts(&self, stage: &str) -> usize {
        let starts = self.starts.borrow();
        starts
            .iter()
            .filter(|it| it.stage.as_str() == stage)
            .count()
    }

    /// Waits until a stage has been started so often.
    pub(crate) async fn started(&self, stage: &str, times: usize) {
        let mut starts = self.starts.subscribe();
        let is_there = |starts: &Vec<AttemptId>| {
            starts
                .iter()
                .filter(|it| it.stage.as_str() == stage)
                .count()
                >= times
        };
        in_time(starts.wait_for(is_there)).await.expect("a floor");
    }

    /// Lets the stages that wait go on, those to come included.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Lets the stages that block go on, so that their threads end with the test.
    pub(crate) fn release(&self) {
        *self.is_released.lock().unwrap() = true;
        self.released.notify_all();
    }

    /// What was seen and must not be.
    pub(crate) fn wrongs(&self) -> Vec<String> {
        self.wrongs.lock().unwrap().clone()
    }

    pub(crate) fn wrong(&self, what: String) {
        self.wrongs.lock().unwrap().push(what);
    }

    /// Commit, then act: what is started is granted on record, and so are the outputs that it needs.
    async fn enter(&self, attempt: &AttemptId) {
        if let Some(journal) = self.journal.get() {
            match journal.load_run(&attempt.run).await {
                Ok(run) => {
                    let stage = &run.stages[&attempt.stage];
                    let mut granted = stage.attempts.iter().map(|it| &it.token.attempt);
                    if !granted.any(|it| it == attempt) {
                        self.wrong(format!("{attempt} was started before it was granted"));
                    }
                    for need in &run.workflow().stages[&attempt.stage].needs {
                        if run.stages[need].status != StageStatus::Succeeded {
                            self.wrong(format!("{attempt} was started before `{need}` succeeded"));
                        }
                    }
                }
                Err(error) => self.wrong(format!("{attempt} was started: {error}")),
            }
        }
        self.starts
            .send_modify(|starts| starts.push(attempt.clone()));
    }

    fn block(&self) {
        let guard = self.is_released.lock().unwrap();
        let patience = Duration::from_secs(60);
        drop(
            self.released
                .wait_timeout_while(guard, patience, |is_released| !*is_released),
        );
    }
}

/// The handler of `test/step`.
pub(crate) struct Step {
    descriptor: StageDescriptor,
    floor: Arc<Floor>,
}

impl Step {
    pub(crate) fn new(floor: Arc<Floor>) -> Self {
        let descriptor = describe::<Options>(KIND, 1, "adds one")
            .output("sum", "one row with one column `value`")
            .metric("value", "the same")
            .build();
        Self { descriptor, floor }
    }

    async fn misbehave(&self, act: Act, stage: &StageContext) -> Result<(), StageError> {
        let diagnostic = || Diagnostic::new(codes::BAD_VALUE, "the drawer is stuck").help("oil it");
        match act {
            Act::Write => Ok(()),
            Act::Wait => {
                let mut open = self.floor.open.subscribe();
                tokio::select! {
                    opened = open.wait_for(|open| *open) => {
                        opened.expect("a floor");
                        Ok(())
                    }
                    () = stage.cancellation().cancelled() => Err(StageError::Cancelled),
                }
            }
            Act::Panic => panic!("the drawer is empty"),
            Act::Hang => std::future::pending().await,
            Act::Block => {
                self.floor.block();
                Ok(())
            }
            Act::Invalid => Err(StageError::Invalid(diagnostic())),
            Act::Transient => Err(StageError::Transient(diagnostic())),
            Act::Exhausted => Err(StageError::ResourceExhausted(diagnostic())),
            Act::GiveUp => Err(StageError::Cancelled),
        }
    }
}

#[async_trait]
impl StageHandler for Step {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: Options = stage.options()?;
        if let Some(notes) = &options.notes {
            stage.file(notes)?;
        }
        let attempt = stage.attempt().clone();
        stage.log(LogLevel::Info, "entered the floor", []);
        self.floor.enter(&attempt).await;
        if options.times.is_none_or(|times| attempt.attempt.0 <= times) {
            self.misbehave(options.act, &stage).await?;
        }
        let mut value = 1;
        for input in &options.inputs {
            for batch in stage.table(input).await?.collect().await? {
                let column = batch.column(0).as_primitive::<Int64Type>();
                value += column.values().iter().sum::<i64>();
            }
        }
        let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
        let batch = RecordBatch::try_from_iter([("value", column)])?;
        stage
            .write_batches("sum", batch.schema(), vec![batch])
            .await?;
        let text = Bytes::from(value.to_string());
        stage.artifact("value.txt", "text/plain", text).await?;
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        stage.metric("value", value as f64);
        Ok(stage.finish())
    }
}
