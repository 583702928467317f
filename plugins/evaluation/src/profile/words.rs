//! Effects in words: a name for each segment, and a sentence that gives the reasons.

use marquetry_types::thousands;

use super::effects::{NumberEffect, Profiled, TextEffect};
use crate::assignment::Assignment;

/// Effects of medium size, as J. Cohen calls them, and more are worth a place in a name.
const MEDIUM: f64 = 0.5;

/// Large effects, as J. Cohen calls them.
const LARGE: f64 = 0.8;

/// A text value is worth a mention when it is so many times as frequent as overall …
const WORTHY_LIFT: f64 = 1.5;

/// … and so large a share of the segment has it.
const WORTHY_SHARE: f64 = 0.25;

/// What is said of a segment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Described {
    /// The share of all customers that is in it, 0 to 1.
    pub(super) share: f64,
    pub(super) name: String,
    pub(super) sentence: String,
}

/// Words for the columns of `features/customer`: what much of them makes of customers, and little.
const WORDS: [(&str, &str, &str); 13] = [
    ("recency_days", "lapsed", "recent"),
    ("tenure_days", "long-standing", "new"),
    ("frequency", "frequent", "infrequent"),
    ("monetary", "high-spending", "low-spending"),
    ("avg_order_value", "large-order", "small-order"),
    ("items", "many-item", "few-item"),
    ("distinct_products", "wide-range", "narrow-range"),
    ("gap_mean_days", "slow-returning", "quick-returning"),
    ("gap_std_days", "irregular", "regular"),
    ("weekend_share", "weekend", "weekday"),
    ("hour_sin", "morning", "evening"),
    ("hour_cos", "night", "midday"),
    ("cancel_rate", "often-cancelling", "rarely-cancelling"),
];

/// Describes every segment. Effects below `least` are not mentioned, nor more than `most` of them.
pub(super) fn describe(
    profiled: &Profiled,
    assignment: &Assignment,
    least: f64,
    most: usize,
) -> Vec<Described> {
    let segments = assignment.names.len();
    let total = assignment.rows.len();
    let mut described: Vec<Described> = Vec::with_capacity(segments);
    for segment in 0..segments {
        let mut effects = strongest(profiled, segment);
        effects.retain(|(_, _, d)| d.abs() >= least);
        let value = worthiest(profiled, segment);
        let mut name = propose(&effects, value);
        if segments == 1 {
            "all customers".clone_into(&mut name);
        }
        // A second segment of the same name gets the next thing to say of it.
        let mut more = effects.iter().skip(2);
        while described
            .iter()
            .any(|other| other.name == capitalised(&name))
        {
            match more.next() {
                Some((column, _, d)) => name = format!("{name}, {}", word(column, *d)),
                None => {
                    name = format!("{name} ({})", assignment.names.shown(segment));
                    break;
                }
            }
        }
        effects.truncate(most);
        let customers = assignment.sizes[segment];
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
        let share = customers as f64 / total.max(1) as f64;
        described.push(Described {
            share,
            name: capitalised(&name),
            sentence: sentence(customers, share, &effects, value, segments),
        });
    }
    described
}

/// The numeric effects on a segment, the largest first; of equal ones the first column.
fn strongest(profiled: &Profiled, segment: usize) -> Vec<(&str, &NumberEffect, f64)> {
    let mut effects: Vec<(&str, &NumberEffect, f64)> = profiled
        .numbers
        .iter()
        .filter_map(|(column, effects)| {
            let effect = effects.get(segment)?;
            Some((column.as_str(), effect, effect.d?))
        })
        .collect();
    effects.sort_by(|left, right| right.2.abs().total_cmp(&left.2.abs()));
    effects
}

