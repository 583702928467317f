//! What a schedule asks for, whenever it is asked.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use marquetry_schedule::{
    BackfillError, CatchUp, Every, Jitter, ON_TIME, Occurrence, Schedule, When,
};
use marquetry_types::Timestamp;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn later(instant: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_millis(instant.as_millis() + seconds * 1_000)
}

fn cron(rule: &str) -> Schedule {
    Schedule::new(When::Cron(rule.parse().unwrap()))
}

fn every(seconds: u64) -> Schedule {
    Schedule::new(When::Every(
        Every::new(Duration::from_secs(seconds)).unwrap(),
    ))
}

fn times(occurrences: &[Occurrence]) -> Vec<Timestamp> {
    occurrences.iter().map(|occurrence| occurrence.at).collect()
}

const MIDNIGHT: &str = "2026-11-28T00:00:00Z";

#[test]
fn the_data_interval_ends_at_the_occurrence_and_begins_at_the_one_before() {
    // As in Airflow ("Data Interval"): a daily run covers the day before, and starts when it has ended.
    let due = cron("@daily").due(at("2026-11-27T12:00:00Z"), at("2026-11-28T00:00:03Z"));
    let day = Occurrence {
        at: at(MIDNIGHT),
        interval_start: at("2026-11-27T00:00:00Z"),
        interval_end: at(MIDNIGHT),
    };
    assert_eq!(due.occurrences, [day]);
    assert_eq!(
        (due.next, due.missed),
        (Some(at("2026-11-29T00:00:00Z")), 0)
    );
    // On the day when clocks change it has 23 hours.
    let mut london = cron("0 0 * * *");
    london.timezone = "Europe/London".parse().unwrap();
    let due = london.due(at("2026-03-29T12:00:00Z"), at("2026-03-30T12:00:00Z"));
    let interval = due.occurrences[0]
        .interval_end
        .saturating_since(due.occurrences[0].interval_start);
    assert_eq!(interval, Duration::from_secs(23 * 3600));
}

#[test]
fn what_was_missed_is_skipped_made_once_or_made_up_for() {
    let (last, now) = (at("2026-11-28T00:00:00Z"), at("2026-11-28T05:30:00Z"));
    let due = |catch_up| {
        let mut schedule = cron("0 * * * *");
        schedule.catch_up = catch_up;
        let due = schedule.due(last, now);
        assert_eq!(due.next, Some(at("2026-11-28T06:00:00Z")));
        (
            times(&due.occurrences)
                .iter()
                .map(|at| at.to_string()[11..13].to_owned())
                .collect::<Vec<_>>(),
            due.missed,
        )
    };
    assert_eq!(due(CatchUp::Skip), (vec![], 5));
    assert_eq!(due(CatchUp::Latest), (vec!["05".to_owned()], 4));
    let (all, missed) = due(CatchUp::All { limit: 3 });
    assert_eq!(
        (all, missed),
        (vec!["03".to_owned(), "04".to_owned(), "05".to_owned()], 2)
    );
    assert_eq!(due(CatchUp::All { limit: 100 }).1, 0);
}

#[test]
fn what_is_noticed_within_a_minute_is_on_time() {
    let mut schedule = cron("0 * * * *");
    schedule.catch_up = CatchUp::Skip;
    let (before, hour) = (at("2026-11-28T04:59:50Z"), at("2026-11-28T05:00:00Z"));
    assert_eq!(times(&schedule.due(before, hour).occurrences), [hour]);
    let late = hour.saturating_add(ON_TIME);
    assert_eq!(times(&schedule.due(before, late).occurrences), [hour]);
    let due = schedule.due(before, later(late, 1));
    assert_eq!((due.occurrences.len(), due.missed), (0, 1));
}

