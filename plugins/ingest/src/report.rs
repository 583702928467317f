//! What the report and the log say of an ingestion.

use marquetry_plugin::{Column, Figure, Panel, PanelBody};
use serde_json::Value;

use crate::ingestion::Counts;

/// Reasons that the report lists.
const REASONS_SHOWN: usize = 20;

/// The figures: what was read and what became of it.
pub(crate) fn figures(counts: &Counts, files: usize) -> Panel {
    let count = |label: &str, value: u64, note: Option<&str>| Figure {
        label: label.to_owned(),
        #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
        value: value as f64,
        unit: Some("rows".to_owned()),
        note: note.map(str::to_owned),
    };
    let share = Figure {
        label: "rejected".to_owned(),
        value: 100.0 * counts.rejected_share(),
        unit: Some("%".to_owned()),
        note: None,
    };
    let mut figures = vec![
        count("read", counts.read, Some(&format!("from {files} files"))),
        count("accepted", counts.accepted, None),
        count("in quarantine", counts.rejections.total(), None),
        share,
    ];
    if counts.duplicates > 0 {
        figures.push(count("duplicates dropped", counts.duplicates, None));
    }
    Panel {
        title: "Rows read".to_owned(),
        caption: None,
        body: PanelBody::Figures(figures),
    }
}

/// The quarantine by reason, if anything is in it.
pub(crate) fn quarantine(counts: &Counts) -> Option<Panel> {
    let reasons = counts.rejections.reasons();
    if reasons.is_empty() {
        return None;
    }
    let hidden = reasons.len().saturating_sub(REASONS_SHOWN);
    let more = if hidden > 0 {
        format!("; {hidden} rarer reasons are not shown")
    } else {
        String::new()
    };
    let rows = reasons
        .iter()
        .take(REASONS_SHOWN)
        .map(|counted| {
            vec![
                Value::from(counted.field.clone()),
                Value::from(counted.reason.clone()),
                Value::from(counted.count),
                Value::from(counted.example.clone()),
            ]
        })
        .collect();
    let columns = ["column", "reason", "rows", "first example"]
        .map(Column::new)
        .into();
    Some(Panel {
        title: "Quarantine".to_owned(),
        caption: Some(format!(
            "rejected rows by reason; all of them are in the output `rejected`{more}"
        )),
        body: PanelBody::Table { columns, rows },
    })
}
