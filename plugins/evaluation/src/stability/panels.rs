//! What the report shows of stability.

use marquetry_plugin::{Bar, Figure, Panel, PanelBody, Series};
use marquetry_types::thousands;

use super::refits::Stable;
use crate::assignment::Assignment;

/// All panels; none of no refits.
pub(super) fn all(stable: &Stable, assignment: &Assignment) -> Vec<Panel> {
    let (Some(mean), Some(min)) = (stable.adjusted_rand_mean(), stable.adjusted_rand_min()) else {
        return Vec::new();
    };
    vec![
        figures(stable, assignment, mean, min),
        bars(stable, assignment),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "figures to look at")]
fn figures(stable: &Stable, assignment: &Assignment, mean: f64, min: f64) -> Panel {
    let figure = |label: &str, value: f64, note: &str| Figure {
        label: label.to_owned(),
        value,
        unit: None,
        note: Some(note.to_owned()),
    };
    let customers = thousands(stable.customers as u64);
    let all = assignment.rows.len();
    let of = if stable.customers < all {
        let all = thousands(all as u64);
        format!("of a sample of {customers} of {all} customers, drawn with replacement")
    } else {
        format!("of {customers} customers, drawn with replacement")
    };
    Panel {
        title: "Stability of the segments".to_owned(),
        caption: Some("how far k-means on customers drawn anew finds the same segments".to_owned()),
        body: PanelBody::Figures(vec![
            figure("refits", stable.refits.len() as f64, &of),
            figure(
                "adjusted Rand index",
                mean,
                "mean; 1 is the same, 0 as by chance",
            ),
            figure("least adjusted Rand index", min, "of the worst refit"),
        ]),
    }
}

fn bars(stable: &Stable, assignment: &Assignment) -> Panel {
    let series = ["mean Jaccard", "least Jaccard"].map(|name| Series {
        name: name.to_owned(),
        unit: None,
    });
    let bars = stable.segments.iter().enumerate();
    Panel {
        title: "Stability by segment".to_owned(),
        caption: Some(
            "share of a segment that a refit keeps together (largest Jaccard coefficient): from 0.75 on it is \
             stable, below 0.6 it should not be trusted (Hennig 2007)"
                .to_owned(),
        ),
        body: PanelBody::Bars {
            category_label: "segment".to_owned(),
            series: series.to_vec(),
            bars: bars
                .map(|(segment, stability)| Bar {
                    label: assignment.names.shown(segment),
                    values: vec![stability.mean, stability.min],
                })
                .collect(),
        },
    }
}
