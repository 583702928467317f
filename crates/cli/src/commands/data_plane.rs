//! The data plane of a worker: its options, and `data-plane`, which a worker starts.

use std::net::SocketAddr;
use std::sync::Arc;

use marquetry_client::Secret;
use marquetry_types::{Diagnostic, codes};
use marquetry_worker::DataPlaneConfig;

use crate::arguments::{Common, DataPlaneArguments};
use crate::cluster::{authority, bytes, text};
use crate::commands::worker::this_program;
use crate::failure::Failure;
use crate::listening::listen;
use crate::place::Place;
use crate::stages::registry;

/// What the options of a worker say, if they ask for a data plane. It listens from here on.
pub(crate) async fn configured(
    arguments: &DataPlaneArguments,
    common: &Common,
    threads: usize,
    place: &Place,
) -> Result<Option<DataPlaneConfig>, Failure> {
    let Some(wanted) = &arguments.data_plane else {
        return Ok(None);
    };
    let (listener, address) = listen("--data-plane", wanted).await?;
    let tls = match (&arguments.data_plane_certificate, &arguments.data_plane_key) {
        (Some(certificate), Some(key)) => Some((bytes(certificate)?, Secret::new(text(key)?))),
        _ => None,
    };
    if !address.ip().is_loopback() && tls.is_none() && !arguments.insecure {
        let message = format!("{address} can be reached from elsewhere, and there is no TLS");
        let help = "give `--data-plane-certificate` and `--data-plane-key`; or listen on 127.0.0.1; or say \
                    `--insecure` where the network lets nobody else in";
        return Err(Diagnostic::new(codes::BAD_ENDPOINT, message)
            .help(help)
            .into());
    }
    Ok(Some(DataPlaneConfig {
        command: this_program(&["data-plane"])?,
        url: url(arguments, address, tls.is_some())?,
        listener: Arc::new(listener.into_std().map_err(Failure::internal)?),
        memory_limit: arguments.data_plane_memory.saturating_mul(1024 * 1024),
        threads,
        spill_dir: place.spill_path(),
        tls,
        authority: authority(&common.reach)?,
    }))
}

/// Where other workers reach it.
fn url(
    arguments: &DataPlaneArguments,
    address: SocketAddr,
    is_encrypted: bool,
) -> Result<String, Failure> {
    let bad = |message: String, help: &str| -> Failure {
        Diagnostic::new(codes::BAD_ENDPOINT, message)
            .help(help)
            .into()
    };
    let scheme = if is_encrypted { "https" } else { "http" };
    let help = "write the address at which other workers reach this one, as in \
                --data-plane-url http://10.0.0.7:7071";
    match &arguments.data_plane_url {
        None if address.ip().is_unspecified() => {
            let message = format!("{address} is no address that other workers could connect to");
            Err(bad(message, help))
        }
        None => Ok(format!("{scheme}://{address}")),
        Some(url) => {
            let is_one = url
                .parse::<tonic::transport::Uri>()
                .is_ok_and(|parsed| parsed.scheme_str() == Some(scheme) && parsed.host().is_some());
            if !is_one {
                let message = format!("`--data-plane-url {url}` is no URL of {scheme}");
                return Err(bad(message, help));
            }
            Ok(url.trim_end_matches('/').to_owned())
        }
    }
}

/// `marquetry data-plane`
pub(crate) fn serve() -> Result<(), Failure> {
    let functions = registry().functions().clone();
    marquetry_worker::serve_data_plane(functions).map_err(Failure::internal)
}
