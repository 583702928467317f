//! Whether the ports that a server or a worker of this machine needs can be had.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::finding::Finding;
use super::holder::Holder;
use crate::arguments::{Common, DEFAULT_LISTEN, Doctor};
use crate::cluster::Cluster;
use crate::listening::listen_at;

/// How long whoever holds a port may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// A port that somebody wants.
struct Wanted<'a> {
    check: &'static str,
    option: &'static str,
    address: &'a str,
    /// Nobody asked for it: it is where a server would listen.
    is_default: bool,
}

/// Takes each port for as long as this lasts, as whoever wants it would.
pub(super) async fn examine(common: &Common, arguments: &Doctor) -> Vec<Finding> {
    let given = [
        ("listen", "--listen", &arguments.listen),
        ("metrics", "--metrics", &arguments.metrics),
        ("data_plane", "--data-plane", &arguments.data_plane),
    ];
    let mut wanted: Vec<Wanted<'_>> = given
        .into_iter()
        .filter_map(|(check, option, address)| {
            Some(Wanted {
                check,
                option,
                address: address.as_deref()?,
                is_default: false,
            })
        })
        .collect();
    // Whoever names a coordinator elsewhere needs no port here.
    if arguments.listen.is_none() && common.reach.coordinator.is_empty() {
        wanted.push(Wanted {
            check: "listen",
            option: "--listen",
            address: DEFAULT_LISTEN,
            is_default: true,
        });
    }
    let mut held = Vec::new();
    let mut findings = Vec::new();
    for wanted in &wanted {
        findings.push(of_port(common, wanted, &mut held).await);
    }
    findings
}

async fn of_port(common: &Common, wanted: &Wanted<'_>, held: &mut Vec<TcpListener>) -> Finding {
    let &Wanted {
        check,
        option,
        address,
        ..
    } = wanted;
    let found = match tokio::net::lookup_host(address).await {
        Ok(mut found) => found.next(),
        Err(error) => {
            let seen = format!("`{option} {address}` is no address: {error}");
            return Finding::wrong(
                check,
                seen,
                "write an address and a port, as in 127.0.0.1:7070",
            );
        }
    };
    let Some(found) = found else {
        let seen = format!("`{option} {address}` stands for no address");
        return Finding::wrong(
            check,
            seen,
            "write an address and a port, as in 127.0.0.1:7070",
        );
    };
    let error = match listen_at(found) {
        Ok(listener) => {
            held.push(listener);
            return Finding::good(check, format!("{found} is free"));
        }
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::AddrInUse => of_held(common, wanted, found).await,
        ErrorKind::AddrNotAvailable => {
            let seen = format!("{found} is no address of this machine");
            let advice =
                format!("give `{option}` 127.0.0.1, 0.0.0.0 or an address that this machine has");
            Finding::wrong(check, seen, advice)
        }
        ErrorKind::PermissionDenied => {
            let seen = format!("this user may not listen on {found}");
            let advice = format!(
                "give `{option}` a port from 1024 on, or the program the capability CAP_NET_BIND_SERVICE"
            );
            Finding::wrong(check, seen, advice)
        }
        _ => {
            let seen = format!("nobody can listen on {found}: {error}");
            Finding::wrong(check, seen, format!("give `{option}` another address"))
        }
    }
}

/// Somebody has the port: one of ours, which may be what is meant to be there, or another program.
async fn of_held(common: &Common, wanted: &Wanted<'_>, address: SocketAddr) -> Finding {
    let &Wanted {
        check,
        option,
        is_default,
        ..
    } = wanted;
    let holder = Holder::of(address);
    if holder.as_ref().is_some_and(Holder::is_this_process) {
        let seen = format!("{address} is wanted twice by these options");
        return Finding::wrong(check, seen, format!("give `{option}` another port"));
    }
    let by = holder
        .as_ref()
        .map_or_else(|| "another process".to_owned(), ToString::to_string);
    let is_server = check == "listen" && is_server(common, address).await;
    if is_server {
        return Finding::good(
            check,
            format!("a marquetry server listens on {address} ({by})"),
        );
    }
    if holder.as_ref().is_some_and(Holder::is_this_program) {
        return Finding::good(check, format!("{address} is held by marquetry ({by})"));
    }
    let seen = format!("{address} is held by {by}, which does not answer as marquetry does");
    let advice = format!("give `{option}` another port, or end what holds it");
    match is_default {
        true => Finding::warning(check, seen, &advice),
        false => Finding::wrong(check, seen, advice),
    }
}

/// Whether a coordinator answers there, with TLS or without: leading or not, it knows the service.
async fn is_server(common: &Common, address: SocketAddr) -> bool {
    for scheme in ["http", "https"] {
        let mut common = common.clone();
        common.reach.coordinator = vec![format!("{scheme}://{}", reachable(address))];
        let Ok(cluster) = Cluster::of(&common) else {
            continue;
        };
        let request = HealthCheckRequest {
            service: "marquetry.v1.RunService".to_owned(),
        };
        let mut health = HealthClient::new(cluster.connection());
        let asked = tokio::time::timeout(PATIENCE, health.check(request)).await;
        if asked.is_ok_and(|answer| answer.is_ok()) {
            return true;
        }
    }
    false
}

/// Where whoever listens there can be reached from here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
