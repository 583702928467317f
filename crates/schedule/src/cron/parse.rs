//! A text as a rule: its five fields, and what they say together.

use super::Cron;
use super::days::Days;
use super::error::{CronError, Field};
use super::fields::{self, Part};

/// Names for whole rules, as crontab(5) has them.
const NAMED: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

const SHAPE: &str = "write minute, hour, day of month, month and day of week, as in `0 3 * * *`";

pub(super) fn parse(text: &str) -> Result<Cron, CronError> {
    let rule = text.trim();
    let offset = text.chars().take_while(|c| c.is_whitespace()).count();
    let whole = Part::new(rule, offset);
    if rule.starts_with('@') {
        let named = NAMED
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(rule));
        let Some((_, meaning)) = named else {
            return Err(whole.error(None, unknown_name(rule), names_help(rule)));
        };
        let mut cron = fields_of(&Part::new(meaning, 0))?;
        rule.clone_into(&mut cron.text);
        return Ok(cron);
    }
    fields_of(&whole)
}

fn unknown_name(rule: &str) -> String {
    format!("there is no rule {}", fields::quoted(rule))
}

fn names_help(rule: &str) -> String {
    if rule.eq_ignore_ascii_case("@reboot") {
        return "a schedule goes by time only: nothing is restarted that it could follow"
            .to_owned();
    }
    let names = NAMED.map(|(name, _)| format!("`{name}`"));
    format!("the rules with names are {}", names.join(", "))
}

fn fields_of(whole: &Part<'_>) -> Result<Cron, CronError> {
    let parts = whole.words();
    let [minute, hour, date, month, weekday] = parts.as_slice() else {
        return Err(wrong_count(whole, &parts));
    };
    let mut days = Days::default();
    let minutes = fields::plain(Field::Minute, minute)?;
    let hours = fields::plain(Field::Hour, hour)?;
    fields::dates(date, &mut days)?;
    let months = fields::plain(Field::Month, month)?;
    fields::weekdays(weekday, &mut days)?;
    days.either = !takes_any(date) && !takes_any(weekday);
    if !is_possible(&days, months) {
        let problem = "no month that it names has such a day".to_owned();
        let help = "February has 28 or 29 days, April, June, September and November have 30; `L` is the last day of any month";
        return Err(date.error(Some(Field::DayOfMonth), problem, help));
    }
    Ok(Cron {
        text: whole.text.to_owned(),
        minutes,
        hours,
        days,
        months,
        goes_by_the_clock: takes_any(minute) || takes_any(hour),
    })
}

/// Whether the field does not restrict, by its first character, as Vixie cron decides it: `*/2` does not.
fn takes_any(part: &Part<'_>) -> bool {
    part.text.starts_with(['*', '?'])
}

fn wrong_count(whole: &Part<'_>, parts: &[Part<'_>]) -> CronError {
    let first = parts.first().map_or("", |part| part.text);
    if first.contains('=') {
        let problem = format!("{} is no minute", fields::quoted(first));
        return whole.error(
            None,
            problem,
            "leave it out: the time zone is said beside the rule",
        );
    }
    let problem = match parts.len() {
        0 => "the rule is empty".to_owned(),
        count => format!("a rule has 5 fields, and this has {count}"),
    };
    let help = match parts.len() {
        6 | 7 => format!("{SHAPE}; there are no fields for seconds and years"),
        _ => SHAPE.to_owned(),
    };
    whole.error(None, problem, help)
}

/// Whether there ever is such a day. The calendar repeats itself after 400 years, in which each month, of
/// leap years too, begins with each day of the week.
fn is_possible(days: &Days, months: u64) -> bool {
    (1..=12)
        .filter(|month| months >> month & 1 == 1)
        .any(|month| {
            let lengths: &[u32] = match month {
                2 => &[28, 29],
                4 | 6 | 9 | 11 => &[30],
                _ => &[31],
            };
            let of_length = |length: &u32| (0..7).any(|first| days.of_month(*length, first) != 0);
            lengths.iter().any(of_length)
        })
}
