//! What the report shows of recommendations.

use marquetry_plugin::{Column, Panel, PanelBody};
use marquetry_rows::Keys;
use serde_json::{Value, json};

use super::options::Similarity;
use super::scores::Scored;

/// Pairs that the report shows.
const PAIRS: usize = 20;

/// Segments that the report shows, and products of each.
const SEGMENTS: usize = 40;
const TYPICAL: usize = 5;

fn name(keys: &Keys, number: u32) -> String {
    let shown = keys.shown(number as usize);
    // Messages say which column a key is of; a table has headings for that.
    let prefix = format!("{} ", keys.name());
    shown
        .strip_prefix(&prefix)
        .unwrap_or(&shown)
        .trim_matches('"')
        .to_owned()
}

const fn said(similarity: Similarity) -> &'static str {
    match similarity {
        Similarity::Cosine => "cosine similarity, 0 to 1",
        Similarity::Lift => "lift: how many times more often together than by chance",
        Similarity::LogLikelihood => {
            "log-likelihood ratio: how sure it is that both belong together"
        }
    }
}

/// The pairs that belong together most, each once.
pub(super) fn pairs(items: &Keys, neighbours: &[Vec<Scored>], similarity: Similarity) -> Panel {
    let of_items = neighbours.iter().zip(0_u32..);
    let mut pairs: Vec<(u32, Scored)> = of_items
        .flat_map(|(similar, item)| similar.iter().map(move |it| (item, *it)))
        .filter(|(item, it)| {
            let back = neighbours.get(it.item as usize).into_iter().flatten();
            // Where the other knows this one too, the pair is shown from the first of both.
            *item < it.item || !back.clone().any(|other| other.item == *item)
        })
        .collect();
    let by_score = |left: &(u32, Scored), right: &(u32, Scored)| {
        let order = right.1.score.total_cmp(&left.1.score);
        order
            .then(right.1.support.cmp(&left.1.support))
            .then(left.0.cmp(&right.0))
    };
    pairs.sort_by(by_score);
    let rows = pairs.iter().take(PAIRS).map(|(item, it)| {
        vec![
            json!(name(items, *item)),
            json!(name(items, it.item)),
            json!(it.score),
            json!(it.support),
        ]
    });
    table(
        "Products that belong together",
        format!(
            "the most similar pairs by {}; support is how many baskets hold both",
            said(similarity)
        ),
        &["product", "similar product", "score", "support"],
        rows.collect(),
    )
}

/// The most typical products of each segment.
pub(super) fn typical(
    segments: &Keys,
    items: &Keys,
    typical: &[Vec<Scored>],
    similarity: Similarity,
) -> Panel {
    let of_segments = typical.iter().zip(0_u32..).take(SEGMENTS);
    let rows = of_segments.flat_map(|(found, segment)| {
        found.iter().take(TYPICAL).map(move |it| {
            vec![
                json!(name(segments, segment)),
                json!(name(items, it.item)),
                json!(it.score),
                json!(it.support),
            ]
        })
    });
    table(
        "Products typical of each segment",
        format!(
            "by {} of being in the segment and having bought the product; support is how many of its customers did",
            said(similarity)
        ),
        &["segment", "product", "score", "support"],
        rows.collect(),
    )
}

fn table(title: &str, caption: String, columns: &[&str], rows: Vec<Vec<Value>>) -> Panel {
    let columns = columns.iter().map(|name| Column::new(*name)).collect();
    Panel {
        title: title.to_owned(),
        caption: Some(caption),
        body: PanelBody::Table { columns, rows },
    }
}
