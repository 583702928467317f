//! What happens when clocks change, and days that other people have published.
//!
//! Sources: cron(8) of Vixie cron as Debian and ISC have it, "Daylight Saving Time and other time changes":
//! jobs at particular times that fall into the hour that is left out run at once after it, and do not run
//! again in the hour that is repeated; jobs with `*` as minute or hour go by the new time immediately. The
//! changes themselves: directive 2000/84/EC (last Sundays of March and October, 01:00 UTC), the US Energy
//! Policy Act of 2005 (second Sunday of March, first of November, 02:00), and the IANA database for Lord
//! Howe, Casablanca, Cairo and Apia.

#![expect(clippy::unwrap_used, reason = "tests")]

use marquetry_schedule::{Cron, Zone};
use marquetry_types::Timestamp;

/// The occurrences from `from` up to and without `to`, in UTC, without what they have in common.
fn occurrences(rule: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
    let cron: Cron = rule.parse().unwrap();
    let zone: Zone = zone.parse().unwrap();
    let (from, to): (Timestamp, Timestamp) = (from.parse().unwrap(), to.parse().unwrap());
    let mut at = Timestamp::from_millis(from.as_millis() - 1);
    let mut all = Vec::new();
    while let Some(next) = cron.next_after(at, &zone).filter(|next| *next < to) {
        all.push(next);
        at = next;
    }
    let mut backwards = Vec::new();
    let mut at = to;
    while let Some(last) = cron.last_before(at, &zone).filter(|last| *last >= from) {
        backwards.push(last);
        at = last;
    }
    backwards.reverse();
    assert_eq!(all, backwards, "{rule}");
    all.iter()
        .map(|at| at.to_string().replace(":00.000Z", ""))
        .collect()
}

/// The times of one day, which is given in UTC.
fn times(rule: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
    let all = occurrences(rule, zone, from, to).into_iter();
    all.map(|at| at.split_once('T').unwrap().1.to_owned())
        .collect()
}

const BERLIN: &str = "Europe/Berlin";
/// The days on which clocks change in Berlin in 2026, from midnight to midnight.
const SPRING: (&str, &str) = ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
const AUTUMN: (&str, &str) = ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");

fn spring(rule: &str) -> Vec<String> {
    times(rule, BERLIN, SPRING.0, SPRING.1)
}

fn autumn(rule: &str) -> Vec<String> {
    times(rule, BERLIN, AUTUMN.0, AUTUMN.1)
}

#[test]
fn a_time_that_does_not_exist_is_at_the_end_of_the_gap() {
    // 02:00 to 03:00 is left out; it ends at 01:00 UTC.
    assert_eq!(spring("30 2 * * *"), ["01:00"]);
    assert_eq!(spring("0 2 * * *"), ["01:00"]);
    // Several are one, also with the time that is the end of the gap.
    assert_eq!(spring("0,15,30 2 * * *"), ["01:00"]);
    assert_eq!(spring("0 1,2,3,4 * * *"), ["00:00", "01:00", "02:00"]);
    assert_eq!(spring("59 1 * * *"), ["00:59"]);
    assert_eq!(spring("1 3 * * *"), ["01:01"]);
}

#[test]
fn a_time_that_exists_twice_is_at_the_first() {
    // 02:00 to 03:00 is at 00:00 UTC and again at 01:00 UTC.
    assert_eq!(autumn("30 2 * * *"), ["00:30"]);
    assert_eq!(autumn("0,30 2 * * *"), ["00:00", "00:30"]);
    assert_eq!(autumn("0 1,2,3 * * *"), ["23:00", "00:00", "02:00"]);
    assert_eq!(autumn("59 2 * * *"), ["00:59"]);
}

