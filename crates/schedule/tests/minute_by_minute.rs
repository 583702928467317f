//! Rules against a model that knows nothing clever: it looks at every minute and asks what the clock shows.

#![expect(clippy::unwrap_used, reason = "tests")]

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp as Instant};
use marquetry_schedule::{Cron, Zone};
use marquetry_types::Timestamp;
use proptest::prelude::*;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const ZONES: [&str; 7] = [
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Africa/Cairo",
    "UTC",
];

/// A field as its text and as the values that it means, which the parser under test has no part in.
#[derive(Debug, Clone)]
struct Values {
    text: String,
    values: Vec<i8>,
}

#[derive(Debug, Clone)]
struct Rule {
    minute: Values,
    hour: Values,
    date: Values,
    month: Values,
    weekday: Values,
}

impl Rule {
    fn text(&self) -> String {
        let fields = [
            &self.minute,
            &self.hour,
            &self.date,
            &self.month,
            &self.weekday,
        ];
        fields.map(|field| field.text.as_str()).join(" ")
    }

    fn fits(&self, shown: DateTime) -> bool {
        let date = self.date.values.contains(&shown.day());
        let weekday = shown.weekday().to_sunday_zero_offset();
        let weekday = self.weekday.values.contains(&weekday);
        let day = if self.date.text.starts_with('*') || self.weekday.text.starts_with('*') {
            date && weekday
        } else {
            date || weekday
        };
        day && self.minute.values.contains(&shown.minute())
            && self.hour.values.contains(&shown.hour())
            && self.month.values.contains(&shown.month())
    }

    fn goes_by_the_clock(&self) -> bool {
        self.minute.text.starts_with('*') || self.hour.text.starts_with('*')
    }

    /// Whether it fires when the clock shows `history[now]`, after what it has shown in the minutes before.
    fn fires(&self, history: &[DateTime], now: usize) -> bool {
        let shown = history[now];
        if self.goes_by_the_clock() {
            return self.fits(shown);
        }
        let was_shown = [30, 60]
            .iter()
            .any(|minutes| history[now - minutes] == shown);
        if self.fits(shown) && !was_shown {
            return true;
        }
        let mut left_out = history[now - 1] + MINUTE;
        while left_out < shown {
            if self.fits(left_out) {
                return true;
            }
            left_out += MINUTE;
        }
        false
    }
}

/// What the clock shows in each minute from an hour before `from` up to `to`.
fn history(zone: &str, from: Instant, to: Instant) -> Vec<DateTime> {
    let rules = TimeZoneDatabase::bundled().get(zone).unwrap();
    let mut at = from - SignedDuration::from_hours(1);
    let mut shown = Vec::new();
    while at < to {
        shown.push(rules.to_datetime(at));
        at += MINUTE;
    }
    shown
}

fn scan(rule: &Rule, history: &[DateTime], from: Instant) -> Vec<Timestamp> {
    let fired = (60..history.len()).filter(|now| rule.fires(history, *now));
    let minutes = fired.map(|now| now as i64 - 60);
    minutes
        .map(|minute| Timestamp::from_millis(from.as_millisecond() + minute * 60_000))
        .collect()
}

fn agree(rule: &Rule, name: &str, from: Instant, to: Instant) {
    agree_with(rule, name, &history(name, from, to), from, to);
}

fn agree_with(rule: &Rule, name: &str, history: &[DateTime], from: Instant, to: Instant) {
    let zone: Zone = name.parse().unwrap();
    let cron: Cron = rule.text().parse().unwrap();
    let expected = scan(rule, history, from);
    let from = Timestamp::from_millis(from.as_millisecond());
    let to = Timestamp::from_millis(to.as_millisecond());
    let mut forward = Vec::new();
    let mut at = Timestamp::from_millis(from.as_millis() - 1);
    while let Some(next) = cron.next_after(at, &zone).filter(|next| *next < to) {
        assert!(next > at, "{} goes back at {at}", rule.text());
        forward.push(next);
        at = next;
    }
    assert_eq!(
        forward,
        expected,
        "`{}` in {name} after {from}",
        rule.text()
    );
    let mut backward = Vec::new();
    let mut at = to;
    while let Some(last) = cron.last_before(at, &zone).filter(|last| *last >= from) {
        backward.push(last);
        at = last;
    }
    backward.reverse();
    assert_eq!(
        backward,
        expected,
        "`{}` in {name} before {to}",
        rule.text()
    );
}

/// As [`agree`], and asked at moments between the occurrences as well.
fn agree_at_any_moment(rule: &Rule, name: &str, from: Instant, to: Instant) {
    agree(rule, name, from, to);
    let expected = scan(rule, &history(name, from, to), from);
    let zone: Zone = name.parse().unwrap();
    let cron: Cron = rule.text().parse().unwrap();
    // No multiple of a minute, so that seconds count too.
    for step in 0..(to.duration_since(from).as_secs() / 431) {
        let at = Timestamp::from_millis(from.as_millisecond() + step * 431_000);
        let after = expected.partition_point(|occurrence| *occurrence <= at);
        if let Some(next) = expected.get(after) {
            assert_eq!(
                cron.next_after(at, &zone),
                Some(*next),
                "`{}` in {name} at {at}",
                rule.text()
            );
        }
        let before = expected.partition_point(|occurrence| *occurrence < at);
        if let Some(last) = before.checked_sub(1).and_then(|last| expected.get(last)) {
            assert_eq!(
                cron.last_before(at, &zone),
                Some(*last),
                "`{}` in {name} at {at}",
                rule.text()
            );
        }
    }
}

