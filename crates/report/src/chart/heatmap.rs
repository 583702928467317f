//! A grid of coloured cells that also say their values, with the scale below.

use plotters::element::Rectangle;
use plotters::style::text_anchor::HPos;
use plotters::style::text_anchor::{Pos, VPos};
use plotters::style::{FontTransform, IntoFont, TextStyle};

use super::{Area, CHARACTER, DrawError, LABEL, WIDTH, filled, fitting, label_width, svg, text};
use crate::ReportError;
use crate::format::{clip, compact};
use crate::palette::{Paint, Ramp, text_on};

const CELL_HEIGHT: i32 = 34;
const WIDEST_CELL: i32 = 150;
/// Below this a cell has no room for its value.
const NARROWEST_TEXT: i32 = 36;
const LEGEND: i32 = 44;
const AXIS: i32 = 22;

/// What a heat map shows.
pub(crate) struct Heatmap<'a> {
    pub(crate) row_label: &'a str,
    pub(crate) column_label: &'a str,
    pub(crate) rows: &'a [String],
    pub(crate) columns: &'a [String],
    /// By row; what is missing stays empty.
    pub(crate) values: &'a [Vec<Option<f64>>],
    pub(crate) unit: Option<&'a str>,
}

/// Draws a heat map.
pub(crate) fn heatmap(title: &str, map: &Heatmap<'_>) -> Result<String, ReportError> {
    let values = map.values.iter().flatten().flatten().copied();
    let ramp = Ramp::over(values);
    let grid = Grid::new(map);
    let description = format!("heat map of {} by {}", map.row_label, map.column_label);
    let height = grid.top + CELL_HEIGHT * length(map.rows.len()) + LEGEND;
    svg(height, title, &description, |area| {
        draw_labels(area, map, &grid)?;
        for (row, values) in map.values.iter().take(map.rows.len()).enumerate() {
            for (column, value) in values.iter().take(map.columns.len()).enumerate() {
                let value = value.filter(|value| value.is_finite());
                draw_cell(area, &grid, (row, column), value.zip(ramp))?;
            }
        }
        match ramp {
            Some(ramp) => draw_scale(area, &grid, height - LEGEND + 16, &ramp, map.unit),
            None => Ok(()),
        }
    })
}

/// Where the cells are.
struct Grid {
    left: i32,
    top: i32,
    cell_width: i32,
    upright: bool,
}

impl Grid {
    fn new(map: &Heatmap<'_>) -> Self {
        let names = map.rows.iter().map(String::as_str);
        let left = label_width(names.chain([map.row_label, "  "]), 240) + 2 * CHARACTER;
        let columns = length(map.columns.len()).max(1);
        let cell_width = ((WIDTH - left) / columns).clamp(8, WIDEST_CELL);
        let widest = label_width(map.columns.iter().map(String::as_str), 160);
        // Column names that do not fit above their cells are turned.
        let upright = widest > cell_width + CHARACTER;
        let names = if upright { widest } else { 22 };
        Self {
            left,
            top: AXIS + names,
            cell_width,
            upright,
        }
    }

    fn corner(&self, (row, column): (usize, usize)) -> (i32, i32) {
        let x = self.left + self.cell_width * length(column);
        (x, self.top + CELL_HEIGHT * length(row))
    }
}

fn length(count: usize) -> i32 {
    i32::try_from(count.min(10_000)).unwrap_or(0)
}

fn draw_labels(area: &Area<'_>, map: &Heatmap<'_>, grid: &Grid) -> Result<(), DrawError> {
    let muted = |anchor| text(LABEL, Paint::Muted.mark(), anchor);
    let columns = format!("{} →", map.column_label);
    area.draw_text(&columns, &muted(HPos::Left), (grid.left + 4, AXIS / 2))?;
    let rows = format!("{} ↓", map.row_label);
    area.draw_text(&rows, &muted(HPos::Right), (grid.left - 8, grid.top - 12))?;
    for (row, name) in map.rows.iter().enumerate() {
        let (_, y) = grid.corner((row, 0));
        let style = text(LABEL, Paint::Ink.mark(), HPos::Right);
        let name = clip(name, fitting(grid.left));
        area.draw_text(&name, &style, (grid.left - 8, y + CELL_HEIGHT / 2))?;
    }
    for (column, name) in map.columns.iter().enumerate() {
        let (x, _) = grid.corner((0, column));
        let centre = x + grid.cell_width / 2;
        if grid.upright {
            let style: TextStyle<'_> = ("sans-serif", LABEL)
                .into_font()
                .transform(FontTransform::Rotate270)
                .color(&Paint::Ink.mark())
                .pos(Pos::new(HPos::Left, VPos::Center));
            area.draw_text(&clip(name, 21), &style, (centre, grid.top - 6))?;
        } else {
            let style = text(LABEL, Paint::Ink.mark(), HPos::Center);
            area.draw_text(name, &style, (centre, grid.top - 12))?;
        }
    }
    Ok(())
}

fn draw_cell(
    area: &Area<'_>,
    grid: &Grid,
    place: (usize, usize),
    value: Option<(f64, Ramp)>,
) -> Result<(), DrawError> {
    let (x, y) = grid.corner(place);
    let corners = [
        (x + 1, y + 1),
        (x + grid.cell_width - 1, y + CELL_HEIGHT - 1),
    ];
    let Some((value, ramp)) = value else {
        return area.draw(&Rectangle::new(corners, filled(Paint::Line.mark())));
    };
    let colour = ramp.colour(value);
    area.draw(&Rectangle::new(corners, filled(colour)))?;
    if grid.cell_width < NARROWEST_TEXT {
        return Ok(());
    }
    let style = text(LABEL, text_on(colour), HPos::Center);
    let centre = (x + grid.cell_width / 2, y + CELL_HEIGHT / 2);
    area.draw_text(&compact(value), &style, centre)
}

/// The scale: its colours between its lowest and its highest value.
fn draw_scale(
    area: &Area<'_>,
    grid: &Grid,
    y: i32,
    ramp: &Ramp,
    unit: Option<&str>,
) -> Result<(), DrawError> {
    const STEPS: i32 = 60;
    const STEP: i32 = 3;
    let low = compact(ramp.low());
    let low_width = label_width(std::iter::once(low.as_str()), 120) - 6;
    let style = text(LABEL - 1, Paint::Muted.mark(), HPos::Left);
    area.draw_text(&low, &style, (grid.left, y + 5))?;
    let left = grid.left + low_width;
    for step in 0..STEPS {
        let share = f64::from(step) / f64::from(STEPS - 1);
        let value = ramp.low() * (1.0 - share) + ramp.high() * share;
        let x = left + step * STEP;
        let shape = Rectangle::new([(x, y), (x + STEP + 1, y + 10)], filled(ramp.colour(value)));
        area.draw(&shape)?;
    }
    let high = match unit {
        None | Some("") => compact(ramp.high()),
        Some("%") => format!("{}%", compact(ramp.high())),
        Some(unit) => format!("{} {unit}", compact(ramp.high())),
    };
    area.draw_text(&high, &style, (left + STEPS * STEP + 8, y + 5))
}
