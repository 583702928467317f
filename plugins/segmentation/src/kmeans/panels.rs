//! What the report shows of a k-means segmentation.

use marquetry_kernels::{KernelError, Matrix, Pca, assign, sample_rows};
use marquetry_plugin::{Bar, Panel, PanelBody, PointGroup, Series};
use marquetry_types::thousands;

use super::fit::Fitted;
use super::trials::Trial;

/// Points of the scatter plot: enough to see shapes, few enough for a page.
const POINTS: usize = 2000;

/// All panels, drawn from a sample of the customers. The projection costs O(sample x columns²).
pub(super) fn all(
    rows: &Matrix,
    fitted: &Fitted,
    sample: usize,
    seed: u64,
) -> Result<Vec<Panel>, KernelError> {
    let mut panels = vec![sizes(fitted)];
    if !fitted.trials.is_empty() {
        panels.push(trials(
            &fitted.trials,
            fitted.sizes.len(),
            sample.min(rows.rows()),
        ));
    }
    panels.push(projection(rows, fitted, seed)?);
    Ok(panels)
}

fn name(segment: usize) -> String {
    format!("segment {segment}")
}

fn sizes(fitted: &Fitted) -> Panel {
    #[expect(clippy::cast_precision_loss, reason = "a bar to look at")]
    let bars = fitted
        .sizes
        .iter()
        .enumerate()
        .map(|(segment, size)| Bar {
            label: name(segment),
            values: vec![*size as f64],
        })
        .collect();
    let series = Series {
        name: "customers".to_owned(),
        unit: Some("customers".to_owned()),
    };
    Panel {
        title: "K-means segments".to_owned(),
        caption: Some("customers in each segment".to_owned()),
        body: PanelBody::Bars {
            category_label: "segment".to_owned(),
            series: vec![series],
            bars,
        },
    }
}

fn trials(trials: &[Trial], chosen: usize, sample: usize) -> Panel {
    #[expect(clippy::cast_precision_loss, reason = "a point to look at")]
    let points = trials
        .iter()
        .filter_map(|trial| Some([trial.k as f64, trial.silhouette?]))
        .collect();
    Panel {
        title: "How many segments".to_owned(),
        caption: Some(format!(
            "mean silhouette of {sample} customers for each number of segments; {chosen} is the best"
        )),
        body: PanelBody::Lines {
            x_label: "segments".to_owned(),
            y_label: "silhouette".to_owned(),
            series: vec![PointGroup {
                name: "silhouette".to_owned(),
                points,
            }],
        },
    }
}

fn projection(rows: &Matrix, fitted: &Fitted, seed: u64) -> Result<Panel, KernelError> {
    let pca = Pca::fit(rows, 2)?;
    let shown = rows.select(&sample_rows(rows.rows(), POINTS, seed));
    let places = pca.project(&shown)?;
    let labels = assign(&shown, &fitted.centres, 1)?.labels;
    let mut groups: Vec<PointGroup> = (0..fitted.sizes.len())
        .map(|segment| PointGroup {
            name: name(segment),
            points: Vec::new(),
        })
        .collect();
    for (label, place) in labels.iter().zip(places.iter_rows()) {
        // One column has one component: the points lie on a line.
        let point = [place[0], place.get(1).copied().unwrap_or(0.0)];
        groups[*label as usize].points.push(point);
    }
    let share = |component: usize| {
        100.0
            * pca
                .explained_variance_ratio()
                .get(component)
                .copied()
                .unwrap_or(0.0)
    };
    let count = |rows: usize| thousands(rows as u64);
    let customers = fitted.customers();
    let of = if shown.rows() < customers {
        format!("{} of {} customers", count(shown.rows()), count(customers))
    } else {
        format!("all {} customers", count(customers))
    };
    Ok(Panel {
        title: "Clusters in two dimensions".to_owned(),
        caption: Some(format!(
            "{of} along the two principal components, which hold {:.0}% of the variance",
            share(0) + share(1)
        )),
        body: PanelBody::Scatter {
            x_label: format!("first component ({:.0}%)", share(0)),
            y_label: format!("second component ({:.0}%)", share(1)),
            groups,
        },
    })
}
