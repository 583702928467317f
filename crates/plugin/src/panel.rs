//! Report panels: what a stage has to show, as data. Stages say what, the report decides how.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The media type of the artifacts that hold panels.
pub const PANEL_MEDIA_TYPE: &str = "application/vnd.marquetry.panel+json";

/// One thing to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Panel {
    /// A few words.
    pub title: String,
    /// A sentence: what is shown, and how to read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// What is shown.
    pub body: PanelBody,
}

impl Panel {
    /// A table; values by row, then column.
    #[must_use]
    pub fn table(title: &str, caption: String, columns: &[&str], rows: Vec<Vec<Value>>) -> Self {
        let columns = columns.iter().map(|name| Column::new(*name)).collect();
        Self {
            title: title.to_owned(),
            caption: Some(caption),
            body: PanelBody::Table { columns, rows },
        }
    }
}

/// What a panel shows. Values are finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of", rename_all = "snake_case")]
pub enum PanelBody {
    /// Single figures.
    Figures(Vec<Figure>),
    /// Bars by category, a group of bars for each series.
    Bars {
        /// What the categories are.
        category_label: String,
        /// What each value of a bar is.
        series: Vec<Series>,
        /// The categories, in the order in which they are shown.
        bars: Vec<Bar>,
    },
    /// Values by row and column, shown as colours.
    Heatmap {
        /// What the rows are.
        row_label: String,
        /// What the columns are.
        column_label: String,
        /// Names of the rows, top first.
        rows: Vec<String>,
        /// Names of the columns, left first.
        columns: Vec<String>,
        /// Values by row, then column; none where there is no value.
        values: Vec<Vec<Option<f64>>>,
        /// What a value counts.
        unit: Option<String>,
    },
    /// Points in a plane, coloured by group.
    Scatter {
        /// What x is.
        x_label: String,
        /// What y is.
        y_label: String,
        /// The groups.
        groups: Vec<PointGroup>,
    },
    /// Lines through points.
    Lines {
        /// What x is.
        x_label: String,
        /// What y is.
        y_label: String,
        /// The lines; points by ascending x.
        series: Vec<PointGroup>,
    },
    /// A table.
    Table {
        /// The columns.
        columns: Vec<Column>,
        /// Values by row, then column.
        rows: Vec<Vec<Value>>,
    },
    /// Paragraphs with headings.
    Text(Vec<Paragraph>),
}

/// A figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub label: String,
    /// Its value.
    pub value: f64,
    /// Its unit.
    pub unit: Option<String>,
    /// What to know of it.
    pub note: Option<String>,
}

/// What a value of a bar is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: Option<String>,
}

/// A category of a bar chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Its name.
    pub label: String,
    /// A value for each series.
    pub values: Vec<f64>,
}

/// Points that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointGroup {
    /// What they are.
    pub name: String,
    /// x and y of each.
    pub points: Vec<[f64; 2]>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
}

impl Column {
    /// A column of that name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

/// A paragraph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paragraph {
    /// Its heading.
    pub heading: String,
    /// Its text.
    pub text: String,
}