/// The text value with the largest excess that is worth a mention.
fn worthiest(profiled: &Profiled, segment: usize) -> Option<(&str, &TextEffect)> {
    let excess =
        |effect: &TextEffect| effect.share.unwrap_or(0.0) - effect.overall_share.unwrap_or(0.0);
    let mut best: Option<(&str, &TextEffect)> = None;
    for (column, effects) in &profiled.texts {
        let Some(effect) = effects.get(segment) else {
            continue;
        };
        let is_worthy = effect.share.is_some_and(|share| share >= WORTHY_SHARE)
            && effect.lift().is_some_and(|lift| lift >= WORTHY_LIFT);
        if is_worthy && best.is_none_or(|(_, other)| excess(effect) > excess(other)) {
            best = Some((column, effect));
        }
    }
    best
}

/// A name of the two strongest effects of medium size, and of a text value where there are fewer.
fn propose(effects: &[(&str, &NumberEffect, f64)], value: Option<(&str, &TextEffect)>) -> String {
    let mut words: Vec<String> = effects
        .iter()
        .filter(|(_, _, d)| d.abs() >= MEDIUM)
        .take(2)
        .map(|(column, _, d)| word(column, *d))
        .collect();
    if words.len() < 2
        && let Some((
            column,
            TextEffect {
                value: Some(value), ..
            },
        )) = value
    {
        words.push(format!("{} {value}", readable(column)));
    }
    match (words.is_empty(), effects.first()) {
        (false, _) => words.join(", "),
        (true, Some((column, _, d))) => format!("slightly {}", word(column, *d)),
        (true, None) => "average".to_owned(),
    }
}

/// What much or little of a column makes of customers.
fn word(column: &str, d: f64) -> String {
    match WORDS.iter().find(|(name, ..)| *name == column) {
        Some((_, much, _)) if d > 0.0 => (*much).to_owned(),
        Some((_, _, little)) => (*little).to_owned(),
        None if d > 0.0 => format!("high {}", readable(column)),
        None => format!("low {}", readable(column)),
    }
}

/// A column's name as a person would write it; `top_country` is a country.
fn readable(column: &str) -> String {
    column
        .strip_prefix("top_")
        .unwrap_or(column)
        .replace('_', " ")
}

/// The reasons, in one sentence.
fn sentence(
    customers: usize,
    share: f64,
    effects: &[(&str, &NumberEffect, f64)],
    value: Option<(&str, &TextEffect)>,
    segments: usize,
) -> String {
    let plural = if customers == 1 {
        "customer"
    } else {
        "customers"
    };
    let who = format!(
        "{} {plural} ({:.1}% of all)",
        thousands(customers as u64),
        100.0 * share
    );
    if segments == 1 {
        return format!("{who}; there is no other segment to compare with.");
    }
    let mut reasons: Vec<String> = effects
        .iter()
        .filter_map(|(column, effect, d)| {
            let (mean, rest) = (effect.mean?, effect.rest_mean?);
            let how = match (d.abs(), *d > 0.0) {
                (LARGE.., true) => "much higher",
                (LARGE.., false) => "much lower",
                (MEDIUM.., true) => "higher",
                (MEDIUM.., false) => "lower",
                (_, true) => "slightly higher",
                (_, false) => "slightly lower",
            };
            Some(format!(
                "{column} is {how} (mean {} against {}, d {d:+.1})",
                figure(mean),
                figure(rest)
            ))
        })
        .collect();
    if let Some((column, effect)) = value
        && let (Some(value), Some(share), Some(lift)) = (&effect.value, effect.share, effect.lift())
    {
        let percent = 100.0 * share;
        reasons.push(format!(
            "{column} is {value} for {percent:.0}% of them, {lift:.1} times the share overall"
        ));
    }
    match reasons.split_last() {
        None => format!("{who}: much like the others in everything that was looked at."),
        Some((only, [])) => format!("{who}: {only}."),
        Some((last, others)) => format!("{who}: {}, and {last}.", others.join(", ")),
    }
}

