//! The stage kind `evaluation/migration`.

mod moves;
mod output;
mod panels;

use async_trait::async_trait;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_types::{Outcome, StageDescriptor};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::assignment::{Assignment, SEGMENT, check_alike, check_key, segments_by_key};
use crate::float;
use moves::{Moves, Side};

const DESCRIPTION: &str = "\
Says who moved from one segment to another between two segmentations. `before` is usually the published version, \
`${{ tables.segments }}`, which is null until there is one: then every customer is new.\n\n\
Which segments are the same is a question of its own, because k-means numbers its segments anew each time. With \
`match: overlap` segments are paired one to one so that as many customers as possible have stayed (the assignment \
problem; Kuhn 1955), so a renumbering is no migration; segments without a customer in common are never paired. With \
`match: names` those of the same name are the same. By default integers are matched by overlap and texts by names.\n\n\
A customer has moved who has a segment in both and whose segments are not the same. One without a segment before is \
new, one without a segment after is gone; neither has moved. O(customers log customers), and for overlap \
O(segments³).";

const EXAMPLE: &str = "\
before: ${{ tables.segments }}
after: ${{ stages.segments }}
match: overlap
";

/// Options of `evaluation/migration`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MigrationOptions {
    /// The segments of earlier: the key and `segment`. Null where there are none yet.
    #[serde(default)]
    before: Option<Input>,
    /// The segments of now: the key and `segment`.
    after: Input,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    key: String,
    /// Which segments of both are the same: those of the same name, or those that share customers. By
    /// default texts by `names` and integers by `overlap`.
    #[serde(default, rename = "match")]
    matching: Option<Matching>,
}

/// How segments are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Matching {
    /// Those of the same name are the same.
    Names,
    /// One to one, so that as many customers as possible have stayed.
    Overlap,
}

impl Matching {
    const fn name(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::Overlap => "overlap",
        }
    }
}

/// `evaluation/migration`.
#[derive(Debug)]
pub(crate) struct Migration {
    descriptor: StageDescriptor,
}

impl Default for Migration {
    fn default() -> Self {
        let summary = "say who moved between segments since an earlier segmentation";
        let descriptor = describe::<MigrationOptions>("evaluation/migration", 1, summary)
            .description(DESCRIPTION)
            .output(
                "moves",
                "the key, before (null for new customers), after (null for gone ones), moved; by the key",
            )
            .output(
                "matrix",
                "before, after, customers, share (of those that `before` had, 0 to 1), same (whether both are one \
                 segment); without pairs that have no customer",
            )
            .metric("customers", "customers who have a segment now")
            .metric("compared", "customers who have a segment in both")
            .metric("moved", "customers who moved")
            .metric("moved_share", "moved of compared, 0 to 1; 0 where nobody can be compared")
            .metric("new", "customers who have a segment only now")
            .metric("gone", "customers who had a segment and have none now")
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
        check_key(&options.key, &["before", "after", "moved", SEGMENT])?;
        let after = segments_by_key(&stage, "after", &options.after, &options.key).await?;
        let of_after = Assignment::of("after", &after)?;
        let after = Side {
            keys: after.keys(),
            assignment: &of_after,
        };
        let read;
        let of_before;
        let before = match &options.before {
            None => None,
            Some(input) => {
                read = segments_by_key(&stage, "before", input, &options.key).await?;
                check_alike(("before", read.keys()), ("after", after.keys))?;
                of_before = Assignment::of("before", &read)?;
                Some(Side {
                    keys: read.keys(),
                    assignment: &of_before,
                })
            }
        };
        let (moves, matching) = Moves::new(before, after, options.matching)?;

        let rows = output::moves(&moves, before, after)?;
        stage
            .write_batches("moves", rows.schema(), vec![rows])
            .await?;
        let matrix = output::matrix(&moves, before, after)?;
        stage
            .write_batches("matrix", matrix.schema(), vec![matrix])
            .await?;
        report(&mut stage, &moves, before, after, matching);
        for panel in panels::all(&moves, before, after, matching) {
            stage.panel(&panel).await?;
        }
        Ok(stage.finish())
    }
}

/// Metrics and remarks.
fn report(
    stage: &mut StageContext,
    moves: &Moves,
    before: Option<Side<'_>>,
    after: Side<'_>,
    matching: Option<Matching>,
) {
    stage.metric("customers", float(after.assignment.rows.len()));
    stage.metric("compared", float(moves.compared));
    stage.metric("moved", float(moves.moved));
    stage.metric("moved_share", moves.moved_share());
    stage.metric("new", float(moves.new));
    stage.metric("gone", float(moves.gone));
    let (Some(before), Some(matching)) = (before, matching) else {
        let fields = [("customers", json!(moves.new))];
        let message = "there is no earlier segmentation: every customer is new";
        stage.log(LogLevel::Info, message, fields);
        return;
    };
    let shown = |pair: (usize, &Option<usize>)| -> Value {
        let now = pair.1.map(|now| after.assignment.names.shown(now));
        json!([before.assignment.names.shown(pair.0), now])
    };
    let pairs: Vec<Value> = moves.same.iter().enumerate().map(shown).collect();
    let fields = [("match", json!(matching.name())), ("pairs", json!(pairs))];
    stage.log(LogLevel::Info, "segments are matched", fields);
    if moves.compared == 0 {
        let fields = [("new", json!(moves.new)), ("gone", json!(moves.gone))];
        let message = "no customer has a segment both before and after";
        stage.log(LogLevel::Warn, message, fields);
    }
}
