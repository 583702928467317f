//! The stage kind `feedback/simulate`: how fast a policy learns, in a world in which the best is known.

mod options;
mod panels;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use async_trait::async_trait;
use marquetry_decisions::{Audience, AudienceOptions, PolicyBook, PolicySpec, refused, seed_of};
use marquetry_plugin::{StageContext, StageError, StageHandler, describe};
use marquetry_policy::Random;
use marquetry_rows::{invalid, off_thread};
use marquetry_types::{Outcome, StageDescriptor, codes};

use crate::planted::Planted;
use options::SimulateOptions;

const DESCRIPTION: &str = "\
Lets a policy decide for the customers of `marquetry sample orders`, round after round, and learn from what they \
answer: each planted group likes some offers more than others (see `feedback/respond`). Beside it, on the same \
customers with the same luck, two others choose: one uniformly, and an oracle that knows what each customer likes. The \
policy lies between them, and how fast it comes near the oracle is its learning curve.\n\n\
It publishes nothing and learns from nothing but the simulation: it is a way to choose an algorithm before the first \
customer gets an offer. Caps are not simulated. O(rounds x customers x actions).";

const EXAMPLE: &str = "\
customers: ${{ stages.customers }}
segments: ${{ stages.segments }}
sample: { rows: 200000, seed: 1 }
rounds: 20
actions:
  - { name: discount }
  - { name: free_delivery }
  - { name: early_access, when: frequency >= 5 }
";

/// `feedback/simulate`.
#[derive(Debug)]
pub(crate) struct Simulate {
    descriptor: StageDescriptor,
}

impl Default for Simulate {
    fn default() -> Self {
        let summary = "simulate how fast a policy learns, against uniform choice and an oracle";
        let descriptor = describe::<SimulateOptions>("feedback/simulate", 1, summary)
            .description(DESCRIPTION)
            .output(
                "curve",
                "by round and policy (learning, uniform, oracle): mean_reward of the round, cumulative_mean, cumulative_regret against the oracle's expected reward",
            )
            .metric("reward_learning", "mean reward of a decision of the policy")
            .metric("reward_uniform", "mean reward of a decision of uniform choice")
            .metric("reward_oracle", "mean reward of a decision of the oracle")
            .metric(
                "gained",
                "the policy's gain over uniform choice as a share of the oracle's",
            )
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

/// Who chooses.
const POLICIES: [&str; 3] = ["learning", "uniform", "oracle"];

/// The rewards of one round, by policy.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    decisions: usize,
    /// Sums of rewards, by policy.
    rewards: [f64; POLICIES.len()],
    /// Sums of expected rewards, by policy.
    expected: [f64; POLICIES.len()],
}

#[async_trait]
impl StageHandler for Simulate {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: SimulateOptions = stage.options()?;
        let spec = options.spec()?;
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
        let seed = seed_of(&["simulate"], options.seed.unwrap_or_else(|| stage.seed()));
        let reporter = stage.reporter();
        let (sample, rounds) = (options.sample, options.rounds);
        let played = off_thread(move || {
            let world = World::new(&audience, Planted::of(sample)?)?;
            let mut played = Vec::new();
            let mut book = PolicyBook::new(spec).map_err(|error| refused(&error))?;
            let mut uniform = PolicyBook::new(PolicySpec {
                algorithm: marquetry_decisions::Learner::Uniform {},
                explore: 0.0,
                per_segment: false,
                context: Vec::new(),
            })
            .map_err(|error| refused(&error))?;
            for round in 0..rounds {
                reporter.check_cancelled()?;
                let done = u64::from(round);
                reporter.progress("simulating", done, Some(u64::from(rounds)), "rounds");
                played.push(world.play(&mut book, &mut uniform, seed, done)?);
            }
            Ok(played)
        })
        .await?;
        let batch = curve(&played)?;
        stage
            .write_batches("curve", batch.schema(), vec![batch])
            .await?;
        report(&mut stage, &played).await?;
        Ok(stage.finish())
    }
}

/// What each customer likes.
struct World<'a> {
    audience: &'a Audience,
    /// How often a customer responds to each action, one customer after the other.
    rates: Vec<f64>,
    actions: usize,
}

impl<'a> World<'a> {
    fn new(audience: &'a Audience, planted: Planted) -> Result<Self, StageError> {
        let keys = cast(&audience.keys().array(), &DataType::Int64)?;
        let actions = audience.actions();
        let mut rates = Vec::with_capacity(audience.len().saturating_mul(actions.len()));
        let keys = keys.as_primitive::<Int64Type>();
        for row in 0..audience.len() {
            if keys.is_null(row) {
                return Err(invalid(
                    codes::COLUMN_MISMATCH,
                    "the customers of the sample have numbers for keys",
                    "simulate on customers that `marquetry sample orders` made",
                ));
            }
            for action in &actions {
                rates.push(planted.rate(keys.value(row), action)?);
            }
        }
        Ok(Self {
            audience,
            rates,
            actions: actions.len(),
        })
    }

