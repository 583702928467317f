//! The two years that the sample covers, as days counted from their first.

/// Microseconds of one day.
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;
/// 2023-01-01T00:00:00Z, before which there is no order, in microseconds since 1970.
pub const START_MICROS: i64 = 1_672_531_200_000_000;
/// 2025-01-01T00:00:00Z, at and after which there is no order, in microseconds since 1970.
pub const END_MICROS: i64 = START_MICROS + DAYS as i64 * DAY_MICROS;
/// Days in 2023 and 2024.
pub(crate) const DAYS: u32 = 731;

const MONTH_DAYS: [u32; 24] = [
    31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, // 2023
    31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, // 2024
];

/// Whether a day is a Saturday or a Sunday. Day 0, 2023-01-01, is a Sunday.
pub(crate) const fn is_weekend(day: u32) -> bool {
    matches!(day % 7, 0 | 6)
}

/// The month of an instant within the two years, counted from 0; instants outside count to the nearest.
pub(crate) fn month_of(micros: i64) -> usize {
    let day = (micros - START_MICROS).max(0) / DAY_MICROS;
    let mut first_of_next = 0;
    for (month, days) in MONTH_DAYS.iter().enumerate() {
        first_of_next += i64::from(*days);
        if day < first_of_next {
            return month;
        }
    }
    MONTH_DAYS.len() - 1
}

/// A month as `2023-01`.
pub(crate) fn month_name(month: usize) -> String {
    format!("{}-{:02}", 2023 + month / 12, month % 12 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_and_end_where_the_calendar_says() {
        assert_eq!(MONTH_DAYS.iter().sum::<u32>(), DAYS);
        assert_eq!(month_name(month_of(START_MICROS)), "2023-01");
        // 2024-02-29T23:59:59.999999Z and the microsecond after it.
        let leap_day_ends = 1_709_251_200_000_000;
        assert_eq!(month_name(month_of(leap_day_ends - 1)), "2024-02");
        assert_eq!(month_name(month_of(leap_day_ends)), "2024-03");
        assert_eq!(month_name(month_of(END_MICROS - 1)), "2024-12");
    }

    #[test]
    fn weekends_are_saturdays_and_sundays() {
        let weekend: Vec<_> = (0..8).filter(|day| is_weekend(*day)).collect();
        assert_eq!(weekend, [0, 6, 7]);
    }
}
