//! The stage kind `feedback/bandit`.

mod estimates;
mod join;
mod learn;
mod options;
mod panels;
mod tables;

use async_trait::async_trait;
use marquetry_decisions::{LoggedDecision, PolicyBook, policy_batch, read_policy, start_of};
use marquetry_plugin::{LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{invalid, off_thread};
use marquetry_types::{Outcome, POLICY_OUTPUT, StageDescriptor, codes};
use serde_json::json;

use join::{DOUBLED, EARLY, Joined, LATE, UNKNOWN};
use learn::Lesson;
use options::BanditOptions;

const DESCRIPTION: &str = "\
Teaches a policy what its decisions earned, and publishes it as the next version. Each decision gets the reward of the \
response within `window` after it; one without a response earned 0, unless `missing: skip`, or is left out while its \
window is still open (`as_of`). Of several responses `doubled` says which counts. Responses that are late, early, \
doubled or of no decision are in the output `unused`, each with its reason.\n\n\
The policy is the newest version when the attempt begins. If another run publishes one meanwhile, the attempt fails as \
transient, and the next one learns from that: nothing that was learned is lost. While nothing is published, it starts \
from the policy that decided (`from`).\n\n\
The output `estimates` says what other policies would have earned on the same decisions: uniform choice, each action \
always, and the policy as it is now; by inverse propensity scores, self-normalised ones, the direct method and doubly \
robust (Dudik et al., 2011), with the mean of each action in each segment as the reward model and normal 95 % \
intervals.\n\n\
O(decisions), O(decisions x dimensions²) for linear policies; decisions and responses in memory.";

const EXAMPLE: &str = "\
decisions: ${{ stages.offers }}
responses: ${{ stages.responses }}
policy: offers
from: ${{ stages.offers.outputs.policy }}
window: 7d
";

/// `feedback/bandit`.
#[derive(Debug)]
pub(crate) struct Bandit {
    descriptor: StageDescriptor,
}

impl Default for Bandit {
    fn default() -> Self {
        let summary = "teach a policy what its decisions earned";
        let descriptor = describe::<BanditOptions>("feedback/bandit", 1, summary)
            .description(DESCRIPTION)
            .output(
                POLICY_OUTPUT,
                "the next version of the policy; its rows are what each action has earned in each segment so far",
            )
            .output(
                "arms",
                "what each action earned in each segment in these decisions, with 95 % intervals",
            )
            .output("estimates", "what other policies would have earned on the same decisions")
            .output("unused", "responses that were not learned from, with the reason")
            .metric("decisions", "decisions that were learned from")
            .metric("responses", "responses that were read")
            .metric("pending", "decisions whose window is still open")
            .metric("late", "responses after the window")
            .metric("doubled", "responses to a decision that had one")
            .metric("unknown", "responses to no decision of the log")
            .metric("reward_mean", "mean reward of a decision, in units of the reward")
            .metric("clipped", "rewards that were clipped")
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Bandit {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: BanditOptions = stage.options()?;
        options.window()?;
        let book = book(&stage, &options).await?;
        let decisions = LoggedDecision::read(&stage, &options.decisions).await?;
        let joined = join::join(&stage, &decisions, &options).await?;
        let rewards = options.rewards;
        let (book, joined, lesson, estimates) = off_thread(move || {
            let mut book = book;
            let lesson = learn::learn(&mut book, &decisions, &joined, rewards)?;
            let estimates = estimates::estimate(&book, &decisions, &lesson.rewards)?;
            Ok((book, joined, lesson, estimates))
        })
        .await?;

        let (schema, rows) = policy_batch(&book)?;
        stage
            .write_batches(POLICY_OUTPUT, schema, vec![rows])
            .await?;
        let arms = tables::arms(&lesson);
        for (output, batch) in [
            ("arms", tables::arms_batch(&arms)?),
            ("estimates", tables::estimates_batch(&estimates)?),
            ("unused", tables::unused_batch(&joined.unused)?),
        ] {
            stage
                .write_batches(output, batch.schema(), vec![batch])
                .await?;
        }
        report(&mut stage, &joined, &lesson);
        for panel in panels::all(&arms, &estimates) {
            stage.panel(&panel).await?;
        }
        Ok(stage.finish())
    }
}

/// The policy to teach: its newest version, or what it starts from. It knows the actions of both.
async fn book(stage: &StageContext, options: &BanditOptions) -> Result<PolicyBook, StageError> {
    let version = &options.policy.0;
    let newest = read_policy(stage, version).await?;
    let from = match &options.from {
        Some(input) => Some(start_of(stage, input).await?),
        None => None,
    };
    match (newest, from) {
        (Some(newest), None) => Ok(newest),
        (None, Some(from)) => Ok(from),
        (Some(newest), Some(from)) => {
            // The run may have decided with parameters that are new, and with a catalogue that grew.
            let mut book = newest.with_spec(version.name.as_str(), from.spec().clone())?;
            book.know_as(&from)
                .map_err(|error| marquetry_decisions::refused(&error))?;
            Ok(book)
        }
        (None, None) => Err(invalid(
            codes::STAGE_OPTIONS,
            format!(
                "no version of policy `{}` is published, and there is no `from` to start it",
                version.name
            ),
            "write `from: \"${{ stages.NAME.outputs.policy }}\"` with the stage that decided",
        )),
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn report(stage: &mut StageContext, joined: &Joined, lesson: &Lesson) {
    let total = lesson.earned.total();
    stage.metric("decisions", total.decisions as f64);
    stage.metric("responses", joined.responses as f64);
    stage.metric("pending", joined.pending as f64);
    stage.metric("late", joined.count(LATE) as f64);
    stage.metric("doubled", joined.count(DOUBLED) as f64);
    stage.metric("unknown", joined.count(UNKNOWN) as f64);
    stage.metric("clipped", lesson.clipped as f64);
    if let Some(mean) = total.mean() {
        stage.metric("reward_mean", mean);
    }
    for (reason, message) in [
        (UNKNOWN, "some responses belong to no decision"),
        (EARLY, "some responses are older than their decisions"),
        (LATE, "some responses came after the window"),
    ] {
        let count = joined.count(reason);
        if count > 0 {
            stage.log(LogLevel::Warn, message, [("responses", json!(count))]);
        }
    }
    if total.decisions == 0 {
        let fields = [("option", json!("decisions"))];
        stage.log(LogLevel::Warn, "there was nothing to learn", fields);
    }
}
