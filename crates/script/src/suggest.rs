//! "Did you mean": the nearest of a few known names.

/// The candidate most like `name`, if one is alike enough to be what was meant: equal but for case,
/// or few edits away (a transposition counts as one; none in a name of one letter, one in a short
/// name, up to a third of a long one).
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Distances cost the product of the lengths, and nobody meant a name as long as this.
    if name.chars().count() > 64 {
        return None;
    }
    let lower = name.to_lowercase();
    // A name of one letter is like every other of one letter.
    let allowed = match lower.chars().count() {
        0 | 1 => 0,
        length => (length / 3).max(1),
    };
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The names in backticks, the first twenty of many.
#[must_use]
pub fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(20)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = names.len().saturating_sub(shown.len());
    if more == 0 {
        shown.join(", ")
    } else {
        format!("{} and {more} more", shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typing_error_finds_its_name_and_a_stranger_finds_nothing() {
        let names = ["orders", "customers", "k"];
        assert_eq!(nearest("oders", names), Some("orders"));
        assert_eq!(nearest("Customers", names), Some("customers"));
        assert_eq!(nearest("cutsomers", names), Some("customers"));
        assert_eq!(nearest("silhouette", names), None);
        assert_eq!(nearest("K", names), Some("k"));
        assert_eq!(nearest("x", names), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), names), None);
    }
}
