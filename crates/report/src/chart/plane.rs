//! Points and lines in a plane with two axes.

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::element::{Circle, Cross, DashedPathElement, PathElement, Polygon};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, ShapeStyle};

use marquetry_plugin::PointGroup;

use super::{Area, DrawError, LABEL, WIDTH, svg, text};
use crate::ReportError;
use crate::format::compact;
use crate::palette::{Paint, SERIES};

const HEIGHT: i32 = 460;
/// The most points that a scatter plot draws: a file that a mail server takes.
const MOST_POINTS: usize = 6_000;

/// What a chart in a plane shows.
pub(crate) struct Plane<'a> {
    pub(crate) x_label: &'a str,
    pub(crate) y_label: &'a str,
    pub(crate) groups: &'a [PointGroup],
}

type Plot<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The sign that a legend shows for a group: as the scatter plot draws its points.
pub(crate) const fn marker(group: usize) -> &'static str {
    match (group / SERIES) % 4 {
        0 => "●",
        1 => "▲",
        2 => "■",
        _ => "✕",
    }
}

/// How many points of some groups [`scatter`] draws.
pub(crate) fn points_drawn(groups: &[PointGroup]) -> usize {
    let stride = stride(groups);
    let drawn = |group: &PointGroup| group.points.len().div_ceil(stride);
    groups.iter().map(drawn).sum()
}

/// Every how many-th point is drawn.
fn stride(groups: &[PointGroup]) -> usize {
    let total: usize = groups.iter().map(|group| group.points.len()).sum();
    total.div_ceil(MOST_POINTS).max(1)
}

/// Draws groups of points, in the order of the groups; beyond [`MOST_POINTS`] every n-th.
pub(crate) fn scatter(title: &str, plane: &Plane<'_>) -> Result<String, ReportError> {
    let stride = stride(plane.groups);
    let radius = if points_drawn(plane.groups) > 1_500 {
        2
    } else {
        3
    };
    let description = describe("scatter plot", plane);
    svg(HEIGHT, title, &description, |area| {
        let mut plot = axes(area, plane)?;
        for (index, group) in plane.groups.iter().enumerate() {
            let style = Paint::Series(index).mark().mix(0.62).filled();
            let points = finite(group).step_by(stride);
            draw_points(&mut plot, points, index / SERIES % 4, radius, style)?;
        }
        Ok(())
    })
}

fn draw_points(
    plot: &mut Plot<'_, '_>,
    points: impl Iterator<Item = (f64, f64)>,
    shape: usize,
    radius: i32,
    style: ShapeStyle,
) -> Result<(), DrawError> {
    let area = plot.plotting_area();
    for (x, y) in points {
        let origin = area.map_coordinate(&(x, y));
        let area = area.strip_coord_spec();
        let (left, top) = area.get_pixel_range();
        let (x, y) = (origin.0 - left.start, origin.1 - top.start);
        let r = radius + 1;
        match shape {
            0 => area.draw(&Circle::new((x, y), radius, style))?,
            1 => area.draw(&Polygon::new(
                [(x, y - r), (x - r, y + r), (x + r, y + r)],
                style,
            ))?,
            2 => area.draw(&Polygon::new(
                [
                    (x - r, y - r),
                    (x + r, y - r),
                    (x + r, y + r),
                    (x - r, y + r),
                ],
                style,
            ))?,
            _ => area.draw(&Cross::new((x, y), r, style))?,
        }
    }
    Ok(())
}

/// Draws one line a group, through its points in their order.
pub(crate) fn lines(title: &str, plane: &Plane<'_>) -> Result<String, ReportError> {
    let description = describe("lines", plane);
    svg(HEIGHT * 3 / 4, title, &description, |area| {
        let mut plot = axes(area, plane)?;
        for (index, group) in plane.groups.iter().enumerate() {
            let points: Vec<_> = finite(group).collect();
            let style = Paint::Series(index).mark().stroke_width(2);
            if index >= SERIES {
                let gap = 3 * (index / SERIES) as i32;
                let path = DashedPathElement::new(points.clone(), 6, gap, style);
                plot.draw_series(std::iter::once(path))?;
            } else {
                plot.draw_series(std::iter::once(PathElement::new(points.clone(), style)))?;
            }
            if points.len() <= 60 {
                let dots = points
                    .iter()
                    .map(|point| Circle::new(*point, 3, style.color.filled()));
                plot.draw_series(dots)?;
            }
        }
        Ok(())
    })
}

fn describe(what: &str, plane: &Plane<'_>) -> String {
    let names: Vec<_> = plane
        .groups
        .iter()
        .map(|group| group.name.as_str())
        .collect();
    format!(
        "{what} of {} against {}: {}",
        plane.y_label,
        plane.x_label,
        names.join(", ")
    )
}

fn finite(group: &PointGroup) -> impl Iterator<Item = (f64, f64)> + '_ {
    group
        .points
        .iter()
        .map(|[x, y]| (*x, *y))
        .filter(|(x, y)| x.is_finite() && y.is_finite())
}

fn axes<'a, 'b>(area: &'b Area<'a>, plane: &Plane<'_>) -> Result<Plot<'a, 'b>, DrawError> {
    let points = || plane.groups.iter().flat_map(finite);
    let (x_low, x_high) = padded(points().map(|(x, _)| x));
    let (y_low, y_high) = padded(points().map(|(_, y)| y));
    let mut plot = ChartBuilder::on(area)
        .margin_top(8)
        .margin_right(14)
        .x_label_area_size(48)
        .y_label_area_size(66)
        .build_cartesian_2d(x_low..x_high, y_low..y_high)?;
    let label = text(LABEL - 1, Paint::Muted.mark(), HPos::Center);
    let name = text(LABEL, Paint::Ink.mark(), HPos::Center);
    plot.configure_mesh()
        .light_line_style(Paint::Line.mark().mix(0.0))
        .bold_line_style(Paint::Line.mark())
        .axis_style(Paint::Muted.mark())
        .label_style(label)
        .axis_desc_style(name)
        .x_labels(usize::try_from(WIDTH / 110).unwrap_or(8))
        .y_labels(7)
        .x_label_formatter(&|value| compact(*value))
        .y_label_formatter(&|value| compact(*value))
        .x_desc(plane.x_label)
        .y_desc(plane.y_label)
        .draw()?;
    Ok(plot)
}

/// The range of some values and a little more on both sides; never empty, and small enough that its width
/// is finite.
fn padded(values: impl Iterator<Item = f64>) -> (f64, f64) {
    const LARGEST: f64 = 1e300;
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low > high {
        return (0.0, 1.0);
    }
    let (low, high) = (low.max(-LARGEST), high.min(LARGEST));
    let width = high - low;
    if width > low.abs().max(high.abs()) * 1e-12 {
        (low - 0.04 * width, high + 0.04 * width)
    } else {
        let around = low.abs().max(1.0) * 0.5;
        (low - around, high + around)
    }
}
