//! The numerics of segmentation as pure functions: no Arrow, no I/O, no clock.
//!
//! Every kernel gives the same bits for the same input, on any number of threads and any processor of
//! an architecture: rows are cut into chunks whose borders follow from the number of rows, each chunk
//! is summed in order by one thread, and chunks are added in order. What is random is drawn from a
//! named stream of a seed. Rows are the caller's to order: sorted by key, a result does not depend on
//! where they came from.
//!
//! Where a measure has a common implementation the same definition is used, ties and degenerate
//! inputs included, and `tests/parity.rs` holds both together.

#![cfg_attr(
    test,
    expect(
        clippy::unwrap_used,
        clippy::float_cmp,
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "tests may fail by panicking, and some results are exact"
    )
)]

mod agreement;
mod assign;
mod concentration;
mod distance;
mod error;
mod exact;
mod interval;
mod kmeans;
mod matching;
mod matrix;
mod moments;
mod order;
mod parallel;
mod partition;
mod pca;
mod random;
mod ranks;
mod scaling;
mod separation;
mod silhouette;
mod stability;
mod wide;

pub use agreement::{adjusted_rand, maximum_jaccard};
pub use assign::{Assignment, assign};
pub use concentration::gini_of_groups;
pub use error::{Extent, KernelError};
pub use exact::{ExactScale, ExactSums};
pub use interval::{Interval, Z_95, mean_interval, normal_at, wilson, wilson_at};
pub use kmeans::{
    ClusterSums, Farthest, Iteration, KMeans, KMeansOptions, Start, Steps, kmeans, kmeans_watched,
    plus_plus,
};
pub use matching::maximum_overlap;
pub use matrix::Matrix;
pub use moments::{Moments, cohens_d};
pub use order::{median, ntile, quantile, tile_of};
pub use partition::Partition;
pub use pca::Pca;
pub use random::{draw_of_integer, draw_of_text, sample_rows};
pub use ranks::{RankCounts, RankSearch, Ranked, from_order_key, order_key};
pub use scaling::{Imputation, Scaling};
pub use separation::{calinski_harabasz, davies_bouldin};
pub use silhouette::{silhouette, silhouette_samples};
pub use stability::{Draw, Refit, draw, refit};
