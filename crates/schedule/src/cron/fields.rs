//! The text of one field as a set of values: bit `n` of a number for the value `n`.

use super::days::Days;
use super::error::{CronError, Field};

/// A part of a rule that knows its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'t> {
    pub(super) text: &'t str,
    /// Characters of the rule before it.
    offset: usize,
}

impl<'t> Part<'t> {
    pub(super) const fn new(text: &'t str, offset: usize) -> Self {
        Self { text, offset }
    }

    /// The parts between blanks.
    pub(super) fn words(&self) -> Vec<Self> {
        let words = self.split(char::is_whitespace).into_iter();
        words.filter(|word| !word.text.is_empty()).collect()
    }

    /// The parts between separators of one character each.
    fn split(&self, is_separator: impl Fn(char) -> bool) -> Vec<Self> {
        let mut offset = self.offset;
        let pieces = self.text.split(is_separator);
        pieces
            .map(|text| {
                let part = Self::new(text, offset);
                offset += text.chars().count() + 1;
                part
            })
            .collect()
    }

    /// What stands before and after the first such character.
    fn split_once(&self, separator: char) -> Option<(Self, Self)> {
        let (before, after) = self.text.split_once(separator)?;
        let offset = self.offset + before.chars().count() + 1;
        Some((Self::new(before, self.offset), Self::new(after, offset)))
    }

    /// The part without an ending, of either case.
    fn without(&self, ending: &str) -> Option<Self> {
        let at = self.text.len().checked_sub(ending.len())?;
        let (before, last) = self.text.split_at_checked(at)?;
        last.eq_ignore_ascii_case(ending)
            .then(|| Self::new(before, self.offset))
    }

    pub(super) fn error(
        &self,
        field: Option<Field>,
        problem: String,
        help: impl Into<String>,
    ) -> CronError {
        CronError {
            field,
            problem,
            help: help.into(),
            offset: self.offset,
            length: self.text.chars().count(),
        }
    }

    /// That the field takes something else.
    fn refuse(&self, field: Field, problem: impl Into<String>) -> CronError {
        self.error(Some(field), problem.into(), field.takes())
    }
}

/// A text in backticks as it can stand in a message: on one line, and at most 40 characters.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(40)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(40).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// A field of values, ranges and steps.
pub(super) fn plain(field: Field, part: &Part<'_>) -> Result<u64, CronError> {
    let mut values = 0;
    for item in part.split(|c| c == ',') {
        values |= range(field, &item)?;
    }
    Ok(values)
}

/// The days of the month.
pub(super) fn dates(part: &Part<'_>, days: &mut Days) -> Result<(), CronError> {
    let field = Field::DayOfMonth;
    if part.text == "?" {
        days.dates = all(field);
        return Ok(());
    }
    for item in part.split(|c| c == ',') {
        if item.text.eq_ignore_ascii_case("L") {
            days.before_last |= 1;
        } else if item.text.eq_ignore_ascii_case("LW") {
            days.last_workday = true;
        } else if let Some((last, before)) = item.split_once('-')
            && last.text.eq_ignore_ascii_case("L")
        {
            let count = number(&before).filter(|count| (1..=30).contains(count));
            let count = count.ok_or_else(|| {
                let problem = format!("{} is no day before the last", quoted(item.text));
                item.error(Some(field), problem, "write `L-1` to `L-30`")
            })?;
            days.before_last |= 1 << count;
        } else if let Some(day) = item.without("W") {
            days.nearest_workdays |= 1 << value(field, &day)?;
        } else {
            days.dates |= range(field, &item)?;
        }
    }
    Ok(())
}

/// The days of the week.
pub(super) fn weekdays(part: &Part<'_>, days: &mut Days) -> Result<(), CronError> {
    let field = Field::DayOfWeek;
    if part.text == "?" {
        days.weekdays = all(field);
        return Ok(());
    }
    for item in part.split(|c| c == ',') {
        if let Some((weekday, nth)) = item.split_once('#') {
            let weekday = value(field, &weekday)? % 7;
            let index = number(&nth).and_then(|nth| usize::from(nth).checked_sub(1));
            let slot = index.and_then(|index| days.nth_weekdays.get_mut(index));
            let slot = slot.ok_or_else(|| {
                let problem = format!("{} does not say which of a month", quoted(item.text));
                item.error(
                    Some(field),
                    problem,
                    "after `#` stands 1 to 5; the last is `L`, as in `FRIL`",
                )
            })?;
            *slot |= 1 << weekday;
        } else if let Some(weekday) = item.without("L").filter(|day| !day.text.is_empty()) {
            days.last_weekdays |= 1 << (value(field, &weekday)? % 7);
        } else {
            days.weekdays |= range(field, &item)?;
        }
    }
    Ok(())
}

