//! The stage kind `evaluation/gate`.

mod checks;

use async_trait::async_trait;
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::prelude::{ident, lit};
use marquetry_plugin::{
    Column, Input, LogLevel, Panel, PanelBody, StageContext, StageError, StageHandler, describe,
};
use marquetry_rows::{integer_in, invalid, missing_column};
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::assignment::SEGMENT;
use checks::{Check, SegmentCounts, SegmentLimits};

const DESCRIPTION: &str = "\
Stops what is not good enough from being published. Its output is `rows`, the same dataset, and it is there only \
if every check passes: so `publish` stands on the gate, and the published table stays what it was when a check \
fails. A failed check fails the stage (MQ0410, never retried), and the message names every check that failed with \
its value and its threshold. A value that is null, because the stage before reported none, fails too; a threshold \
itself passes.\n\n\
`segments` looks at the column `segment` of `rows`: how many segments there are, and the shares of the smallest and \
the largest of the rows that have one.\n\n\
Nothing is copied: without `segments` no row is read, and with it one group-by runs over them.";

const EXAMPLE: &str = "\
rows: ${{ stages.segments }}
checks:
  - { name: silhouette, value: \"${{ stages.quality.metrics.silhouette }}\", min: 0.25 }
  - { name: moved customers, value: \"${{ stages.migration.metrics.moved_share }}\", max: 0.3 }
segments: { min_share: 0.02, max_count: 12 }
";

/// Options of `evaluation/gate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GateOptions {
    /// What is given on if every check passes.
    rows: Input,
    /// Figures and where they may lie.
    #[serde(default)]
    checks: Vec<Check>,
    /// Where the number and the sizes of the segments of `rows` may lie.
    #[serde(default)]
    segments: Option<SegmentLimits>,
    /// What a failed check does: it fails the stage, or is only logged as a warning.
    #[serde(default)]
    on_failure: OnFailure,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnFailure {
    #[default]
    Fail,
    Warn,
}

/// `evaluation/gate`.
#[derive(Debug)]
pub(crate) struct Gate {
    descriptor: StageDescriptor,
}

impl Default for Gate {
    fn default() -> Self {
        let summary = "let rows through only if figures pass their thresholds";
        let descriptor = describe::<GateOptions>("evaluation/gate", 1, summary)
            .pure()
            .description(DESCRIPTION)
            .output("rows", "the rows, as they came in")
            .metric("checks", "checks made")
            .metric(
                "failed",
                "checks that failed, with `on_failure: warn`; else 0",
            )
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Gate {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: GateOptions = stage.options()?;
        let mut checks = options.checks;
        if let Some(limits) = &options.segments {
            let counts = count_segments(&stage, &options.rows).await?;
            checks.extend(limits.checks(counts));
        }
        refuse_unusable(&checks)?;

        let mut faults = Vec::new();
        for check in &checks {
            let fault = check.fault();
            log(&stage, check, fault.as_deref());
            faults.extend(fault);
        }
        if !faults.is_empty() && options.on_failure == OnFailure::Fail {
            return Err(failed(&faults, checks.len()));
        }
        stage.metric("checks", checks.len() as f64);
        stage.metric("failed", faults.len() as f64);
        stage.panel(&panel(&checks)).await?;
        stage.adopt("rows", options.rows.0);
        Ok(stage.finish())
    }
}

/// Refuses options under which a gate says nothing, or two things by one name.
fn refuse_unusable(checks: &[Check]) -> Result<(), StageError> {
    if checks.is_empty() {
        return Err(invalid(
            codes::STAGE_OPTIONS,
            "the gate checks nothing, so everything passes it",
            "give it `checks`, or limits in `segments`",
        ));
    }
    for (index, check) in checks.iter().enumerate() {
        check.is_usable()?;
        let earlier = checks.iter().take(index);
        if earlier.into_iter().any(|other| other.name == check.name) {
            return Err(invalid(
                codes::STAGE_OPTIONS,
                format!("two checks are called `{}`", check.name),
                "give each a name of its own, so that a message says which failed",
            ));
        }
    }
    Ok(())
}

/// Every check that failed, in one error.
fn failed(faults: &[String], checks: usize) -> StageError {
    let of = match checks {
        1 => "the check failed".to_owned(),
        _ => format!("{} of {checks} checks failed", faults.len()),
    };
    invalid(
        codes::GATE_FAILED,
        format!("{of}: {}", faults.join("; ")),
        "nothing was given on: look at the stages that made the figures, or correct the thresholds",
    )
}

fn log(stage: &StageContext, check: &Check, fault: Option<&str>) {
    let mut fields = vec![
        ("check", json!(check.name)),
        ("value", json!(check.value.0)),
        ("threshold", json!(check.threshold())),
    ];
    match fault {
        None => stage.log(LogLevel::Info, "a check passed", fields),
        Some(fault) => {
            fields.push(("why", json!(fault)));
            stage.log(LogLevel::Warn, "a check failed", fields);
        }
    }
}

fn panel(checks: &[Check]) -> Panel {
    let row = |check: &Check| {
        let value = check.value.0.filter(|value| value.is_finite());
        let result = match check.fault() {
            None => "passed",
            Some(_) => "failed",
        };
        vec![
            json!(check.name),
            value.map_or(Value::Null, Value::from),
            json!(check.threshold()),
            json!(result),
        ]
    };
    Panel {
        title: "Checks before publishing".to_owned(),
        caption: Some("figures, where they may lie, and whether they do".to_owned()),
        body: PanelBody::Table {
            columns: ["check", "value", "threshold", "result"]
                .map(Column::new)
                .to_vec(),
            rows: checks.iter().map(row).collect(),
        },
    }
}

/// Counts the segments of rows by one query.
async fn count_segments(stage: &StageContext, rows: &Input) -> Result<SegmentCounts, StageError> {
    let frame = stage.table(rows).await?;
    let schema = frame.schema().as_arrow().clone();
    if schema.column_with_name(SEGMENT).is_none() {
        return Err(missing_column("rows", SEGMENT, &schema));
    }
    let by_segment =
        frame.aggregate(vec![ident(SEGMENT)], vec![count(lit(1)).alias("customers")])?;
    let (without, with) = (ident(SEGMENT).is_null(), ident(SEGMENT).is_not_null());
    let figures = [
        count(lit(1)),
        sum(ident("customers")),
        min(ident("customers")),
        max(ident("customers")),
    ];
    let with = by_segment
        .clone()
        .filter(with)?
        .aggregate(Vec::new(), figures.to_vec())?;
    let found = with.collect().await?;
    let figure = |column| {
        let figure = integer_in(&found, column);
        figure
            .and_then(|figure| u64::try_from(figure).ok())
            .unwrap_or(0)
    };
    if by_segment.filter(without)?.count().await? > 0 {
        stage.log(
            LogLevel::Warn,
            "some rows have no segment and count in no share",
            [],
        );
    }
    Ok(SegmentCounts {
        segments: figure(0),
        rows: figure(1),
        smallest: figure(2),
        largest: figure(3),
    })
}
