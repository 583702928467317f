//! Counts as people read them.

/// An integer with commas between its thousands: `541,909`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_stands_before_every_third_digit_from_the_end() {
        let shown = [0, 999, 1_000, 541_909, 1_234_567].map(thousands);
        assert_eq!(shown, ["0", "999", "1,000", "541,909", "1,234,567"]);
    }
}
