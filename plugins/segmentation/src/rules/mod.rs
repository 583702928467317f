//! The stage kind `segmentation/rules`.

mod cells;
mod options;
mod program;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use marquetry_plugin::{
    Bar, LogLevel, Panel, PanelBody, Series, StageContext, StageError, StageHandler, describe,
};
use marquetry_rows::{KeyedRows, Keys, Wanted, off_thread};
use marquetry_types::{Outcome, StageDescriptor};
use serde_json::json;

use crate::output::{SEGMENT, check_key, texts};
use cells::Cells;
use options::{Matching, RulesOptions};
use program::Program;

const DESCRIPTION: &str = "\
Puts customers into segments by rules that a team writes: expressions over the columns of a row, or a rhai \
script with `fn segment(row)`. With `match: first` a customer is in the segment of the first rule that holds, \
with `match: all` in every one; who fits no rule is in `otherwise`. A null in a rule's result is no match.\n\n\
Rules run in the sandbox of all scripts: no file, network or clock, and a limit on operations for each row. \
An error names the rule, the place in it and the customer whose row caused it. Dates and times are texts as \
ISO 8601 writes them, and compare in the order of time.\n\n\
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
            .metric("unmatched", "customers in the segment `otherwise`")
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
        let mut sizes = BTreeMap::<String, u64>::new();
        let total = rows.len();
        for first in (0..total).step_by(BATCH) {
            stage.check_cancelled()?;
            let count = BATCH.min(total - first);
            let found = evaluate(&program, &rows, first, count).await?;
            let places =
                UInt64Array::from_iter_values(found.iter().map(|(row, _)| (first + row) as u64));
            let keys = take(&rows.keys().array(), &places, None)?;
            let names = texts(found.iter().map(|(_, name)| name.as_str()));
            writer
                .write(&RecordBatch::try_new(
                    Arc::clone(&schema),
                    vec![keys, names],
                )?)
                .await?;
            for (_, name) in found {
                *sizes.entry(name).or_default() += 1;
            }
            stage.progress(
                "evaluating rules",
                (first + count) as u64,
                Some(total as u64),
                "customers",
            );
        }
        stage.finish_output(writer).await?;
        report(&mut stage, &program, &options, &sizes, total).await?;
        Ok(stage.finish())
    }
}

/// The segments of some rows, which are numbered from the first of them.
async fn evaluate(
    program: &Arc<Program>,
    rows: &KeyedRows,
    first: usize,
    count: usize,
) -> Result<Vec<(usize, String)>, StageError> {
    let program = Arc::clone(program);
    let batch = rows.batch().slice(first, count);
    let keys: Keys = rows.keys().slice(first, count);
    off_thread(move || {
        let cells = Cells::new(&batch, &program.readable, &program.is_read)?;
        program.evaluate(&cells, &keys)
    })
    .await
}

/// Metrics, remarks and the sizes.
#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
async fn report(
    stage: &mut StageContext,
    program: &Program,
    options: &RulesOptions,
    sizes: &BTreeMap<String, u64>,
    customers: usize,
) -> Result<(), StageError> {
    let unmatched = sizes.get(&options.otherwise).copied().unwrap_or(0);
    stage.metric("customers", customers as f64);
    stage.metric("segments", sizes.len() as f64);
    stage.metric("unmatched", unmatched as f64);
    for name in program
        .known_names()
        .into_iter()
        .filter(|name| !sizes.contains_key(*name))
    {
        stage.log(
            LogLevel::Warn,
            "a rule holds for no customer",
            [("rule", json!(name))],
        );
    }
    if sizes.is_empty() {
        return Ok(());
    }
    let mut bars: Vec<(&String, u64)> = sizes.iter().map(|(name, size)| (name, *size)).collect();
    bars.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let hidden = bars.len().saturating_sub(SHOWN);
    let more = if hidden > 0 {
        format!("; {hidden} smaller ones are not shown")
    } else {
        String::new()
    };
    let overlap = match options.matching {
        Matching::First => "",
        Matching::All => "; a customer may be in several",
    };
    let bars = bars
        .into_iter()
        .take(SHOWN)
        .map(|(name, size)| Bar {
            label: name.clone(),
            values: vec![size as f64],
        })
        .collect();
    let series = Series {
        name: "customers".to_owned(),
        unit: Some("customers".to_owned()),
    };
    let panel = Panel {
        title: "Segments by rules".to_owned(),
        caption: Some(format!("customers in each segment{overlap}{more}")),
        body: PanelBody::Bars {
            category_label: "segment".to_owned(),
            series: vec![series],
            bars,
        },
    };
    stage.panel(&panel).await
}