#[test]
fn nothing_occurs_outside_the_bounds() {
    let mut schedule = cron("0 0 * * *");
    schedule.from = Some(at("2026-11-10T00:00:00Z"));
    schedule.to = Some(at("2026-11-13T00:00:00Z"));
    schedule.catch_up = CatchUp::All { limit: 100 };
    let due = schedule.due(at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    let days = [
        "2026-11-10T00:00:00Z",
        "2026-11-11T00:00:00Z",
        "2026-11-12T00:00:00Z",
    ]
    .map(at);
    assert_eq!(times(&due.occurrences), days);
    assert_eq!((due.next, due.missed), (None, 0));
    let due = schedule.due(at("2026-11-01T00:00:00Z"), at("2026-11-05T00:00:00Z"));
    assert_eq!((due.occurrences.len(), due.next), (0, Some(days[0])));
    // An interval counts from there.
    let mut schedule = every(3_600);
    schedule.from = Some(at("2026-11-28T00:20:00Z"));
    let due = schedule.due(at(MIDNIGHT), at("2026-11-28T00:30:00Z"));
    assert_eq!(times(&due.occurrences), [at("2026-11-28T00:20:00Z")]);
    assert_eq!(due.next, Some(at("2026-11-28T01:20:00Z")));
}

#[test]
fn a_clock_that_goes_back_asks_for_nothing_again() {
    let schedule = cron("0 * * * *");
    let due = schedule.due(at("2026-11-28T05:30:00Z"), at("2026-11-28T03:30:00Z"));
    assert_eq!((due.occurrences.len(), due.missed), (0, 0));
    assert_eq!(due.until, at("2026-11-28T05:30:00Z"));
    assert_eq!(due.next, Some(at("2026-11-28T06:00:00Z")));
}

#[test]
fn a_rule_that_nobody_asked_for_since_1970_is_answered_at_once() {
    let mut schedule = cron("* * * * *");
    schedule.timezone = "America/New_York".parse().unwrap();
    let due = schedule.due(Timestamp::default(), at(MIDNIGHT));
    assert_eq!(
        (times(&due.occurrences), due.missed),
        (vec![at(MIDNIGHT)], 100_000)
    );
    assert_eq!(due.until, at(MIDNIGHT));
}

#[test]
fn a_jitter_moves_the_moment_and_not_the_occurrence() {
    let mut schedule = cron("0 * * * *");
    let jitter = Jitter {
        up_to: Duration::from_secs(600),
        seed: 7,
    };
    schedule.jitter = Some(jitter);
    let delay = jitter.delay();
    assert!(delay > Duration::ZERO && delay <= jitter.up_to);
    let hour = at("2026-11-28T05:00:00Z");
    let moment = hour.saturating_add(delay);
    let early = schedule.due(
        at("2026-11-28T04:30:00Z"),
        Timestamp::from_millis(moment.as_millis() - 1),
    );
    assert_eq!((early.occurrences.len(), early.next), (0, Some(moment)));
    let due = schedule.due(early.until, moment);
    assert_eq!((times(&due.occurrences), due.missed), (vec![hour], 0));
    // What was told last can be handed in as well.
    assert_eq!(schedule.due(hour, moment).occurrences, []);
    let delays: std::collections::BTreeSet<_> = (0..100)
        .map(|seed| Jitter { seed, ..jitter }.delay())
        .collect();
    assert!(delays.len() > 95, "{}", delays.len());
    let all = Jitter {
        up_to: Duration::MAX,
        seed: 7,
    };
    let _ = all.delay();
}

#[test]
fn the_past_is_listed_by_its_data_intervals() {
    let schedule = cron("0 3 * * *");
    let (from, to) = (at("2026-11-01T00:00:00Z"), at("2026-11-05T03:00:00Z"));
    let all = schedule.backfill(from, to, 10).unwrap();
    assert_eq!(all[0].interval_start, at("2026-11-01T03:00:00Z"));
    assert_eq!(all[0].at, at("2026-11-02T03:00:00Z"));
    assert_eq!(all.last().unwrap().at, to);
    assert_eq!(all.len(), 4);
    let too_many = schedule.backfill(from, to, 3).unwrap_err();
    assert_eq!(
        too_many.to_string(),
        "there are more than 3 occurrences from 2026-11-01T00:00:00.000Z to 2026-11-05T03:00:00.000Z; take a shorter time"
    );
    assert_eq!(
        schedule.backfill(to, to, 3),
        Err(BackfillError::Empty { from: to, to })
    );
    assert_eq!(
        schedule.backfill(from, later(from, 3_600), 3),
        Ok(Vec::new())
    );
    // The bounds say when it runs by itself.
    let bounded = Schedule {
        from: Some(to),
        ..schedule
    };
    assert_eq!(bounded.backfill(from, to, 10).unwrap(), all);
}

#[test]
fn a_schedule_is_the_same_after_a_journal() {
    let mut schedule = cron("0 3 * * MON-FRI");
    schedule.timezone = "Europe/Berlin".parse().unwrap();
    schedule.catch_up = CatchUp::All { limit: 5 };
    schedule.jitter = Some(Jitter {
        up_to: Duration::from_secs(60),
        seed: u64::MAX,
    });
    let json = serde_json::to_string(&schedule).unwrap();
    assert_eq!(
        json,
        r#"{"when":{"cron":"0 3 * * MON-FRI"},"timezone":"Europe/Berlin","catch_up":{"all":{"limit":5}},"jitter":{"up_to":{"secs":60,"nanos":0},"seed":18446744073709551615}}"#
    );
    assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), schedule);
    let shortest = r#"{"when":{"every":900000}}"#;
    assert_eq!(
        serde_json::from_str::<Schedule>(shortest).unwrap(),
        every(900)
    );
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let rules = vec![
        "0 * * * *",
        "*/7 * * * *",
        "30 1 * * *",
        "15,45 1-3 * * *",
        "0 0 L * *",
        "30 2 * * SUN",
    ];
    let zones = vec![
        "Europe/London",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
    ];
    let rule = proptest::sample::select(rules).prop_map(cron);
    let interval = (1_u64..100_000).prop_map(every);
    let when = prop_oneof![3 => rule, 1 => interval];
    let jitter = proptest::option::of((0_u64..7_200).prop_map(|seconds| Jitter {
        up_to: Duration::from_secs(seconds),
        seed: seconds,
    }));
    (when, proptest::sample::select(zones), jitter).prop_map(|(schedule, zone, jitter)| Schedule {
        timezone: zone.parse().unwrap(),
        jitter,
        ..schedule
    })
}