/// `*`, `5`, `1-5`, each perhaps with a step.
fn range(field: Field, part: &Part<'_>) -> Result<u64, CronError> {
    let (base, step) = match part.split_once('/') {
        Some((base, step)) => (base, Some(step)),
        None => (*part, None),
    };
    let (low, high) = if base.text == "*" {
        (field.low(), field.high())
    } else if let Some((low, high)) = base.split_once('-') {
        bounds(field, &base, &low, &high)?
    } else {
        let single = value(field, &base)?;
        if step.is_some() {
            let problem = format!("{} has a step and no range", quoted(part.text));
            let rest = part.text.trim_start_matches(|c| c != '/');
            let help = format!("write `{single}-{}{rest}`, or `*{rest}`", field.high());
            return Err(part.error(Some(field), problem, help));
        }
        (single, single)
    };
    let step = step.map_or(Ok(1), |step| self::step(field, part, &step))?;
    let values = (low..=high).step_by(usize::from(step));
    // Sunday has two numbers.
    let folded = values.map(|value| match field {
        Field::DayOfWeek => value % 7,
        _ => value,
    });
    Ok(folded.fold(0, |set, value| set | 1 << value))
}

fn bounds(
    field: Field,
    part: &Part<'_>,
    low: &Part<'_>,
    high: &Part<'_>,
) -> Result<(u8, u8), CronError> {
    let low = value(field, low)?;
    let high = match value(field, high)? {
        // `SAT-SUN` ends with the Sunday after.
        0 if field == Field::DayOfWeek && low > 0 => 7,
        high => high,
    };
    if low <= high {
        return Ok((low, high));
    }
    let problem = format!("the range {} runs backwards", quoted(part.text));
    let help = format!("write `{low}-{},{}-{high}`", field.high(), field.low());
    Err(part.error(Some(field), problem, help))
}

fn step(field: Field, whole: &Part<'_>, part: &Part<'_>) -> Result<u8, CronError> {
    let longest = field.high() - field.low();
    match number(part) {
        Some(0) => {
            let problem = format!("{} has a step of 0", quoted(whole.text));
            Err(part.error(Some(field), problem, "a step is at least 1"))
        }
        Some(step) if step <= longest => Ok(step),
        _ if part.text.is_empty() || !part.text.bytes().all(|byte| byte.is_ascii_digit()) => {
            let problem = format!("{} is no step", quoted(part.text));
            let help = "a step is a whole number after `/`, as in `*/5`";
            Err(part.error(Some(field), problem, help))
        }
        _ => {
            let problem = format!("the step {} is beyond {longest}", quoted(part.text));
            let interval = |unit: &str| {
                let step = quoted(&format!("every: {}{unit}", part.text));
                format!(
                    "a step counts anew in each hour, day, month or year; for an interval write {step}"
                )
            };
            let help = match field {
                Field::Minute => interval("m"),
                Field::Hour => interval("h"),
                Field::DayOfMonth => interval("d"),
                Field::Month | Field::DayOfWeek => field.takes().to_owned(),
            };
            Err(part.error(Some(field), problem, help))
        }
    }
}

/// A number or a name.
fn value(field: Field, part: &Part<'_>) -> Result<u8, CronError> {
    if part.text.is_empty() {
        return Err(part.refuse(field, "a value is missing"));
    }
    let mut names = field.names().iter();
    if let Some(index) = names.position(|name| name.eq_ignore_ascii_case(part.text)) {
        let index = u8::try_from(index).unwrap_or(u8::MAX);
        return Ok(index.saturating_add(field.low()));
    }
    if !part.text.bytes().all(|byte| byte.is_ascii_digit()) {
        let problem = format!("{} is no {}", quoted(part.text), field.name());
        return Err(part.refuse(field, problem));
    }
    let high = match field {
        Field::DayOfWeek => 7,
        _ => field.high(),
    };
    match number(part) {
        Some(number) if (field.low()..=high).contains(&number) => Ok(number),
        Some(number) if number < field.low() => {
            let problem = format!("{} is below {}", quoted(part.text), field.low());
            Err(part.refuse(field, problem))
        }
        _ => {
            let problem = format!("{} is above {high}", quoted(part.text));
            Err(part.refuse(field, problem))
        }
    }
}

/// Digits only: no sign, no blank.
fn number(part: &Part<'_>) -> Option<u8> {
    let digits = part.text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| part.text.parse().ok()).flatten()
}

fn all(field: Field) -> u64 {
    (field.low()..=field.high()).fold(0, |set, value| set | 1 << value)
}
