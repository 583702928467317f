//! The stage kind `evaluation/gate`.

mod checks;
mod options;
mod shares;

use async_trait::async_trait;
use marquetry_plugin::{
    Column, LogLevel, Panel, PanelBody, StageContext, StageError, StageHandler, describe,
};
use marquetry_rows::invalid;
use marquetry_types::{Outcome, StageDescriptor, codes};
use serde_json::{Value, json};

use crate::{counted, float};
use checks::Verdict;
use options::{GateOptions, OnFailure};

const DESCRIPTION: &str = "\
Lets `rows` pass if every check holds, and fails if one does not: `publish` on the gate never publishes a bad \
segmentation. The rows are passed on as they are; nothing is copied. The failure names every check that did not \
hold, with its value and threshold, and is what `marquetry show` says of the run.\n\n\
A check compares a value, usually a figure of another stage such as ${{ stages.quality.metrics.silhouette }}, with \
`min` and `max`, both of which it may equal. A value that is null fails. A figure that the other stage did not report \
(the silhouette of one segment) is an error of the expression, and the gate fails by it; to have it told as a check \
write ${{ stages.quality.metrics.get(\"silhouette\") }}, which is null then. `segments` looks at the column `segment` of \
the rows themselves; a row without a segment counts in all, but is in none.\n\n\
O(rows) where `segments` is given, else O(checks).";

const EXAMPLE: &str = "\
rows: ${{ stages.segments }}
checks:
  - { name: silhouette, value: \"${{ stages.quality.metrics.silhouette }}\", min: 0.2 }
  - { name: share that moved, value: \"${{ stages.migration.metrics.moved_share }}\", max: 0.3 }
segments: { min_share: 0.01, max_share: 0.6 }
";

/// `evaluation/gate`.
#[derive(Debug)]
pub(crate) struct Gate {
    descriptor: StageDescriptor,
}

impl Default for Gate {
    fn default() -> Self {
        let summary = "stop a segmentation that fails its checks from being published";
        let descriptor = describe::<GateOptions>("evaluation/gate", 1, summary)
            .description(DESCRIPTION)
            .output("rows", "the rows as they came")
            .metric("checks", "checks that were made")
            .metric(
                "failed",
                "checks that did not hold; above 0 only with `on_failure: warn`",
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

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: GateOptions = stage.options()?;
        options.check()?;
        let mut verdicts: Vec<Verdict> = options.checks.iter().map(Verdict::of).collect();
        if let Some(limits) = &options.segments {
            verdicts.extend(shares::verdicts(&stage, &options.rows, limits).await?);
        }
        let failed: Vec<&Verdict> = verdicts.iter().filter(|one| !one.holds()).collect();
        log(&stage, &verdicts);
        let is_open = failed.is_empty();
        if !is_open && options.on_failure == OnFailure::Fail {
            return Err(closed(&failed, verdicts.len()));
        }
        let failed = failed.len();
        stage.metric("checks", float(verdicts.len()));
        stage.metric("failed", float(failed));
        stage.panel(&panel(&verdicts, is_open)).await?;
        stage.adopt("rows", options.rows.0.clone());
        Ok(stage.finish())
    }
}

/// A line of the log for each check.
fn log(stage: &StageContext, verdicts: &[Verdict]) {
    for verdict in verdicts {
        let fields = [
            ("check", json!(verdict.name)),
            ("value", json!(verdict.value)),
            ("min", json!(verdict.min)),
            ("max", json!(verdict.max)),
        ];
        if verdict.holds() {
            stage.log(LogLevel::Info, "a check holds", fields);
        } else {
            stage.log(LogLevel::Warn, "a check does not hold", fields);
        }
    }
}

/// More failures than this are counted, not told one by one; the log has all of them.
const MOST_TOLD: usize = 20;

fn closed(failed: &[&Verdict], checks: usize) -> StageError {
    let mut reasons: Vec<String> = failed
        .iter()
        .take(MOST_TOLD)
        .map(|verdict| verdict.reason())
        .collect();
    if failed.len() > MOST_TOLD {
        reasons.push(format!("and {} more", failed.len() - MOST_TOLD));
    }
    invalid(
        codes::GATE_CLOSED,
        format!(
            "{} of {} did not hold: {}",
            failed.len(),
            counted(checks, "check"),
            reasons.join("; ")
        ),
        "look at the stages that gave these values, or change a threshold that is wrong; with `on_failure: warn` the \
         gate opens all the same",
    )
}

fn panel(verdicts: &[Verdict], is_open: bool) -> Panel {
    let columns = ["check", "value", "at least", "at most", "holds"];
    let rows = verdicts.iter().map(|verdict| {
        vec![
            Value::from(verdict.name.as_str()),
            json!(verdict.value),
            json!(verdict.min),
            json!(verdict.max),
            Value::from(if verdict.holds() { "yes" } else { "no" }),
        ]
    });
    let caption = if is_open {
        "every check holds: the segmentation may be published"
    } else {
        "some checks do not hold; the gate only warns, so the segmentation was let through"
    };
    Panel {
        title: "Gate".to_owned(),
        caption: Some(caption.to_owned()),
        body: PanelBody::Table {
            columns: columns.map(Column::new).to_vec(),
            rows: rows.collect(),
        },
    }
}
