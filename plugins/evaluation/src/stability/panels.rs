//! What the report shows of stability.

use marquetry_plugin::{Bar, Panel, PanelBody, Series};
use marquetry_types::thousands;

use super::refits::Stable;
use crate::assignment::Names;
use crate::figure;

/// All panels.
pub(super) fn all(names: &Names, stable: &Stable, customers: usize) -> Vec<Panel> {
    vec![figures(stable, customers), segments(names, stable)]
}

fn figures(stable: &Stable, customers: usize) -> Panel {
    let note = "agreement of a refit with the segments; 1 is the same, 0 as by chance";
    let mut figures = vec![figure(
        "mean adjusted Rand index",
        stable.mean_agreement(),
        None,
        note,
    )];
    if let Some(least) = stable.least_agreement() {
        figures.push(figure(
            "least adjusted Rand index",
            least,
            None,
            "of one refit",
        ));
    }
    if let Some(least) = stable.least_jaccard() {
        let note = "mean Jaccard coefficient of the least stable segment";
        figures.push(figure("least stable segment", least, None, note));
    }
    let of = if stable.drawn_from < customers {
        format!(
            "a sample of {} of {} customers",
            thousands(stable.drawn_from as u64),
            thousands(customers as u64)
        )
    } else {
        format!("{} customers", thousands(customers as u64))
    };
    Panel {
        title: "Stability of the segments".to_owned(),
        caption: Some(format!(
            "{} k-means refits, each to as many customers drawn with replacement from {of}",
            stable.refits.len()
        )),
        body: PanelBody::Figures(figures),
    }
}

fn segments(names: &Names, stable: &Stable) -> Panel {
    let series = |name: &str| Series {
        name: name.to_owned(),
        unit: None,
    };
    let bars = stable.segments.iter().enumerate();
    let bars = bars.filter_map(|(segment, stability)| {
        Some(Bar {
            label: names.shown(segment),
            values: vec![stability.mean?, stability.min?],
        })
    });
    Panel {
        title: "Do segments come back".to_owned(),
        caption: Some(
            "Jaccard coefficient of each segment with the cluster most like it in a refit; below 0.6 a segment \
             should not be trusted, from 0.75 on it is stable"
                .to_owned(),
        ),
        body: PanelBody::Bars {
            category_label: "segment".to_owned(),
            series: vec![series("mean of the refits"), series("least of a refit")],
            bars: bars.collect(),
        },
    }
}
