//! A stage's panel as the template wants it: charts drawn, numbers written out.

use marquetry_plugin::{Figure, Panel, PanelBody};
use minijinja::Value as Markup;
use serde::Serialize;
use serde_json::Value;

use crate::ReportError;
use crate::chart::{self, Heatmap, Plane};
use crate::format::{NOTHING, compact, number, with_unit};
use crate::palette::SERIES;

/// The most rows of a table; who wants all of them has the dataset.
const MOST_ROWS: usize = 200;
/// The most bars of a chart.
const MOST_BARS: usize = 100;

/// A panel, ready for the template. Only what its kind has is there.
#[derive(Debug, Default, Serialize)]
pub(crate) struct PanelView {
    title: String,
    caption: Option<String>,
    figures: Vec<FigureView>,
    svg: Option<Markup>,
    legend: Vec<LegendEntry>,
    table: Option<TableView>,
    /// Whether the table only repeats the chart, for who cannot see it.
    table_repeats: bool,
    paragraphs: Vec<ParagraphView>,
    /// What is not shown.
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct FigureView {
    label: String,
    value: String,
    unit: Option<String>,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct LegendEntry {
    marker: &'static str,
    series: usize,
    name: String,
}

#[derive(Debug, Serialize)]
struct TableView {
    columns: Vec<ColumnView>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct ColumnView {
    name: String,
    numeric: bool,
}

#[derive(Debug, Serialize)]
struct ParagraphView {
    heading: String,
    text: String,
}

impl PanelView {
    pub(crate) fn new(panel: &Panel) -> Result<Self, ReportError> {
        let mut view = Self {
            title: panel.title.clone(),
            caption: panel.caption.clone(),
            ..Self::default()
        };
        view.fill(&panel.title, &panel.body)?;
        Ok(view)
    }

    fn fill(&mut self, title: &str, body: &PanelBody) -> Result<(), ReportError> {
        match body {
            PanelBody::Figures(figures) => {
                self.figures = figures.iter().map(FigureView::new).collect();
            }
            PanelBody::Bars {
                category_label,
                series,
                bars,
            } => {
                let shown = &bars[..bars.len().min(MOST_BARS)];
                self.note_cut(shown.len(), bars.len(), "bars");
                if !shown.is_empty() && !series.is_empty() {
                    self.draw(chart::bars(title, category_label, series, shown)?);
                }
            }
            PanelBody::Heatmap {
                row_label,
                column_label,
                rows,
                columns,
                values,
                unit,
            } => {
                if !rows.is_empty() && !columns.is_empty() {
                    let map = Heatmap {
                        row_label,
                        column_label,
                        rows,
                        columns,
                        values,
                        unit: unit.as_deref(),
                    };
                    self.draw(chart::heatmap(title, &map)?);
                    self.table = Some(TableView::of_heatmap(&map));
                    self.table_repeats = true;
                }
            }
            PanelBody::Scatter {
                x_label,
                y_label,
                groups,
            } => {
                let plane = Plane {
                    x_label,
                    y_label,
                    groups,
                };
                let total = groups.iter().map(|group| group.points.len()).sum();
                self.note_cut(chart::points_drawn(groups), total, "points, evenly chosen");
                if total > 0 {
                    self.draw(chart::scatter(title, &plane)?);
                    self.legend_of(&plane, chart::marker);
                }
            }
            PanelBody::Lines {
                x_label,
                y_label,
                series,
            } => {
                let plane = Plane {
                    x_label,
                    y_label,
                    groups: series,
                };
                if series.iter().any(|line| !line.points.is_empty()) {
                    self.draw(chart::lines(title, &plane)?);
                    self.legend_of(&plane, |line| if line < SERIES { "━" } else { "┅" });
                }
            }
            PanelBody::Table { columns, rows } => {
                let shown = &rows[..rows.len().min(MOST_ROWS)];
                self.note_cut(shown.len(), rows.len(), "rows");
                let names = columns.iter().map(|column| column.name.clone());
                self.table = Some(TableView::new(names, shown));
            }
            PanelBody::Text(paragraphs) => {
                self.paragraphs = paragraphs
                    .iter()
                    .map(|paragraph| ParagraphView {
                        heading: paragraph.heading.clone(),
                        text: paragraph.text.clone(),
                    })
                    .collect();
            }
        }
        Ok(())
    }

    fn draw(&mut self, svg: String) {
        self.svg = Some(Markup::from_safe_string(svg));
    }

    fn legend_of(&mut self, plane: &Plane<'_>, marker: impl Fn(usize) -> &'static str) {
        if plane.groups.len() < 2 {
            return;
        }
        self.legend = plane
            .groups
            .iter()
            .enumerate()
            .map(|(index, group)| LegendEntry {
                marker: marker(index),
                series: index % SERIES,
                name: group.name.clone(),
            })
            .collect();
    }

    fn note_cut(&mut self, shown: usize, total: usize, what: &str) {
        if shown < total {
            let (shown, total) = (number(shown as f64), number(total as f64));
            self.note = Some(format!("{shown} of {total} {what}"));
        }
    }
}

impl FigureView {
    fn new(figure: &Figure) -> Self {
        let percent = figure.unit.as_deref() == Some("%");
        let value = number(figure.value);
        Self {
            label: figure.label.clone(),
            value: if percent {
                with_unit(&value, Some("%"))
            } else {
                value
            },
            unit: figure.unit.clone().filter(|_| !percent),
            note: figure.note.clone(),
        }
    }
}

impl TableView {
    fn new(names: impl Iterator<Item = String>, rows: &[Vec<Value>]) -> Self {
        let columns = names.enumerate().map(|(index, name)| ColumnView {
            name,
            numeric: is_numeric(rows, index),
        });
        let columns: Vec<_> = columns.collect();
        // A row has a cell for each column, however many values it came with.
        let cells = |row: &Vec<Value>| {
            (0..columns.len())
                .map(|column| shown(row.get(column).unwrap_or(&Value::Null)))
                .collect()
        };
        Self {
            rows: rows.iter().map(cells).collect(),
            columns,
        }
    }

    fn of_heatmap(map: &Heatmap<'_>) -> Self {
        let numeric = |name: &String| ColumnView {
            name: name.clone(),
            numeric: true,
        };
        let corner = ColumnView {
            name: map.row_label.to_owned(),
            numeric: false,
        };
        let cell = |value: &Option<f64>| value.map_or_else(|| NOTHING.to_owned(), compact);
        Self {
            columns: std::iter::once(corner)
                .chain(map.columns.iter().map(numeric))
                .collect(),
            rows: map
                .rows
                .iter()
                .zip(map.values)
                .map(|(name, values)| {
                    std::iter::once(name.clone())
                        .chain(values.iter().map(cell))
                        .collect()
                })
                .collect(),
        }
    }
}

/// Whether a column holds numbers and nothing else, so that it is set to the right.
fn is_numeric(rows: &[Vec<Value>], column: usize) -> bool {
    let mut values = rows
        .iter()
        .filter_map(|row| row.get(column))
        .filter(|value| !value.is_null())
        .peekable();
    values.peek().is_some() && values.all(Value::is_number)
}

/// A value as a reader wants it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(of) => of.as_f64().map_or_else(|| of.to_string(), number),
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
