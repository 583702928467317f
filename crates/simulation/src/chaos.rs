//! What goes wrong: how often each fault strikes is drawn once a seed, and some seeds know one kind only.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::dice::Dice;
use crate::message::Endpoint;
use crate::world::{Event, Side, World};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A coordinator's process dies, and comes back with nothing.
    CoordinatorCrash,
    /// A coordinator stands still, and goes on later where it was.
    CoordinatorPause,
    /// A worker's process dies with all that it holds; another one comes.
    WorkerCrash,
    /// A worker stands still.
    WorkerPause,
    /// Two parties do not hear each other, or one does not hear the other.
    Partition,
    /// A worker's stream breaks, and what was in flight is lost.
    StreamBreak,
    /// A coordinator's clock jumps by up to two minutes.
    ClockJump,
    /// A single message within a stream is lost.
    MessageLost,
    /// A single message within a stream comes twice.
    MessageDoubled,
    /// A single message within a stream is overtaken.
    MessageReordered,
    /// A message takes long, and those behind it too.
    MessageDelayed,
    /// The journal takes long.
    JournalSlow,
    /// The journal refuses.
    JournalRefuses,
    /// The journal does not say whether it did what was asked; it did, did not, or does it later.
    JournalDoubtful,
}

const STRIKES: [Fault; 7] = [
    Fault::CoordinatorCrash,
    Fault::CoordinatorPause,
    Fault::WorkerCrash,
    Fault::WorkerPause,
    Fault::Partition,
    Fault::StreamBreak,
    Fault::ClockJump,
];
const SINGLE: [Fault; 7] = [
    Fault::MessageLost,
    Fault::MessageDoubled,
    Fault::MessageReordered,
    Fault::MessageDelayed,
    Fault::JournalSlow,
    Fault::JournalRefuses,
    Fault::JournalDoubtful,
];

/// How often what goes wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Profile {
    strikes: Vec<Fault>,
    /// The longest time between two strikes, in milliseconds.
    pub(crate) pause: u64,
    permille: BTreeMap<Fault, u64>,
}

impl Profile {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let mut profile = Self {
            pause: dice.between(300, 4000),
            ..Self::default()
        };
        if dice.chance(250) {
            match dice.index(STRIKES.len() + SINGLE.len()) {
                one if one < STRIKES.len() => profile.strikes.extend(STRIKES.get(one)),
                one => {
                    let one = SINGLE.get(one.saturating_sub(STRIKES.len()));
                    profile.permille.extend(one.map(|fault| (*fault, 150)));
                }
            }
            return profile;
        }
        profile
            .strikes
            .extend(STRIKES.iter().filter(|_| dice.chance(600)));
        for fault in SINGLE {
            if dice.chance(500) {
                let most = if dice.chance(200) { 250 } else { 60 };
                let permille = dice.between(5, most);
                profile.permille.insert(fault, permille);
            }
        }
        profile
    }

    pub(crate) fn permille(&self, fault: Fault) -> u64 {
        self.permille.get(&fault).copied().unwrap_or(0)
    }
}

impl World {
    /// Whether a fault of single messages or of the journal strikes now.
    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        let permille = self.profile.permille(fault);
        let strikes = !self.is_calm && self.dice.chance(permille);
        if strikes {
            self.count(fault);
        }
        strikes
    }

    pub(crate) fn count(&mut self, fault: Fault) {
        let count = self.faults.entry(fault).or_default();
        *count = count.saturating_add(1);
    }

    /// Something goes wrong, and will again.
    pub(crate) fn chaos(&mut self) {
        if self.is_calm {
            return;
        }
        let pause = self.dice.between(50, self.profile.pause);
        self.after(pause, Event::Chaos);
        let Some(fault) = self.dice.pick(&self.profile.strikes) else {
            return;
        };
        self.count(fault);
        let coordinator = self.dice.index(self.coordinators.len());
        let worker = self.dice.index(self.workers.len());
        self.note(|| format!("! {fault:?} (coordinator {coordinator}, worker {worker})"));
        match fault {
            Fault::CoordinatorCrash => self.crash_coordinator(coordinator),
            Fault::WorkerCrash => self.crash_worker(worker),
            Fault::CoordinatorPause => {
                let until = self.pause_length();
                if let Some(host) = self.coordinators.get_mut(coordinator) {
                    host.paused_until = until;
                }
                self.unreachable(Endpoint::Coordinator(coordinator), until);
            }
            Fault::WorkerPause => {
                let until = self.pause_length();
                if let Some(host) = self.workers.get_mut(worker) {
                    host.paused_until = until;
                }
                self.unreachable(Endpoint::Worker(worker), until);
            }
            Fault::Partition => self.partition(coordinator, worker),
            Fault::StreamBreak => {
                let open: Vec<u64> = self.streams.keys().copied().collect();
                if let Some(stream) = self.dice.pick(&open) {
                    self.break_stream(stream);
                }
            }
            Fault::ClockJump => {
                let offset = self.dice.between(0, 240_000);
                if let Some(host) = self.coordinators.get_mut(coordinator) {
                    host.clock_offset = i64::try_from(offset).unwrap_or(0) - 120_000;
                }
            }
            _ => {}
        }
    }

    fn pause_length(&mut self) -> u64 {
        let most = if self.dice.chance(300) { 25_000 } else { 4000 };
        self.now.saturating_add(self.dice.between(10, most))
    }

    fn partition(&mut self, coordinator: usize, worker: usize) {
        let until = self.pause_length();
        let one = Endpoint::Coordinator(coordinator);
        let other = match self.dice.index(6) {
            0..=2 => Endpoint::Journal,
            3 => Endpoint::Client(self.dice.index(self.clients.len())),
            _ => Endpoint::Worker(worker),
        };
        let ways = self.dice.index(3);
        if ways != 0 {
            self.blocked.insert((one, other), until);
        }
        if ways != 1 {
            self.blocked.insert((other, one), until);
        }
        self.keepalive(
            |stream| other == Endpoint::Worker(stream.worker) && stream.coordinator == coordinator,
            until,
        );
    }

    /// Whoever speaks with a party that stands still notices after a while.
    fn unreachable(&mut self, party: Endpoint, until: u64) {
        self.keepalive(
            |stream| {
                party == Endpoint::Worker(stream.worker)
                    || party == Endpoint::Coordinator(stream.coordinator)
            },
            until,
        );
    }

    /// Keepalive closes streams over which nothing comes for six seconds.
    fn keepalive(&mut self, concerns: impl Fn(&crate::network::Stream) -> bool, until: u64) {
        let notices = self.now.saturating_add(6000);
        if until <= notices {
            return;
        }
        let concerned: Vec<u64> = self
            .streams
            .iter()
            .filter(|(_, stream)| concerns(stream))
            .map(|(number, _)| *number)
            .collect();
        for stream in concerned {
            for side in [Side::Worker, Side::Coordinator] {
                let later = self.dice.between(0, 1000);
                self.at(
                    notices.saturating_add(later),
                    Event::StreamEnds(stream, side),
                );
            }
        }
    }

    /// The storm is over.
    pub(crate) fn calm(&mut self) {
        self.note(|| "! faults cease".to_owned());
        self.is_calm = true;
        self.blocked.clear();
        let now = self.now;
        for host in &mut self.coordinators {
            host.paused_until = now;
        }
        for host in &mut self.workers {
            host.paused_until = now;
        }
    }
}
