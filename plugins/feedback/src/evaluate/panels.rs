//! What the report shows of an evaluation.

use marquetry_plugin::{Column, Panel, PanelBody};
use marquetry_policy::{Estimator, Interval};
use serde_json::{Value, json};

use super::arms::{ArmMean, BestArm};
use super::log::Log;
use super::options::EvaluateOptions;
use super::output::{action, segment};
use super::value::{LOGGED, PolicyValue};

/// Rows of a table, and actions and segments of a map, that a page has room for.
const SHOWN: usize = 40;

/// All panels.
pub(super) fn all(
    log: &Log,
    options: &EvaluateOptions,
    values: &[PolicyValue],
    arms: &[ArmMean],
    best: &[BestArm<'_>],
) -> Vec<Panel> {
    let mut panels = vec![
        policies(values, options.confidence),
        best_arms(log, best, options),
    ];
    if options.by.is_some() && log.segments.len() > 1 && log.actions.len() > 1 {
        panels.push(map(log, arms));
    }
    panels
}

fn table(title: &str, caption: String, columns: &[&str], rows: Vec<Vec<Value>>) -> Panel {
    let columns = columns.iter().map(|name| Column::new(*name)).collect();
    Panel {
        title: title.to_owned(),
        caption: Some(caption),
        body: PanelBody::Table { columns, rows },
    }
}

fn left_out(all: usize) -> String {
    match all.saturating_sub(SHOWN) {
        0 => String::new(),
        hidden => format!("; {hidden} more are not shown"),
    }
}

fn ends(interval: Option<Interval>) -> [Value; 2] {
    [
        json!(interval.map(|it| it.low)),
        json!(interval.map(|it| it.high)),
    ]
}

/// The doubly robust values, the best first, beside the mean of the log.
fn policies(values: &[PolicyValue], confidence: f64) -> Panel {
    let robust = Estimator::DoublyRobust.name();
    let shown = |value: &&PolicyValue| value.policy == LOGGED || value.estimator == robust;
    let mut values: Vec<&PolicyValue> = values.iter().filter(shown).collect();
    let key = |value: &PolicyValue| value.value.unwrap_or(f64::NEG_INFINITY);
    values.sort_by(|left, right| key(right).total_cmp(&key(left)));
    let rows = values.iter().take(SHOWN).map(|value| {
        let [lower, upper] = ends(value.interval);
        let size = json!(value.effective_sample_size.round());
        vec![json!(value.policy), json!(value.value), lower, upper, size]
    });
    let caption = format!(
        "reward a decision by the doubly robust estimate, with {} % intervals, the best first; `{LOGGED}` is the mean \
         of the log{}",
        percent(confidence),
        left_out(values.len())
    );
    table(
        "What policies would have earned",
        caption,
        &["policy", "value", "lower", "upper", "effective sample size"],
        rows.collect(),
    )
}

fn best_arms(log: &Log, best: &[BestArm<'_>], options: &EvaluateOptions) -> Panel {
    let rows = best.iter().take(SHOWN).map(|row| {
        let [lower, upper] = ends(row.best.interval);
        let [least, most] = ends(row.advantage.and_then(|(_, interval)| interval));
        vec![
            json!(segment(log, row.best).unwrap_or("all")),
            json!(action(log, row.best)),
            json!(row.best.decisions),
            json!(row.best.mean),
            lower,
            upper,
            json!(row.next.map(|arm| action(log, arm))),
            json!(row.advantage.map(|(value, _)| value)),
            least,
            most,
        ]
    });
    let caption = format!(
        "mean `{}` of the best action, and its advantage over the next, with {} % intervals; an advantage whose \
         interval holds 0 may be chance{}",
        options.reward,
        percent(options.confidence),
        left_out(best.len())
    );
    table(
        "The best action of each segment",
        caption,
        &[
            "segment",
            "action",
            "decisions",
            "mean",
            "lower",
            "upper",
            "next",
            "advantage",
            "least",
            "most",
        ],
        rows.collect(),
    )
}

/// Mean rewards by action and segment.
fn map(log: &Log, arms: &[ArmMean]) -> Panel {
    let (actions, segments) = (log.actions.len().min(SHOWN), log.segments.len().min(SHOWN));
    let mut values = vec![vec![None; actions]; segments];
    for arm in arms {
        if let Some(row) = arm.segment.and_then(|segment| values.get_mut(segment))
            && let Some(cell) = row.get_mut(arm.action)
        {
            *cell = Some(arm.mean);
        }
    }
    let all = log.actions.len().max(log.segments.len());
    Panel {
        title: "What each action earned in each segment".to_owned(),
        caption: Some(format!("mean reward of its decisions{}", left_out(all))),
        body: PanelBody::Heatmap {
            row_label: "segment".to_owned(),
            column_label: "action".to_owned(),
            rows: log.segments.iter().take(segments).cloned().collect(),
            columns: log.actions.iter().take(actions).cloned().collect(),
            values,
            unit: None,
        },
    }
}

/// A confidence in percent, as short as it can be: 95, 99.9.
fn percent(confidence: f64) -> f64 {
    (confidence * 1e6).round() / 1e4
}