#[test]
fn what_goes_by_the_clock_fires_every_real_hour() {
    assert_eq!(spring("0 * * * *").len(), 23);
    assert_eq!(autumn("0 * * * *").len(), 25);
    assert_eq!(spring("*/15 * * * *").len(), 23 * 4);
    assert_eq!(autumn("*/15 * * * *").len(), 25 * 4);
    assert_eq!(spring("* * * * *").len(), 23 * 60);
    assert_eq!(autumn("* * * * *").len(), 25 * 60);
    assert_eq!(autumn("30 * * * *")[2..5], ["00:30", "01:30", "02:30"]);
    // Every quarter of an hour that does not exist is none, and that exists twice is two.
    assert_eq!(spring("*/15 2 * * *"), [""; 0]);
    assert_eq!(autumn("*/30 2 * * *"), ["00:00", "00:30", "01:00", "01:30"]);
}

/// The table of docs/workflows.md.
#[test]
fn the_documentation_says_what_happens() {
    assert_eq!(
        (spring("30 2 * * *"), autumn("30 2 * * *")),
        (vec!["01:00".to_owned()], vec!["00:30".to_owned()])
    );
    assert_eq!(spring("0 2,3 * * *"), ["01:00"]);
    assert_eq!(autumn("0 2,3 * * *"), ["00:00", "02:00"]);
    assert_eq!(
        (spring("*/15 2 * * *").len(), autumn("*/15 2 * * *").len()),
        (0, 8)
    );
}

/// Section 110 of the Energy Policy Act of 2005.
#[test]
fn new_york_leaves_out_and_repeats_an_hour() {
    let zone = "America/New_York";
    let march = |rule| times(rule, zone, "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z");
    let november = |rule| times(rule, zone, "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z");
    assert_eq!(march("30 2 * * *"), ["07:00"]);
    assert_eq!(march("0 12 * * *"), ["16:00"]);
    assert_eq!(november("30 1 * * *"), ["05:30"]);
    assert_eq!(november("0 12 * * *"), ["17:00"]);
    assert_eq!(
        (march("@hourly").len(), november("@hourly").len()),
        (23, 25)
    );
}

#[test]
fn half_an_hour_is_enough_for_a_gap() {
    let zone = "Australia/Lord_Howe";
    // On 2026-10-04 02:00 (+10:30) becomes 02:30 (+11), at 15:30 UTC; on 2026-04-05 02:00 (+11) becomes
    // 01:30 (+10:30), at 15:00 UTC.
    let spring = |rule| times(rule, zone, "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z");
    let autumn = |rule| times(rule, zone, "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z");
    assert_eq!(spring("15 2 * * *"), ["15:30"]);
    assert_eq!(spring("45 2 * * *"), ["15:45"]);
    assert_eq!(autumn("45 1 * * *"), ["14:45"]);
    assert_eq!(autumn("15 1 * * *"), ["14:15"]);
    assert_eq!(autumn("45 * * * *")[1..4], ["14:45", "15:15", "16:15"]);
    assert_eq!(spring("* * * * *").len(), 23 * 60 + 30);
    assert_eq!(autumn("* * * * *").len(), 24 * 60 + 30);
}

#[test]
fn clocks_change_around_ramadan_and_at_midnight() {
    // Morocco is on UTC+1 but in Ramadan: in 2026 back at 03:00 on February 15, forward at 02:00 on March 22.
    let rabat = "Africa/Casablanca";
    let three_days = |rule, from, to| occurrences(rule, rabat, from, to);
    assert_eq!(
        three_days("30 2 * * *", "2026-02-14T00:00:00Z", "2026-02-17T00:00:00Z"),
        ["2026-02-14T01:30", "2026-02-15T01:30", "2026-02-16T02:30"]
    );
    assert_eq!(
        three_days("30 2 * * *", "2026-03-21T00:00:00Z", "2026-03-24T00:00:00Z"),
        ["2026-03-21T02:30", "2026-03-22T02:00", "2026-03-23T01:30"]
    );
    // In Cairo the day of the change begins at 01:00.
    let cairo = occurrences(
        "0 0 * * *",
        "Africa/Cairo",
        "2026-04-23T12:00:00Z",
        "2026-04-25T12:00:00Z",
    );
    assert_eq!(cairo, ["2026-04-23T22:00", "2026-04-24T21:00"]);
}

