//! What a stage works with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::prelude::{DataFrame, SessionContext};
use futures::StreamExt;
use marquetry_lake::{Lake, LazySession, Spread, WriteOptions};
use marquetry_types::{Artifact, AttemptId, DatasetRef, LogLevel, Outcome, codes};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    FileName, Input, OutputWriter, PANEL_MEDIA_TYPE, Panel, Reporter, StageError, StageEvents,
};

/// What a worker gives to an attempt.
pub struct StageSetup {
    /// Which attempt it is.
    pub attempt: AttemptId,
    /// The evaluated `with`.
    pub options: Value,
    /// Texts of the workflow's files by the path that the workflow names.
    pub files: BTreeMap<String, String>,
    /// Where data lies.
    pub lake: Lake,
    /// Where queries run, within the attempt's memory.
    pub session: LazySession,
    /// Over which workers its queries are spread, and when.
    pub spread: Spread,
    /// The seed of whatever is random.
    pub seed: u64,
    /// The folder in which relative source paths start.
    pub base_dir: Option<PathBuf>,
    /// Bytes of memory that the attempt may use, its own arrays included.
    pub memory_limit: u64,
    /// Threads that it may use.
    pub threads: usize,
    /// Fires when somebody wants the attempt to end.
    pub cancellation: CancellationToken,
    /// Who hears what it says.
    pub events: Arc<dyn StageEvents>,
}

/// What a stage works with: options, inputs, a session, outputs, and a voice.
pub struct StageContext {
    setup: StageSetup,
    reporter: Reporter,
    outcome: Outcome,
    panels: usize,
}

impl std::fmt::Debug for StageContext {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StageContext")
            .field("attempt", &self.setup.attempt)
            .finish_non_exhaustive()
    }
}

impl StageContext {
    /// The context of one attempt: what a worker makes, and a test.
    #[must_use]
    pub fn new(setup: StageSetup) -> Self {
        let reporter = Reporter::new(Arc::clone(&setup.events), setup.cancellation.clone());
        Self {
            setup,
            reporter,
            outcome: Outcome::default(),
            panels: 0,
        }
    }

