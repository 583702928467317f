//! Standard normal variates at the price of one word, one comparison and one multiplication in 99 of
//! 100 cases.
//!
//! G. Marsaglia and W. Tsang, *The ziggurat method for generating random variables*, 2000, with
//! J. Doornik's correction (2005): layer, sign and position come from bits of their own.

use std::sync::LazyLock;

use crate::random::{Random, unit_of};

const LAYERS: usize = 256;
/// Where the tail begins, and the area of every layer, for 256 layers.
const TAIL_FROM: f64 = 3.654_152_885_361_009;
const LAYER_AREA: f64 = 4.928_673_233_974_655e-3;

struct Layers {
    /// The right edge of each layer, from the widest (the base, tail included) to 0.
    edges: [f64; LAYERS + 1],
    /// The part of a layer that lies wholly below the curve: the next edge over its own.
    inside: [f64; LAYERS],
}

static TABLE: LazyLock<Layers> = LazyLock::new(|| {
    let density = |x: f64| (-0.5 * x * x).exp();
    let mut edges = [0.0; LAYERS + 1];
    edges[0] = LAYER_AREA / density(TAIL_FROM);
    edges[1] = TAIL_FROM;
    for layer in 2..LAYERS {
        let below = edges[layer - 1];
        edges[layer] = (-2.0 * (LAYER_AREA / below + density(below)).ln()).sqrt();
    }
    let mut inside = [0.0; LAYERS];
    for layer in 0..LAYERS {
        inside[layer] = edges[layer + 1] / edges[layer];
    }
    Layers { edges, inside }
});

/// One draw.
pub(crate) fn normal(random: &mut Random) -> f64 {
    let table = &*TABLE;
    loop {
        let word = random.word();
        // The lowest nine bits do not reach the position, which is of the upper 53.
        let layer = (word & 0xff) as usize;
        let negative = word & 0x100 != 0;
        let position = unit_of(word);
        let x = position * table.edges[layer];
        let magnitude = if position < table.inside[layer] {
            x
        } else if layer == 0 {
            tail(random)
        } else {
            let outer = (-0.5 * (table.edges[layer] * table.edges[layer] - x * x)).exp();
            let inner = (-0.5 * (table.edges[layer + 1] * table.edges[layer + 1] - x * x)).exp();
            if inner + random.unit() * (outer - inner) >= 1.0 {
                continue;
            }
            x
        };
        return if negative { -magnitude } else { magnitude };
    }
}

/// A draw from the normal tail (G. Marsaglia, *Generating a variable from the tail of the normal
/// distribution*, 1964).
fn tail(random: &mut Random) -> f64 {
    loop {
        let beyond = -(1.0 - random.unit()).ln() / TAIL_FROM;
        let height = -(1.0 - random.unit()).ln();
        if 2.0 * height > beyond * beyond {
            return TAIL_FROM + beyond;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_close_at_the_top_of_the_curve() {
        // The last layer's upper side is the density at 0 exactly when the two constants belong
        // together.
        let last = TABLE.edges[LAYERS - 1];
        let top = LAYER_AREA / last + (-0.5 * last * last).exp();
        assert!((top - 1.0).abs() < 1e-10, "{top}");
        assert!(TABLE.edges.is_sorted_by(|wide, narrow| wide > narrow));
    }
}
