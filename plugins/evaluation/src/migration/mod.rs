//! The stage kind `evaluation/migration`.

mod moves;
mod panels;

use async_trait::async_trait;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{check_key, invalid};
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::assignment::{Assignment, Names, check_alike};
use moves::{Counts, Moves, Side};

const DESCRIPTION: &str = "\
Says who moved between segments since the last time: give `before` as \"${{ tables.segments }}\", the version that \
was published when the run began. Until something is published that is null; then every customer is new, nobody \
moved, and the log says so.\n\n\
With `match: names` a customer moved whose segment is called otherwise. k-means numbers its segments anew each \
time, so that with `match: overlap` each segment before is taken to be the one after with which it shares customers, \
one to one, so that as many customers as possible are in the same segment (the Hungarian method, exact); a \
renumbering is then no migration. A segment that finds no counterpart is gone, and its customers moved.\n\n\
Customers that only one of both has are new or gone and did not move. moved_share is the share of the customers that \
both have, and 0 where there are none. O(customers log customers + segments^3); both assignments are in memory.";

const EXAMPLE: &str = "\
before: ${{ tables.segments }}
after: ${{ stages.segments }}
match: overlap
";

/// A matrix of more segments than this is nothing to look at, and slow to match.
const MOST_SEGMENTS: usize = 1000;

/// Options of `evaluation/migration`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MigrationOptions {
    /// The segments of last time: the key and `segment`. Null where there are none yet.
    #[serde(default)]
    before: Option<Input>,
    /// The segments of this time: the key and `segment`.
    after: Input,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    key: String,
    /// Which segment of last time is which of this time: the one of the same name, or the one with the
    /// most customers in common.
    #[serde(default, rename = "match")]
    by: Match,
}

/// Which segments are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Match {
    #[default]
    Names,
    Overlap,
}

/// `evaluation/migration`.
#[derive(Debug)]
pub(crate) struct Migration {
    descriptor: StageDescriptor,
}

impl Default for Migration {
    fn default() -> Self {
        let summary = "say who moved between segments since the last published version";
        let descriptor = describe::<MigrationOptions>("evaluation/migration", 1, summary)
            .pure()
            .description(DESCRIPTION)
            .output(
                "moves",
                "the key, before (null: new), after (null: gone), and moved, by key",
            )
            .output(
                "matrix",
                "before, after, customers, and whether both are the same segment; pairs without customers are left out",
            )
            .metric("moved_share", "share of the customers of both that moved, 0 to 1; 0 where there are none")
            .metric("customers", "customers that have a segment now")
            .metric("new", "customers that had none before")
            .metric("gone", "customers that have none any more")
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Migration {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: MigrationOptions = stage.options()?;
        check_key(&options.key, &["before", "after", "moved"])?;
        let after = side(&stage, "after", &options.after, &options.key).await?;
        let before = match &options.before {
            Some(input) => Some(side(&stage, "before", input, &options.key).await?),
            None => None,
        };
        if let Some(before) = &before {
            check_alike(("before", &before.keys), ("after", &after.keys))?;
            check_names(options.by, &before.assignment, &after.assignment)?;
        }
        stage.check_cancelled()?;
        let moves = Moves::new(before.as_ref(), &after, options.by)?;
        let counts = moves.counts();
        remark(&stage, before.is_some(), counts);

        let rows = moves.batch()?;
        stage
            .write_batches("moves", rows.schema(), vec![rows])
            .await?;
        let matrix = moves.matrix()?;
        stage
            .write_batches("matrix", matrix.schema(), vec![matrix])
            .await?;
        report(&mut stage, counts);
        for panel in panels::all(&moves, counts, before.is_some()) {
            stage.panel(&panel).await?;
        }
        Ok(stage.finish())
    }
}

async fn side(
    stage: &StageContext,
    option: &str,
    input: &Input,
    key: &str,
) -> Result<Side, StageError> {
    let (keys, assignment) = Assignment::read_all(stage, option, input, key).await?;
    let segments = assignment.names.len();
    if segments > MOST_SEGMENTS {
        return Err(invalid(
            codes::BAD_VALUE,
            format!("`{option}` has {segments} segments, and {MOST_SEGMENTS} is the most"),
            "look at its column `segment`: it should say the segment, not the customer",
        ));
    }
    Ok(Side { keys, assignment })
}

/// Refuses to look for texts among integers.
fn check_names(by: Match, before: &Assignment, after: &Assignment) -> Result<(), StageError> {
    let are_alike = matches!(
        (&before.names, &after.names),
        (Names::Int(_), Names::Int(_)) | (Names::Text(_), Names::Text(_))
    );
    if by == Match::Overlap || are_alike || before.names.len() == 0 || after.names.len() == 0 {
        return Ok(());
    }
    Err(invalid(
        codes::COLUMN_MISMATCH,
        "`segment` is an integer in one of `before` and `after`, and a text in the other",
        "no name is the same in both: use `match: overlap`",
    ))
}

fn remark(stage: &StageContext, is_published: bool, counts: Counts) {
    if !is_published {
        let fields = [("customers", json!(counts.customers))];
        let message = "nothing was published before: every customer is new, and nobody moved";
        stage.log(LogLevel::Info, message, fields);
    } else if counts.both == 0 && counts.customers + counts.gone > 0 {
        let fields = [("new", json!(counts.new)), ("gone", json!(counts.gone))];
        let message = "no customer has a segment before and after, so nobody can have moved";
        stage.log(LogLevel::Warn, message, fields);
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn report(stage: &mut StageContext, counts: Counts) {
    stage.metric(
        "moved_share",
        counts.moved as f64 / counts.both.max(1) as f64,
    );
    stage.metric("customers", counts.customers as f64);
    stage.metric("new", counts.new as f64);
    stage.metric("gone", counts.gone as f64);
}
