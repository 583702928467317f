//! The customers of the sample and what they like: a world in which it is known which offer is best.

use std::collections::HashMap;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use marquetry_plugin::StageError;
use marquetry_rows::invalid;
use marquetry_sample::{Group, OFFERS, customers, response_rate};
use marquetry_types::codes;
use schemars::JsonSchema;
use serde::Deserialize;

/// Which sample the customers are of: what `marquetry sample orders` was told.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sample {
    /// Order lines of the sample.
    pub(crate) rows: u64,
    /// Its seed.
    pub(crate) seed: u64,
}

/// The planted group of each customer.
#[derive(Debug)]
pub(crate) struct Planted(HashMap<i64, Group>);

impl Planted {
    /// The customers of a sample.
    pub(crate) fn of(sample: Sample) -> Result<Self, StageError> {
        let refuse = |problem: String| {
            invalid(
                codes::STAGE_OPTIONS,
                format!("`sample` cannot be made: {problem}"),
                "say what `marquetry sample orders` was told: its rows and its seed",
            )
        };
        let batch =
            customers(sample.rows, sample.seed).map_err(|error| refuse(error.to_string()))?;
        let column = |name: &str| {
            let column = batch.column_by_name(name);
            column.ok_or_else(|| refuse(format!("it has no `{name}`")))
        };
        let ids = column("customer_id")?.as_primitive::<Int64Type>();
        let groups = column("planted_group")?.as_string::<i32>();
        let mut planted = HashMap::with_capacity(batch.num_rows());
        for (id, group) in ids.iter().zip(groups.iter()) {
            let (Some(id), Some(group)) = (id, group) else {
                continue;
            };
            let group: Group = group
                .parse()
                .map_err(|error: marquetry_sample::UnknownGroup| refuse(error.to_string()))?;
            planted.insert(id, group);
        }
        Ok(Self(planted))
    }

    /// How often a customer responds to an offer.
    pub(crate) fn rate(&self, customer: i64, offer: &str) -> Result<f64, StageError> {
        let Some(group) = self.0.get(&customer) else {
            return Err(invalid(
                codes::BAD_VALUE,
                format!("customer {customer} is none of the sample"),
                "`sample` must say the rows and the seed with which the orders were made",
            ));
        };
        response_rate(*group, offer).ok_or_else(|| {
            invalid(
                codes::STAGE_OPTIONS,
                format!("the sample's customers have no opinion on `{offer}`"),
                format!("they know {}", OFFERS.join(", ")),
            )
        })
    }
}
