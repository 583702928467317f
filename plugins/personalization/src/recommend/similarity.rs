//! How alike two things are, from how often they occur together.

use super::options::Similarity;

impl Similarity {
    /// The similarity of two things that occur in `first` and `second` of `all` baskets, in `both` of them
    /// together. None where they are together less often than by chance and that is no likeness.
    ///
    /// B. Sarwar, G. Karypis, J. Konstan, J. Riedl, *Item-based collaborative filtering recommendation
    /// algorithms*, 2001; T. Dunning, *Accurate methods for the statistics of surprise and coincidence*, 1993.
    pub(super) fn of(self, both: u32, first: u32, second: u32, all: u32) -> Option<f64> {
        let [both, first, second, all] = [both, first, second, all].map(f64::from);
        match self {
            Self::Cosine => Some(both / (first * second).sqrt()),
            Self::Lift => Some(both * all / (first * second)),
            Self::LogLikelihood if both * all <= first * second => None,
            Self::LogLikelihood => {
                let term = |count: f64, row: f64, column: f64| {
                    if count > 0.0 {
                        count * (count * all / (row * column)).ln()
                    } else {
                        0.0
                    }
                };
                let sum = term(both, first, second)
                    + term(first - both, first, all - second)
                    + term(second - both, all - first, second)
                    + term(all - first - second + both, all - first, all - second);
                // Rounding can leave less than nothing.
                Some((2.0 * sum).max(0.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_that_of_the_table_in_dunnings_paper() {
        // Table 1 of the paper: `the swiss`, 110 of 31,777 bigrams; G² = 270.72.
        let (both, first_only, second_only, neither) = (110, 2442, 111, 29114);
        let all = both + first_only + second_only + neither;
        let found = Similarity::LogLikelihood
            .of(both, both + first_only, both + second_only, all)
            .unwrap();
        assert!((found - 270.72).abs() < 0.01, "{found}");
    }

    #[test]
    fn chance_is_a_lift_of_one_and_no_likelihood() {
        assert_eq!(Similarity::Lift.of(10, 20, 50, 100), Some(1.0));
        assert_eq!(Similarity::LogLikelihood.of(10, 20, 50, 100), None);
        assert_eq!(Similarity::Cosine.of(10, 10, 10, 100), Some(1.0));
    }
}
