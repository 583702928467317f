//! Figures out of JSON that this repository's own programs and scripts print: enough of a reader for that,
//! and it spares this program a JSON library.

/// The text or number behind the first `"key":`.
pub(super) fn value<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let (_, after) = json.split_once(&format!("\"{key}\":"))?;
    let after = after.trim_start();
    match after.strip_prefix('"') {
        Some(text) => text.split('"').next(),
        None => after.split([',', '}', ']', '\n']).next().map(str::trim),
    }
}

/// The number behind the first `"key":`.
pub(super) fn number(json: &str, key: &str) -> Option<f64> {
    value(json, key)?.parse().ok()
}

/// Names and seconds of the stages of a run, in the order of `marquetry show --output json`: those of the
/// attempt that is listed first.
pub(super) fn stages(show: &str) -> Vec<(String, f64)> {
    let after_name = show.split("\"name\":").skip(1);
    after_name
        .filter_map(|stage| {
            let name = stage.split('"').nth(1)?;
            let began = time_of_day(value(stage, "started_at")?)?;
            let ended = time_of_day(value(stage, "finished_at")?)?;
            Some((name.to_owned(), (ended - began).rem_euclid(86_400.0)))
        })
        .collect()
}

/// Seconds since midnight of `2026-11-24T15:56:42.877Z`.
fn time_of_day(moment: &str) -> Option<f64> {
    let (_, time) = moment.trim_end_matches('Z').split_once('T')?;
    let mut parts = time.split(':').map(str::parse::<f64>);
    let mut next = || parts.next()?.ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}

/// The middle one; of an even number, the mean of the two in the middle. 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    let half = values.len() / 2;
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => at(half),
        _ => f64::midpoint(at(half - 1), at(half)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_their_keys() {
        let line = r#"{"case": "km1", "seconds":0.25, "phases": {"total": 6.5}}"#;
        assert_eq!(value(line, "case"), Some("km1"));
        assert_eq!(number(line, "seconds"), Some(0.25));
        assert_eq!(number(line, "total"), Some(6.5));
        assert_eq!(number(line, "inertia"), None);
    }

    #[test]
    fn stages_are_timed_across_midnight() {
        let show = r#"{"id": "01", "stages": [
            {"name": "orders", "attempts": [{"worker": "local", "started_at": "2026-11-24T23:59:59.900Z",
             "finished_at": "2026-11-25T00:00:00.150Z"}]},
            {"name": "skipped", "attempts": []}]}"#;
        let [(name, seconds)] = &stages(show)[..] else {
            unreachable!("one stage ran")
        };
        assert_eq!(name, "orders");
        assert!((seconds - 0.25).abs() < 1e-6, "{seconds}");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0]).to_bits(), 2.5_f64.to_bits());
        assert_eq!(median(Vec::new()).to_bits(), 0.0_f64.to_bits());
    }
}
