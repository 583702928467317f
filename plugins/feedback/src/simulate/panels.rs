//! The learning curve as the report shows it.

use marquetry_plugin::{Panel, PanelBody, PointGroup};

use super::{POLICIES, Round, so_far};

/// The mean reward of each policy by round.
#[expect(clippy::cast_precision_loss, reason = "points to look at")]
pub(super) fn curve(rounds: &[Round]) -> Panel {
    let by_round: Vec<_> = (1..=rounds.len())
        .map(|count| so_far(&rounds[..count]))
        .collect();
    let names = ["the policy", "uniform choice", "an oracle"];
    let series = (0..POLICIES.len()).map(|policy| PointGroup {
        name: names[policy].to_owned(),
        points: by_round
            .iter()
            .enumerate()
            .map(|(round, figures)| [(round + 1) as f64, figures[policy].0])
            .collect(),
    });
    Panel {
        title: "How fast the policy learns".to_owned(),
        caption: Some(
            "mean reward of a decision in each round, on the same customers with the same luck: the policy, uniform choice, and an oracle that knows what each customer likes"
                .to_owned(),
        ),
        body: PanelBody::Lines {
            x_label: "round".to_owned(),
            y_label: "mean reward".to_owned(),
            series: series.collect(),
        },
    }
}
