//! The stage kind `evaluation/profile`.

mod effects;
mod output;
mod panels;
mod words;

use async_trait::async_trait;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{KeyedRows, Wanted, is_text, missing_column};
use marquetry_types::{Outcome, StageDescriptor};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::assignment::Assignment;
use effects::{NumberEffect, Profiled, TextEffect};

const DESCRIPTION: &str = "\
Says what distinguishes each segment. For every numeric column: mean and median in the segment, the mean of \
all customers, and Cohen's d (1988), the difference between the segment's mean and that of all others in units \
of their pooled standard deviation; 0.2 is small, 0.5 medium, 0.8 large. Nulls are left out. For every text or \
true/false column: the value that is most over-represented, that is, whose share in the segment exceeds its \
share of all customers by most, and its lift, the one share over the other.\n\n\
From the strongest of these a name is proposed for the segment, and a sentence that gives the reasons. Give \
the customers as features/customer makes them, not scaled: the figures are for people to read.\n\n\
O(customers x columns).";

const EXAMPLE: &str = "\
rows: ${{ stages.customers }}
assignment: ${{ stages.segments }}
";

/// Options of `evaluation/profile`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProfileOptions {
    /// The customers, one a row.
    rows: Input,
    /// Their segments: the key and `segment`.
    assignment: Input,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    key: String,
    /// The columns to describe segments by; all numeric, text and true/false ones but the key.
    #[serde(default)]
    #[schemars(length(min = 1))]
    columns: Option<Vec<String>>,
    /// The least effect, in pooled standard deviations, that a name or a sentence mentions.
    #[serde(default = "least_effect")]
    #[schemars(range(min = 0.0))]
    least_effect: f64,
    /// How many effects a sentence mentions at most.
    #[serde(default = "most_effects")]
    #[schemars(range(min = 1, max = 20))]
    most_effects: usize,
}

const fn least_effect() -> f64 {
    0.2
}

const fn most_effects() -> usize {
    4
}

/// `evaluation/profile`.
#[derive(Debug)]
pub(crate) struct Profile {
    descriptor: StageDescriptor,
}

impl Default for Profile {
    fn default() -> Self {
        let summary = "say what distinguishes each segment, in numbers and words";
        let descriptor = describe::<ProfileOptions>("evaluation/profile", 1, summary)
            .pure()
            .description(DESCRIPTION)
            .output(
                "profile",
                "a row per segment and column: customers, mean, median, overall_mean, effect; value, share, overall_share, lift",
            )
            .output("names", "a row per segment: customers, share, the proposed name and the sentence")
            .metric("segments", "segments that have customers")
            .metric("columns", "columns that segments were described by")
            .metric("largest_effect", "the largest effect of all, in pooled standard deviations")
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Profile {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: ProfileOptions = stage.options()?;
        let columns = options.columns.as_deref();
        let wanted = Wanted {
            option: "rows",
            input: &options.rows,
            key: &options.key,
            columns,
        };
        let rows = KeyedRows::read(&stage, wanted).await?;
        let assignment =
            Assignment::read(&stage, "assignment", &options.assignment, rows.keys()).await?;
        let profiled = describe_columns(&stage, &options, &rows, &assignment)?;
        let described = words::describe(
            &profiled,
            &assignment,
            options.least_effect,
            options.most_effects,
        );

        let profile = output::profile(&profiled, &assignment)?;
        stage
            .write_batches("profile", profile.schema(), vec![profile])
            .await?;
        let names = output::names(&described, &assignment)?;
        stage
            .write_batches("names", names.schema(), vec![names])
            .await?;

        report(&mut stage, &profiled, &assignment);
        for panel in panels::all(&profiled, &described, &assignment) {
            stage.panel(&panel).await?;
        }
        Ok(stage.finish())
    }
}

/// The effects of all columns that are described.
fn describe_columns(
    stage: &StageContext,
    options: &ProfileOptions,
    rows: &KeyedRows,
    assignment: &Assignment,
) -> Result<Profiled, StageError> {
    let schema = rows.schema();
    let chosen: Vec<String> = match &options.columns {
        Some(columns) => rows.chosen_columns(Some(columns))?,
        None => {
            let numeric = rows.numeric_columns();
            let texts = rows.text_columns();
            numeric.into_iter().chain(texts).collect()
        }
    };
    let mut profiled = Profiled::default();
    for (done, column) in chosen.iter().enumerate() {
        stage.check_cancelled()?;
        stage.progress(
            "describing columns",
            done as u64,
            Some(chosen.len() as u64),
            "columns",
        );
        let Some((_, field)) = schema.column_with_name(column) else {
            return Err(missing_column("rows", column, &schema));
        };
        if is_text(field.data_type()) {
            let effects = TextEffect::all(&rows.texts(column)?, assignment);
            profiled.texts.push((column.clone(), effects));
        } else {
            let effects = NumberEffect::all(&rows.numbers_or_none(column)?, assignment);
            profiled.numbers.push((column.clone(), effects));
        }
    }
    Ok(profiled)
}

/// Metrics and remarks.
#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn report(stage: &mut StageContext, profiled: &Profiled, assignment: &Assignment) {
    stage.metric("segments", assignment.names.len() as f64);
    stage.metric(
        "columns",
        (profiled.numbers.len() + profiled.texts.len()) as f64,
    );
    let effects = profiled.numbers.iter().flat_map(|(_, effects)| effects);
    let largest = effects
        .filter_map(|effect| effect.d.map(f64::abs))
        .reduce(f64::max);
    if let Some(largest) = largest {
        stage.metric("largest_effect", largest);
    }
    if assignment.names.len() < 2 {
        let fields = [("segments", json!(assignment.names.len()))];
        stage.log(
            LogLevel::Warn,
            "there are no other segments to compare with",
            fields,
        );
    }
}
