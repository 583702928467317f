//! Mean, spread and range of numbers, and the size of the difference between two groups.

/// What is known of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// How many there are.
    pub count: usize,
    /// Their mean; 0 of none.
    pub mean: f64,
    /// The sum of their squared differences from the mean.
    pub squares: f64,
    /// The least; infinity of none.
    pub min: f64,
    /// The largest; minus infinity of none.
    pub max: f64,
}

impl Moments {
    /// The moments of finite numbers, in two passes and in their order.
    ///
    /// Sums are taken of differences from the first number, so that numbers that are all equal have
    /// exactly their mean and no spread.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn of(numbers: &[f64]) -> Self {
        let origin = numbers.first().copied().unwrap_or(0.0);
        let (mut min, mut max, mut total) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
        for number in numbers {
            min = min.min(*number);
            max = max.max(*number);
            total += number - origin;
        }
        let count = numbers.len();
        let mean = origin + total / count.max(1) as f64;
        let (mut squares, mut rest) = (0.0, 0.0);
        for number in numbers {
            let difference = number - mean;
            squares += difference * difference;
            rest += difference;
        }
        // What rounding the mean adds to the squares (T. Chan, G. Golub, R. LeVeque, 1983).
        squares -= rest * rest / count.max(1) as f64;
        Self {
            count,
            mean,
            squares: squares.max(0.0),
            min,
            max,
        }
    }

    /// The moments of two sets of numbers together (T. Chan, G. Golub and R. LeVeque, 1983).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn merged(&self, other: &Self) -> Self {
        let count = self.count + other.count;
        let share = other.count as f64 / count.max(1) as f64;
        let difference = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + difference * share,
            squares: self.squares
                + other.squares
                + difference * difference * share * self.count as f64,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    /// The population standard deviation (divided by the count), as `StandardScaler` uses; 0 of none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn population_std(&self) -> f64 {
        (self.squares / self.count.max(1) as f64).sqrt()
    }

    /// The sample standard deviation (divided by the count less one); none of fewer than two.
    #[must_use]
    pub fn sample_std(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        (self.count >= 2).then(|| (self.squares / (self.count - 1) as f64).sqrt())
    }
}

/// Cohen's d: the difference of two groups' means in units of their pooled standard deviation.
///
/// J. Cohen, *Statistical Power Analysis for the Behavioral Sciences*, 1988: 0.2 is small, 0.5
/// medium, 0.8 large. None where a group is empty, there are fewer than three numbers, or nothing
/// varies within the groups.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn cohens_d(group: &Moments, rest: &Moments) -> Option<f64> {
    if group.count == 0 || rest.count == 0 || group.count + rest.count < 3 {
        return None;
    }
    let freedom = (group.count + rest.count - 2) as f64;
    let pooled = ((group.squares + rest.squares) / freedom).sqrt();
    (pooled > 0.0).then(|| (group.mean - rest.mean) / pooled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_have_exactly_no_spread() {
        let moments = Moments::of(&[0.1; 1000]);
        assert_eq!((moments.mean, moments.squares), (0.1, 0.0));
        assert_eq!((moments.min, moments.max), (0.1, 0.1));
    }

    #[test]
    fn a_large_offset_costs_no_precision() {
        let moments = Moments::of(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]);
        assert_eq!(moments.mean, 1e9 + 10.0);
        assert_eq!(moments.sample_std(), Some(30.0_f64.sqrt()));
        assert_eq!(moments.population_std(), 22.5_f64.sqrt());
    }

    #[test]
    fn merged_moments_are_those_of_all() {
        let numbers: Vec<f64> = (0..50_u32).map(|i| f64::from(i * i % 37) * 0.3).collect();
        let all = Moments::of(&numbers);
        for cut in [0, 1, 20, 50] {
            let merged = Moments::of(&numbers[..cut]).merged(&Moments::of(&numbers[cut..]));
            assert_eq!(
                (merged.count, merged.min, merged.max),
                (all.count, all.min, all.max)
            );
            assert!((merged.mean - all.mean).abs() < 1e-12, "{cut}");
            assert!((merged.squares - all.squares).abs() < 1e-10, "{cut}");
        }
    }

    #[test]
    fn few_numbers_have_few_moments() {
        let none = Moments::of(&[]);
        assert_eq!(
            (
                none.count,
                none.mean,
                none.population_std(),
                none.sample_std()
            ),
            (0, 0.0, 0.0, None)
        );
        assert_eq!(Moments::of(&[3.0]).sample_std(), None);
    }

    #[test]
    fn cohens_d_of_a_known_pair() {
        let (left, right) = (Moments::of(&[2.0, 4.0, 6.0]), Moments::of(&[1.0, 2.0, 3.0]));
        assert_eq!(cohens_d(&left, &right), Some(2.0 / 2.5_f64.sqrt()));
        assert_eq!(cohens_d(&right, &left), Some(-2.0 / 2.5_f64.sqrt()));
        assert_eq!(cohens_d(&left, &Moments::of(&[])), None);
        assert_eq!(
            cohens_d(&Moments::of(&[1.0, 1.0]), &Moments::of(&[2.0])),
            None
        );
        assert_eq!(cohens_d(&Moments::of(&[1.0]), &Moments::of(&[2.0])), None);
    }
}
