//! The stage kind `personalization/offers`.

mod options;
mod panels;

use async_trait::async_trait;
use marquetry_decisions::{
    Audience, AudienceOptions, Choices, DecisionLog, PolicyBook, instant, policy_batch,
    read_policy, refused, seed_of,
};
use marquetry_plugin::{LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::off_thread;
use marquetry_types::{Outcome, StageDescriptor};
use serde_json::json;

use options::OffersOptions;

const DESCRIPTION: &str = "\
Chooses an action for each customer from a catalogue, by a policy that learns from what comes back. An action is \
eligible for whom its `when` holds, and until its `cap` is used up; among what is eligible the policy's algorithm \
draws. What is decided is logged with the probability with which it came out so, so that `feedback/bandit` can \
learn from it and any other policy can be evaluated on it.\n\n\
The policy is the version that was published when the run began; the first run starts one that has learned nothing. \
With `per_segment` each segment has a policy of its own, which learns what its customers like and starts from nothing \
for a segment of a new name. Linear algorithms look at a constant 1 and the columns of `context`: give them scaled \
ones.\n\n\
With caps, customers are served in a random order, and each propensity is right given what was eligible at that moment. \
A customer for whom nothing is eligible gets no decision and is counted.\n\n\
O(customers x actions) to find what is eligible. Without a context the policy is asked once for each segment and set \
of eligible actions; with one, O(actions x dimensions²) a customer.";

const EXAMPLE: &str = "\
customers: ${{ stages.customers }}
segments: ${{ stages.segments }}
policy: offers
decided_at: ${{ run.submitted_at }}
actions:
  - { name: discount, when: recency_days > 60 }
  - { name: free_delivery }
  - { name: early_access, when: frequency >= 5, cap: 500 }
";

/// `personalization/offers`.
#[derive(Debug)]
pub(crate) struct Offers {
    descriptor: StageDescriptor,
}

impl Default for Offers {
    fn default() -> Self {
        let summary = "choose an action for each customer, by a policy that learns";
        let descriptor = describe::<OffersOptions>("personalization/offers", 1, summary)
            .description(DESCRIPTION)
            .output(
                "decisions",
                "a row for each customer that gets an action: key, decision_id, segment, context, eligible, action, propensity, policy, policy_version, decided_at",
            )
            .output(
                "policy",
                "the policy that chose: what `feedback/bandit` starts from while none is published",
            )
            .metric("customers", "customers looked at")
            .metric("decisions", "customers that got an action")
            .metric("without_action", "customers for whom nothing was eligible")
            .metric("policy_version", "the version of the policy, 0 where it had learned nothing")
            .metric(
                "mean_propensity",
                "mean probability of what was chosen: near 1 means that little is tried out",
            )
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Offers {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: OffersOptions = stage.options()?;
        let decided_at = instant("decided_at", &options.decided_at)?;
        let spec = options.spec()?;
        let version = &options.policy.0;
        let mut book = match read_policy(&stage, version).await? {
            Some(book) => book.with_spec(version.name.as_str(), spec)?,
            None => PolicyBook::new(spec).map_err(|error| refused(&error))?,
        };
        let audience = Audience::read(
            &stage,
            AudienceOptions {
                customers: &options.customers,
                segments: options.segments.as_ref(),
                key: &options.key,
                context: &options.context,
                actions: &options.actions,
            },
        )
        .await?;
        let run = stage.attempt().run.as_str().to_owned();
        let name = stage.attempt().stage.as_str().to_owned();
        let seed = seed_of(&[&run, &name], options.seed.unwrap_or_default());
        let (audience, book, choices) = off_thread(move || {
            let choices = audience.decide(&mut book, seed)?;
            Ok((audience, book, choices))
        })
        .await?;

        let log = DecisionLog {
            origin: &format!("{run}/{name}"),
            policy: version.name.as_str(),
            version: version.version,
            decided_at,
        };
        let decisions = log.batch(&audience, &choices)?;
        let schema = decisions.schema();
        stage
            .write_batches("decisions", schema, vec![decisions])
            .await?;
        let (schema, rows) = policy_batch(&book)?;
        stage.write_batches("policy", schema, vec![rows]).await?;
        report(&mut stage, &audience, &choices, version.version).await?;
        Ok(stage.finish())
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
async fn report(
    stage: &mut StageContext,
    audience: &Audience,
    choices: &Choices,
    version: u64,
) -> Result<(), StageError> {
    let chosen: Vec<_> = choices.choices.iter().flatten().collect();
    let without = audience.len() - chosen.len();
    stage.metric("customers", audience.len() as f64);
    stage.metric("decisions", chosen.len() as f64);
    stage.metric("without_action", without as f64);
    stage.metric("policy_version", version as f64);
    if without > 0 {
        let fields = [("customers", json!(without))];
        let message = "nothing is eligible for some customers: they get no decision";
        stage.log(LogLevel::Warn, message, fields);
    }
    if chosen.is_empty() {
        return Ok(());
    }
    let propensities: f64 = chosen.iter().map(|choice| choice.propensity).sum();
    stage.metric("mean_propensity", propensities / chosen.len() as f64);
    for panel in panels::all(audience, choices, version) {
        stage.panel(&panel).await?;
    }
    Ok(())
}
