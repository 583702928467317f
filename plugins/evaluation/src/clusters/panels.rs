//! What the report shows of the quality of segments.

use marquetry_plugin::{Bar, Figure, Panel, PanelBody, Series};
use marquetry_types::thousands;

use super::indices::Indices;
use super::sizes::Sizes;
use crate::assignment::Names;

/// All panels.
pub(super) fn all(
    indices: &Indices,
    sizes: &Sizes,
    names: &Names,
    agreement: Option<f64>,
) -> Vec<Panel> {
    let mut panels = vec![figures(indices, sizes, agreement)];
    if !sizes.segments.is_empty() {
        panels.push(shares(sizes, names));
    }
    panels
}

#[expect(clippy::cast_precision_loss, reason = "figures to look at")]
fn figures(indices: &Indices, sizes: &Sizes, agreement: Option<f64>) -> Panel {
    let figure = |label: &str, value: f64, unit: Option<&str>, note: &str| Figure {
        label: label.to_owned(),
        value,
        unit: unit.map(str::to_owned),
        note: Some(note.to_owned()),
    };
    let of = if indices.silhouette_rows < indices.rows {
        format!(
            "-1 to 1, more is better; of a sample of {} of {} customers",
            thousands(indices.silhouette_rows as u64),
            thousands(indices.rows as u64)
        )
    } else {
        format!(
            "-1 to 1, more is better; exact over {} customers",
            thousands(indices.rows as u64)
        )
    };
    let mut figures = vec![
        figure(
            "customers",
            sizes.total as f64,
            Some("customers"),
            "that have a segment",
        ),
        figure(
            "segments",
            sizes.segments.len() as f64,
            Some("segments"),
            "that have customers",
        ),
    ];
    let optional = [
        ("silhouette", indices.silhouette, of.as_str()),
        ("Davies-Bouldin", indices.davies_bouldin, "0 is best"),
        (
            "Calinski-Harabasz",
            indices.calinski_harabasz,
            "more is better",
        ),
        (
            "adjusted Rand index",
            agreement,
            "agreement with the other assignment; 1 is the same, 0 as by chance",
        ),
    ];
    for (label, value, note) in optional {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            figures.push(figure(label, value, None, note));
        }
    }
    let caption = if indices.davies_bouldin.is_some() {
        "how well the segments are separated"
    } else {
        "separation is defined for two segments or more, and fewer than customers"
    };
    Panel {
        title: "Quality of the segments".to_owned(),
        caption: Some(caption.to_owned()),
        body: PanelBody::Figures(figures),
    }
}

fn shares(sizes: &Sizes, names: &Names) -> Panel {
    let percent = |name: &str| Series {
        name: name.to_owned(),
        unit: Some("%".to_owned()),
    };
    let with_revenue = sizes
        .segments
        .iter()
        .all(|size| size.revenue_share.is_some());
    let mut series = vec![percent("share of customers")];
    let mut caption = "each segment's share of the customers".to_owned();
    if with_revenue && let Some(column) = &sizes.revenue_column {
        series.push(percent("share of revenue"));
        caption = format!("{caption}, and of the sum of their `{column}`");
    }
    let bars = sizes
        .segments
        .iter()
        .enumerate()
        .map(|(segment, size)| {
            let mut values = vec![100.0 * size.share];
            if let Some(share) = size.revenue_share.filter(|_| with_revenue) {
                values.push(100.0 * share);
            }
            Bar {
                label: names.shown(segment),
                values,
            }
        })
        .collect();
    Panel {
        title: "Sizes of the segments".to_owned(),
        caption: Some(caption),
        body: PanelBody::Bars {
            category_label: "segment".to_owned(),
            series,
            bars,
        },
    }
}
