//! `collect`: files that nobody needs.

use marquetry_history::collect::{Collector, Rules};
use marquetry_types::{Timestamp, thousands};
use serde_json::json;

use crate::arguments::{Collect, Common, Format};
use crate::failure::Failure;
use crate::keeping::session_options;
use crate::output;
use crate::place::Place;

/// `marquetry collect`
pub(crate) async fn run(common: &Common, arguments: &Collect) -> Result<(), Failure> {
    let place = Place::of(common)?;
    let (lake, journal) = (place.lake().await?, place.reader().await?);
    let collector = Collector::new(lake, journal, session_options(&place));
    let rules = Rules {
        now: Timestamp::now(),
        older_than: arguments.older_than,
        keep_data_for: arguments.keep_data_for,
        rest: 0,
    };
    let findings = collector.find(&rules).await?;
    if !arguments.dry_run {
        collector.remove(&findings, &rules).await?;
    }
    if common.output == Format::Json {
        let files = findings.files.iter();
        let files = files.map(|file| json!({"path": file.path, "bytes": file.bytes}));
        return output::json(&json!({
            "removed": !arguments.dry_run,
            "files": files.collect::<Vec<_>>(),
            "bytes": findings.bytes(),
            "runs": findings.runs,
            "unknown_runs": findings.unknown,
        }));
    }
    for file in &findings.files {
        output::line(&file.path)?;
    }
    let count = u64::try_from(findings.files.len()).unwrap_or(u64::MAX);
    let verb = match arguments.dry_run {
        true => "could be removed",
        false => "removed",
    };
    output::note(format!(
        "{} files {verb}, {} bytes, of {} runs with old files",
        thousands(count),
        thousands(findings.bytes()),
        thousands(findings.runs)
    ));
    if !findings.unknown.is_empty() {
        output::note(format!(
            "{} folders below runs/ are of runs that neither the journal nor the archive knows: left alone",
            findings.unknown.len()
        ));
    }
    Ok(())
}
