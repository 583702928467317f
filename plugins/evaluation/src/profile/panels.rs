//! What the report shows of a profile.

use marquetry_plugin::{Panel, PanelBody, Paragraph};

use super::effects::Profiled;
use super::words::Described;
use crate::assignment::Assignment;

/// All panels; none of no segments.
pub(super) fn all(
    profiled: &Profiled,
    described: &[Described],
    assignment: &Assignment,
) -> Vec<Panel> {
    if described.is_empty() {
        return Vec::new();
    }
    let mut panels = vec![texts(described, assignment)];
    if !profiled.numbers.is_empty() && described.len() > 1 {
        panels.push(effects(profiled, described, assignment));
    }
    panels
}

/// A segment with its proposed name, where it has no name of its own.
fn heading(segment: usize, described: &Described, assignment: &Assignment) -> String {
    format!("{}: {}", assignment.names.shown(segment), described.name)
}

fn texts(described: &[Described], assignment: &Assignment) -> Panel {
    let paragraphs = described
        .iter()
        .enumerate()
        .map(|(segment, described)| Paragraph {
            heading: heading(segment, described, assignment),
            text: described.sentence.clone(),
        })
        .collect();
    Panel {
        title: "Who the customers are".to_owned(),
        caption: Some(
            "what distinguishes each segment from all others; names are proposals".to_owned(),
        ),
        body: PanelBody::Text(paragraphs),
    }
}

fn effects(profiled: &Profiled, described: &[Described], assignment: &Assignment) -> Panel {
    let values = (0..described.len())
        .map(|segment| {
            profiled
                .numbers
                .iter()
                .map(|(_, effects)| effects[segment].d)
                .collect()
        })
        .collect();
    let rows = described.iter().enumerate();
    Panel {
        title: "What distinguishes the segments".to_owned(),
        caption: Some(
            "difference from all other customers in standard deviations (Cohen's d): 0.2 is small, 0.8 large"
                .to_owned(),
        ),
        body: PanelBody::Heatmap {
            row_label: "segment".to_owned(),
            column_label: "column".to_owned(),
            rows: rows.map(|(segment, described)| heading(segment, described, assignment)).collect(),
            columns: profiled.numbers.iter().map(|(column, _)| column.clone()).collect(),
            values,
            unit: Some("standard deviations".to_owned()),
        },
    }
}
