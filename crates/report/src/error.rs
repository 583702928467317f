//! Why a report could not be made.

/// Why a report could not be made. Nothing in the data of a run leads here: it is a bug in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A chart cannot be drawn.
    #[error("cannot draw the chart `{title}`: {reason}")]
    Chart {
        /// The chart's title.
        title: String,
        /// What the drawing library says.
        reason: String,
    },
    /// The page's template fails.
    #[error("cannot fill in the page: {0}")]
    Template(#[from] minijinja::Error),
}
