//! How far schedules have come. A position moves in the commit of the run that moves it, so that a
//! coordinator that takes over submits no run a second time and leaves none out.

use marquetry_engine::Record;
use marquetry_types::Timestamp;

use crate::JournalError;
use crate::rows::can_be_kept;

/// A run of a schedule that is no backfill.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'r> {
    pub(crate) workflow: &'r str,
    pub(crate) schedule: &'r str,
    pub(crate) at: Timestamp,
}

impl<'r> Step<'r> {
    /// The step that a record is, if it is one.
    ///
    /// # Errors
    /// It has a name that not every database keeps. It is found out here, because a statement that has
    /// such a text in it is refused with all that shares it.
    pub(crate) fn of(record: &'r Record) -> Result<Option<Self>, JournalError> {
        let Record::RunSubmitted(submitted) = record else {
            return Ok(None);
        };
        let (workflow, schedule) = (&submitted.workflow.name, &submitted.schedule);
        let Some(scheduled) = schedule.as_ref().filter(|it| !it.is_backfill) else {
            return Ok(None);
        };
        if !can_be_kept(workflow) || !can_be_kept(&scheduled.schedule) {
            return Err(JournalError::Inconsistent {
                run: submitted.run.clone(),
                reason: "a name of its schedule or workflow holds a NUL character".to_owned(),
            });
        }
        Ok(Some(Self {
            workflow,
            schedule: &scheduled.schedule,
            at: scheduled.at,
        }))
    }
}
