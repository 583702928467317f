//! What a rule is, and what a person is told of one that is none.

#![expect(clippy::unwrap_used, reason = "tests")]

use marquetry_types::Timestamp;

use super::{Cron, Field};
use crate::Zone;

fn problem(text: &str) -> String {
    text.parse::<Cron>().unwrap_err().to_string()
}

fn next(rule: &str, after: &str, count: usize) -> Vec<String> {
    let cron: Cron = rule.parse().unwrap();
    let mut at: Timestamp = after.parse().unwrap();
    let mut all = Vec::new();
    for _ in 0..count {
        at = cron.next_after(at, &Zone::UTC).unwrap();
        all.push(at.to_string().replace(":00.000Z", ""));
    }
    all
}

#[test]
fn a_wrong_field_is_named_with_what_it_takes() {
    assert_eq!(
        problem("60 3 * * *"),
        "minute: `60` is above 59; minutes are 0 to 59, as in `5`, `0,30`, `10-20` or `*/15`"
    );
    assert_eq!(
        problem("0 3 0 * *"),
        "day of month: `0` is below 1; days of the month are 1 to 31, `L` for the last, `L-2`, `15W` or `LW`, as in `1,15`"
    );
    assert_eq!(
        problem("0 22-2 * * *"),
        "hour: the range `22-2` runs backwards; write `22-23,0-2`"
    );
    assert_eq!(
        problem("0 3 * * FRI-MON"),
        "day of week: the range `FRI-MON` runs backwards; write `5-6,0-1`"
    );
    assert_eq!(
        problem("5/10 * * * *"),
        "minute: `5/10` has a step and no range; write `5-59/10`, or `*/10`"
    );
    assert_eq!(
        problem("*/0 * * * *"),
        "minute: `*/0` has a step of 0; a step is at least 1"
    );
    assert_eq!(
        problem("*/x * * * *"),
        "minute: `x` is no step; a step is a whole number after `/`, as in `*/5`"
    );
    assert!(
        problem("*/90 * * * *").starts_with("minute: the step `90` is beyond 59; a step counts")
    );
    assert!(problem("0 3 * january *").starts_with("month: `january` is no month; months are 1"));
    assert!(problem("0 3 1, * *").starts_with("day of month: a value is missing; days"));
    assert!(problem("0 3 * * FRI#6").starts_with("day of week: `FRI#6` does not say which"));
    assert!(problem("0 3 L-31 * *").starts_with("day of month: `L-31` is no day before"));
    assert!(problem("0 +3 * * *").starts_with("hour: `+3` is no hour"));
    assert!(problem("0 99999999999999999999 * * *").ends_with("`*/2`"));
}

#[test]
fn a_text_that_has_not_five_fields_is_told_what_they_are() {
    let shape = "write minute, hour, day of month, month and day of week, as in `0 3 * * *`";
    assert_eq!(problem(" "), format!("the rule is empty; {shape}"));
    assert_eq!(
        problem("5m"),
        format!("a rule has 5 fields, and this has 1; {shape}")
    );
    assert_eq!(
        problem("0 0 3 * * *"),
        format!(
            "a rule has 5 fields, and this has 6; {shape}; there are no fields for seconds and years"
        )
    );
    assert_eq!(
        problem("CRON_TZ=Europe/Berlin 0 3 * * *"),
        "`CRON_TZ=Europe/Berlin` is no minute; leave it out: the time zone is said beside the rule"
    );
    assert!(problem("@reboot").starts_with("there is no rule `@reboot`; a schedule goes by time"));
    assert!(problem("@dayly").contains("`@weekly`, `@daily`"));
}

#[test]
fn a_day_that_never_comes_is_refused() {
    for never in [
        "0 0 31 2 *",
        "0 0 30 2 ?",
        "0 0 31 4,6,9,11 *",
        "0 0 L-30 4 *",
        "0 0 L-29 2 *",
    ] {
        assert_eq!(
            problem(never),
            "day of month: no month that it names has such a day; February has 28 or 29 days, April, June, \
             September and November have 30; `L` is the last day of any month",
            "{never}"
        );
    }
    for ever in [
        "0 0 29 2 *",
        "0 0 31 2 1",
        "0 0 31 1,2 *",
        "0 0 * 2 1#5",
        "0 0 L-28 2 *",
    ] {
        assert!(ever.parse::<Cron>().is_ok(), "{ever}");
    }
}

#[test]
fn an_error_knows_its_place() {
    let error = "0 3  1,32 * *".parse::<Cron>().unwrap_err();
    assert_eq!(
        (error.field, error.offset, error.length),
        (Some(Field::DayOfMonth), 7, 2)
    );
    let error = " 0 3 * * MO-FR".parse::<Cron>().unwrap_err();
    assert_eq!(
        (error.field, error.offset, error.length),
        (Some(Field::DayOfWeek), 9, 2)
    );
    for hostile in [
        "ä ö ü ß €",
        "\u{0}",
        "-",
        "0 0 -W * *",
        "0 0 W * L",
        "# # # # #",
        "0 0 * * L",
    ] {
        assert!(hostile.parse::<Cron>().is_err(), "{hostile}");
    }
}

