//! The stage kind `segmentation/rules`.

mod names;
mod nodes;
mod options;
mod program;
mod rule_set;
#[cfg(test)]
mod same_both_ways;
mod translate;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use futures::StreamExt;
use marquetry_plugin::{
    Bar, LogLevel, Panel, PanelBody, Reporter, Series, StageContext, StageError, StageHandler,
    describe,
};
use marquetry_rows::{KeyedRows, Keys, Wanted, check_key, off_thread};
use marquetry_script::with_room;
use marquetry_types::{Outcome, StageDescriptor};
use serde_json::json;

use crate::output::SEGMENT;
use names::Names;
use options::{Matching, RulesOptions};
use program::{Found, Program, Watch};
pub use rule_set::RuleSet;

const DESCRIPTION: &str = "\
Puts customers into segments by rules that a team writes: expressions over the columns of a row, or a rhai \
script with `fn segment(row)`. With `match: first` a customer is in the segment of the first rule that holds, \
with `match: all` in every one; who fits no rule is in `otherwise`. A null in a rule's result is no match.\n\n\
Rules run in the sandbox of all scripts: no file, network or clock, and a limit on operations for each row. \
An error names the rule, the place in it and the customer whose row caused it. Dates and times are texts as \
ISO 8601 writes them, times in UTC and without a zone (`2025-01-31T08:00:00`), and compare in the order of \
time.\n\n\
A rule of comparisons, arithmetic and logic over columns runs over thousands of rows at a time, and a script of \
`let`, `if`, `return` and its own functions without the interpreter; the log says which do. What they say is the \
same either way.\n\n\
O(customers x rules), rows in memory.";

const EXAMPLE: &str = "\
rows: ${{ stages.customers }}
rules:
  - { name: vip, when: monetary > 1000 && frequency >= 5 }
  - { name: lapsed, when: recency_days > 180 }
otherwise: regular
";

/// Rows evaluated between two looks at the cancellation.
const BATCH: usize = 8192;

/// Segments that the report shows.
const SHOWN: usize = 40;

/// `segmentation/rules`.
#[derive(Debug)]
pub(crate) struct Rules {
    descriptor: StageDescriptor,
}

impl Default for Rules {
    fn default() -> Self {
        let summary = "put customers into segments by rules or a script";
        let descriptor = describe::<RulesOptions>("segmentation/rules", 1, summary)
            .pure()
            .description(DESCRIPTION)
            .output(
                "segments",
                "the key and segment; with `match: all` a row for each segment of a customer",
            )
            .metric("customers", "rows looked at")
            .metric(
                "segments",
                "segments that have customers, `otherwise` included",
            )
            .metric("unmatched", "customers for whom no rule holds")
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Rules {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: RulesOptions = stage.options()?;
        check_key(&options.key, &[SEGMENT])?;
        // The script is checked before a row is read: its errors should not wait for data.
        let schema = stage
            .table(&options.rows)
            .await?
            .schema()
            .as_arrow()
            .clone();
        let columns = Program::new(&stage, &options, &schema)?.columns();
        let wanted = Wanted {
            option: "rows",
            input: &options.rows,
            key: &options.key,
            columns: Some(&columns),
        };
        let rows = KeyedRows::read(&stage, wanted).await?;
        let program = Arc::new(Program::new(&stage, &options, &rows.schema())?);

        let schema = Arc::new(Schema::new(vec![
            rows.keys().field(),
            Field::new(SEGMENT, DataType::Utf8, false),
        ]));
        let mut writer = stage.writer("segments", Arc::clone(&schema)).await?;
        say_ways(&stage, &program);
        let mut counts = Counts::default();
        let mut names = program.names.clone();
        let total = rows.len();
        // As many batches at a time as there are threads, and their results in the order of the rows:
        // the earliest that fails is the one to name.
        let stop = Stop::default();
        let firsts = (0..total).step_by(BATCH);
        let work = firsts.map(|first| {
            let count = BATCH.min(total - first);
            evaluate(&stage, &program, &rows, first..first + count, &stop)
        });
        let work: Vec<_> = work.collect();
        let mut results = futures::stream::iter(work).buffered(stage.threads().max(1));
        while let Some(result) = results.next().await {
            let (taken, found, named) = result?;
            let (first, count) = (taken.start, taken.len());
            let numbers = named.merge_into(&mut names);
            let keys = rows.keys().slice(first, count).array();
            let keys = match &found.rows {
                Some(rows) => take(&keys, &UInt32Array::from(rows.clone()), None)?,
                None => keys,
            };
            let segments = named.column(&found.names)?;
            writer
                .write(&RecordBatch::try_new(
                    Arc::clone(&schema),
                    vec![keys, segments],
                )?)
                .await?;
            counts.add(&found, &numbers, names.len());
            stage.progress(
                "evaluating rules",
                (first + count) as u64,
                Some(total as u64),
                "customers",
            );
        }
        stage.finish_output(writer).await?;
        counts.report(&mut stage, &program, &names, total).await?;
        Ok(stage.finish())
    }
}

/// Says which rules run over whole columns and which row by row.
fn say_ways(stage: &StageContext, program: &Program) {
    if let Some((file, is_compiled)) = program.script() {
        let how = if is_compiled {
            "compiled"
        } else {
            "interpreted"
        };
        let fields = [("script", json!(file)), ("as", json!(how))];
        stage.log(LogLevel::Info, "a script is evaluated row by row", fields);
        return;
    }
    let (whole, others) = program.ways();
    let fields = [("expressions", json!(whole)), ("row_by_row", json!(others))];
    stage.log(LogLevel::Info, "rules are evaluated", fields);
}

/// Ends the batches that still run when the stage fails at another.
#[derive(Debug, Default)]
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a batch asks and tells.
struct OfStage {
    reporter: Reporter,
    is_stopped: Arc<AtomicBool>,
    keys: Keys,
}

impl Watch for OfStage {
    fn check_cancelled(&self) -> Result<(), StageError> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Err(StageError::Cancelled);
        }
        self.reporter.check_cancelled()
    }

    fn shown(&self, row: usize) -> String {
        self.keys.shown(row)
    }
}

