//! What the report shows of migration.

use std::cmp::Reverse;

use marquetry_plugin::{Panel, PanelBody};

use super::Matching;
use super::moves::{Moves, Side};
use crate::{figure, float};

/// More segments on a side make no picture: the largest are shown.
const MOST_SHOWN: usize = 30;

/// All panels.
pub(super) fn all(
    moves: &Moves,
    before: Option<Side<'_>>,
    after: Side<'_>,
    matching: Option<Matching>,
) -> Vec<Panel> {
    let mut panels = vec![figures(moves, matching)];
    if let Some(before) = before
        && moves.compared > 0
    {
        panels.push(matrix(moves, before, after));
    }
    panels
}

fn figures(moves: &Moves, matching: Option<Matching>) -> Panel {
    let customers = Some("customers");
    let mut figures = Vec::new();
    if matching.is_some() {
        let note = "of those who have a segment before and after";
        figures.push(figure(
            "moved",
            100.0 * moves.moved_share(),
            Some("%"),
            note,
        ));
        figures.push(figure("moved", float(moves.moved), customers, ""));
        figures.push(figure("compared", float(moves.compared), customers, note));
    }
    figures.push(figure(
        "new",
        float(moves.new),
        customers,
        "had no segment before",
    ));
    if matching.is_some() {
        figures.push(figure(
            "gone",
            float(moves.gone),
            customers,
            "have no segment now",
        ));
    }
    let caption = match matching {
        None => "there is no earlier segmentation to compare with, so every customer is new",
        Some(Matching::Names) => "segments of the same name are the same segment",
        Some(Matching::Overlap) => {
            "segments are paired so that as many customers as possible have stayed: their numbers mean nothing"
        }
    };
    Panel {
        title: "Moves between segments".to_owned(),
        caption: Some(caption.to_owned()),
        body: PanelBody::Figures(figures),
    }
}

/// Where the customers of each segment are now. Columns stand in the order of the rows that they are the
/// same as, so that who stayed is on the diagonal.
fn matrix(moves: &Moves, before: Side<'_>, after: Side<'_>) -> Panel {
    let rows = largest(&before.assignment.sizes);
    let mut columns: Vec<usize> = rows.iter().filter_map(|row| moves.same[*row]).collect();
    for other in largest(&after.assignment.sizes) {
        if columns.len() < MOST_SHOWN && !columns.contains(&other) {
            columns.push(other);
        }
    }
    let count = |before: Option<usize>, after: Option<usize>| {
        let count = moves.counts.get(&(before, after)).copied();
        Some(float(count.unwrap_or(0)))
    };
    let with_none = |shown: &[usize], wanted: bool| -> Vec<Option<usize>> {
        let none = wanted.then_some(None);
        shown.iter().copied().map(Some).chain(none).collect()
    };
    let row_of = with_none(&rows, moves.new > 0);
    let column_of = with_none(&columns, moves.gone > 0);
    let values = row_of
        .iter()
        .map(|row| {
            let cells = column_of.iter().map(|column| match (row, column) {
                // Nobody is both new and gone.
                (None, None) => None,
                _ => count(*row, *column),
            });
            cells.collect()
        })
        .collect();
    let named = |side: Side<'_>, of: &[Option<usize>], none: &str| -> Vec<String> {
        let names = &side.assignment.names;
        of.iter()
            .map(|segment| segment.map_or_else(|| none.to_owned(), |one| names.shown(one)))
            .collect()
    };
    let all = before
        .assignment
        .names
        .len()
        .max(after.assignment.names.len());
    let mut caption =
        "customers by segment before (rows) and now (columns); who stayed is on the diagonal"
            .to_owned();
    if all > MOST_SHOWN {
        caption =
            format!("{caption}; the {MOST_SHOWN} largest segments, the output `matrix` has all");
    }
    Panel {
        title: "From segment to segment".to_owned(),
        caption: Some(caption),
        body: PanelBody::Heatmap {
            row_label: "before".to_owned(),
            column_label: "now".to_owned(),
            rows: named(before, &row_of, "new"),
            columns: named(after, &column_of, "gone"),
            values,
            unit: Some("customers".to_owned()),
        },
    }
}

/// The largest segments, in their own order.
fn largest(sizes: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|segment| Reverse(sizes[*segment]));
    order.truncate(MOST_SHOWN);
    order.sort_unstable();
    order
}
