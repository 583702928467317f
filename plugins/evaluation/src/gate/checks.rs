//! What came of a check.

use super::options::Check;

/// A value held to its thresholds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) name: String,
    /// None where there is no value, which does not hold.
    pub(super) value: Option<f64>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
}

impl Verdict {
    pub(super) fn of(check: &Check) -> Self {
        Self {
            name: check.name.clone(),
            value: check.value.0,
            min: check.min,
            max: check.max,
        }
    }

    /// Whether there is a value, and it keeps the thresholds. NaN keeps none.
    pub(super) fn holds(&self) -> bool {
        self.value.is_some_and(|value| {
            !value.is_nan()
                && self.min.is_none_or(|min| value >= min)
                && self.max.is_none_or(|max| value <= max)
        })
    }

    /// Why it does not hold, in a few words.
    pub(super) fn reason(&self) -> String {
        let name = &self.name;
        let Some(value) = self.value else {
            return format!("{name} has no value");
        };
        match (self.min, self.max) {
            (Some(min), _) if value < min => format!("{name} is {value}, less than {min}"),
            (_, Some(max)) if value > max => format!("{name} is {value}, more than {max}"),
            _ => format!("{name} is {value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(value: Option<f64>, min: Option<f64>, max: Option<f64>) -> Verdict {
        Verdict {
            name: "x".to_owned(),
            value,
            min,
            max,
        }
    }

    #[test]
    fn thresholds_themselves_hold() {
        assert!(verdict(Some(0.2), Some(0.2), Some(0.2)).holds());
        assert!(verdict(Some(-5.0), None, Some(0.0)).holds());
        assert!(!verdict(Some(0.1), Some(0.2), None).holds());
    }

    #[test]
    fn what_is_no_number_never_holds() {
        for value in [None, Some(f64::NAN)] {
            assert!(!verdict(value, Some(f64::NEG_INFINITY), None).holds());
        }
        assert_eq!(verdict(None, Some(0.0), None).reason(), "x has no value");
        assert_eq!(
            verdict(Some(f64::NAN), Some(0.0), None).reason(),
            "x is NaN"
        );
    }

    #[test]
    fn reasons_name_value_and_threshold() {
        let below = verdict(Some(0.12), Some(0.2), Some(1.0));
        assert_eq!(below.reason(), "x is 0.12, less than 0.2");
        let above = verdict(Some(3.0), Some(0.2), Some(1.0));
        assert_eq!(above.reason(), "x is 3, more than 1");
    }
}