/// A figure with three significant digits, or whole where it is large.
fn figure(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 100.0 || magnitude == 0.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude >= 0.01 {
        format!("{value:.2}")
    } else {
        format!("{value:.1e}")
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assignment::Names;

    fn effect(mean: f64, rest: f64, d: f64) -> NumberEffect {
        NumberEffect {
            count: 10,
            mean: Some(mean),
            median: Some(mean),
            overall_mean: Some(rest),
            rest_mean: Some(rest),
            d: Some(d),
        }
    }

    fn assignment(sizes: &[usize]) -> Assignment {
        let labels: Vec<u32> = (0..)
            .zip(sizes)
            .flat_map(|(segment, size)| vec![segment; *size])
            .collect();
        Assignment {
            rows: (0..labels.len()).collect(),
            labels,
            names: Names::Int((0..).take(sizes.len()).collect()),
            sizes: sizes.to_vec(),
        }
    }

    #[test]
    fn the_strongest_effects_make_the_name() {
        let profiled = Profiled {
            numbers: vec![
                (
                    "frequency".to_owned(),
                    vec![effect(12.4, 3.06, 1.9), effect(3.06, 12.4, -1.9)],
                ),
                (
                    "recency_days".to_owned(),
                    vec![effect(20.0, 130.0, -0.6), effect(130.0, 20.0, 0.6)],
                ),
                (
                    "monetary".to_owned(),
                    vec![effect(1234.5, 210.0, 1.2), effect(210.0, 1234.5, -0.1)],
                ),
            ],
            texts: vec![(
                "top_country".to_owned(),
                vec![
                    TextEffect {
                        count: 2,
                        value: Some("Germany".to_owned()),
                        share: Some(0.5),
                        overall_share: Some(0.2),
                    },
                    TextEffect {
                        count: 6,
                        value: None,
                        share: None,
                        overall_share: None,
                    },
                ],
            )],
        };
        let described = describe(&profiled, &assignment(&[2, 6]), 0.2, 4);
        assert_eq!(described[0].name, "Frequent, high-spending");
        assert_eq!(
            described[0].sentence,
            "2 customers (25.0% of all): frequency is much higher (mean 12.4 against 3.06, d +1.9), \
             monetary is much higher (mean 1234 against 210, d +1.2), \
             recency_days is lower (mean 20.0 against 130, d -0.6), \
             and top_country is Germany for 50% of them, 2.5 times the share overall."
        );
        assert_eq!(described[1].name, "Infrequent, lapsed");
        assert!(
            !described[1].sentence.contains("monetary"),
            "{}",
            described[1].sentence
        );
    }

    #[test]
    fn segments_alike_get_different_names() {
        let twice = |d: f64| {
            vec![
                effect(5.0, 1.0, d),
                effect(5.0, 1.0, d),
                effect(5.0, 1.0, d),
            ]
        };
        let profiled = Profiled {
            numbers: vec![
                ("frequency".to_owned(), twice(1.0)),
                ("monetary".to_owned(), twice(0.9)),
                ("basket_size".to_owned(), twice(0.3)),
            ],
            texts: Vec::new(),
        };
        let described = describe(&profiled, &assignment(&[1, 1, 1]), 0.2, 4);
        let names: Vec<&str> = described
            .iter()
            .map(|described| described.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "Frequent, high-spending",
                "Frequent, high-spending, high basket size",
                "Frequent, high-spending, high basket size (segment 2)",
            ]
        );
    }

    #[test]
    fn what_differs_in_nothing_is_average() {
        let described = describe(&Profiled::default(), &assignment(&[3, 1]), 0.2, 4);
        assert_eq!(described[0].name, "Average");
        assert_eq!(
            described[1].sentence,
            "1 customer (25.0% of all): much like the others in everything that was looked at."
        );
        let alone = describe(&Profiled::default(), &assignment(&[3]), 0.2, 4);
        assert_eq!(alone[0].name, "All customers");
        assert_eq!(
            alone[0].sentence,
            "3 customers (100.0% of all); there is no other segment to compare with."
        );
    }
}
