//! The one error of the kernels: input that the mathematics is not defined on.

use std::fmt;

/// Why a kernel gives no result. Rows and columns are counted from 0, as the caller passed them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A cell is NaN or infinite.
    #[error("row {row}, column {column} is {value}: only finite numbers have a distance")]
    NotFinite {
        /// The row of the cell.
        row: usize,
        /// The column of the cell.
        column: usize,
        /// What stands there.
        value: f64,
    },
    /// There is nothing to compute on.
    #[error("there are no {0}")]
    Empty(Extent),
    /// The number of cells is not rows times columns, or two inputs disagree in a size.
    #[error("{what}: expected {expected}, got {actual}")]
    Shape {
        /// What was counted.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
    /// More clusters were asked for than there are rows.
    #[error("{clusters} clusters of {rows} rows: a cluster needs a row of its own")]
    TooManyClusters {
        /// The clusters asked for.
        clusters: usize,
        /// The rows there are.
        rows: usize,
    },
    /// An index of separation of a clustering that has one cluster, or a cluster for every row.
    #[error(
        "{clusters} clusters of {rows} rows: the measure needs at least 2 clusters and fewer than rows"
    )]
    NotSeparable {
        /// The clusters that occur.
        clusters: usize,
        /// The rows.
        rows: usize,
    },
    /// A value outside of a function's domain.
    #[error("row {row} is {value}: {rule}")]
    OutsideDomain {
        /// The row of the value.
        row: usize,
        /// The value.
        value: f64,
        /// What values must be.
        rule: &'static str,
    },
    /// The watcher asked to stop.
    #[error("stopped on request")]
    Stopped,
}

/// What a matrix may have none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Rows.
    Rows,
    /// Columns.
    Columns,
    /// Clusters.
    Clusters,
}

impl fmt::Display for Extent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Rows => "rows",
            Self::Columns => "columns",
            Self::Clusters => "clusters",
        })
    }
}
