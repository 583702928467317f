//! The time that the engine is told: the wall clock's, except that it never stands still nor runs back.

use std::time::{Duration, Instant};

use marquetry_types::Timestamp;

/// A wall clock that was set back goes on from where it was, at the pace of the monotonic clock, until the
/// wall has caught up: leases, graces and pauses last as long as they should.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The latest time of the wall that was ahead of this clock, and when that was.
    anchor: (Timestamp, Instant),
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            anchor: (Timestamp::now(), Instant::now()),
        }
    }

    pub(crate) fn now(&mut self) -> Timestamp {
        self.read(Timestamp::now(), Instant::now())
    }

    fn read(&mut self, wall: Timestamp, at: Instant) -> Timestamp {
        let passed = at.saturating_duration_since(self.anchor.1);
        let steady = self.anchor.0.saturating_add(passed);
        if wall < steady {
            return steady;
        }
        self.anchor = (wall, at);
        wall
    }

    /// How long it is until `time`.
    pub(crate) fn until(&mut self, time: Timestamp) -> Duration {
        time.saturating_since(self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_when_the_wall_clock_is_set_back() {
        let start = Instant::now();
        let wall = |seconds: i64| Timestamp::from_millis(1_700_000_000_000 + seconds * 1000);
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut clock = Clock {
            anchor: (wall(0), start),
        };
        assert_eq!(clock.read(wall(1), after(1)), wall(1));
        assert_eq!(clock.read(wall(600), after(2)), wall(600), "set forward");
        assert_eq!(clock.read(wall(3), after(3)), wall(601), "set back");
        assert_eq!(clock.read(wall(5), after(5)), wall(603));
        assert_eq!(clock.read(wall(700), after(6)), wall(700), "caught up");
    }
}
