//! Charts as SVG, drawn by plotters without fonts: texts stay texts, and the page's style sheet sets them.

mod bars;
mod gantt;
mod heatmap;
mod plane;

use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, TextStyle};

pub(crate) use bars::bars;
pub(crate) use gantt::{GanttRow, gantt};
pub(crate) use heatmap::{Heatmap, heatmap};
pub(crate) use plane::{Plane, lines, marker, points_drawn, scatter};

use crate::ReportError;
use crate::palette::themed;

/// A surface to draw on, in pixels of a chart [`WIDTH`] wide.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Why drawing failed; in memory it cannot.
pub(crate) type DrawError = DrawingAreaErrorKind<std::io::Error>;

/// The width of every chart; the page scales it.
pub(crate) const WIDTH: i32 = 920;
/// The size of labels as plotters counts, which is 1.24 times the size that it writes.
pub(crate) const LABEL: i32 = 16;
/// What a character of a label takes, on the generous side.
pub(crate) const CHARACTER: i32 = 7;

/// Draws an SVG that says in words what it shows.
pub(crate) fn svg(
    height: i32,
    title: &str,
    description: &str,
    draw: impl FnOnce(&Area<'_>) -> Result<(), DrawError>,
) -> Result<String, ReportError> {
    let mut drawing = String::new();
    let size = (WIDTH.unsigned_abs(), height.max(1).unsigned_abs());
    let area = SVGBackend::with_string(&mut drawing, size).into_drawing_area();
    draw(&area)
        .and_then(|()| area.present())
        .map_err(|error| ReportError::Chart {
            title: title.to_owned(),
            reason: error.to_string(),
        })?;
    drop(area);
    let shapes = drawing.split_once('>').map_or("", |(_, shapes)| shapes);
    let (width, height) = size;
    let escape = minijinja::HtmlEscape;
    Ok(format!(
        "<svg class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\
         <title>{title}</title><desc>{description}</desc>{}",
        themed(shapes),
        title = escape(title),
        description = escape(description),
    ))
}

/// A style for text at a point: where the point lies relative to the text.
pub(crate) fn text(size: i32, colour: RGBColor, horizontal: HPos) -> TextStyle<'static> {
    ("sans-serif", size)
        .into_font()
        .color(&colour)
        .pos(Pos::new(horizontal, VPos::Center))
}

/// A filled shape.
pub(crate) fn filled(colour: RGBColor) -> ShapeStyle {
    colour.filled()
}

/// The width of the longest of some labels, at most `limit`.
pub(crate) fn label_width<'a>(labels: impl Iterator<Item = &'a str>, limit: i32) -> i32 {
    let longest = labels.map(|label| label.chars().count()).max().unwrap_or(0);
    let width = i32::try_from(longest)
        .unwrap_or(limit)
        .saturating_mul(CHARACTER);
    width.saturating_add(14).min(limit)
}

/// How many characters of a label fit into a width.
pub(crate) fn fitting(width: i32) -> usize {
    usize::try_from((width - 10) / CHARACTER)
        .unwrap_or(1)
        .max(1)
}
