//! `tables`: what is published for others to read.

use marquetry_types::PublishedKind;

use crate::arguments::{Common, Tables, TablesCommand};
use crate::failure::Failure;
use crate::place::Place;
use crate::published;

/// `marquetry tables`
pub(crate) async fn run(common: &Common, arguments: &Tables) -> Result<(), Failure> {
    match &arguments.command {
        None => published::list(common, PublishedKind::Table).await,
        Some(TablesCommand::Show { name, limit }) => {
            let place = Place::of(common)?;
            let versions = published::versions(&place, PublishedKind::Table, name, *limit).await?;
            published::print(common, &versions)
        }
    }
}
