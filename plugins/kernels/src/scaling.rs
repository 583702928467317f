//! Scalings of a column: fitted once, applied to any value afterwards.

use crate::error::Extent;
use crate::{KernelError, Moments, median};

/// A fitted scaling of one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scaling {
    /// To mean 0 and population standard deviation 1.
    Standard {
        /// The mean of the values fitted on.
        mean: f64,
        /// Their population standard deviation; 1 where they are all equal, so that they become 0.
        std: f64,
    },
    /// To the range 0 to 1.
    MinMax {
        /// The least of the values fitted on, which becomes 0.
        min: f64,
        /// Their range; 1 where they are all equal, so that they become 0.
        range: f64,
    },
    /// To the natural logarithm of one more than the value.
    Log1p,
}

impl Scaling {
    /// Fits [`Scaling::Standard`]: the same as scikit-learn's `StandardScaler`.
    ///
    /// # Errors
    /// [`KernelError::Empty`] or [`KernelError::NotFinite`].
    pub fn standard(values: &[f64]) -> Result<Self, KernelError> {
        let moments = moments(values)?;
        let std = moments.population_std();
        let std = if std > 0.0 { std } else { 1.0 };
        Ok(Self::Standard {
            mean: moments.mean,
            std,
        })
    }

    /// Fits [`Scaling::MinMax`]: the same as scikit-learn's `MinMaxScaler`.
    ///
    /// # Errors
    /// [`KernelError::Empty`] or [`KernelError::NotFinite`].
    pub fn min_max(values: &[f64]) -> Result<Self, KernelError> {
        let moments = moments(values)?;
        let range = moments.max - moments.min;
        let range = if range > 0.0 { range } else { 1.0 };
        Ok(Self::MinMax {
            min: moments.min,
            range,
        })
    }

    /// Checks that [`Scaling::Log1p`] is defined on the values.
    ///
    /// # Errors
    /// [`KernelError::NotFinite`], or [`KernelError::OutsideDomain`] with the first value of -1 or
    /// less.
    pub fn log1p(values: &[f64]) -> Result<Self, KernelError> {
        check_finite(values)?;
        match values.iter().position(|value| *value <= -1.0) {
            None => Ok(Self::Log1p),
            Some(row) => Err(KernelError::OutsideDomain {
                row,
                value: values[row],
                rule: "the logarithm of 1 + value is defined above -1 only",
            }),
        }
    }

    /// The scaled value. Outside of a function's domain it is not finite.
    #[must_use]
    pub fn apply(&self, value: f64) -> f64 {
        match self {
            Self::Standard { mean, std } => (value - mean) / std,
            Self::MinMax { min, range } => (value - min) / range,
            Self::Log1p => value.ln_1p(),
        }
    }
}

/// What stands in for missing values of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Imputation {
    /// The mean of the values that are there.
    Mean,
    /// Their median.
    Median,
    /// This value.
    Constant(f64),
}

impl Imputation {
    /// The value to put in, given those that are there.
    ///
    /// # Errors
    /// [`KernelError::Empty`] when there are none to learn from, or [`KernelError::NotFinite`].
    pub fn fit(self, present: &[f64]) -> Result<f64, KernelError> {
        match self {
            Self::Constant(value) => Ok(value),
            Self::Mean => Ok(moments(present)?.mean),
            Self::Median => {
                check_finite(present)?;
                median(present).ok_or(KernelError::Empty(Extent::Rows))
            }
        }
    }
}

fn moments(values: &[f64]) -> Result<Moments, KernelError> {
    if values.is_empty() {
        return Err(KernelError::Empty(Extent::Rows));
    }
    check_finite(values)?;
    Ok(Moments::of(values))
}

fn check_finite(values: &[f64]) -> Result<(), KernelError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(row) => Err(KernelError::NotFinite {
            row,
            column: 0,
            value: values[row],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_columns_become_zero() {
        for scaling in [
            Scaling::standard(&[0.1; 7]).unwrap(),
            Scaling::min_max(&[0.1; 7]).unwrap(),
        ] {
            assert_eq!(scaling.apply(0.1), 0.0);
        }
    }

    #[test]
    fn the_range_is_from_zero_to_one() {
        let scaling = Scaling::min_max(&[2.0, 10.0, 4.0]).unwrap();
        assert_eq!(
            [2.0, 10.0, 4.0, 12.0].map(|value| scaling.apply(value)),
            [0.0, 1.0, 0.25, 1.25]
        );
    }

    #[test]
    fn logarithms_need_values_above_minus_one() {
        assert_eq!(Scaling::log1p(&[0.0, -0.5]).unwrap().apply(0.0), 0.0);
        assert!(matches!(
            Scaling::log1p(&[0.0, -1.0]),
            Err(KernelError::OutsideDomain { row: 1, .. })
        ));
        assert!(matches!(
            Scaling::log1p(&[f64::NAN]),
            Err(KernelError::NotFinite { row: 0, .. })
        ));
    }

    #[test]
    fn missing_values_get_what_is_usual() {
        assert_eq!(Imputation::Mean.fit(&[1.0, 2.0, 6.0]), Ok(3.0));
        assert_eq!(Imputation::Median.fit(&[6.0, 1.0, 2.0]), Ok(2.0));
        assert_eq!(Imputation::Constant(7.0).fit(&[]), Ok(7.0));
        assert!(Imputation::Median.fit(&[]).is_err());
        assert!(Imputation::Mean.fit(&[f64::INFINITY]).is_err());
    }
}
