//! Who takes parts of queries, between the wire and the shared nouns.

use marquetry_types::{Membership, Parallelism, Peer, Secret};

use crate::v1;

impl From<&Membership> for v1::Membership {
    fn from(membership: &Membership) -> Self {
        let peers = membership.peers.iter().map(|peer| v1::Peer {
            url: peer.url.clone(),
            version: peer.version.clone(),
        });
        Self {
            peers: peers.collect(),
            secret: membership.secret.expose().to_owned(),
        }
    }
}

impl From<v1::Membership> for Membership {
    fn from(wire: v1::Membership) -> Self {
        let peers = wire.peers.into_iter().map(|peer| Peer {
            url: peer.url,
            version: peer.version,
        });
        Self {
            peers: peers.collect(),
            secret: Secret::new(wire.secret),
        }
    }
}

impl From<Parallelism> for v1::Parallelism {
    fn from(parallelism: Parallelism) -> Self {
        match parallelism {
            Parallelism::Local => Self::Local,
            Parallelism::Cluster => Self::Cluster,
            Parallelism::Auto => Self::Auto,
        }
    }
}

impl From<v1::Parallelism> for Parallelism {
    fn from(wire: v1::Parallelism) -> Self {
        match wire {
            v1::Parallelism::Local => Self::Local,
            v1::Parallelism::Cluster => Self::Cluster,
            // One that says nothing is older than the choice.
            v1::Parallelism::Auto | v1::Parallelism::Unspecified => Self::Auto,
        }
    }
}
