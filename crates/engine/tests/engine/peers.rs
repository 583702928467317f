//! Who takes parts of queries, as the engine wants it told.

use marquetry_engine::{Action, Decision, EngineConfig, Input};
use marquetry_types::Peer;

use crate::support::*;

/// A hello of a worker with a data plane.
fn with_plane(name: &str, session: u64) -> Input {
    let Input::WorkerConnected(mut hello) = hello(name, session, 1, Vec::new()) else {
        panic!("a hello")
    };
    hello.data_plane = Some(format!("http://{name}:7071"));
    Input::WorkerConnected(hello)
}

/// The workers that everybody is to be told of, if anybody is told.
fn told(decision: &Decision) -> Option<Vec<&str>> {
    decision.actions.iter().find_map(|action| match action {
        Action::TellPeers { peers } => Some(peers.iter().map(|peer| peer.url.as_str()).collect()),
        _ => None,
    })
}

#[test]
fn workers_with_a_data_plane_are_told_of_until_they_go_or_drain() {
    let mut world = World::new(EngineConfig::default());
    assert_eq!(told(&world.step(hello("w0", 1, 1, Vec::new()))), None);
    let first = world.step(with_plane("w2", 1));
    assert_eq!(told(&first), Some(vec!["http://w2:7071"]));
    let Some(Action::TellPeers { peers }) = first.actions.last() else {
        panic!("{first:?}")
    };
    let version = "test".to_owned();
    assert_eq!(
        peers[..],
        [Peer {
            url: "http://w2:7071".to_owned(),
            version
        }]
    );
    let both = Some(vec!["http://w1:7071", "http://w2:7071"]);
    assert_eq!(told(&world.step(with_plane("w1", 1))), both);
    let gone = world.step(Input::WorkerDisconnected {
        worker: worker_id("w2"),
        session: 1,
    });
    assert_eq!(
        told(&gone),
        Some(vec!["http://w1:7071"]),
        "before its grace ends"
    );
    assert_eq!(told(&world.step(with_plane("w2", 2))), both);
    let drained = world.step(Input::DrainWorker {
        worker: worker_id("w1"),
        reason: "an upgrade".to_owned(),
    });
    assert_eq!(told(&drained), Some(vec!["http://w2:7071"]));
    let left = world.step(Input::WorkerLeft {
        worker: worker_id("w2"),
        session: 2,
        reason: "it was asked to stop".to_owned(),
    });
    assert_eq!(told(&left), Some(Vec::new()));
}

#[test]
fn nothing_is_told_when_nothing_changed() {
    let mut world = World::new(EngineConfig::default());
    world.step(with_plane("w1", 1));
    assert_eq!(told(&world.step(Input::Tick)), None);
    assert_eq!(told(&world.step(hello("w0", 1, 1, Vec::new()))), None);
}
