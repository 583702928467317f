//! The functions that passes call. Each is named by `marquetry_` and what it does, and knows nothing but its
//! arguments: a data plane has them all, and a plan names them.

mod arguments;
mod nearest;
mod numbers;
mod rank_counts;
mod sums;

use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use marquetry_lake::Functions;

pub(crate) use nearest::centres_argument;
pub(crate) use rank_counts::{counts_argument, counts_of};
pub(crate) use sums::scales_argument;

/// The squared distance in what [`NEAREST`] gives.
pub(crate) const SQUARED_DISTANCE: &str = "squared_distance";
/// The number of the centre in it.
pub(crate) const LABEL: &str = "label";

/// `ln(1 + x)`, exact near 0.
pub(crate) static LN_1P: LazyLock<Arc<ScalarUDF>> = LazyLock::new(numbers::ln_1p);
/// A whole number in the order of a float.
pub(crate) static ORDER_KEY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(numbers::order_key);
/// A random number that a seed and a key name.
pub(crate) static DRAW: LazyLock<Arc<ScalarUDF>> = LazyLock::new(numbers::draw);
/// The nearest of some centres, and how far it is.
pub(crate) static NEAREST: LazyLock<Arc<ScalarUDF>> = LazyLock::new(nearest::function);
/// Sums of columns by group, the same in any order of the rows.
pub(crate) static SUMS: LazyLock<Arc<AggregateUDF>> = LazyLock::new(sums::function);
/// Counts of a pass of a search for ranks.
pub(crate) static RANK_COUNTS: LazyLock<Arc<AggregateUDF>> = LazyLock::new(rank_counts::function);

/// All of them: what every data plane must know.
#[must_use]
pub fn functions() -> Functions {
    let scalar = [&LN_1P, &ORDER_KEY, &DRAW, &NEAREST];
    let aggregate = [&SUMS, &RANK_COUNTS];
    Functions {
        scalar: scalar.into_iter().map(|it| Arc::clone(it)).collect(),
        aggregate: aggregate.into_iter().map(|it| Arc::clone(it)).collect(),
    }
}
