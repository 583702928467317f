//! What `with` takes in `segmentation/kmeans`.

use std::borrow::Cow;
use std::fmt;

use marquetry_plugin::{Input, StageError};
use marquetry_rows::invalid;
use marquetry_types::codes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

/// Options of `segmentation/kmeans`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KMeansStageOptions {
    /// The customers, one a row. K-means compares columns by their differences: scale them first, as
    /// with `features/scale`.
    pub(super) rows: Input,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    pub(super) key: String,
    /// The columns to cluster by; all numeric ones but the key, or those of the given centres.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(super) columns: Option<Vec<String>>,
    /// How many segments: a number, or a range such as `{ min: 3, max: 10 }`, of which the number with
    /// the best mean silhouette is taken. Not needed where centres are given.
    #[serde(default)]
    pub(super) k: Option<Clusters>,
    /// Centres to start from: a dataset such as the output `centres` of an earlier run, with the
    /// columns and `segment`. Segments are numbered from 0 in the order of that column.
    #[serde(default)]
    pub(super) centres: Option<Input>,
    /// Centres to start from, written out: one list of numbers per segment, in the order of `columns`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(super) start_at: Option<Vec<Vec<f64>>>,
    /// Names the random draws of k-means++: the same seed and rows give the same segments. Without it
    /// the stage's own seed is taken, which is the same in every run.
    #[serde(default)]
    pub(super) seed: Option<u64>,
    /// How many starts to try; the one with the least inertia wins. Given centres are one start.
    #[serde(default = "starts")]
    #[schemars(range(min = 1, max = 1000))]
    pub(super) starts: usize,
    /// Iterations at most, of each start.
    #[serde(default = "max_iterations")]
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) max_iterations: usize,
    /// Centres that move by no more than this, squared and against the mean variance of the columns,
    /// end the iterations. With 0 they end when no customer changes segment.
    #[serde(default = "tolerance")]
    #[schemars(range(min = 0.0))]
    pub(super) tolerance: f64,
    /// Of how many customers, drawn by the seed, the silhouette is taken when `k` is a range. Its time
    /// grows with the square of it.
    #[serde(default = "silhouette_sample")]
    #[schemars(range(min = 10, max = 100_000))]
    pub(super) silhouette_sample: usize,
}

const fn starts() -> usize {
    3
}

const fn max_iterations() -> usize {
    300
}

const fn tolerance() -> f64 {
    1e-4
}

const fn silhouette_sample() -> usize {
    5000
}

impl KMeansStageOptions {
    /// How many segments, where the options say it, having checked that they say it once.
    pub(super) fn wanted(&self) -> Result<Option<Clusters>, StageError> {
        let fault = |message: &str, help: &str| Err(invalid(codes::STAGE_OPTIONS, message, help));
        let given = self.centres.is_some() || self.start_at.is_some();
        match (&self.k, given) {
            (None, false) => fault(
                "there is neither `k` nor `centres`",
                "say how many segments, as in `k: 8` or `k: { min: 3, max: 10 }`",
            ),
            (Some(Clusters::Range { .. }), true) => fault(
                "`k` is a range, but centres are given",
                "given centres are one number of segments: leave `k` out",
            ),
            _ if self.centres.is_some() && self.start_at.is_some() => fault(
                "both `centres` and `start_at` are given",
                "leave one of them out",
            ),
            _ if self.start_at.is_some() && self.columns.is_none() => fault(
                "`start_at` is given without `columns`",
                "name the columns that the numbers of `start_at` stand for, in their order",
            ),
            _ if !self.tolerance.is_finite() || self.tolerance < 0.0 => {
                fault("`tolerance` is not 0 or more", "the usual value is 0.0001")
            }
            _ => Ok(self.k),
        }
    }
}

/// How many segments: one number, or the best of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clusters {
    /// So many.
    Exactly(usize),
    /// From `min` to `max`, both included.
    Range {
        /// The fewest, 2 or more: one segment has no silhouette.
        min: usize,
        /// The most.
        max: usize,
    },
}

/// The most segments that may be asked for; people use dozens.
const MOST: usize = 10_000;

impl<'de> Deserialize<'de> for Clusters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ClustersVisitor;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Range {
            min: u64,
            max: u64,
        }

        fn count<E: serde::de::Error>(count: u64, least: usize) -> Result<usize, E> {
            match usize::try_from(count) {
                Ok(count) if (least..=MOST).contains(&count) => Ok(count),
                _ => Err(E::custom(format!(
                    "{count} segments: it must be {least} to {MOST}"
                ))),
            }
        }

        impl<'de> Visitor<'de> for ClustersVisitor {
            type Value = Clusters;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number of segments, or `{ min, max }`")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Clusters, E> {
                Ok(Clusters::Exactly(count(number, 1)?))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Clusters, E> {
                self.visit_u64(u64::try_from(number).unwrap_or(0))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Clusters, A::Error> {
                let range = Range::deserialize(MapAccessDeserializer::new(map))?;
                let (min, max) = (count(range.min, 2)?, count(range.max, 2)?);
                if min > max {
                    let message = format!("`min` is {min} and `max` {max}: the lower comes first");
                    return Err(serde::de::Error::custom(message));
                }
                Ok(Clusters::Range { min, max })
            }
        }

        deserializer.deserialize_any(ClustersVisitor)
    }
}

impl JsonSchema for Clusters {
    fn schema_name() -> Cow<'static, str> {
        "Clusters".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let count =
            |least: usize| json_schema!({ "type": "integer", "minimum": least, "maximum": MOST });
        json_schema!({
            "type": ["integer", "object"],
            "minimum": 1,
            "maximum": MOST,
            "properties": { "min": count(2), "max": count(2) },
            "required": ["min", "max"],
            "additionalProperties": false,
        })
    }
}