#[test]
fn a_day_that_does_not_exist_is_at_the_beginning_of_the_next() {
    // Samoa crossed the date line: after December 29, 2011 came December 31, at 10:00 UTC.
    let apia = |rule| {
        occurrences(
            rule,
            "Pacific/Apia",
            "2011-12-29T12:00:00Z",
            "2011-12-31T12:00:00Z",
        )
    };
    assert_eq!(
        apia("0 9 * * *"),
        ["2011-12-29T19:00", "2011-12-30T10:00", "2011-12-30T19:00"]
    );
    assert_eq!(apia("0 9 30 * *"), ["2011-12-30T10:00"]);
}

/// The dates of holidays that are defined as the n-th weekday: 5 U.S.C. 6103, and opm.gov's lists.
#[test]
fn holidays_are_where_the_law_puts_them() {
    let dates = |rule| {
        let all =
            occurrences(rule, "UTC", "2026-01-01T00:00:00Z", "2029-01-01T00:00:00Z").into_iter();
        all.map(|at| at.replace("T00:00", "")).collect::<Vec<_>>()
    };
    // Thanksgiving: the fourth Thursday in November.
    assert_eq!(
        dates("0 0 * 11 THU#4"),
        ["2026-11-26", "2027-11-25", "2028-11-23"]
    );
    // Memorial Day: the last Monday in May.
    assert_eq!(
        dates("0 0 * 5 MONL"),
        ["2026-05-25", "2027-05-31", "2028-05-29"]
    );
    // The birthday of Martin Luther King, Jr.: the third Monday in January.
    assert_eq!(
        dates("0 0 * 1 1#3"),
        ["2026-01-19", "2027-01-18", "2028-01-17"]
    );
}

/// The rule of directive 2000/84/EC, as a rule of cron, gives the changes that the IANA database has.
#[test]
fn the_law_of_summer_time_agrees_with_the_database() {
    let berlin: Zone = BERLIN.parse().unwrap();
    let hours = |from: &str| {
        let cron: Cron = "0 0 * * *".parse().unwrap();
        let day = cron.last_before(from.parse().unwrap(), &berlin).unwrap();
        let next = cron.next_after(day, &berlin).unwrap();
        next.saturating_since(day).as_secs() / 3600
    };
    for change in occurrences(
        "0 1 * 3 SUNL",
        "UTC",
        "2000-01-01T00:00:00Z",
        "2037-01-01T00:00:00Z",
    ) {
        assert_eq!(hours(&format!("{change}:00Z")), 23, "{change}");
    }
    for change in occurrences(
        "0 1 * 10 SUNL",
        "UTC",
        "2000-01-01T00:00:00Z",
        "2037-01-01T00:00:00Z",
    ) {
        assert_eq!(hours(&format!("{change}:00Z")), 25, "{change}");
    }
}

#[test]
fn zones_are_known_without_the_system_and_by_name_only() {
    assert_eq!("europe/berlin".parse::<Zone>().unwrap().name(), BERLIN);
    assert_eq!(Zone::default().to_string(), "UTC");
    assert_eq!("UTC".parse::<Zone>().unwrap(), Zone::UTC);
    assert!(Zone::names().len() > 400);
    for name in Zone::names() {
        let zone: Result<Zone, _> = name.parse();
        assert!(zone.is_ok() || name == "Etc/Unknown", "{name}");
    }
    for wrong in [
        "",
        "Berlin",
        "+02:00",
        "CET-1CEST",
        "Etc/Unknown",
        "../etc/passwd",
    ] {
        assert!(wrong.parse::<Zone>().is_err(), "{wrong}");
    }
    let json = serde_json::to_string(&BERLIN.parse::<Zone>().unwrap()).unwrap();
    assert_eq!(json, r#""Europe/Berlin""#);
    assert!(serde_json::from_str::<Zone>(r#""Mars/Olympus""#).is_err());
}
