//! `backup` and `restore`: the journal, whole.

use marquetry_types::thousands;
use serde_json::json;

use crate::arguments::{Backup, Common, Format, Restore};
use crate::failure::Failure;
use crate::output;
use crate::place::Place;

/// `marquetry backup`
pub(crate) async fn backup(common: &Common, arguments: &Backup) -> Result<(), Failure> {
    let place = Place::of(common)?;
    // Says so where there is none.
    drop(place.reader().await?);
    let file = &arguments.file;
    let contents = marquetry_journal::backup(&place.journal(), file).await?;
    if common.output == Format::Json {
        return output::json(&json!({
            "file": file,
            "runs": contents.runs,
            "records": contents.records,
            "epoch": contents.epoch.0,
        }));
    }
    output::line(format!(
        "{} runs and {} records in {}",
        thousands(contents.runs),
        thousands(contents.records),
        file.display()
    ))
}

/// `marquetry restore`
pub(crate) async fn restore(common: &Common, arguments: &Restore) -> Result<(), Failure> {
    let (place, file) = (Place::of(common)?, &arguments.file);
    let restored = marquetry_journal::restore(file, &place.journal(), arguments.force).await?;
    if !restored.is_checked {
        output::note("there was no digest beside the file: only its pages were examined");
    }
    let contents = restored.contents;
    if common.output == Format::Json {
        return output::json(&json!({
            "runs": contents.runs,
            "records": contents.records,
            "epoch": restored.epoch.0,
            "checked": restored.is_checked,
        }));
    }
    output::line(format!(
        "{} runs and {} records are restored, in epoch {}",
        thousands(contents.runs),
        thousands(contents.records),
        restored.epoch
    ))?;
    output::note("start servers and workers again: those of before are shut out");
    Ok(())
}
