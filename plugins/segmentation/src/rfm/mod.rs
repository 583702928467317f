//! The stage kind `segmentation/rfm`.

mod panels;
mod table;
mod ties;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use marquetry_kernels::ntile;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{KeyedRows, Wanted, check_key, invalid};
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::output::{SEGMENT, texts};
use table::{BEST, Lookup, SegmentRow};

const DESCRIPTION: &str = "\
Scores every customer from 1 to 5 for recency, frequency and monetary value: five parts of equal size, as \
SQL's NTILE(5) makes them over the rows in the order of the value and then of the key. 5 is best: the most \
recent, the most orders, the most spent. Customers with equal values may so get unequal scores, which is \
told where it concerns many; fewer than five customers have the lowest scores only. A table of score ranges then gives each combination the name of a \
segment; the first row of the table that holds it counts.\n\n\
The default table has the usual eleven names: Champions, Loyal Customers, Potential Loyalists, New Customers, \
Promising, Need Attention, About To Sleep, Can't Lose Them, At Risk, Hibernating and Lost. It goes by the \
recency score and by `fm`, the mean of the other two. `segments` replaces it; every combination must belong \
to a row.\n\n\
O(customers log customers) time, in memory.";

const EXAMPLE: &str = "\
rows: ${{ stages.customers }}
segments:
  - { name: best, r: [4, 5], fm: [4, 5] }
  - { name: new, r: 5, f: 1 }
  - { name: others }
";

/// Options of `segmentation/rfm`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RfmOptions {
    /// The customers, one a row, as `features/customer` makes them.
    rows: Input,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    key: String,
    /// The column with the time since the last order: less is better.
    #[serde(default = "recency")]
    recency: String,
    /// The column with the number of orders.
    #[serde(default = "frequency")]
    frequency: String,
    /// The column with the money spent.
    #[serde(default = "monetary")]
    monetary: String,
    /// The table of segments, in order of precedence.
    #[serde(default = "table::usual")]
    #[schemars(length(min = 1))]
    segments: Vec<SegmentRow>,
}

fn recency() -> String {
    "recency_days".to_owned()
}

fn frequency() -> String {
    "frequency".to_owned()
}

fn monetary() -> String {
    "monetary".to_owned()
}

/// `segmentation/rfm`.
#[derive(Debug)]
pub(crate) struct Rfm {
    descriptor: StageDescriptor,
}

impl Default for Rfm {
    fn default() -> Self {
        let summary = "score recency, frequency and monetary value, and name the segments";
        let descriptor = describe::<RfmOptions>("segmentation/rfm", 1, summary)
            .pure()
            .description(DESCRIPTION)
            .output(
                "segments",
                "the key, the scores r, f, m (1 to 5), rfm (as in \"543\") and segment",
            )
            .metric("customers", "rows scored")
            .metric("segments", "segments that have customers")
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Rfm {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: RfmOptions = stage.options()?;
        check_key(&options.key, &["r", "f", "m", "rfm", SEGMENT])?;
        let lookup = look_up(&stage, &options.segments)?;
        let columns = [&options.recency, &options.frequency, &options.monetary].map(Clone::clone);
        let wanted = Wanted {
            option: "rows",
            input: &options.rows,
            key: &options.key,
            columns: Some(&columns),
        };
        let rows = KeyedRows::read(&stage, wanted).await?;
        let scored = Scored::new(&rows, &options, &lookup)?;

        let batch = scored.batch(&rows, &options.segments)?;
        stage
            .write_batches("segments", batch.schema(), vec![batch])
            .await?;
        scored.remark(&stage, &options);
        let panels = panels::all(&scored, &options.segments, &options.monetary);
        for panel in panels {
            stage.panel(&panel).await?;
        }
        #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
        for (name, value) in [
            ("customers", rows.len() as f64),
            ("segments", scored.names(&options.segments).len() as f64),
        ] {
            stage.metric(name, value);
        }
        Ok(stage.finish())
    }
}

/// Checks that the table names every combination of scores.
fn look_up(stage: &StageContext, table: &[SegmentRow]) -> Result<Lookup, StageError> {
    let lookup = Lookup::new(table).map_err(|missing| {
        let first: Vec<String> = missing
            .iter()
            .take(3)
            .map(|(r, f, m)| format!("r {r}, f {f}, m {m}"))
            .collect();
        let more = missing.len() - first.len();
        let more = if more > 0 {
            format!(", and {more} more")
        } else {
            String::new()
        };
        invalid(
            codes::STAGE_OPTIONS,
            format!("`segments` names no segment for {}{more}", first.join("; ")),
            "end the table with a row without ranges, as in `- { name: others }`",
        )
    })?;
    for (index, row) in table
        .iter()
        .enumerate()
        .filter(|(index, _)| !lookup.reaches(*index))
    {
        let fields = [("segment", json!(row.name)), ("row", json!(index + 1))];
        stage.log(
            LogLevel::Warn,
            "no scores reach a row of the table: rows before it hold them all",
            fields,
        );
    }
    Ok(lookup)
}

/// Customers with their scores.
struct Scored {
    r: Vec<u32>,
    f: Vec<u32>,
    m: Vec<u32>,
    /// The row of the table of each customer.
    rows: Vec<usize>,
    recency: Vec<f64>,
    frequency: Vec<f64>,
    monetary: Vec<f64>,
}

impl Scored {
    fn new(rows: &KeyedRows, options: &RfmOptions, lookup: &Lookup) -> Result<Self, StageError> {
        let tiles = BEST as usize;
        let numbers = |option: &str, column: &str| {
            let help = format!(
                "every customer needs a number there: put it right with features/sql, or name another column by `{option}`"
            );
            rows.numbers(column).map_err(|error| error.help(help))
        };
        let recency = numbers("recency", &options.recency)?;
        let frequency = numbers("frequency", &options.frequency)?;
        let monetary = numbers("monetary", &options.monetary)?;
        let r = ntile(&recency, tiles, true);
        let f = ntile(&frequency, tiles, false);
        let m = ntile(&monetary, tiles, false);
        let table_rows = r
            .iter()
            .zip(&f)
            .zip(&m)
            .map(|((r, f), m)| lookup.row(*r, *f, *m))
            .collect();
        Ok(Self {
            r,
            f,
            m,
            rows: table_rows,
            recency,
            frequency,
            monetary,
        })
    }

