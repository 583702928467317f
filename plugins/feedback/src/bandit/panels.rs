//! What the report shows of what was learned.

use marquetry_plugin::{Column, Panel, PanelBody};
use serde_json::{Value, json};

use super::estimates::EstimateRow;
use super::tables::ArmRow;

/// Segments that the report shows.
const SHOWN: usize = 40;

/// All panels; none where nothing was learned.
pub(super) fn all(arms: &[ArmRow], estimates: &[EstimateRow]) -> Vec<Panel> {
    let mut panels = Vec::new();
    if !arms.is_empty() {
        panels.push(earned(arms));
    }
    if !estimates.is_empty() {
        panels.push(others(estimates));
    }
    panels
}

fn earned(arms: &[ArmRow]) -> Panel {
    let mut actions: Vec<&str> = arms.iter().map(|arm| arm.action.as_str()).collect();
    actions.dedup();
    let mut segments: Vec<Option<&str>> = arms.iter().map(|arm| arm.segment.as_deref()).collect();
    segments.sort_unstable();
    segments.dedup();
    segments.truncate(SHOWN);
    let mean = |segment: &Option<&str>, action: &&str| {
        let arm = arms
            .iter()
            .find(|arm| arm.action == *action && arm.segment.as_deref() == *segment);
        arm.map(|arm| arm.mean)
    };
    let values = segments.iter().map(|segment| {
        let means = actions.iter().map(|action| mean(segment, action));
        means.collect()
    });
    Panel {
        title: "What each offer earned".to_owned(),
        caption: Some(
            "the mean reward of a decision in each segment; empty where the offer was not made"
                .to_owned(),
        ),
        body: PanelBody::Heatmap {
            row_label: "segment".to_owned(),
            column_label: "offer".to_owned(),
            values: values.collect(),
            rows: segments.iter().map(|name| shown(*name)).collect(),
            columns: actions.iter().map(|name| name.replace('_', " ")).collect(),
            unit: Some("reward".to_owned()),
        },
    }
}

/// A segment's name; a number alone says too little.
fn shown(name: Option<&str>) -> String {
    match name {
        None => "all customers".to_owned(),
        Some(name) if name.parse::<i64>().is_ok() => format!("segment {name}"),
        Some(name) => name.to_owned(),
    }
}

fn others(estimates: &[EstimateRow]) -> Panel {
    let doubly_robust = estimates
        .iter()
        .filter(|row| row.estimator == "doubly_robust");
    let rows = doubly_robust.map(|row| {
        let number = |value: Option<f64>| value.map_or(Value::Null, |value| json!(value));
        vec![
            json!(row.policy.replace('_', " ")),
            number(Some(row.value)),
            number(row.lower),
            number(row.upper),
            json!(row.effective.round()),
        ]
    });
    Panel {
        title: "What other policies would have earned".to_owned(),
        caption: Some(
            "doubly robust estimates on the same decisions, with 95 % intervals; the policy `as learned` is judged by what it learned from, and so looks a little better than it is"
                .to_owned(),
        ),
        body: PanelBody::Table {
            columns: ["policy", "mean reward", "lower", "upper", "effective decisions"]
                .map(Column::new)
                .into(),
            rows: rows.collect(),
        },
    }
}
