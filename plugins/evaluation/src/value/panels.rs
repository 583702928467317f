//! What the report shows of the value of segments.

use marquetry_plugin::{Bar, Figure, Panel, PanelBody, Series};

use super::options::ValueOptions;
use super::worth::{SegmentWorth, Worth};
use crate::assignment::Names;

/// All panels; none of no segments.
pub(super) fn all(worth: &Worth, names: &Names, options: &ValueOptions) -> Vec<Panel> {
    if worth.segments.is_empty() {
        return Vec::new();
    }
    let window = format!("from {} until {}", options.from, options.until);
    vec![
        totals(worth, options, &window),
        shares(worth, names, &window),
        activity(worth, names, &window),
        profit(worth, names, &window),
    ]
}

fn bars(
    title: &str,
    caption: String,
    series: &[(&str, Option<&str>)],
    worth: &Worth,
    names: &Names,
    values: impl Fn(&SegmentWorth) -> Vec<f64>,
) -> Panel {
    let bar = |(segment, worth): (usize, &SegmentWorth)| Bar {
        label: names.shown(segment),
        values: values(worth),
    };
    let series = series.iter().map(|(name, unit)| Series {
        name: (*name).to_owned(),
        unit: unit.map(str::to_owned),
    });
    Panel {
        title: title.to_owned(),
        caption: Some(caption),
        body: PanelBody::Bars {
            category_label: "segment".to_owned(),
            series: series.collect(),
            bars: worth.segments.iter().enumerate().map(bar).collect(),
        },
    }
}

/// What all segments brought in, and what profit means here.
#[expect(clippy::cast_precision_loss, reason = "figures to look at")]
fn totals(worth: &Worth, options: &ValueOptions, window: &str) -> Panel {
    let total = worth.total();
    let figure = |label: &str, value: f64, unit: Option<&str>, note: &str| Figure {
        label: label.to_owned(),
        value,
        unit: unit.map(str::to_owned),
        note: (!note.is_empty()).then(|| note.to_owned()),
    };
    let margin = if options.margin < 1.0 {
        format!("{} % of revenue", 100.0 * options.margin)
    } else {
        "revenue, as no margin is given".to_owned()
    };
    let profit = if options.cost_per_order > 0.0 {
        format!("{margin}, less {} an order", options.cost_per_order)
    } else {
        margin
    };
    let mut figures = vec![
        figure("profit", total.profit, None, &profit),
        figure("orders", total.orders, Some("orders"), ""),
        figure(
            "active",
            total.active as f64,
            Some("customers"),
            "who ordered",
        ),
    ];
    if let Some(concentration) = worth.concentration() {
        let note =
            "Gini coefficient of profit between segments; 0: each earns its share of customers";
        figures.push(figure("concentration", concentration, None, note));
    }
    Panel {
        title: "What came in".to_owned(),
        caption: Some(window.to_owned()),
        body: PanelBody::Figures(figures),
    }
}

/// Shares of customers, and of profit where there is any.
fn shares(worth: &Worth, names: &Names, window: &str) -> Panel {
    let total = worth.total();
    let mut series = vec![("share of customers", Some("%"))];
    let mut caption = format!("each segment's share of the customers; nothing was earned {window}");
    if total.profit > 0.0 {
        series.push(("share of profit", Some("%")));
        caption = format!("each segment's share of the customers, and of the profit {window}");
    }
    bars(
        "What the segments earn",
        caption,
        &series,
        worth,
        names,
        |segment| {
            let profit = segment.share_of_profit(&total);
            let shares = [Some(segment.share_of_customers(&total)), profit];
            shares.iter().flatten().map(|share| 100.0 * share).collect()
        },
    )
}

fn activity(worth: &Worth, names: &Names, window: &str) -> Panel {
    let series = [
        ("customers that ordered", Some("%")),
        ("95 % interval from", Some("%")),
        ("to", Some("%")),
    ];
    let caption = format!("share of customers with an order {window}, with Wilson's 95 % interval");
    bars(
        "Active customers",
        caption,
        &series,
        worth,
        names,
        |segment| {
            let share = segment.active_share();
            let interval = segment.active_interval();
            let low = interval.map_or(share, |interval| interval.low);
            let high = interval.map_or(share, |interval| interval.high);
            vec![100.0 * share, 100.0 * low, 100.0 * high]
        },
    )
}

fn profit(worth: &Worth, names: &Names, window: &str) -> Panel {
    let series = [
        ("profit per customer", None),
        ("95 % interval from", None),
        ("to", None),
    ];
    let caption =
        format!("mean over all customers of a segment {window}, with its normal 95 % interval");
    bars(
        "Profit per customer",
        caption,
        &series,
        worth,
        names,
        |segment| {
            let mean = segment.moments.mean;
            let interval = segment.profit_interval();
            let low = interval.map_or(mean, |interval| interval.low);
            vec![mean, low, interval.map_or(mean, |interval| interval.high)]
        },
    )
}
