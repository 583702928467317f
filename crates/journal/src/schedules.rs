//! How far schedules have come. A position moves in the commit of the run that moves it, so that a
//! coordinator that takes over submits no run a second time and leaves none out.

use marquetry_engine::Record;
use marquetry_types::Timestamp;

/// A run of a schedule that is no backfill.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'r> {
    pub(crate) workflow: &'r str,
    pub(crate) schedule: &'r str,
    pub(crate) at: Timestamp,
}

impl<'r> Step<'r> {
    /// The step that a record is, if it is one.
    pub(crate) fn of(record: &'r Record) -> Option<Self> {
        let Record::RunSubmitted(submitted) = record else {
            return None;
        };
        let scheduled = submitted.schedule.as_ref()?;
        (!scheduled.is_backfill).then_some(Self {
            workflow: &submitted.workflow.name,
            schedule: &scheduled.schedule,
            at: scheduled.at,
        })
    }
}
