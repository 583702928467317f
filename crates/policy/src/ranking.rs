//! Shares of probability among arms: the best and their equals, and draws from what was shared.

use crate::Random;

/// Gives `share` in equal parts to the positions of the highest score, and nothing to others. Scores are
/// equal when their bits say so: equal statistics give equal scores.
pub(crate) fn share_among_best(scores: &[f64], share: f64) -> Vec<f64> {
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let ties = scores.iter().filter(|score| **score >= best).count();
    #[expect(clippy::cast_precision_loss, reason = "few arms")]
    let part = share / ties.max(1) as f64;
    scores
        .iter()
        .map(|score| if *score >= best { part } else { 0.0 })
        .collect()
}

/// The position of the highest score; a uniform draw among equals.
pub(crate) fn draw_best(scores: &[f64], random: &mut Random) -> usize {
    let (mut best, mut at, mut ties) = (f64::NEG_INFINITY, 0, 0);
    for (position, score) in scores.iter().enumerate() {
        if *score > best || ties == 0 {
            (best, at, ties) = (*score, position, 1);
        } else if *score >= best {
            ties += 1;
        }
    }
    if ties > 1 {
        let chosen = random.below(ties);
        let mut equals = scores
            .iter()
            .enumerate()
            .filter(|(_, score)| **score >= best);
        at = equals.nth(chosen).map_or(at, |(position, _)| position);
    }
    at
}

/// A draw from probabilities that sum to 1; never of a position that has none.
pub(crate) fn draw(probabilities: &[f64], random: &mut Random) -> usize {
    let unit = random.unit();
    let (mut cumulative, mut last) = (0.0, 0);
    for (position, probability) in probabilities.iter().enumerate() {
        if *probability > 0.0 {
            cumulative += probability;
            last = position;
            if unit < cumulative {
                break;
            }
        }
    }
    // Where rounding left the sum a little below 1, the last one takes the rest.
    last
}

/// Probabilities proportional to exp(score).
pub(crate) fn softmax(scores: &[f64]) -> Vec<f64> {
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut shares: Vec<f64> = scores.iter().map(|score| (score - best).exp()).collect();
    let sum: f64 = shares.iter().sum();
    for share in &mut shares {
        *share /= sum;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_share() {
        assert_eq!(
            share_among_best(&[1.0, 3.0, 3.0, 2.0], 0.5),
            [0.0, 0.25, 0.25, 0.0]
        );
        assert_eq!(share_among_best(&[f64::INFINITY, 3.0], 1.0), [1.0, 0.0]);
    }

    #[test]
    fn what_has_no_probability_is_never_drawn() {
        let mut random = Random::new(1, 0);
        for _ in 0..1000 {
            // The sum is short of 1 on purpose.
            let drawn = draw(&[0.0, 0.3, 0.0, 0.3, 0.0], &mut random);
            assert!(drawn == 1 || drawn == 3);
        }
    }

    #[test]
    fn softmax_bears_any_scores() {
        assert_eq!(softmax(&[1e105, 1e105, -1e105]), [0.5, 0.5, 0.0]);
        let shares = softmax(&[0.0, 2.0_f64.ln()]);
        assert!((shares[1] - 2.0 / 3.0).abs() < 1e-15);
    }
}
