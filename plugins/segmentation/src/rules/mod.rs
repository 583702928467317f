//! The stage kind `segmentation/rules`.

mod names;
mod options;
mod program;

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use marquetry_plugin::{
    Bar, LogLevel, Panel, PanelBody, Series, StageContext, StageError, StageHandler, describe,
};
use marquetry_rows::{Cells, KeyedRows, Keys, Wanted, off_thread};
use marquetry_script::with_room;
use marquetry_types::{Outcome, StageDescriptor};
use serde_json::json;

use crate::output::{SEGMENT, check_key, texts};
use names::Names;
use options::{Matching, RulesOptions};
use program::{Found, Program};

const DESCRIPTION: &str = "\
Puts customers into segments by rules that a team writes: expressions over the columns of a row, or a rhai \
script with `fn segment(row)`. With `match: first` a customer is in the segment of the first rule that holds, \
with `match: all` in every one; who fits no rule is in `otherwise`. A null in a rule's result is no match.\n\n\
Rules run in the sandbox of all scripts: no file, network or clock, and a limit on operations for each row. \
An error names the rule, the place in it and the customer whose row caused it. Dates and times are texts as \
ISO 8601 writes them, times in UTC and without a zone (`2025-01-31T08:00:00`), and compare in the order of \
time.\n\n\
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
        let mut counts = Counts::default();
        let mut names = program.names.clone();
        let total = rows.len();
        for first in (0..total).step_by(BATCH) {
            let count = BATCH.min(total - first);
            let found;
            (found, names) = evaluate(&stage, &program, &rows, first, count, names).await?;
            let places = found.places.iter();
            let places = UInt64Array::from_iter_values(places.map(|(row, _)| (first + row) as u64));
            let keys = take(&rows.keys().array(), &places, None)?;
            let segments = texts(found.places.iter().map(|(_, name)| names.text(*name)));
            writer
                .write(&RecordBatch::try_new(
                    Arc::clone(&schema),
                    vec![keys, segments],
                )?)
                .await?;
            counts.add(&found, names.len());
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

/// The segments of some rows, which are numbered from the first of them, and the names.
async fn evaluate(
    stage: &StageContext,
    program: &Arc<Program>,
    rows: &KeyedRows,
    first: usize,
    count: usize,
    mut names: Names,
) -> Result<(Found, Names), StageError> {
    let program = Arc::clone(program);
    let batch = rows.batch().slice(first, count);
    let keys: Keys = rows.keys().slice(first, count);
    let reporter = stage.reporter();
    off_thread(move || {
        let cells = Cells::new(&batch, &program.readable, &program.is_read)?;
        let found = with_room(|| program.evaluate(&cells, &keys, &mut names, &reporter))?;
        Ok((found, names))
    })
    .await
}

/// How many customers there are where.
#[derive(Debug, Default)]
struct Counts {
    /// The customers of each segment, by the number of its name.
    sizes: Vec<u64>,
    unmatched: usize,
}

impl Counts {
    fn add(&mut self, found: &Found, names: usize) {
        self.sizes.resize(names, 0);
        for (_, name) in &found.places {
            self.sizes[*name] += 1;
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
