//! Rules broken on purpose: the simulator notices each, and says which promise it breaks.

use std::collections::BTreeMap;

use marquetry_simulation::{Invariant, Mutation, Options, run};

/// Seeds within which a broken rule must show.
const SEEDS: u64 = 400;

/// The invariants by which the simulator notices a mutation, with how often.
fn noticed(mutation: Mutation) -> BTreeMap<Invariant, u64> {
    let options = Options {
        mutation: Some(mutation),
        trace: false,
    };
    let mut noticed = BTreeMap::new();
    for seed in 0..SEEDS {
        if let Some(violation) = run(seed, &options).violation {
            assert!(!violation.events.is_empty(), "it comes with its events");
            *noticed.entry(violation.invariant).or_default() += 1;
        }
    }
    noticed
}

#[test]
fn every_broken_rule_is_noticed_by_the_promise_that_it_breaks() {
    let mut unnoticed = Vec::new();
    for mutation in Mutation::ALL {
        let expected = match mutation {
            Mutation::ActsBeforeCommit => Invariant::CommitThenAct,
            Mutation::AcknowledgesBeforeCommit => Invariant::NothingLost,
            Mutation::JournalIgnoresEpoch => Invariant::LatestEpoch,
            Mutation::RestoresWithoutCampaign => Invariant::MemoryIsFold,
            Mutation::AcceptsStaleToken => Invariant::OneOutput,
            Mutation::ForgetsGrantOnRestore => Invariant::OneLease,
            Mutation::ForgetsRunOnRestore => Invariant::EveryRunEnds,
            Mutation::ForgetsSlotsOnRestore => Invariant::SlotLimit,
            Mutation::ForgetsChildrenOnRestore => Invariant::OneChild,
            Mutation::WorkerInventsOutputs => Invariant::OneOutput,
            Mutation::GrantsBeforeNeeds => Invariant::NeedsFirst,
            Mutation::WorkerDropsResult => Invariant::NothingLost,
            Mutation::WorkerObeysDeposed => Invariant::LatestEpoch,
            Mutation::ForgetsRequestIds => Invariant::OneRunARequest,
            Mutation::SkipsVersion => Invariant::VersionsFollow,
        };
        let noticed = noticed(mutation);
        if !noticed.contains_key(&expected) {
            unnoticed.push(format!(
                "{mutation:?} is noticed by {noticed:?} and not by {expected}"
            ));
        }
    }
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}

#[test]
fn a_failing_seed_says_how_to_live_through_it_again() {
    let options = Options {
        mutation: Some(Mutation::ActsBeforeCommit),
        trace: false,
    };
    let failing = (0..SEEDS)
        .map(|seed| run(seed, &options))
        .find(|report| report.violation.is_some());
    let text = failing.map(|report| report.to_string()).unwrap_or_default();
    assert!(text.contains("commit, then act does not hold"), "{text}");
    assert!(text.contains("--bin simulate -- --seed "), "{text}");
}
