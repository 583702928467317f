//! Published tables and policies, found by name.

use marquetry_journal::JournalReader;
use marquetry_types::{Publication, PublishedKind, PublishedName, thousands};
use serde::Serialize;

use crate::arguments::{Common, Format};
use crate::failure::Failure;
use crate::output;
use crate::place::Place;

/// A version as `--output json` shows it.
#[derive(Debug, Serialize)]
pub(crate) struct PublicationView {
    name: String,
    version: u64,
    rows: u64,
    bytes: u64,
    run: String,
    stage: String,
    published_at: String,
    manifest: String,
}

impl From<&Publication> for PublicationView {
    fn from(publication: &Publication) -> Self {
        let published = &publication.published;
        Self {
            name: published.name.to_string(),
            version: published.version,
            rows: published.dataset.rows,
            bytes: published.dataset.bytes,
            run: publication.run.to_string(),
            stage: publication.stage.to_string(),
            published_at: publication.at.to_string(),
            manifest: published.dataset.manifest.clone(),
        }
    }
}

/// The version that `NAME` or `NAME@VERSION` means.
pub(crate) async fn find(
    place: &Place,
    kind: PublishedKind,
    text: &str,
) -> Result<Publication, Failure> {
    let (name, version) = match text.split_once('@') {
        None => (text, None),
        Some((name, version)) => {
            let number = version.parse::<u64>().map_err(|_| {
                let message = format!("`{version}` is no version");
                Failure::no_match(message, format!("write a number, as in `{name}@3`"))
            })?;
            (name, Some(number))
        }
    };
    let journal = place.reader().await?;
    let Ok(parsed) = PublishedName::try_from(name.to_owned()) else {
        return Err(unknown(journal.as_ref(), kind, name).await?);
    };
    if let Some(found) = journal.find_published(kind, &parsed, version).await? {
        return Ok(found);
    }
    match journal.find_published(kind, &parsed, None).await? {
        None => Err(unknown(journal.as_ref(), kind, name).await?),
        Some(newest) => {
            let what = kind.as_str();
            let message = format!(
                "{what} `{name}` has no version {}",
                version.unwrap_or_default()
            );
            let help = format!("its versions go from 1 to {}", newest.published.version);
            Err(Failure::no_match(message, help))
        }
    }
}

/// The versions of what `name` means, the newest first.
pub(crate) async fn versions(
    place: &Place,
    kind: PublishedKind,
    name: &str,
    limit: usize,
) -> Result<Vec<Publication>, Failure> {
    let found = find(place, kind, name).await?;
    let name = &found.published.name;
    Ok(place
        .reader()
        .await?
        .published_versions(kind, name, limit)
        .await?)
}

/// Nothing of this kind has that name.
async fn unknown(
    journal: &dyn JournalReader,
    kind: PublishedKind,
    name: &str,
) -> Result<Failure, Failure> {
    let known = journal.list_published(Some(kind)).await?;
    let known: Vec<&str> = known.iter().map(|it| it.published.name.as_str()).collect();
    let what = kind.as_str();
    let help = match (kind, known.as_slice()) {
        (PublishedKind::Table, []) => {
            "a stage publishes its output with `publish: NAME`; RUN/STAGE names an output of a run, as in `latest/segments`".to_owned()
        }
        (PublishedKind::Policy, []) => {
            "a stage that learns, such as `feedback/bandit`, publishes its policy".to_owned()
        }
        (PublishedKind::Table, known) => format!(
            "the tables are {}; RUN/STAGE names an output of a run",
            known.join(", ")
        ),
        (PublishedKind::Policy, known) => format!("the policies are {}", known.join(", ")),
    };
    Ok(Failure::no_match(
        format!("there is no {what} `{name}`"),
        help,
    ))
}

/// Prints the current versions of a kind.
pub(crate) async fn list(common: &Common, kind: PublishedKind) -> Result<(), Failure> {
    let journal = Place::of(common)?.reader().await?;
    print(common, &journal.list_published(Some(kind)).await?)
}

/// Prints versions, one a line.
pub(crate) fn print(common: &Common, versions: &[Publication]) -> Result<(), Failure> {
    if common.output == Format::Json {
        let views = versions.iter().map(PublicationView::from);
        return output::json(&views.collect::<Vec<_>>());
    }
    let rows = versions.iter().map(|publication| {
        let published = &publication.published;
        vec![
            published.name.to_string(),
            published.version.to_string(),
            thousands(published.dataset.rows),
            publication.at.to_string(),
            format!("{}/{}", publication.run, publication.stage),
        ]
    });
    let header = ["name", "version", "rows", "published", "by"];
    output::line(output::table(&header, rows.collect()))
}
