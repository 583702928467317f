//! `health`: whether a server is well, for probes that speak no HTTP, and for people.

use serde_json::json;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::arguments::{Common, Format, Health};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output;

/// What only the coordinator that leads serves.
const LEADING: &str = "marquetry.v1.RunService";

/// `marquetry health`
pub(crate) async fn check(common: &Common, arguments: &Health) -> Result<(), Failure> {
    let mut common = common.clone();
    if let Some(url) = &arguments.url {
        common.reach.coordinator = vec![url.clone()];
    }
    let cluster = Cluster::of(&common)?;
    let service = match arguments.leads {
        true => LEADING,
        // The process as a whole.
        false => "",
    };
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let connection = cluster.connection();
    let answer = HealthClient::new(connection).check(request).await;
    let answer = answer.map_err(|status| cluster.explained(&status))?;
    let is_well = answer.into_inner().status() == ServingStatus::Serving;
    let words = match (arguments.leads, is_well) {
        (true, true) => "leads",
        (true, false) => "does not lead",
        (false, true) => "is well",
        (false, false) => "is not well",
    };
    let url = cluster.url();
    match common.output {
        Format::Json => output::json(&json!({"url": url, "is_well": is_well, "says": words}))?,
        Format::Text => output::line(format!("{url} {words}"))?,
    }
    match is_well {
        true => Ok(()),
        false => Err(Failure::Run),
    }
}
