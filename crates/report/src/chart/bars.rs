//! Horizontal bars: one small chart a measure, side by side over the same categories, because measures of
//! different units share no axis. Every bar says its value, so there is no axis to read.

use marquetry_plugin::{Bar, Series};
use plotters::element::Rectangle;
use plotters::style::text_anchor::HPos;

use super::{Area, DrawError, LABEL, WIDTH, filled, fitting, label_width, svg, text};
use crate::ReportError;
use crate::format::{clip, compact, with_unit};
use crate::palette::Paint;

const ROW: i32 = 27;
const BAR: i32 = 17;
const HEADER: i32 = 28;
const GAP: i32 = 26;
/// Room for the value beside a bar.
const VALUE: i32 = 84;
/// Small charts side by side.
const ACROSS: usize = 3;

/// Draws bars. Series beyond three continue below.
pub(crate) fn bars(
    title: &str,
    category_label: &str,
    series: &[Series],
    bars: &[Bar],
) -> Result<String, ReportError> {
    let block_height = HEADER + ROW * i32::try_from(bars.len()).unwrap_or(i32::MAX / ROW / 2) + 6;
    let blocks: Vec<_> = series.chunks(ACROSS).collect();
    let height = block_height * i32::try_from(blocks.len()).unwrap_or(1);
    let names: Vec<_> = series.iter().map(|series| series.name.as_str()).collect();
    let description = format!("bars of {} by {category_label}", names.join(", "));
    svg(height, title, &description, |area| {
        let mut top = 0;
        for (block, series) in blocks.iter().enumerate() {
            draw_block(area, top, series, block * ACROSS, bars)?;
            top += block_height;
        }
        Ok(())
    })
}

fn draw_block(
    area: &Area<'_>,
    top: i32,
    series: &[Series],
    first: usize,
    bars: &[Bar],
) -> Result<(), DrawError> {
    let labels = label_width(bars.iter().map(|bar| bar.label.as_str()), 260);
    for (row, bar) in bars.iter().enumerate() {
        let y = row_centre(top, row);
        let style = text(LABEL, Paint::Ink.mark(), HPos::Right);
        area.draw_text(&clip(&bar.label, fitting(labels)), &style, (labels - 8, y))?;
    }
    let across = i32::try_from(series.len()).unwrap_or(1).max(1);
    let width = (WIDTH - labels - GAP * (across - 1)) / across;
    let mut left = labels;
    for (index, measure) in series.iter().enumerate() {
        let position = first + index;
        let values: Vec<_> = bars
            .iter()
            .map(|bar| bar.values.get(position).copied().unwrap_or(f64::NAN))
            .collect();
        draw_series(area, (left, top), width, measure, position, &values)?;
        left += width + GAP;
    }
    Ok(())
}

fn draw_series(
    area: &Area<'_>,
    (left, top): (i32, i32),
    width: i32,
    series: &Series,
    position: usize,
    values: &[f64],
) -> Result<(), DrawError> {
    let heading = match series.unit.as_deref() {
        None | Some("") => series.name.clone(),
        Some(unit) if unit == series.name => series.name.clone(),
        Some(unit) => format!("{} ({unit})", series.name),
    };
    let style = text(LABEL, Paint::Muted.mark(), HPos::Left);
    area.draw_text(
        &clip(&heading, fitting(width)),
        &style,
        (left, top + HEADER / 2),
    )?;

    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let low = finite().fold(0.0, f64::min);
    let high = finite().fold(0.0, f64::max);
    // Halved, so that the width of an enormous range stays finite.
    let half_range = high / 2.0 - low / 2.0;
    let room_left = if low < 0.0 { VALUE } else { 0 };
    let plot = f64::from((width - VALUE - room_left).max(10));
    let x_of = |value: f64| {
        let share = if half_range > 0.0 {
            (value / 2.0 - low / 2.0) / half_range
        } else {
            0.0
        };
        left + room_left + (share * plot).round() as i32
    };
    let zero = x_of(0.0);
    let unit = series.unit.as_deref().filter(|unit| *unit == "%");
    for (row, value) in values.iter().enumerate() {
        let y = row_centre(top, row);
        let label = with_unit(&compact(*value), unit);
        if !value.is_finite() {
            let style = text(LABEL, Paint::Muted.mark(), HPos::Left);
            area.draw_text(&label, &style, (zero + 6, y))?;
            continue;
        }
        let end = x_of(*value);
        // A value that is not zero is seen.
        let end = match value.total_cmp(&0.0) {
            std::cmp::Ordering::Greater => end.max(zero + 1),
            std::cmp::Ordering::Less => end.min(zero - 1),
            std::cmp::Ordering::Equal => end,
        };
        let shape = Rectangle::new(
            [
                (zero.min(end), y - BAR / 2),
                (zero.max(end), y + BAR / 2 + 1),
            ],
            filled(Paint::Series(position).mark()),
        );
        area.draw(&shape)?;
        let (anchor, x) = if end < zero {
            (HPos::Right, end - 6)
        } else {
            (HPos::Left, end + 6)
        };
        area.draw_text(&label, &text(LABEL, Paint::Ink.mark(), anchor), (x, y))?;
    }
    let bottom = row_centre(top, values.len().saturating_sub(1)) + ROW / 2;
    let baseline = Rectangle::new(
        [(zero - 1, top + HEADER), (zero, bottom)],
        filled(Paint::Muted.mark()),
    );
    area.draw(&baseline)
}

fn row_centre(top: i32, row: usize) -> i32 {
    top + HEADER + ROW * i32::try_from(row).unwrap_or(0) + ROW / 2
}
