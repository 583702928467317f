//! What Lloyd's iterations ask of a way to find the nearest centres.

use crate::Matrix;

/// The label that rows have before the first pass.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// A row whose label changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    /// Its number in its part.
    pub(super) row: usize,
    /// [`UNKNOWN`] in the first pass.
    pub(super) old: u32,
    pub(super) new: u32,
}

/// A way to find the nearest centre of each row, with what it knows of one part of the rows from pass to
/// pass. Its labels are those of [`crate::assign`], ties included: ways differ in time only.
pub(super) trait Way: Send + Sized {
    /// The centres of a pass.
    type Target<'a>: Sync;

    /// Prepares to label the rows of a part, given row after row. Seen from the origin, rows and centres have
    /// small coordinates.
    fn new(rows: &[f64], origin: &[f64], clusters: usize) -> Self;

    /// Prepares a pass. `moves` are the distances of the centres from where they were in the last pass.
    fn target<'a>(centres: &'a Matrix, origin: &'a [f64], moves: &[f64]) -> Self::Target<'a>;

    /// Gives each row of the part the label of its nearest centre, and says which labels changed.
    fn label(&mut self, rows: &[f64], target: &Self::Target<'_>, labels: &mut [u32])
    -> Vec<Change>;
}
