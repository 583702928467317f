//! `policies`: what the stages that learn have learned.

use marquetry_types::PublishedKind;

use crate::arguments::{Common, Policies, PoliciesCommand};
use crate::failure::Failure;
use crate::place::Place;
use crate::published;

/// `marquetry policies`
pub(crate) async fn run(common: &Common, arguments: &Policies) -> Result<(), Failure> {
    match &arguments.command {
        None => published::list(common, PublishedKind::Policy).await,
        Some(PoliciesCommand::Show { policy, limit }) => {
            let place = Place::of(common)?;
            let versions =
                published::versions(&place, PublishedKind::Policy, policy, *limit).await?;
            published::print(common, &versions)
        }
    }
}
