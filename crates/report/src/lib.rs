//! One HTML file that says what a run found and how it went, for people who have neither Marquetry nor a
//! network: everything is inside the file.
//!
//! The report knows charts and runs, and no marketing: what it says about customers comes in the panels that
//! the stages made. It reads no journal and no lake; whoever calls [`render`] fills in [`ReportData`].
//!
//! Charts are drawn by plotters as SVG. Their colours are names that the page's style sheet gives a meaning
//! to, so that one drawing fits a light screen, a dark one, and paper.

mod chart;
mod data;
mod error;
mod format;
mod graph;
mod page;
mod palette;
mod panel_view;
mod prose;

pub use data::{ReportData, ReportStage};
pub use error::ReportError;
pub use page::render;