    fn rate(&self, row: usize, action: usize) -> f64 {
        self.rates[row * self.actions + action]
    }

    /// One decision for each customer by each policy, and what the learning one learns of it.
    fn play(
        &self,
        book: &mut PolicyBook,
        uniform: &mut PolicyBook,
        seed: u64,
        round: u64,
    ) -> Result<Round, StageError> {
        let of_round = seed_of(&["round"], seed.wrapping_add(round));
        let chosen = self.audience.decide(book, of_round)?;
        let at_random = self
            .audience
            .decide(uniform, seed_of(&["uniform"], of_round))?;
        let luck = seed_of(&["luck"], of_round);
        let names = self.audience.actions();
        let mut played = Round::default();
        for row in 0..self.audience.len() {
            let (Some(choice), Some(random)) = (chosen.choices[row], at_random.choices[row]) else {
                continue;
            };
            let set = chosen.sets[choice.eligible].iter().copied();
            let best = set.max_by(|left, right| {
                let (left, right) = (self.rate(row, *left), self.rate(row, *right));
                left.total_cmp(&right)
            });
            // The same luck for all three: they differ by what they choose alone.
            let luck = Random::new(luck, row as u64).unit();
            let actions = [choice.action, random.action, best.unwrap_or(choice.action)];
            played.decisions += 1;
            for (policy, action) in actions.into_iter().enumerate() {
                let rate = self.rate(row, action);
                played.expected[policy] += rate;
                played.rewards[policy] += if luck < rate { 1.0 } else { 0.0 };
            }
            let reward = if luck < self.rate(row, choice.action) {
                1.0
            } else {
                0.0
            };
            let segment = self.audience.segment(row);
            let Some(policy) = book.policy_mut(segment) else {
                continue;
            };
            let arm = policy
                .arm(names[choice.action])
                .map_err(|error| refused(&error))?;
            policy
                .learn(self.audience.context(row), arm, reward)
                .map_err(|error| refused(&error))?;
        }
        Ok(played)
    }
}

/// Figures of the rounds so far, by policy: mean reward of the last, of all, and regret.
fn so_far(rounds: &[Round]) -> [(f64, f64, f64); POLICIES.len()] {
    let decisions: usize = rounds.iter().map(|round| round.decisions).sum();
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let per = |sum: f64, count: usize| sum / count.max(1) as f64;
    let last = rounds.last().copied().unwrap_or_default();
    std::array::from_fn(|policy| {
        let sum = |of: fn(&Round, usize) -> f64| -> f64 {
            rounds.iter().map(|round| of(round, policy)).sum()
        };
        let oracle: f64 = rounds.iter().map(|round| round.expected[2]).sum();
        (
            per(last.rewards[policy], last.decisions),
            per(sum(|round, policy| round.rewards[policy]), decisions),
            oracle - sum(|round, policy| round.expected[policy]),
        )
    })
}

fn curve(rounds: &[Round]) -> Result<RecordBatch, StageError> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("round", DataType::Int64, false),
        Field::new("policy", DataType::Utf8, false),
        Field::new("mean_reward", DataType::Float64, false),
        Field::new("cumulative_mean", DataType::Float64, false),
        Field::new("cumulative_regret", DataType::Float64, false),
    ]));
    let (mut numbers, mut names) = (Vec::new(), Vec::new());
    let mut figures: [Vec<f64>; 3] = Default::default();
    for count in 1..=rounds.len() {
        let of_round = so_far(&rounds[..count]);
        for (name, (mean, cumulative, regret)) in POLICIES.iter().zip(of_round) {
            numbers.push(i64::try_from(count).unwrap_or(i64::MAX));
            names.push(*name);
            figures[0].push(mean);
            figures[1].push(cumulative);
            figures[2].push(regret);
        }
    }
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(numbers)),
        Arc::new(StringArray::from(names)),
    ];
    columns.extend(figures.map(|figures| Arc::new(Float64Array::from(figures)) as ArrayRef));
    Ok(RecordBatch::try_new(schema, columns)?)
}

async fn report(stage: &mut StageContext, rounds: &[Round]) -> Result<(), StageError> {
    let [learning, uniform, oracle] = so_far(rounds).map(|(_, mean, _)| mean);
    stage.metric("reward_learning", learning);
    stage.metric("reward_uniform", uniform);
    stage.metric("reward_oracle", oracle);
    if oracle > uniform {
        stage.metric("gained", (learning - uniform) / (oracle - uniform));
    }
    if rounds.iter().any(|round| round.decisions > 0) {
        stage.panel(&panels::curve(rounds)).await?;
    }
    Ok(())
}
