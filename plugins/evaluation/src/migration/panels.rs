//! What the report shows of a migration.

use marquetry_plugin::{Figure, Panel, PanelBody};

use super::moves::{Counts, Moves, Place};
use crate::assignment::Names;

/// All panels.
pub(super) fn all(moves: &Moves, counts: Counts, is_published: bool) -> Vec<Panel> {
    let mut panels = vec![figures(counts, is_published)];
    if counts.customers + counts.gone > 0 && is_published {
        panels.push(matrix(moves));
    }
    panels
}

#[expect(clippy::cast_precision_loss, reason = "figures to look at")]
fn figures(counts: Counts, is_published: bool) -> Panel {
    let figure = |label: &str, value: usize, note: &str| Figure {
        label: label.to_owned(),
        value: value as f64,
        unit: Some("customers".to_owned()),
        note: Some(note.to_owned()),
    };
    let share = Figure {
        label: "share that moved".to_owned(),
        value: 100.0 * counts.moved as f64 / counts.both.max(1) as f64,
        unit: Some("%".to_owned()),
        note: Some("of the customers that both have".to_owned()),
    };
    let caption = if is_published {
        "who is in another segment than the last time"
    } else {
        "nothing was published before: every customer is new, and nobody moved"
    };
    Panel {
        title: "Moves between segments".to_owned(),
        caption: Some(caption.to_owned()),
        body: PanelBody::Figures(vec![
            share,
            figure("moved", counts.moved, "are in another segment now"),
            figure(
                "stayed",
                counts.both - counts.moved,
                "are in the same segment",
            ),
            figure("new", counts.new, "had no segment before"),
            figure("gone", counts.gone, "have no segment any more"),
        ]),
    }
}

/// Rows are the segments before and the new, columns those after and the gone.
fn matrix(moves: &Moves) -> Panel {
    let labels = |names: &Names, last: &str| -> Vec<String> {
        let names = (0..names.len()).map(|segment| names.shown(segment));
        names.chain([last.to_owned()]).collect()
    };
    let rows = labels(&moves.before, "new");
    let columns = labels(&moves.after, "gone");
    let mut values: Vec<Vec<Option<f64>>> = vec![vec![Some(0.0); columns.len()]; rows.len()];
    for (Place { before, after }, customers) in moves.cells() {
        let row = before.unwrap_or(rows.len() - 1);
        let column = after.unwrap_or(columns.len() - 1);
        #[expect(clippy::cast_precision_loss, reason = "figures to look at")]
        let customers = customers as f64;
        values[row][column] = Some(customers);
    }
    // New and gone at once is nobody.
    if let Some(corner) = values.last_mut().and_then(|row| row.last_mut()) {
        *corner = None;
    }
    Panel {
        title: "From segment to segment".to_owned(),
        caption: Some("customers by their segment before (rows) and now (columns)".to_owned()),
        body: PanelBody::Heatmap {
            row_label: "before".to_owned(),
            column_label: "now".to_owned(),
            rows,
            columns,
            values,
            unit: Some("customers".to_owned()),
        },
    }
}
