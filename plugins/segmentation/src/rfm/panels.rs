//! What the report shows of an RFM segmentation.

use marquetry_plugin::{Bar, Panel, PanelBody, Series};

use super::scored::Tally;
use super::table::{BEST, SegmentRow};

/// All panels; none of no customers.
pub(super) fn all(scored: &Tally, table: &[SegmentRow], monetary: &str) -> Vec<Panel> {
    if scored.customers() == 0 {
        return Vec::new();
    }
    vec![
        sizes(scored, table, monetary),
        counts(scored),
        means(scored, monetary),
    ]
}

fn sizes(scored: &Tally, table: &[SegmentRow], monetary: &str) -> Panel {
    let series = |name: &str, unit: Option<&str>| Series {
        name: name.to_owned(),
        unit: unit.map(str::to_owned),
    };
    #[expect(clippy::cast_precision_loss, reason = "a bar to look at")]
    let bars = scored
        .names(table)
        .into_iter()
        .map(|(name, customers, money)| Bar {
            label: name.to_owned(),
            values: vec![customers as f64, money],
        })
        .collect();
    Panel {
        title: "RFM segments".to_owned(),
        caption: Some(format!(
            "customers in each segment, and the sum of their `{monetary}`"
        )),
        body: PanelBody::Bars {
            category_label: "segment".to_owned(),
            series: vec![
                series("customers", Some("customers")),
                series(monetary, None),
            ],
            bars,
        },
    }
}

fn counts(scored: &Tally) -> Panel {
    heatmap(
        scored,
        "Customers by recency and frequency",
        "customers with each pair of scores; 5 is the most recent, the most orders",
        Some("customers"),
        |customers, _| customers,
    )
}

fn means(scored: &Tally, monetary: &str) -> Panel {
    heatmap(
        scored,
        "Money by recency and frequency",
        &format!("mean `{monetary}` of the customers with each pair of scores"),
        None,
        |customers, money| money / customers,
    )
}

/// A map of recency (rows, best first) by frequency (columns), of a figure made from the number of
/// customers in a cell and the sum of their money.
fn heatmap(
    scored: &Tally,
    title: &str,
    caption: &str,
    unit: Option<&str>,
    figure: impl Fn(f64, f64) -> f64,
) -> Panel {
    let values = scored
        .cells()
        .map(|row| {
            row.iter()
                .map(|(customers, money)| (*customers > 0.0).then(|| figure(*customers, *money)))
                .collect()
        })
        .collect();
    Panel {
        title: title.to_owned(),
        caption: Some(caption.to_owned()),
        body: PanelBody::Heatmap {
            row_label: "recency score".to_owned(),
            column_label: "frequency score".to_owned(),
            rows: (1..=BEST).rev().map(|score| score.to_string()).collect(),
            columns: (1..=BEST).map(|score| score.to_string()).collect(),
            values,
            unit: unit.map(str::to_owned),
        },
    }
}
