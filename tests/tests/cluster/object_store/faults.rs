//! What goes wrong between a store and whoever asks it, by chance under a seed, and how often it did.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use marquetry_tests::Dice;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is done, and the answer is 500.
    InternalError,
    /// Nothing is done, and the answer is 503 SlowDown.
    SlowDown,
    /// It is done, and the answer is 500.
    AnswerLost,
    /// It is done, and the answer takes some tenths of a second.
    Slow,
    /// The connection is reset before the request is read.
    Reset,
    /// It is done, and the connection is reset in the middle of the answer.
    ResetInAnswer,
    /// It is done, and the connection is closed in the middle of the answer, as if that were all.
    Truncated,
}

impl Fault {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::InternalError,
        Self::SlowDown,
        Self::AnswerLost,
        Self::Slow,
        Self::Reset,
        Self::ResetInAnswer,
        Self::Truncated,
    ];
}

/// How the store is at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answers, but for faults by chance.
    Well,
    /// Whatever would change it is answered by 403.
    ReadOnly,
    /// It has no room: whatever would change it is answered by 507.
    Full,
    /// Connections are reset.
    Down,
}

/// Faults by chance.
#[derive(Debug)]
struct Plan {
    dice: Dice,
    kinds: Vec<Fault>,
    /// Requests of a hundred that meet one.
    percent: u64,
}

/// What goes wrong, and what did.
#[derive(Debug)]
pub(crate) struct Faults {
    plan: Mutex<Option<Plan>>,
    health: Mutex<Health>,
    requests: AtomicU64,
    refused: AtomicU64,
    met: [AtomicU64; Fault::ALL.len()],
}

impl Faults {
    pub(crate) fn none() -> Self {
        Self {
            plan: Mutex::new(None),
            health: Mutex::new(Health::Well),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            met: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// From now on so many requests of a hundred meet one of these.
    pub(crate) fn begin(&self, seed: u64, percent: u64, kinds: &[Fault]) {
        let plan = Plan {
            dice: Dice::new(seed),
            kinds: kinds.to_vec(),
            percent,
        };
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
    }

    /// From now on none meets any.
    pub(crate) fn end(&self) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn be(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    pub(crate) fn health(&self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong with the next request.
    pub(crate) fn next(&self) -> Option<Fault> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = plan.as_mut()?;
        if plan.dice.below(100) >= plan.percent {
            return None;
        }
        let kind = plan.dice.below(plan.kinds.len() as u64);
        let fault = *plan.kinds.get(usize::try_from(kind).unwrap())?;
        self.met[fault as usize].fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }

    /// A request was refused because of the store's health.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::SeqCst);
    }

    /// Requests that came so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// Requests and connections that were refused because of the store's health.
    pub(crate) fn refusals(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    /// How many requests met a fault.
    pub(crate) fn met(&self, fault: Fault) -> u64 {
        self.met[fault as usize].load(Ordering::SeqCst)
    }

    /// How many requests met any fault.
    pub(crate) fn all_met(&self) -> u64 {
        Fault::ALL.iter().map(|&fault| self.met(fault)).sum()
    }
}
