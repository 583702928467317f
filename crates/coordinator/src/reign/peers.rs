//! Who takes parts of queries: every worker is told, soon after it changed. Changes come in crowds, when
//! a cluster starts or a coordinator takes over, and every worker gets the whole list: so it is told
//! once for all that came within a moment.

use std::time::Duration;

use marquetry_proto::v1;
use marquetry_proto::v1::attach_response::Message;
use marquetry_types::{Membership, Peer, Secret, Timestamp, WorkerId};

use super::Reign;

/// How long a change waits for others.
const CROWD: Duration = Duration::from_millis(50);

/// What the workers are told.
pub(super) struct Peers {
    told: Membership,
    /// Since then, if it changed since it was told, and when that is to be told.
    changed: Option<(Vec<Peer>, Timestamp)>,
}

impl Peers {
    /// Nobody yet, and the secret of a new epoch.
    pub(super) fn new() -> Self {
        let secret: [u8; 32] = rand::random();
        let secret = blake3::Hash::from_bytes(secret).to_hex();
        Self {
            told: Membership {
                peers: Vec::new(),
                secret: Secret::new(secret.as_str()),
            },
            changed: None,
        }
    }

    /// When a change is to be told.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.changed.as_ref().map(|(_, due)| *due)
    }

    fn change(&mut self, peers: Vec<Peer>, now: Timestamp) {
        let due = self.due().unwrap_or(now.saturating_add(CROWD));
        self.changed = Some((peers, due));
    }

    /// What is to be told now, if anything is.
    fn take(&mut self, now: Timestamp) -> Option<v1::Membership> {
        let (peers, _) = self.changed.take_if(|(_, due)| *due <= now)?;
        if peers == self.told.peers {
            return None;
        }
        self.told.peers = peers;
        Some((&self.told).into())
    }
}

impl Reign {
    pub(super) fn peers_changed(&mut self, peers: Vec<Peer>) {
        let now = self.clock.now();
        self.peers.change(peers, now);
    }

    /// Tells a worker that has just come what the others know. One that is told nothing knows nobody.
    pub(super) fn introduce(&mut self, worker: &WorkerId, session: u64) {
        if !self.peers.told.peers.is_empty() {
            let membership = Message::Membership((&self.peers.told).into());
            self.send(worker, session, membership);
        }
    }

    /// Tells everybody what changed, when it is time.
    pub(super) fn tell_peers(&mut self) {
        let now = self.clock.now();
        let Some(membership) = self.peers.take(now) else {
            return;
        };
        let lines = self.lines.iter();
        let lines: Vec<_> = lines
            .map(|(id, (session, _))| (id.clone(), *session))
            .collect();
        for (worker, session) in lines {
            let membership = Message::Membership(membership.clone());
            self.send(&worker, session, membership);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn peers(names: &[&str]) -> Vec<Peer> {
        let peers = names.iter().map(|name| Peer {
            url: format!("http://{name}"),
            version: "1".to_owned(),
        });
        peers.collect()
    }

    #[test]
    fn a_crowd_of_changes_is_told_once_and_what_changed_back_is_not() {
        let at = |millis: i64| Timestamp::from_millis(1_000 + millis);
        let mut told = Peers::new();
        assert_eq!(told.take(at(0)), None);
        told.change(peers(&["a"]), at(0));
        told.change(peers(&["a", "b"]), at(40));
        assert_eq!(told.take(at(49)), None, "others may come");
        let membership = told.take(at(50)).unwrap();
        assert_eq!(membership.peers.len(), 2);
        assert_eq!(membership.secret.len(), 64);
        assert_eq!(told.due(), None);
        told.change(peers(&["a"]), at(60));
        told.change(peers(&["a", "b"]), at(70));
        assert_eq!(told.take(at(200)), None, "b came back");
    }

    #[test]
    fn every_epoch_has_a_secret_of_its_own() {
        let (first, second) = (Peers::new(), Peers::new());
        assert_ne!(first.told.secret, second.told.secret);
        assert_eq!(format!("{:?}", first.told.secret), "…");
    }
}
