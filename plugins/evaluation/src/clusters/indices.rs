//! The indices of separation, each where it is defined.

use marquetry_kernels::{
    KernelError, Matrix, calinski_harabasz, davies_bouldin, sample_rows, silhouette,
};

/// How the silhouette is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// Up to so many rows of all of them.
    pub(super) exact_up_to: usize,
    /// Beyond that of so many.
    pub(super) sample: usize,
    pub(super) seed: u64,
    pub(super) threads: usize,
}

/// Indices of separation; none where the clustering has none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Indices {
    pub(super) silhouette: Option<f64>,
    /// Of how many rows the silhouette was taken.
    pub(super) silhouette_rows: usize,
    pub(super) davies_bouldin: Option<f64>,
    pub(super) calinski_harabasz: Option<f64>,
    /// How many rows there are.
    pub(super) rows: usize,
}

/// Measures rows with one label each.
pub(super) fn measure(
    rows: &Matrix,
    labels: &[u32],
    setting: &Setting,
) -> Result<Indices, KernelError> {
    let sampled = if rows.rows() <= setting.exact_up_to {
        None
    } else {
        Some(sample_rows(rows.rows(), setting.sample, setting.seed))
    };
    let silhouette = match &sampled {
        None => silhouette(rows, labels, setting.threads),
        Some(sampled) => {
            let of_sample: Vec<u32> = sampled.iter().map(|row| labels[*row]).collect();
            silhouette(&rows.select(sampled), &of_sample, setting.threads)
        }
    };
    Ok(Indices {
        silhouette: where_defined(silhouette)?,
        silhouette_rows: sampled.map_or(rows.rows(), |sampled| sampled.len()),
        davies_bouldin: where_defined(davies_bouldin(rows, labels))?,
        calinski_harabasz: where_defined(calinski_harabasz(rows, labels))?,
        rows: rows.rows(),
    })
}

fn where_defined(index: Result<f64, KernelError>) -> Result<Option<f64>, KernelError> {
    match index {
        Ok(value) => Ok(Some(value)),
        Err(KernelError::NotSeparable { .. } | KernelError::Empty(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(exact_up_to: usize) -> Setting {
        Setting {
            exact_up_to,
            sample: 50,
            seed: 1,
            threads: 2,
        }
    }

    #[test]
    fn a_sample_is_near_the_whole_and_says_its_size() {
        let data = (0..400_u32)
            .map(|row| f64::from(row % 2) * 10.0 + f64::from(row % 7))
            .collect();
        let rows = Matrix::new(data, 400, 1).unwrap();
        let labels: Vec<u32> = (0..400).map(|row| row % 2).collect();
        let exact = measure(&rows, &labels, &setting(400)).unwrap();
        let sampled = measure(&rows, &labels, &setting(399)).unwrap();
        assert_eq!((exact.silhouette_rows, sampled.silhouette_rows), (400, 50));
        assert!((exact.silhouette.unwrap() - sampled.silhouette.unwrap()).abs() < 0.05);
        assert_eq!(exact.davies_bouldin, sampled.davies_bouldin);
    }

    #[test]
    fn one_segment_or_no_rows_have_no_indices() {
        let rows = Matrix::new(vec![1.0, 2.0], 2, 1).unwrap();
        let one = measure(&rows, &[0, 0], &setting(10)).unwrap();
        assert_eq!(
            (one.silhouette, one.davies_bouldin, one.calinski_harabasz),
            (None, None, None)
        );
        let none = measure(&Matrix::new(Vec::new(), 0, 1).unwrap(), &[], &setting(10)).unwrap();
        assert_eq!((none.silhouette, none.rows), (None, 0));
    }
}