/// The segments of some rows, which are numbered from the first of them, and the names.
fn evaluate(
    stage: &StageContext,
    program: &Arc<Program>,
    rows: &KeyedRows,
    taken: Range<usize>,
    stop: &Stop,
) -> impl Future<Output = Result<(Range<usize>, Found, Names), StageError>> + Send + 'static {
    let program = Arc::clone(program);
    let batch = rows.batch().slice(taken.start, taken.len());
    let watch = OfStage {
        reporter: stage.reporter(),
        is_stopped: Arc::clone(&stop.0),
        keys: rows.keys().slice(taken.start, taken.len()),
    };
    off_thread(move || {
        let mut names = program.names.clone();
        let found = with_room(|| program.evaluate(&batch, &mut names, &watch))?;
        Ok((taken, found, names))
    })
}

impl Names {
    /// The texts of some numbers as a column.
    fn column(&self, numbers: &[u32]) -> Result<ArrayRef, StageError> {
        let texts = (0..self.len()).map(|number| self.text(number));
        let texts = StringArray::from_iter_values(texts);
        let numbers = UInt32Array::from_iter_values(numbers.iter().copied());
        Ok(take(&texts, &numbers, None)?)
    }
}

/// How many customers there are where.
#[derive(Debug, Default)]
struct Counts {
    /// The customers of each segment, by the number of its name.
    sizes: Vec<u64>,
    unmatched: usize,
}

impl Counts {
    /// Adds those of a batch, whose names have other `numbers` here.
    fn add(&mut self, found: &Found, numbers: &[usize], names: usize) {
        self.sizes.resize(names, 0);
        for name in &found.names {
            let number = numbers.get(*name as usize);
            if let Some(size) = number.and_then(|number| self.sizes.get_mut(*number)) {
                *size += 1;
            }
        }
        self.unmatched += found.unmatched;
    }

    /// Metrics, remarks and the sizes.
    #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
    async fn report(
        mut self,
        stage: &mut StageContext,
        program: &Program,
        names: &Names,
        customers: usize,
    ) -> Result<(), StageError> {
        self.sizes.resize(names.len(), 0);
        let mut segments: Vec<(&str, u64)> = (0..names.len())
            .map(|name| names.text(name))
            .zip(self.sizes)
            .collect();
        let of_rules = segments.iter().take(program.names.len());
        let empty: Vec<&str> = of_rules
            .filter(|(_, size)| *size == 0)
            .map(|(name, _)| *name)
            .collect();
        segments.retain(|(_, size)| *size > 0);
        stage.metric("customers", customers as f64);
        stage.metric("segments", segments.len() as f64);
        stage.metric("unmatched", self.unmatched as f64);
        if customers == 0 {
            let fields = [("option", json!("rows"))];
            stage.log(
                LogLevel::Warn,
                "there are no customers to put into segments",
                fields,
            );
            return Ok(());
        }
        for name in empty {
            stage.log(
                LogLevel::Warn,
                "a rule holds for no customer",
                [("rule", json!(name))],
            );
        }
        segments.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(right.0)));
        stage.panel(&panel(&segments, program.matching)).await
    }
}

/// The sizes of segments, the largest first.
#[expect(clippy::cast_precision_loss, reason = "a bar to look at")]
fn panel(segments: &[(&str, u64)], matching: Matching) -> Panel {
    let hidden = segments.len().saturating_sub(SHOWN);
    let more = if hidden > 0 {
        format!("; {hidden} smaller ones are not shown")
    } else {
        String::new()
    };
    let overlap = match matching {
        Matching::First => "",
        Matching::All => "; a customer may be in several",
    };
    let bars = segments
        .iter()
        .take(SHOWN)
        .map(|(name, size)| Bar {
            label: (*name).to_owned(),
            values: vec![*size as f64],
        })
        .collect();
    let series = Series {
        name: "customers".to_owned(),
        unit: Some("customers".to_owned()),
    };
    Panel {
        title: "Segments by rules".to_owned(),
        caption: Some(format!("customers in each segment{overlap}{more}")),
        body: PanelBody::Bars {
            category_label: "segment".to_owned(),
            series: vec![series],
            bars,
        },
    }
}