#[test]
fn days_of_month_and_week_know_last_nth_and_workdays() {
    let from = "2026-01-01T00:00:00Z";
    assert_eq!(
        next("0 0 L * *", from, 3),
        ["2026-01-31T00:00", "2026-02-28T00:00", "2026-03-31T00:00"]
    );
    assert_eq!(
        next("0 0 L-2 2 *", from, 2),
        ["2026-02-26T00:00", "2027-02-26T00:00"]
    );
    // The 15th of August 2026 is a Saturday, of November a Sunday.
    assert_eq!(
        next("0 0 15W 8,11 *", from, 2),
        ["2026-08-14T00:00", "2026-11-16T00:00"]
    );
    // The 1st of August 2026 is a Saturday and the 31st of May a Sunday: not into another month.
    assert_eq!(next("0 0 1W 8 *", from, 1), ["2026-08-03T00:00"]);
    assert_eq!(next("0 0 LW 5 *", from, 1), ["2026-05-29T00:00"]);
    assert_eq!(
        next("0 0 * * fri#2", from, 2),
        ["2026-01-09T00:00", "2026-02-13T00:00"]
    );
    assert_eq!(
        next("0 0 * * 5L", from, 2),
        ["2026-01-30T00:00", "2026-02-27T00:00"]
    );
    assert_eq!(
        next("0 0 ? jan SAT-SUN", from, 3),
        ["2026-01-03T00:00", "2026-01-04T00:00", "2026-01-10T00:00"]
    );
    assert_eq!(next("0 0 ? * 7", from, 1), next("0 0 ? * 0", from, 1));
}

/// crontab(5): "If both fields are restricted (i.e., do not contain the "*" character), the command will be
/// run when either field matches the current time. For example, "30 4 1,15 * 5" would cause a command to be
/// run at 4:30 am on the 1st and 15th of each month, plus every Friday."
#[test]
fn either_day_is_enough_if_both_are_given() {
    assert_eq!(
        next("30 4 1,15 * 5", "2026-01-01T00:00:00Z", 5),
        [
            "2026-01-01T04:30",
            "2026-01-02T04:30",
            "2026-01-09T04:30",
            "2026-01-15T04:30",
            "2026-01-16T04:30"
        ]
    );
    // Odd days that are Mondays.
    assert_eq!(
        next("0 0 */2 * 1", "2026-01-01T00:00:00Z", 2),
        ["2026-01-05T00:00", "2026-01-19T00:00"]
    );
}

#[test]
fn rules_with_names_are_what_crontab_says() {
    for (name, rule) in [
        ("@Daily", "0 0 * * *"),
        ("@weekly", "0 0 * * SUN"),
        ("@hourly", "0 * * * *"),
        ("@yearly", "0 0 1 JAN ?"),
        ("@monthly", "0 0 1 1-12 *"),
    ] {
        let from = "2026-05-05T05:05:00Z";
        assert_eq!(next(name, from, 5), next(rule, from, 5), "{name}");
        assert_eq!(name.parse::<Cron>().unwrap().to_string(), name);
    }
}

#[test]
fn rare_days_are_found_at_once() {
    let start = std::time::Instant::now();
    for _ in 0..1_000 {
        assert_eq!(
            next("0 0 29 2 *", "2024-02-29T00:00:00Z", 1),
            ["2028-02-29T00:00"]
        );
        // No leap year between 1896 and 1904, and none in 2100.
        assert_eq!(
            next("0 0 29 2 *", "2096-03-01T00:00:00Z", 1),
            ["2104-02-29T00:00"]
        );
        // Five Mondays in February: a leap year that begins so.
        assert_eq!(
            next("* * * 2 1#5", "2024-03-01T00:00:00Z", 1),
            ["2044-02-29T00:00"]
        );
    }
    // Some microseconds each; the bound is for a slow machine in a debug build.
    assert!(start.elapsed().as_millis() < 3_000, "{:?}", start.elapsed());
}

#[test]
fn a_rule_reads_back_as_it_was_written() {
    let cron: Cron = " */5 9-17 * * MON-FRI ".parse().unwrap();
    let json = serde_json::to_string(&cron).unwrap();
    assert_eq!(json, r#""*/5 9-17 * * MON-FRI""#);
    assert_eq!(serde_json::from_str::<Cron>(&json).unwrap(), cron);
    assert!(serde_json::from_str::<Cron>(r#""61 * * * *""#).is_err());
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    let cron: Cron = "* * * * *".parse().unwrap();
    let zone: Zone = "Europe/London".parse().unwrap();
    for millis in [
        i64::MIN,
        i64::MAX,
        253_402_207_200_000,
        -377_705_023_201_000,
    ] {
        let instant = Timestamp::from_millis(millis);
        let _ = cron.next_after(instant, &zone);
        let _ = cron.last_before(instant, &zone);
    }
}
