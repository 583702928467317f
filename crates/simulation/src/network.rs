//! Streams between workers and coordinators: in order and without loss as TCP has it, as long as no
//! fault strikes.

use marquetry_types::Epoch;

use crate::Fault;
use crate::message::{Endpoint, ToCoordinator, ToWorker};
use crate::world::{Event, Side, World};

/// A stream from a worker's process to a coordinator's.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) worker: usize,
    pub(crate) worker_life: u64,
    pub(crate) coordinator: usize,
    pub(crate) coordinator_life: u64,
    /// The coordinator's number for it, once it said hello.
    pub(crate) session: u64,
    pub(crate) worker_id: marquetry_types::WorkerId,
    pub(crate) open_at_coordinator: bool,
    /// When the last message arrives, in each direction: those that follow are not earlier.
    last_to_worker: u64,
    last_to_coordinator: u64,
}

impl Stream {
    pub(crate) const fn new(
        (worker, worker_life): (usize, u64),
        (coordinator, coordinator_life): (usize, u64),
        worker_id: marquetry_types::WorkerId,
    ) -> Self {
        Self {
            worker,
            worker_life,
            coordinator,
            coordinator_life,
            session: 0,
            worker_id,
            open_at_coordinator: true,
            last_to_worker: 0,
            last_to_coordinator: 0,
        }
    }
}

impl World {
    pub(crate) fn send_to_coordinator(&mut self, number: u64, message: &ToCoordinator) {
        let Some(stream) = self.streams.get(&number) else {
            return;
        };
        let (from, to) = (
            Endpoint::Worker(stream.worker),
            Endpoint::Coordinator(stream.coordinator),
        );
        let is_hello = matches!(message, ToCoordinator::Hello { .. });
        for at in self.arrivals(
            from,
            to,
            is_hello,
            stream.last_to_coordinator,
            number,
            Side::Coordinator,
        ) {
            self.at(at, Event::ToCoordinator(number, Box::new(message.clone())));
        }
    }

    pub(crate) fn send_to_worker(&mut self, number: u64, epoch: Epoch, message: &ToWorker) {
        let Some(stream) = self.streams.get(&number) else {
            return;
        };
        let (from, to) = (
            Endpoint::Coordinator(stream.coordinator),
            Endpoint::Worker(stream.worker),
        );
        for at in self.arrivals(from, to, false, stream.last_to_worker, number, Side::Worker) {
            self.at(
                at,
                Event::ToWorker(number, epoch, Box::new(message.clone())),
            );
        }
    }

    /// When a message arrives: once, unless something goes wrong. The hello opens the stream and cannot
    /// be lost within it.
    fn arrivals(
        &mut self,
        from: Endpoint,
        to: Endpoint,
        is_safe: bool,
        last: u64,
        number: u64,
        side: Side,
    ) -> Vec<u64> {
        let mut at = self.now.saturating_add(self.dice.between(1, 4));
        if self.strikes(Fault::MessageDelayed) {
            at = at.saturating_add(self.dice.between(20, 4000));
        }
        if let Some(until) = self.blocked_until(from, to) {
            at = at.max(until.saturating_add(self.dice.between(1, 200)));
        }
        at = at.max(last);
        if !is_safe {
            if self.strikes(Fault::MessageLost) {
                return Vec::new();
            }
            if self.strikes(Fault::MessageReordered) {
                // Those that follow overtake it.
                return vec![at.saturating_add(self.dice.between(1, 1500))];
            }
        }
        if let Some(stream) = self.streams.get_mut(&number) {
            match side {
                Side::Worker => stream.last_to_worker = at,
                Side::Coordinator => stream.last_to_coordinator = at,
            }
        }
        if !is_safe && self.strikes(Fault::MessageDoubled) {
            return vec![at, at.saturating_add(self.dice.between(0, 800))];
        }
        vec![at]
    }

    pub(crate) fn blocked_until(&self, from: Endpoint, to: Endpoint) -> Option<u64> {
        let until = self.blocked.get(&(from, to)).copied();
        until.filter(|until| *until > self.now)
    }

    /// A stream breaks: what is in flight is lost, and each side notices in its own time.
    pub(crate) fn break_stream(&mut self, number: u64) {
        let Some(stream) = self.streams.remove(&number) else {
            return;
        };
        let most = if self.dice.chance(100) { 6000 } else { 40 };
        let (worker, coordinator) = (self.dice.between(1, most), self.dice.between(1, most));
        self.after(
            worker,
            Event::WorkerLosesStream(stream.worker, stream.worker_life, number),
        );
        if stream.open_at_coordinator {
            let place = (stream.coordinator, stream.coordinator_life);
            let told = (stream.worker_id, stream.session);
            self.after(coordinator, Event::CoordinatorLosesStream(place, told));
        }
    }

    /// One side notices or decides that the stream has ended; the other learns of it.
    pub(crate) fn stream_ends(&mut self, number: u64, side: Side) {
        match side {
            Side::Worker => self.break_stream(number),
            Side::Coordinator => {
                let Some(stream) = self.streams.get_mut(&number) else {
                    return;
                };
                if stream.open_at_coordinator {
                    stream.open_at_coordinator = false;
                    let place = (stream.coordinator, stream.coordinator_life);
                    let told = (stream.worker_id.clone(), stream.session);
                    let (worker, life) = (stream.worker, stream.worker_life);
                    let at = stream.last_to_worker.max(self.now).saturating_add(2);
                    self.after(0, Event::CoordinatorLosesStream(place, told));
                    self.at(at, Event::WorkerLosesStream(worker, life, number));
                }
            }
        }
    }

    /// A coordinator closes a stream: what it sent before still arrives.
    pub(crate) fn close_stream(&mut self, number: u64) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        stream.open_at_coordinator = false;
        let (from, to) = (
            Endpoint::Coordinator(stream.coordinator),
            Endpoint::Worker(stream.worker),
        );
        let (worker, life) = (stream.worker, stream.worker_life);
        let last = stream.last_to_worker;
        let blocked = self.blocked_until(from, to).unwrap_or(0);
        let at = last.max(self.now).max(blocked).saturating_add(2);
        self.at(at, Event::WorkerLosesStream(worker, life, number));
    }
}
