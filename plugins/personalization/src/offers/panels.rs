//! What the report shows of decisions.

use std::collections::BTreeMap;

use marquetry_decisions::{Audience, Choices};
use marquetry_plugin::{Panel, PanelBody};

/// Segments that the report shows.
const SHOWN: usize = 40;

/// All panels.
pub(super) fn all(audience: &Audience, choices: &Choices, version: u64) -> Vec<Panel> {
    vec![by_segment(audience, choices, version)]
}

/// The share of each segment's customers that got each action.
#[expect(clippy::cast_precision_loss, reason = "shares to look at")]
fn by_segment(audience: &Audience, choices: &Choices, version: u64) -> Panel {
    let actions = audience.actions();
    let mut counts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, choice) in choices.choices.iter().enumerate() {
        let Some(choice) = choice else { continue };
        let segment = audience.segment(row).unwrap_or("all customers");
        let counts = counts
            .entry(segment)
            .or_insert_with(|| vec![0; actions.len()]);
        counts[choice.action] += 1;
    }
    let hidden = counts.len().saturating_sub(SHOWN);
    let shares = counts.values().take(SHOWN).map(|counts| {
        let total: usize = counts.iter().sum();
        let share = |count: &usize| Some(100.0 * *count as f64 / total.max(1) as f64);
        counts.iter().map(share).collect()
    });
    let by = match version {
        0 => "by a policy that has learned nothing yet".to_owned(),
        version => format!("by version {version} of the policy"),
    };
    let more = if hidden > 0 {
        format!("; {hidden} more segments are not shown")
    } else {
        String::new()
    };
    Panel {
        title: "Offers by segment".to_owned(),
        caption: Some(format!(
            "the share of a segment's customers that gets each offer, {by}{more}"
        )),
        body: PanelBody::Heatmap {
            row_label: "segment".to_owned(),
            column_label: "offer".to_owned(),
            rows: counts.keys().take(SHOWN).map(|name| shown(name)).collect(),
            columns: actions.iter().map(|name| name.replace('_', " ")).collect(),
            values: shares.collect(),
            unit: Some("%".to_owned()),
        },
    }
}

/// A segment's name; a number alone says too little.
fn shown(name: &str) -> String {
    if name.parse::<i64>().is_ok() {
        format!("segment {name}")
    } else {
        name.to_owned()
    }
}
