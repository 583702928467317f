//! A clustering as groups of rows, whatever numbers the clusters have.

use crate::{KernelError, Matrix};

/// Rows in groups: the labels that occur, in ascending order, and the group of each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    groups: Vec<usize>,
    labels: Vec<u32>,
    sizes: Vec<usize>,
}

impl Partition {
    /// The partition that labels say. Labels need not be dense.
    #[must_use]
    pub fn new(labels: &[u32]) -> Self {
        let mut distinct = labels.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let mut sizes = vec![0; distinct.len()];
        let groups: Vec<usize> = labels
            .iter()
            .map(|label| distinct.partition_point(|other| other < label))
            .inspect(|group| sizes[*group] += 1)
            .collect();
        Self {
            groups,
            labels: distinct,
            sizes,
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.groups.len()
    }

    /// How many groups there are; none is empty.
    #[must_use]
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// The group of each row, from 0.
    #[must_use]
    pub fn groups(&self) -> &[usize] {
        &self.groups
    }

    /// The label of each group.
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The rows in each group.
    #[must_use]
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// The numbers of the rows of each group, ascending.
    #[must_use]
    pub fn members(&self) -> Vec<Vec<usize>> {
        let mut members: Vec<Vec<usize>> = self
            .sizes
            .iter()
            .map(|size| Vec::with_capacity(*size))
            .collect();
        for (row, group) in self.groups.iter().enumerate() {
            members[*group].push(row);
        }
        members
    }

    /// The mean row of each group.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when `rows` are not those that the labels are of.
    pub fn means(&self, rows: &Matrix) -> Result<Matrix, KernelError> {
        self.check_length(rows)?;
        let columns = rows.columns();
        let mut means = vec![0.0; self.count() * columns];
        for (row, group) in rows.iter_rows().zip(&self.groups) {
            let sum = &mut means[group * columns..(group + 1) * columns];
            for (total, value) in sum.iter_mut().zip(row) {
                *total += value;
            }
        }
        for (group, size) in self.sizes.iter().enumerate() {
            for value in &mut means[group * columns..(group + 1) * columns] {
                #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
                let size = *size as f64;
                *value /= size;
            }
        }
        Matrix::new(means, self.count(), columns)
    }

    /// Refuses rows that measures of separation are not defined on.
    pub(crate) fn check_separable(&self, rows: &Matrix) -> Result<(), KernelError> {
        rows.check()?;
        self.check_length(rows)?;
        let (clusters, rows) = (self.count(), self.rows());
        if clusters < 2 || clusters >= rows {
            return Err(KernelError::NotSeparable { clusters, rows });
        }
        Ok(())
    }

    fn check_length(&self, rows: &Matrix) -> Result<(), KernelError> {
        if rows.rows() == self.rows() {
            return Ok(());
        }
        Err(KernelError::Shape {
            what: "labels",
            expected: rows.rows(),
            actual: self.rows(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_need_not_be_dense() {
        let partition = Partition::new(&[9, 4, 9, 7]);
        assert_eq!(partition.labels(), [4, 7, 9]);
        assert_eq!(partition.groups(), [2, 0, 2, 1]);
        assert_eq!(partition.sizes(), [1, 1, 2]);
        assert_eq!(partition.members(), [vec![1], vec![3], vec![0, 2]]);
        let rows = Matrix::new(vec![1.0, 2.0, 4.0, 8.0], 4, 1).unwrap();
        assert_eq!(partition.means(&rows).unwrap().data(), [2.0, 8.0, 2.5]);
    }

    #[test]
    fn no_rows_are_no_groups() {
        let none = Partition::new(&[]);
        assert_eq!((none.rows(), none.count()), (0, 0));
    }
}