    /// Says so when scores tell less than they seem to.
    fn remark(&self, stage: &StageContext, options: &RfmOptions) {
        let customers = self.rows.len();
        if customers < BEST as usize {
            let message = if customers == 0 {
                "there are no customers to score"
            } else {
                "there are fewer customers than scores, so that nobody has the best ones"
            };
            stage.log(LogLevel::Warn, message, [("customers", json!(customers))]);
            return;
        }
        for (column, values, scores) in [
            (&options.recency, &self.recency, &self.r),
            (&options.frequency, &self.frequency, &self.f),
            (&options.monetary, &self.monetary, &self.m),
        ] {
            if let Some(tie) = ties::widest(values, scores) {
                let message = "customers with the same value have different scores: the order of the key divides them";
                let fields = [
                    ("column", json!(column)),
                    ("value", json!(tie.value)),
                    ("customers", json!(tie.customers)),
                    ("lowest", json!(tie.lowest)),
                    ("highest", json!(tie.highest)),
                ];
                stage.log(LogLevel::Warn, message, fields);
            }
        }
    }

    fn batch(&self, rows: &KeyedRows, table: &[SegmentRow]) -> Result<RecordBatch, StageError> {
        let scores = |scores: &[u32]| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(
                scores.iter().map(|score| i64::from(*score)),
            ))
        };
        let codes: Vec<String> = self
            .r
            .iter()
            .zip(&self.f)
            .zip(&self.m)
            .map(|((r, f), m)| format!("{r}{f}{m}"))
            .collect();
        let fields = vec![
            rows.keys().field(),
            Field::new("r", DataType::Int64, false),
            Field::new("f", DataType::Int64, false),
            Field::new("m", DataType::Int64, false),
            Field::new("rfm", DataType::Utf8, false),
            Field::new(SEGMENT, DataType::Utf8, false),
        ];
        let columns = vec![
            rows.keys().array(),
            scores(&self.r),
            scores(&self.f),
            scores(&self.m),
            texts(codes.iter().map(String::as_str)),
            texts(self.rows.iter().map(|row| table[*row].name.as_str())),
        ];
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?)
    }

    /// The segments that have customers, in the order of the table: name, customers, money.
    fn names<'a>(&self, table: &'a [SegmentRow]) -> Vec<(&'a str, usize, f64)> {
        let mut totals = vec![(0, 0.0); table.len()];
        for (row, money) in self.rows.iter().zip(&self.monetary) {
            totals[*row].0 += 1;
            totals[*row].1 += money;
        }
        let mut segments: Vec<(&str, usize, f64)> = Vec::new();
        let reached = table.iter().zip(totals);
        for (row, (customers, money)) in reached.filter(|(_, (customers, _))| *customers > 0) {
            match segments.iter_mut().find(|(name, ..)| *name == row.name) {
                Some(segment) => {
                    segment.1 += customers;
                    segment.2 += money;
                }
                None => segments.push((&row.name, customers, money)),
            }
        }
        segments
    }
}
