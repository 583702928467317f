//! Colours: names for what a theme decides, and two scales for what must look the same in every theme.
//!
//! plotters writes colours as `#RRGGBB`. A [`Paint`] is drawn in a colour that nothing else uses, and
//! [`themed`] puts the name of a CSS variable in its place.

use plotters::style::RGBColor;

/// A colour that the page's style sheet decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Text.
    Ink,
    /// Secondary text and ticks.
    Muted,
    /// Grid lines and what waits.
    Line,
    /// The ground of a chart.
    Ground,
    /// The n-th of the qualitative colours.
    Series(usize),
    /// Something went well.
    Good,
    /// Something went wrong.
    Bad,
    /// Something goes on.
    Busy,
}

/// How many qualitative colours there are: those of Okabe and Ito ("Color universal design", 2008), which
/// people with any kind of colour vision tell apart, less black. The style sheet holds their values.
pub(crate) const SERIES: usize = 7;

const FIXED: [(Paint, &str); 7] = [
    (Paint::Ink, "--ink"),
    (Paint::Muted, "--muted"),
    (Paint::Line, "--line"),
    (Paint::Ground, "--card"),
    (Paint::Good, "--good"),
    (Paint::Bad, "--bad"),
    (Paint::Busy, "--busy"),
];

impl Paint {
    /// The colour that stands for this paint until [`themed`] replaces it.
    pub(crate) const fn mark(self) -> RGBColor {
        match self {
            Self::Ink => RGBColor(1, 0, 0),
            Self::Muted => RGBColor(1, 0, 1),
            Self::Line => RGBColor(1, 0, 2),
            Self::Ground => RGBColor(1, 0, 3),
            Self::Good => RGBColor(1, 0, 4),
            Self::Bad => RGBColor(1, 0, 5),
            Self::Busy => RGBColor(1, 0, 6),
            Self::Series(index) => RGBColor(1, 1, (index % SERIES) as u8),
        }
    }
}

/// Replaces the marks of paints in attributes by CSS variables. Text cannot hold a mark in this form: its
/// quotes are escaped.
pub(crate) fn themed(svg: &str) -> String {
    let series = (0..SERIES).map(|index| (Paint::Series(index), format!("--series-{index}")));
    let fixed = FIXED.map(|(paint, name)| (paint, name.to_owned()));
    let mut themed = svg.to_owned();
    for (paint, name) in fixed.into_iter().chain(series) {
        let RGBColor(red, green, blue) = paint.mark();
        let mark = format!("=\"#{red:02X}{green:02X}{blue:02X}\"");
        themed = themed.replace(&mark, &format!("=\"var({name})\""));
    }
    themed
}

/// ColorBrewer's `YlGnBu`, 9 classes: ordered by lightness, so that it survives colour blindness and
/// photocopies.
const SEQUENTIAL: [RGBColor; 9] = [
    RGBColor(255, 255, 217),
    RGBColor(237, 248, 177),
    RGBColor(199, 233, 180),
    RGBColor(127, 205, 187),
    RGBColor(65, 182, 196),
    RGBColor(29, 145, 192),
    RGBColor(34, 94, 168),
    RGBColor(37, 52, 148),
    RGBColor(8, 29, 88),
];

/// ColorBrewer's `BrBG`, 9 classes without the darkest two: brown below, teal above, grey at zero.
const DIVERGING: [RGBColor; 9] = [
    RGBColor(140, 81, 10),
    RGBColor(191, 129, 45),
    RGBColor(223, 194, 125),
    RGBColor(246, 232, 195),
    RGBColor(245, 245, 245),
    RGBColor(199, 234, 229),
    RGBColor(128, 205, 193),
    RGBColor(53, 151, 143),
    RGBColor(1, 102, 94),
];

/// A scale from numbers to colours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ramp {
    low: f64,
    high: f64,
    colours: &'static [RGBColor; 9],
}

impl Ramp {
    /// The scale for the finite values among `values`; with zero in its middle if they lie on both sides of it.
    /// `None` if there are none.
    pub(crate) fn over(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        if low > high {
            return None;
        }
        if low < 0.0 && high > 0.0 {
            let reach = high.max(-low);
            return Some(Self {
                low: -reach,
                high: reach,
                colours: &DIVERGING,
            });
        }
        Some(Self {
            low,
            high,
            colours: &SEQUENTIAL,
        })
    }

    pub(crate) const fn low(&self) -> f64 {
        self.low
    }

    pub(crate) const fn high(&self) -> f64 {
        self.high
    }

    pub(crate) fn colour(&self, value: f64) -> RGBColor {
        let width = self.high - self.low;
        let share = if width > 0.0 && width.is_finite() {
            ((value - self.low) / width).clamp(0.0, 1.0)
        } else {
            0.5
        };
        let steps = (self.colours.len() - 1) as f64;
        let place = share * steps;
        let lower = (place.floor() as usize).min(self.colours.len() - 2);
        let rest = place - lower as f64;
        let RGBColor(r0, g0, b0) = self.colours[lower];
        let RGBColor(r1, g1, b1) = self.colours[lower + 1];
        let mix = |from: u8, to: u8| {
            (f64::from(from) + (f64::from(to) - f64::from(from)) * rest).round() as u8
        };
        RGBColor(mix(r0, r1), mix(g0, g1), mix(b0, b1))
    }
}

/// Black or white, whichever reads better on a colour (by its relative luminance, WCAG 2.1).
pub(crate) fn text_on(colour: RGBColor) -> RGBColor {
    let linear = |channel: u8| {
        let share = f64::from(channel) / 255.0;
        if share <= 0.040_45 {
            share / 12.92
        } else {
            ((share + 0.055) / 1.055).powf(2.4)
        }
    };
    let RGBColor(red, green, blue) = colour;
    let luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    // Where the contrast to black equals the contrast to white.
    if luminance > 0.179 {
        RGBColor(20, 20, 20)
    } else {
        RGBColor(255, 255, 255)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_variables_and_texts_stay() {
        let svg = r##"<rect fill="#010000"/><line stroke="#010102"/><text>&quot;#010000&quot; #010000</text>"##;
        let themed = themed(svg);
        assert_eq!(
            themed,
            r##"<rect fill="var(--ink)"/><line stroke="var(--series-2)"/><text>&quot;#010000&quot; #010000</text>"##
        );
    }

    #[test]
    fn scales_reach_both_ends_and_put_zero_in_the_middle() {
        let ramp = Ramp::over([3.0, f64::NAN, 7.0].into_iter())
            .map(|ramp| [ramp.colour(3.0), ramp.colour(7.0), ramp.colour(99.0)]);
        assert_eq!(ramp, Some([SEQUENTIAL[0], SEQUENTIAL[8], SEQUENTIAL[8]]));
        let ramp =
            Ramp::over([-1.0, 4.0].into_iter()).map(|ramp| [ramp.colour(0.0), ramp.colour(4.0)]);
        assert_eq!(ramp, Some([DIVERGING[4], DIVERGING[8]]));
        let flat = Ramp::over([5.0].into_iter()).map(|ramp| ramp.colour(5.0));
        assert_eq!(flat, Some(SEQUENTIAL[4]));
        assert!(Ramp::over(std::iter::empty()).is_none());
    }

    #[test]
    fn text_is_legible_on_every_colour_of_the_scales() {
        assert_eq!(text_on(SEQUENTIAL[0]), RGBColor(20, 20, 20));
        assert_eq!(text_on(SEQUENTIAL[8]), RGBColor(255, 255, 255));
    }
}
