//! What the report shows of profit and engagement.

use marquetry_plugin::{Bar, Column, Panel, PanelBody, Series};
use serde_json::{Value, json};

use super::figures::{Figures, Segment};
use crate::assignment::Names;
use crate::{figure, float};

/// All panels. `window` and `profit` say what the figures are of.
pub(super) fn all(figures: &Figures, names: &Names, window: &str, profit: &str) -> Vec<Panel> {
    let mut panels = vec![totals(figures, window, profit)];
    if figures.segments.is_empty() {
        return panels;
    }
    if figures
        .segments
        .iter()
        .all(|segment| segment.profit_share.is_some())
    {
        panels.push(shares(figures, names, window));
    }
    panels.push(engagement(figures, names, window));
    panels.push(table(figures, names));
    panels
}

fn totals(figures: &Figures, window: &str, profit: &str) -> Panel {
    let customers = Some("customers");
    let mut all = vec![
        figure("profit", figures.profit, None, profit),
        figure(
            "customers",
            float(figures.customers),
            customers,
            "that have a segment",
        ),
        figure(
            "active",
            float(figures.active),
            customers,
            "who ordered in the window",
        ),
        figure("orders", float(figures.orders), Some("orders"), ""),
    ];
    if let Some(concentration) = figures.concentration {
        let note = "Gini coefficient of profit between segments; 0: every segment earns its share of customers";
        all.push(figure("concentration", concentration, None, note));
    }
    Panel {
        title: "What the segments brought in".to_owned(),
        caption: Some(window.to_owned()),
        body: PanelBody::Figures(all),
    }
}

fn bars(figures: &Figures, names: &Names, values: impl Fn(&Segment) -> Vec<f64>) -> Vec<Bar> {
    let segments = figures.segments.iter().enumerate();
    segments
        .map(|(number, segment)| Bar {
            label: names.shown(number),
            values: values(segment),
        })
        .collect()
}

fn percent(name: &str) -> Series {
    Series {
        name: name.to_owned(),
        unit: Some("%".to_owned()),
    }
}

fn shares(figures: &Figures, names: &Names, window: &str) -> Panel {
    let values = |segment: &Segment| {
        let profit = segment.profit_share.unwrap_or(0.0);
        vec![100.0 * segment.customer_share, 100.0 * profit]
    };
    Panel {
        title: "Who earns the profit".to_owned(),
        caption: Some(format!(
            "each segment's share of customers and of profit; {window}"
        )),
        body: PanelBody::Bars {
            category_label: "segment".to_owned(),
            series: vec![percent("share of customers"), percent("share of profit")],
            bars: bars(figures, names, values),
        },
    }
}

fn engagement(figures: &Figures, names: &Names, window: &str) -> Panel {
    let values = |segment: &Segment| {
        let share = segment.active_share();
        let (low, high) = segment
            .active_interval
            .map_or((share, share), |interval| (interval.low, interval.high));
        vec![100.0 * low, 100.0 * share, 100.0 * high]
    };
    Panel {
        title: "Who ordered again".to_owned(),
        caption: Some(format!(
            "share of each segment's customers who ordered, between the ends of its 95% interval (Wilson); {window}"
        )),
        body: PanelBody::Bars {
            category_label: "segment".to_owned(),
            series: vec![percent("at least"), percent("ordered"), percent("at most")],
            bars: bars(figures, names, values),
        },
    }
}

fn table(figures: &Figures, names: &Names) -> Panel {
    let columns = [
        "segment",
        "customers",
        "active",
        "orders per customer",
        "days to first order",
        "revenue",
        "profit",
        "profit per customer",
        "from",
        "to",
    ];
    let segments = figures.segments.iter().enumerate();
    let rows = segments.map(|(number, segment)| {
        let (low, high) = segment
            .profit_interval
            .map_or((None, None), |ends| (Some(ends.low), Some(ends.high)));
        vec![
            Value::from(names.shown(number)),
            json!(segment.customers),
            json!(segment.active),
            json!(float(segment.orders) / float(segment.customers.max(1))),
            json!(segment.first_order_days),
            json!(segment.revenue),
            json!(segment.profit),
            json!(segment.mean_profit),
            json!(low),
            json!(high),
        ]
    });
    Panel {
        title: "Profit and engagement by segment".to_owned(),
        caption: Some(
            "profit per customer is the mean of all customers of the segment, with its 95% interval; days to the \
             first order are the median of those who ordered"
                .to_owned(),
        ),
        body: PanelBody::Table {
            columns: columns.map(Column::new).to_vec(),
            rows: rows.collect(),
        },
    }
}
