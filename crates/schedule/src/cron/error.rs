//! Why a text is no rule.

use std::fmt;

/// A field of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12.
    Month,
    /// 0 to 7; 0 and 7 are Sunday.
    DayOfWeek,
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Field {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::Minute,
        Self::Hour,
        Self::DayOfMonth,
        Self::Month,
        Self::DayOfWeek,
    ];

    /// What a person calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        }
    }

    /// The smallest value.
    pub(super) const fn low(self) -> u8 {
        match self {
            Self::Minute | Self::Hour | Self::DayOfWeek => 0,
            Self::DayOfMonth | Self::Month => 1,
        }
    }

    /// The largest value, of days of the week without the second name of Sunday.
    pub(super) const fn high(self) -> u8 {
        match self {
            Self::Minute => 59,
            Self::Hour => 23,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 6,
        }
    }

    /// Names of values, counted from the smallest.
    pub(super) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::DayOfWeek => &WEEKDAYS,
            _ => &[],
        }
    }

    /// What it takes.
    pub(super) const fn takes(self) -> &'static str {
        match self {
            Self::Minute => "minutes are 0 to 59, as in `5`, `0,30`, `10-20` or `*/15`",
            Self::Hour => "hours are 0 to 23, as in `3`, `6,18`, `9-17` or `*/2`",
            Self::DayOfMonth => {
                "days of the month are 1 to 31, `L` for the last, `L-2`, `15W` or `LW`, as in `1,15`"
            }
            Self::Month => "months are 1 to 12 or `JAN` to `DEC`, as in `1-3` or `JAN,JUL`",
            Self::DayOfWeek => {
                "days of the week are 0 to 7 (0 and 7 are Sunday) or `SUN` to `SAT`, as in `MON-FRI`, `FRI#2` or `FRIL`"
            }
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Why a text is no rule: which field, what is wrong with it, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}; {help}", .field.map(|field| format!("{field}: ")).unwrap_or_default())]
pub struct CronError {
    /// The field, if it is one field's fault.
    pub field: Option<Field>,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub help: String,
    /// Where it stands in the text, in characters from 0.
    pub offset: usize,
    /// How many characters are wrong.
    pub length: usize,
}