/// All occurrences in `(from, to]`, one after the other.
fn in_order(schedule: &Schedule, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let mut all = Vec::new();
    let mut at = from;
    while let Some(next) = schedule.occurrence_after(at).filter(|next| *next <= to) {
        assert!(next > at);
        all.push(next);
        at = next;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Asked at any instants, in any order, by who remembers either what it was told to or the last
    /// occurrence: nothing is lost, doubled or out of order.
    #[test]
    fn every_occurrence_is_told_once(
        schedule in schedule(),
        start in 1_760_000_000_i64..1_780_000_000,
        steps in proptest::collection::vec((-20_000_i64..60_000, any::<bool>()), 1..30),
    ) {
        let schedule = Schedule { catch_up: CatchUp::All { limit: u32::MAX }, ..schedule };
        let start = Timestamp::from_millis(start * 1_000);
        let (mut last, mut now, mut told) = (start, start, Vec::new());
        for (seconds, remembers_occurrence) in steps {
            now = later(now, seconds);
            let due = schedule.due(last, now);
            prop_assert_eq!(due.missed, 0);
            prop_assert!(due.next.is_some_and(|next| next > now));
            for occurrence in &due.occurrences {
                prop_assert_eq!(occurrence.at, occurrence.interval_end);
                let next = schedule.occurrence_after(occurrence.interval_start);
                prop_assert_eq!(next, Some(occurrence.at));
            }
            told.extend(times(&due.occurrences));
            last = match due.occurrences.last() {
                Some(newest) if remembers_occurrence => newest.at,
                _ => due.until,
            };
        }
        prop_assert_eq!(told, in_order(&schedule, start, last));
    }

    /// Whatever is not made is counted.
    #[test]
    fn every_occurrence_is_made_or_missed(
        schedule in schedule(),
        start in 1_760_000_000_i64..1_780_000_000,
        steps in proptest::collection::vec(0_i64..60_000, 1..30),
        catch_up in proptest::sample::select(vec![CatchUp::Skip, CatchUp::Latest, CatchUp::All { limit: 2 }]),
    ) {
        let schedule = Schedule { catch_up, ..schedule };
        let start = Timestamp::from_millis(start * 1_000);
        let (mut last, mut now, mut made, mut missed) = (start, start, Vec::new(), 0);
        for seconds in steps {
            now = later(now, seconds);
            let due = schedule.due(last, now);
            made.extend(times(&due.occurrences));
            missed += due.missed;
            last = due.until;
        }
        let all = in_order(&schedule, start, last);
        prop_assert_eq!(made.len() as u64 + missed, all.len() as u64);
        prop_assert!(made.is_sorted_by(|one, other| one < other));
        prop_assert!(made.iter().all(|at| all.binary_search(at).is_ok()));
    }

    /// Whoever asks when it is told to makes every occurrence at its moment, whatever the catch-up.
    #[test]
    fn asking_when_told_to_misses_nothing(schedule in schedule(), start in 1_760_000_000_i64..1_780_000_000) {
        let schedule = Schedule { catch_up: CatchUp::Skip, ..schedule };
        let start = Timestamp::from_millis(start * 1_000);
        let mut due = schedule.due(start, start);
        for _ in 0..10 {
            due = schedule.due(due.until, due.next.unwrap());
            prop_assert_eq!((due.occurrences.len(), due.missed), (1, 0));
        }
    }

    /// The list of the past is what would have been made, by intervals.
    #[test]
    fn backfill_joins_intervals(schedule in schedule(), start in 1_760_000_000_i64..1_780_000_000, hours in 1_i64..200) {
        let start = Timestamp::from_millis(start * 1_000);
        let end = later(start, hours * 3_600);
        let all = schedule.backfill(start, end, usize::MAX).unwrap();
        let expected = in_order(&schedule, Timestamp::from_millis(start.as_millis() - 1), end);
        prop_assert_eq!(times(&all), expected.get(1..).unwrap_or_default());
        for pair in all.windows(2) {
            prop_assert_eq!(pair[0].interval_end, pair[1].interval_start);
        }
    }
}