    /// The options, as the stage's own type.
    ///
    /// # Errors
    /// They do not fit the type although they fit its schema.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T, StageError> {
        T::deserialize(&self.setup.options).map_err(|error| {
            StageError::invalid(
                codes::STAGE_OPTIONS,
                format!("the options cannot be understood: {error}"),
            )
        })
    }

    /// Which attempt this is.
    #[must_use]
    pub const fn attempt(&self) -> &AttemptId {
        &self.setup.attempt
    }

    /// Where data lies.
    #[must_use]
    pub const fn lake(&self) -> &Lake {
        &self.setup.lake
    }

    /// Where queries run.
    #[must_use]
    pub fn session(&self) -> &SessionContext {
        self.setup.session.get()
    }

    /// Whether the stage's queries are all spread over several workers, as its `parallelism` asks: then rows
    /// are better left to queries than gathered here.
    #[must_use]
    pub fn is_spread(&self) -> bool {
        self.setup.spread.is_wanted()
    }

    /// The rows of an input. Their order is not that of their writing; sort where order counts.
    ///
    /// # Errors
    /// The dataset is damaged, or a source object changed.
    pub async fn table(&self, input: &Input) -> Result<DataFrame, StageError> {
        let table = marquetry_lake::table(self.lake(), self.session(), &input.0).await?;
        Ok(self.session().read_table(table)?)
    }

    /// The text of a file that travels with the workflow.
    ///
    /// # Errors
    /// The workflow does not carry it.
    pub fn file(&self, name: &FileName) -> Result<&str, StageError> {
        self.setup
            .files
            .get(&name.0)
            .map(String::as_str)
            .ok_or_else(|| {
                StageError::invalid(
                    codes::MISSING_FILE,
                    format!("the workflow does not carry file `{}`", name.0),
                )
            })
    }

    /// Begins an output.
    ///
    /// # Errors
    /// The lake cannot be written.
    pub async fn writer(
        &self,
        output: &str,
        schema: SchemaRef,
    ) -> Result<OutputWriter, StageError> {
        let prefix = format!("{}/{output}", Lake::attempt_prefix(self.attempt()));
        let writer = self
            .lake()
            .dataset_writer(&prefix, schema, WriteOptions::default())
            .await?;
        Ok(OutputWriter {
            name: output.to_owned(),
            writer,
        })
    }

    /// Makes an output durable and adds it to the outcome.
    ///
    /// # Errors
    /// The lake cannot be written.
    pub async fn finish_output(&mut self, output: OutputWriter) -> Result<DatasetRef, StageError> {
        let dataset = output.writer.finish().await?;
        self.outcome.outputs.insert(output.name, dataset.clone());
        Ok(dataset)
    }

    /// Writes the rows of a query as an output, as they come; in the query's order if it has one.
    ///
    /// # Errors
    /// The query fails, or the lake cannot be written.
    pub async fn write(&mut self, output: &str, rows: DataFrame) -> Result<DatasetRef, StageError> {
        let task = Arc::new(rows.task_ctx());
        let plan = rows.create_physical_plan().await?;
        let one: Arc<dyn datafusion::physical_plan::ExecutionPlan> =
            match plan.output_ordering().cloned() {
                _ if plan.output_partitioning().partition_count() == 1 => plan,
                Some(ordering) => Arc::new(SortPreservingMergeExec::new(ordering, plan)),
                None => Arc::new(CoalescePartitionsExec::new(plan)),
            };
        let mut writer = self.writer(output, one.schema()).await?;
        let mut stream = one.execute(0, task)?;
        while let Some(batch) = stream.next().await {
            self.check_cancelled()?;
            writer.write(&batch?).await?;
            self.progress("writing", writer.rows(), None, "rows");
        }
        self.finish_output(writer).await
    }

    /// Writes rows in memory as an output.
    ///
    /// # Errors
    /// The lake cannot be written.
    pub async fn write_batches(
        &mut self,
        output: &str,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
    ) -> Result<DatasetRef, StageError> {
        let mut writer = self.writer(output, schema).await?;
        for batch in &batches {
            writer.write(batch).await?;
        }
        self.finish_output(writer).await
    }

    /// Adds a dataset that is durable already, such as one that points at source objects.
    pub fn adopt(&mut self, output: &str, dataset: DatasetRef) {
        self.outcome.outputs.insert(output.to_owned(), dataset);
    }

    /// Leaves a file beside the outputs.
    ///
    /// # Errors
    /// The lake cannot be written.
    pub async fn artifact(
        &mut self,
        name: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(), StageError> {
        let path = format!("{}/artifacts/{name}", Lake::attempt_prefix(self.attempt()));
        let artifact = Artifact {
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            path: path.clone(),
            bytes: bytes.len() as u64,
            digest: blake3::hash(&bytes).to_hex().to_string(),
        };
        self.lake().put(&path, bytes).await?;
        self.outcome.artifacts.push(artifact);
        Ok(())
    }

    /// Leaves something for the report to show. Panels are shown in the order of these calls.
    ///
    /// # Errors
    /// The lake cannot be written.
    pub async fn panel(&mut self, panel: &Panel) -> Result<(), StageError> {
        let bytes = serde_json::to_vec(panel).map_err(|error| {
            StageError::invalid(
                codes::STAGE_INTERNAL,
                format!("panel `{}` cannot be written: {error}", panel.title),
            )
        })?;
        self.panels += 1;
        let name = format!("panel-{:02}.json", self.panels);
        self.artifact(&name, PANEL_MEDIA_TYPE, Bytes::from(bytes))
            .await
    }

    /// Reports a figure. One that is not finite is logged instead.
    pub fn metric(&mut self, name: &str, value: f64) {
        if value.is_finite() {
            self.outcome.metrics.insert(name.to_owned(), value);
        } else {
            let fields = [
                ("metric", Value::from(name)),
                ("value", Value::from(value.to_string())),
            ];
            self.log(
                LogLevel::Warn,
                "a metric is not a number and is left out",
                fields,
            );
        }
    }

    /// Says how many of `total` units of a phase are done.
    pub fn progress(&self, phase: &str, done: u64, total: Option<u64>, unit: &str) {
        self.reporter.progress(phase, done, total, unit);
    }

    /// Adds a line to the log: a message in lower case, and values by name.
    pub fn log<'a>(
        &self,
        level: LogLevel,
        message: &str,
        fields: impl IntoIterator<Item = (&'a str, Value)>,
    ) {
        self.reporter.log(level, message, fields);
    }

    /// The stage's voice, for tasks and threads of its own.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        self.reporter.clone()
    }

    /// The seed of whatever is random; the same for every run of the same stage.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.setup.seed
    }

    /// The folder in which relative source paths start.
    #[must_use]
    pub fn base_dir(&self) -> Option<&Path> {
        self.setup.base_dir.as_deref()
    }

    /// Fires when somebody wants the attempt to end.
    #[must_use]
    pub const fn cancellation(&self) -> &CancellationToken {
        self.reporter.cancellation()
    }

    /// Fails if somebody wants the attempt to end.
    ///
    /// # Errors
    /// [`StageError::Cancelled`].
    pub fn check_cancelled(&self) -> Result<(), StageError> {
        self.reporter.check_cancelled()
    }

    /// Bytes of memory that the attempt may use, its own arrays included.
    #[must_use]
    pub const fn memory_limit(&self) -> u64 {
        self.setup.memory_limit
    }

    /// Threads that it may use.
    #[must_use]
    pub const fn threads(&self) -> usize {
        self.setup.threads
    }

    /// What the attempt gave.
    #[must_use]
    pub fn finish(self) -> Outcome {
        self.outcome
    }
}
