//! What the author of a workflow says to `features/scale`.

use marquetry_kernels::Imputation;
use marquetry_plugin::{Input, StageError};
use marquetry_rows::invalid;
use marquetry_types::codes;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `features/scale`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScaleOptions {
    /// The rows to scale.
    pub rows: Input,
    /// The column that identifies a row.
    #[serde(default = "customer_id")]
    pub key: String,
    /// The numeric columns to scale; by default all but the key.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// What stands in for missing numbers; 0 by default.
    #[serde(default)]
    pub impute: Option<Impute>,
    /// Which of the columns become the logarithm of 1 + value, before they are scaled.
    #[serde(default)]
    pub log1p: Option<Vec<String>>,
    /// How numbers are scaled; `standard` by default.
    #[serde(default)]
    pub scale: Option<Method>,
    /// Columns of texts, each of whose values becomes a column `COLUMN=VALUE` of 0 and 1.
    #[serde(default)]
    pub one_hot: Option<Vec<String>>,
    /// The output `fitted` of an earlier stage, to treat these rows as those were. It says what is done
    /// with which columns.
    #[serde(default)]
    pub apply: Option<Input>,
}

fn customer_id() -> String {
    "customer_id".to_owned()
}

/// What stands in for missing numbers.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Impute {
    /// The mean of the column's values.
    Mean,
    /// Their median.
    Median,
    /// This number.
    Value(f64),
}

impl From<Impute> for Imputation {
    fn from(impute: Impute) -> Self {
        match impute {
            Impute::Mean => Self::Mean,
            Impute::Median => Self::Median,
            Impute::Value(value) => Self::Constant(value),
        }
    }
}

/// How numbers are scaled.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    /// To mean 0 and population standard deviation 1.
    #[default]
    Standard,
    /// To the range 0 to 1.
    MinMax,
    /// Not at all.
    None,
}

impl ScaleOptions {
    /// Refuses options that contradict each other.
    ///
    /// # Errors
    /// `apply` stands beside an option that it decides.
    pub(crate) fn check(&self) -> Result<(), StageError> {
        let given = [
            ("columns", self.columns.is_some()),
            ("impute", self.impute.is_some()),
            ("log1p", self.log1p.is_some()),
            ("scale", self.scale.is_some()),
            ("one_hot", self.one_hot.is_some()),
        ];
        match given
            .into_iter()
            .find(|(_, is_given)| *is_given && self.apply.is_some())
        {
            None => Ok(()),
            Some((name, _)) => Err(invalid(
                codes::STAGE_OPTIONS,
                format!("`{name}` cannot be given beside `apply`, which says what is done"),
                format!("leave out `{name}`, or `apply` to fit anew"),
            )),
        }
    }
}
