//! The stage kind `feedback/evaluate`.

mod arms;
mod halves;
mod log;
mod options;
mod output;
mod panels;
mod value;

use async_trait::async_trait;
use marquetry_plugin::{LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_policy::normal_quantile;
use marquetry_rows::off_thread;
use marquetry_types::{Outcome, StageDescriptor};
use serde_json::json;

use halves::Halves;
use log::Log;
use options::EvaluateOptions;
use value::{PolicyValue, always, refused, robust};

const DESCRIPTION: &str = "\
Says what other policies would have earned on a log of decisions, whoever made it: an experiment, a bandit, \
Open Bandit Data. Each policy has four estimates of its reward a decision: `ips` (inverse propensity scores), \
`self_normalised_ips` (Swaminathan and Joachims 2015), `direct_method`, and `doubly_robust` (Dudík et al. 2011), \
with intervals and the effective sample size of the importance weights (Kish 1965): where that is small, the log \
has little to say.\n\n\
The log is cut at random into two halves. What is judged on the rows of one half, the reward model and the \
choice of the best action of a segment, was learned on the other, so that nothing is judged on rows that it was \
learned from. The best action of a segment has the largest mean reward with weights 1 / propensity; one that was not \
seen in a segment counts with its mean over all. Where the action that a policy wants is not eligible, it takes \
each eligible one with equal probability.\n\n\
`arms` says what each action earned in each segment, with Wilson's interval (1927) where all rewards are 0 or 1, \
else a normal one; `best` compares the two best of each segment by Newcombe's interval (1998). These are plain means: \
they compare actions where, within a segment, chance alone chose between them.\n\n\
O(decisions x actions), times the replicates of a bootstrap; decisions in memory.";

const EXAMPLE: &str = "\
log: ${{ stages.sent }}
action: mail
uniform: true
reward: visit
by: segment
";

/// `feedback/evaluate`.
#[derive(Debug)]
pub(crate) struct Evaluate {
    descriptor: StageDescriptor,
}

impl Default for Evaluate {
    fn default() -> Self {
        let summary = "say what other policies would have earned on a log of decisions";
        let descriptor = describe::<EvaluateOptions>("feedback/evaluate", 1, summary)
            .pure()
            .description(DESCRIPTION)
            .output(
                "estimates",
                "policy, estimator, value, lower, upper, effective_sample_size; value is null where the log says nothing, \
                 the ends where that kind of interval is not defined",
            )
            .output(
                "arms",
                "action, segment (null for all), decisions, mean_reward, lower, upper",
            )
            .output(
                "best",
                "segment (null for all), action, decisions, mean_reward, lower, upper; next, the second best action, and \
                 advantage, advantage_lower, advantage_upper over it",
            )
            .metric("decisions", "decisions in the log")
            .metric("actions", "actions that the log names")
            .metric("segments", "segments that the log is told by")
            .metric("logged_value", "mean reward a decision of the policy that made the log")
            .metric("uniform_value", "doubly robust value of the uniform policy")
            .metric("best_by_segment_value", "doubly robust value of the best action by segment")
            .metric("best_action_value", "the largest doubly robust value of a single action")
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Evaluate {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: EvaluateOptions = stage.options()?;
        options.check()?;
        let log = Log::read(&stage, &options).await?;
        let seed = options.seed.unwrap_or_else(|| stage.seed());
        let reporter = stage.reporter();
        let (log, options, values) = off_thread(move || {
            let halves = Halves::new(&log, &options, seed).map_err(|error| refused(&error))?;
            let values = value::all(&reporter, &log, &halves, &options)?;
            Ok((log, options, values))
        })
        .await?;
        let z = normal_quantile(0.5 + 0.5 * options.confidence);
        let arms = arms::all(&log, options.by.is_some(), z);
        let best = arms::best(&arms);

        for (name, batch) in [
            ("estimates", output::estimates(&values)?),
            ("arms", output::arms(&log, &arms)?),
            ("best", output::best(&log, &best)?),
        ] {
            stage
                .write_batches(name, batch.schema(), vec![batch])
                .await?;
        }
        report(&mut stage, &log, &options, &values);
        for panel in panels::all(&log, &options, &values, &arms, &best) {
            stage.panel(&panel).await?;
        }
        Ok(stage.finish())
    }
}

/// Metrics and remarks.
#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn report(stage: &mut StageContext, log: &Log, options: &EvaluateOptions, values: &[PolicyValue]) {
    stage.metric("decisions", log.decisions.len() as f64);
    stage.metric("actions", log.actions.len() as f64);
    if options.by.is_some() {
        stage.metric("segments", log.segments.len() as f64);
    }
    let of = |policy: &str| robust(values, policy).and_then(|it| it.value);
    let actions = log.actions.iter().filter_map(|action| of(&always(action)));
    let metrics = [
        ("logged_value", values.first().and_then(|it| it.value)),
        ("uniform_value", of("uniform")),
        ("best_by_segment_value", of("best_by_segment")),
        ("best_action_value", actions.reduce(f64::max)),
    ];
    for (name, value) in metrics {
        if let Some(value) = value {
            stage.metric(name, value);
        }
    }
    if log.actions.len() < 2 {
        let fields = [("actions", json!(log.actions.len()))];
        let message = "the log has a single action: there is nothing to compare";
        stage.log(LogLevel::Warn, message, fields);
    }
}
