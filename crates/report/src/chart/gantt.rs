//! When each stage waited and ran, on one axis of time since the run was submitted.

use std::time::Duration;

use plotters::element::{PathElement, Rectangle};
use plotters::style::text_anchor::HPos;

use super::{DrawError, LABEL, WIDTH, filled, fitting, label_width, svg, text};
use crate::ReportError;
use crate::format::{clip, duration};
use crate::palette::Paint;

const ROW: i32 = 26;
const BAR: i32 = 14;
const AXIS: i32 = 26;
/// Room for the words right of the longest bar.
const NOTE: i32 = 150;

/// A stage's times, in milliseconds since the run was submitted.
pub(crate) struct GanttRow {
    pub(crate) name: String,
    /// What stands beside the bar, as in `2.1 s`.
    pub(crate) note: String,
    pub(crate) paint: Paint,
    /// From when it could have run.
    pub(crate) ready: Option<u64>,
    /// From when until when it ran.
    pub(crate) ran: Option<(u64, u64)>,
}

/// Draws the rows over `span` milliseconds.
pub(crate) fn gantt(rows: &[GanttRow], span: u64) -> Result<String, ReportError> {
    let labels = label_width(rows.iter().map(|row| row.name.as_str()), 240);
    let plot = WIDTH - labels - NOTE;
    let span = span.max(1);
    let x_of = |milliseconds: u64| {
        let share = milliseconds as f64 / span as f64;
        labels + (share * f64::from(plot)).round() as i32
    };
    let row_count = i32::try_from(rows.len()).unwrap_or(i32::MAX / ROW / 2);
    let height = AXIS + ROW * row_count + 6;
    let description = "when each stage waited, thin, and ran, thick, since the run was submitted";
    svg(height, "Timeline of the run", description, |area| {
        let muted = text(LABEL - 1, Paint::Muted.mark(), HPos::Center);
        for tick in ticks(span) {
            let x = x_of(tick);
            let line = vec![(x, AXIS - 4), (x, height - 4)];
            area.draw(&PathElement::new(line, Paint::Line.mark()))?;
            let label = if tick == 0 {
                "0".to_owned()
            } else {
                duration(Duration::from_millis(tick))
            };
            area.draw_text(&label, &muted, (x, AXIS / 2 - 2))?;
        }
        for (index, row) in rows.iter().enumerate() {
            let y = AXIS + ROW * i32::try_from(index).unwrap_or(0) + ROW / 2;
            let style = text(LABEL, Paint::Ink.mark(), HPos::Right);
            let name = clip(&row.name, fitting(labels));
            area.draw_text(&name, &style, (labels - 10, y))?;
            let end = draw_bar(area, row, y, &x_of)?.unwrap_or(labels);
            let style = text(LABEL - 1, Paint::Muted.mark(), HPos::Left);
            area.draw_text(&clip(&row.note, fitting(WIDTH - end)), &style, (end + 7, y))?;
        }
        Ok(())
    })
}

/// Draws a stage's bar and says where it ends.
fn draw_bar(
    area: &super::Area<'_>,
    row: &GanttRow,
    y: i32,
    x_of: &impl Fn(u64) -> i32,
) -> Result<Option<i32>, DrawError> {
    let Some((started, finished)) = row.ran else {
        return Ok(row.ready.map(x_of));
    };
    let left = x_of(started);
    if let Some(ready) = row.ready.map(x_of).filter(|ready| *ready < left) {
        let wait = Rectangle::new([(ready, y - 1), (left, y + 2)], filled(Paint::Muted.mark()));
        area.draw(&wait)?;
    }
    let right = x_of(finished).max(left + 2);
    let bar = Rectangle::new(
        [(left, y - BAR / 2), (right, y + BAR / 2)],
        filled(row.paint.mark()),
    );
    area.draw(&bar)?;
    Ok(Some(right))
}

/// Round times from 0 up to `span` milliseconds, at most nine.
fn ticks(span: u64) -> Vec<u64> {
    const SECOND: u64 = 1_000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const STEPS: [u64; 27] = [
        1,
        2,
        5,
        10,
        20,
        50,
        100,
        200,
        500,
        SECOND,
        2 * SECOND,
        5 * SECOND,
        10 * SECOND,
        15 * SECOND,
        30 * SECOND,
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        15 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        24 * HOUR,
    ];
    let fits = |step: &u64| span / step < 9;
    let step = STEPS.iter().copied().find(fits).unwrap_or(span / 8 + 1);
    (0..=span / step).map(|count| count * step).collect()
}

#[cfg(test)]
mod tests {
    use super::ticks;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(1), [0, 1]);
        assert_eq!(
            ticks(4_300),
            [0, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000]
        );
        assert_eq!(ticks(3 * 3_600_000).len(), 7);
        assert!(ticks(u64::MAX / 2).len() <= 9);
    }
}