fn values(low: i8, high: i8) -> impl Strategy<Value = Values> {
    let star = Just(Values {
        text: "*".to_owned(),
        values: (low..=high).collect(),
    });
    let stepped = (1..=(high - low)).prop_map(move |step| Values {
        text: format!("*/{step}"),
        values: (low..=high).step_by(step as usize).collect(),
    });
    let list = proptest::collection::vec(low..=high, 1..4).prop_map(|values| Values {
        text: values
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(","),
        values,
    });
    let range = (low..=high, low..=high, 1..=3_i8).prop_map(|(one, other, step)| {
        let (first, last) = (one.min(other), one.max(other));
        Values {
            text: format!("{first}-{last}/{step}"),
            values: (first..=last).step_by(step as usize).collect(),
        }
    });
    prop_oneof![3 => star, 1 => stepped, 3 => list, 2 => range]
}

fn rule() -> impl Strategy<Value = Rule> {
    // Clocks change in the small hours.
    let hour = prop_oneof![
        values(0, 23),
        values(0, 23),
        Just(Values {
            text: "1,2,3".to_owned(),
            values: vec![1, 2, 3]
        })
    ];
    (
        values(0, 59),
        hour,
        values(1, 31),
        values(1, 12),
        values(0, 6),
    )
        .prop_map(|(minute, hour, date, month, weekday)| Rule {
            minute,
            hour,
            date,
            month,
            weekday,
        })
}

/// Rules of a few values each, so that they fire in any few days.
fn frequent_rule() -> impl Strategy<Value = Rule> {
    rule().prop_map(|rule| Rule {
        date: Values {
            text: "*".to_owned(),
            values: (1..=31).collect(),
        },
        month: Values {
            text: "*".to_owned(),
            values: (1..=12).collect(),
        },
        ..rule
    })
}

/// An instant near a change of the clocks, where there are any.
fn near_a_change(name: &str, year: i16, which: usize) -> Instant {
    let zone = TimeZoneDatabase::bundled().get(name).unwrap();
    let start = jiff::civil::date(year, 1, 1).at(0, 0, 0, 0);
    let start = TimeZone::UTC.to_timestamp(start).unwrap();
    let change = zone
        .following(start)
        .nth(which)
        .map_or(start, |change| change.timestamp());
    change - SignedDuration::from_hours(20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn around_changes_of_the_clocks_rules_agree_with_the_model(
        rule in frequent_rule(),
        zone in proptest::sample::select(&ZONES[..]),
        year in 1995_i16..2040,
        which in 0_usize..4,
    ) {
        let from = near_a_change(zone, if zone == "Pacific/Apia" { 2011 } else { year }, which);
        agree_at_any_moment(&rule, zone, from, from + SignedDuration::from_hours(44));
    }

    #[test]
    fn on_any_days_rules_agree_with_the_model(
        rule in rule(),
        zone in proptest::sample::select(&ZONES[..]),
        day in 9_000_i64..25_000,
    ) {
        prop_assume!(rule.text().parse::<Cron>().is_ok());
        let from = Instant::from_second(day * 86_400).unwrap();
        agree(&rule, zone, from, from + SignedDuration::from_hours(24 * 4));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the text, it is a rule that fires some day, or an error that has a place in it.
    #[test]
    fn any_text_is_a_rule_or_an_error(text in "([*?@0-9LW#,/-]{1,4}|MON|JAN|15W|FRI#2|[1-6]L|L-3|\\PC)( [*?0-9LW#,/-]{1,3}| \\*| [1-9]| SUN){0,5}") {
        let zone: Zone = "Australia/Lord_Howe".parse().unwrap();
        let now = Timestamp::from_millis(1_790_000_000_123);
        match text.parse::<Cron>() {
            Ok(cron) => {
                let next = cron.next_after(now, &zone).unwrap();
                let last = cron.last_before(now, &zone).unwrap();
                prop_assert!(last < now && now < next);
                prop_assert_eq!(cron.next_after(last, &zone), Some(next));
                prop_assert_eq!(cron.last_before(next, &zone), Some(last));
                prop_assert_eq!(text.trim(), cron.as_str());
            }
            Err(error) => {
                prop_assert!(error.offset + error.length <= text.chars().count());
                prop_assert!(!error.problem.is_empty() && !error.help.is_empty());
            }
        }
    }
}

fn fixed(text: &str) -> Values {
    let values = text
        .split(',')
        .map(|value| value.parse().unwrap())
        .collect();
    Values {
        text: text.to_owned(),
        values,
    }
}

fn any(low: i8, high: i8) -> Values {
    Values {
        text: "*".to_owned(),
        values: (low..=high).collect(),
    }
}

/// Three years, every minute of them.
#[test]
fn over_years_rules_agree_with_the_model() {
    let daily = |minute: &str, hour: &str| Rule {
        minute: fixed(minute),
        hour: fixed(hour),
        date: any(1, 31),
        month: any(1, 12),
        weekday: any(0, 6),
    };
    let rules = [
        daily("30", "2"),
        daily("0,45", "0,1,3"),
        Rule {
            hour: any(0, 23),
            ..daily("15", "0")
        },
        Rule {
            date: fixed("29,31"),
            weekday: fixed("0"),
            ..daily("10", "2")
        },
        Rule {
            date: fixed("29"),
            month: fixed("2"),
            ..daily("0", "0")
        },
    ];
    let from: Instant = "2023-12-31T00:00:00Z".parse().unwrap();
    let to: Instant = "2026-12-31T00:00:00Z".parse().unwrap();
    for zone in &ZONES[..4] {
        let history = history(zone, from, to);
        for rule in &rules {
            agree_with(rule, zone, &history, from, to);
        }
    }
}
