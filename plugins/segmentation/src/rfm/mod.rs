//! The stage kind `segmentation/rfm`.

mod panels;
mod scored;
mod spread;
mod table;
#[cfg(test)]
mod tests;
mod ties;

use async_trait::async_trait;
use marquetry_passes::unless_too_large;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{KeyedRows, Wanted, check_key, invalid};
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::output::SEGMENT;
use scored::Tally;
use table::{BEST, Lookup, SegmentRow};
use ties::Tie;

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
O(customers log customers) time, in memory. Where customers do not fit there, or `parallelism` is `cluster`, \
the borders of scores are found by queries that workers share, exactly: the scores are the same.";

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
    /// Whether customers may be read into memory, as they are where they fit.
    is_in_memory: bool,
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
        Self {
            descriptor,
            is_in_memory: true,
        }
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
        let loaded = if self.is_in_memory && !stage.is_spread() {
            unless_too_large(&stage, KeyedRows::read(&stage, wanted).await)?
        } else {
            None
        };
        let found = match loaded {
            Some(rows) => scored::score(&mut stage, &rows, &options, &lookup).await?,
            None => spread::score(&mut stage, wanted, &options, &lookup).await?,
        };
        let Found { tally, ties } = found;
        remark(&stage, tally.customers(), &columns, ties);
        let panels = panels::all(&tally, &options.segments, &options.monetary);
        for panel in panels {
            stage.panel(&panel).await?;
        }
        #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
        for (name, value) in [
            ("customers", tally.customers() as f64),
            ("segments", tally.names(&options.segments).len() as f64),
        ] {
            stage.metric(name, value);
        }
        Ok(stage.finish())
    }
}

/// What is known of customers whose scores are written.
struct Found {
    tally: Tally,
    /// Of recency, frequency and money the values whose customers have the most different scores.
    ties: [Option<Tie>; 3],
}

/// Bad numbers, with what to do about them.
fn of_numbers(error: StageError, option: &str) -> StageError {
    error.help(format!(
        "every customer needs a number there: put it right with features/sql, or name another column by `{option}`"
    ))
}

/// Says so when scores tell less than they seem to.
fn remark(stage: &StageContext, customers: usize, columns: &[String; 3], ties: [Option<Tie>; 3]) {
    if customers < BEST as usize {
        let message = if customers == 0 {
            "there are no customers to score"
        } else {
            "there are fewer customers than scores, so that nobody has the best ones"
        };
        stage.log(LogLevel::Warn, message, [("customers", json!(customers))]);
        return;
    }
    for (column, tie) in columns.iter().zip(ties) {
        let Some(tie) = tie else {
            continue;
        };
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
