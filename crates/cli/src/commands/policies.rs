//! `policies`: what the stages that learn have learned.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use marquetry_rows::select_as;
use marquetry_types::{Diagnostic, Publication, PublishedKind, StageFailure, thousands};
use serde::Serialize;

use crate::arguments::{Common, Format, Policies, PoliciesCommand};
use crate::failure::Failure;
use crate::output::{self, BOLD};
use crate::place::Place;
use crate::{datasets, published};

/// `marquetry policies`
pub(crate) async fn run(common: &Common, arguments: &Policies) -> Result<(), Failure> {
    match &arguments.command {
        None => published::list(common, PublishedKind::Policy).await,
        Some(PoliciesCommand::Show { policy, limit }) => show(common, policy, *limit).await,
    }
}

/// A version of a policy as `--output json` shows it.
#[derive(Debug, Serialize)]
struct PolicyView {
    name: String,
    version: u64,
    published_at: String,
    run: String,
    arms: Vec<ArmView>,
    history: Vec<VersionView>,
}

/// What an action has earned so far.
#[derive(Debug, Default, Serialize)]
struct ArmView {
    action: String,
    #[serde(flatten)]
    earned: EarnedView,
    segments: BTreeMap<String, EarnedView>,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct EarnedView {
    decisions: u64,
    responses: u64,
    reward_sum: f64,
    reward_mean: Option<f64>,
}

impl EarnedView {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn add(&mut self, decisions: u64, responses: u64, rewards: f64) {
        self.decisions += decisions;
        self.responses += responses;
        self.reward_sum += rewards;
        self.reward_mean = (self.decisions > 0).then(|| self.reward_sum / self.decisions as f64);
    }
}

/// A version, with what was learned between the one before and it.
#[derive(Debug, Serialize)]
struct VersionView {
    version: u64,
    published_at: String,
    run: String,
    decisions: u64,
    reward_mean: Option<f64>,
}

async fn show(common: &Common, name: &str, limit: usize) -> Result<(), Failure> {
    let place = Place::of(common)?;
    let shown = published::find(&place, PublishedKind::Policy, name).await?;
    let name = shown.published.name.as_str();
    // One more than is shown, to tell what the oldest of them learned.
    let versions =
        published::versions(&place, PublishedKind::Policy, name, limit.saturating_add(1)).await?;
    let mut totals = Vec::with_capacity(versions.len());
    for version in &versions {
        totals.push(total(&arms(&place, version).await?));
    }
    let arms = arms(&place, &shown).await?;
    let history = versions.iter().zip(&totals).enumerate();
    let history = history.take(limit).map(|(place, (version, total))| {
        let before = totals.get(place + 1).copied().unwrap_or_default();
        let mut learned = EarnedView::default();
        learned.add(
            total.decisions.saturating_sub(before.decisions),
            total.responses.saturating_sub(before.responses),
            total.reward_sum - before.reward_sum,
        );
        VersionView {
            version: version.published.version,
            published_at: version.at.to_string(),
            run: version.run.to_string(),
            decisions: learned.decisions,
            reward_mean: learned.reward_mean,
        }
    });
    let view = PolicyView {
        name: name.to_owned(),
        version: shown.published.version,
        published_at: shown.at.to_string(),
        run: shown.run.to_string(),
        arms,
        history: history.collect(),
    };
    if common.output == Format::Json {
        return output::json(&view);
    }
    print(&view)
}

fn total(arms: &[ArmView]) -> EarnedView {
    let mut total = EarnedView::default();
    for arm in arms {
        let earned = arm.earned;
        total.add(earned.decisions, earned.responses, earned.reward_sum);
    }
    total
}

/// What each action has earned, from the rows of a version's dataset.
async fn arms(place: &Place, version: &Publication) -> Result<Vec<ArmView>, Failure> {
    let (_session, rows) = datasets::read(place, &version.published.dataset).await?;
    let fields = [
        Field::new("action", DataType::Utf8, false),
        Field::new("segment", DataType::Utf8, true),
        Field::new("decisions", DataType::Int64, false),
        Field::new("responses", DataType::Int64, false),
        Field::new("reward_sum", DataType::Float64, false),
    ];
    let mut arms: BTreeMap<String, ArmView> = BTreeMap::new();
    for batch in rows.collect().await? {
        let what = version.published.to_string();
        let batch = select_as(&what, &batch, &fields).map_err(|error| refused(error.into()))?;
        add(&mut arms, &batch);
    }
    Ok(arms.into_values().collect())
}

fn refused(failure: StageFailure) -> Failure {
    let diagnostic: Diagnostic = failure.diagnostic;
    diagnostic.into()
}

fn add(arms: &mut BTreeMap<String, ArmView>, batch: &RecordBatch) {
    let (Some(actions), Some(segments)) = (
        batch.column(0).as_string_opt::<i32>(),
        batch.column(1).as_string_opt::<i32>(),
    ) else {
        return;
    };
    let count = |column: usize, row: usize| {
        let counts = batch.column(column).as_primitive::<Int64Type>();
        u64::try_from(counts.value(row)).unwrap_or_default()
    };
    let rewards = batch.column(4).as_primitive::<Float64Type>();
    for row in 0..batch.num_rows() {
        let action = actions.value(row);
        let arm = arms.entry(action.to_owned()).or_insert_with(|| ArmView {
            action: action.to_owned(),
            ..ArmView::default()
        });
        let earned = (count(2, row), count(3, row), rewards.value(row));
        arm.earned.add(earned.0, earned.1, earned.2);
        if segments.is_valid(row) {
            let segment = arm.segments.entry(segments.value(row).to_owned());
            segment.or_default().add(earned.0, earned.1, earned.2);
        }
    }
}

fn print(view: &PolicyView) -> Result<(), Failure> {
    let mean = |mean: Option<f64>| mean.map_or_else(|| "–".to_owned(), |mean| format!("{mean:.4}"));
    output::line(format!(
        "{BOLD}{}@{}{BOLD:#}, published {} by run {}\n",
        view.name, view.version, view.published_at, view.run
    ))?;
    let arms = view.arms.iter().map(|arm| {
        vec![
            arm.action.clone(),
            thousands(arm.earned.decisions),
            thousands(arm.earned.responses),
            mean(arm.earned.reward_mean),
        ]
    });
    let header = ["action", "decisions", "responses", "mean reward"];
    output::line(output::table(&header, arms.collect()))?;

    let mut segments: Vec<&String> = view
        .arms
        .iter()
        .flat_map(|arm| arm.segments.keys())
        .collect();
    segments.sort_unstable();
    segments.dedup();
    if !segments.is_empty() {
        let mut header = vec!["mean reward in"];
        header.extend(view.arms.iter().map(|arm| arm.action.as_str()));
        let rows = segments.iter().map(|segment| {
            let mut row = vec![(*segment).clone()];
            let earned = view.arms.iter().map(|arm| arm.segments.get(*segment));
            row.extend(earned.map(|earned| mean(earned.and_then(|earned| earned.reward_mean))));
            row
        });
        output::line(format!("\n{}", output::table(&header, rows.collect())))?;
    }
    let history = view.history.iter().map(|version| {
        vec![
            version.version.to_string(),
            version.published_at.clone(),
            thousands(version.decisions),
            mean(version.reward_mean),
            version.run.clone(),
        ]
    });
    let header = ["version", "published", "learned from", "mean reward", "run"];
    output::line(format!("\n{}", output::table(&header, history.collect())))
}
