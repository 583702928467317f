//! `server`: a coordinator for clients and workers elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use marquetry_coordinator::{
    AccessRole, Coordinator, CoordinatorConfig, Front, Role, ServerTls, TakeUp, Tokens, new_token,
};
use marquetry_engine::EngineConfig;
use marquetry_types::{Diagnostic, RunId, Timestamp, codes};
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use crate::arguments::{Common, Format, NewToken, Server, TokenRole};
use crate::cluster::{bytes, text};
use crate::failure::Failure;
use crate::keeping::Keeping;
use crate::kept_logs::KeptLogs;
use crate::output;
use crate::place::Place;
use crate::stages::registry;

/// The lease on a journal that one process has to itself: nobody else waits for its end.
const SOLE_LEASE: Duration = Duration::from_secs(3600);
/// The lease on a journal that others can take over. With their campaigns every half second a take-over
/// takes at most half a second more.
const SHARED_LEASE: Duration = Duration::from_secs(3);

/// Connections that wait to be accepted: all workers of a large cluster come at once after a take-over.
const BACKLOG: u32 = 4096;

/// `marquetry server`
pub(crate) async fn serve(common: &Common, arguments: &Server) -> Result<(), Failure> {
    let mut front = front(arguments)?;
    let place = Place::of(common)?;
    let (listener, address) = listen("--listen", &arguments.listen).await?;
    refuse_strangers(arguments, address, &front)?;
    let metrics = match &arguments.metrics {
        Some(wanted) => {
            let (listener, address) = listen("--metrics", wanted).await?;
            refuse_onlookers(arguments, address)?;
            front.metrics = Some(listener);
            Some(format!("http://{address}/metrics"))
        }
        None => None,
    };
    let scheme = if front.tls.is_some() { "https" } else { "http" };
    let url = match &arguments.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("{scheme}://{address}"),
    };
    let location = place.journal();
    let journal = marquetry_journal::open(&location).await?;
    let lake = place.lake().await?;
    let history = Keeping::new(lake.clone(), Arc::clone(&journal), &place, &arguments.keep);
    let config = CoordinatorConfig {
        engine: EngineConfig::default(),
        heartbeat_interval: Duration::from_secs(3),
        lake: lake.location().to_owned(),
        name: process_name("server"),
        url: url.clone(),
        lease: match location.is_shared() {
            true => SHARED_LEASE,
            false => SOLE_LEASE,
        },
        take_up: TakeUp::All,
        upkeep: history.upkeep(&arguments.keep),
    };
    let shutdown = CancellationToken::new();
    let coordinator = Coordinator::start(config, journal, registry(), shutdown.clone())
        .await?
        .with_logs(Arc::new(KeptLogs(lake.clone())));
    let incoming = TcpIncoming::from(listener)
        .with_nodelay(Some(true))
        .with_keepalive(Some(Duration::from_secs(10)));
    let ready = Ready {
        url: &url,
        lake: lake.location(),
        metrics: metrics.as_deref(),
    };
    announce(common, &ready, &coordinator.role().borrow())?;
    let signal = async {
        stop_signal().await;
        output::note("stopping: runs go on when a coordinator is back");
        shutdown.cancel();
    };
    let served = coordinator.serve(front, incoming);
    let (served, ()) = tokio::join!(served, signal);
    served.map_err(Failure::internal)
}

/// Waits for the signal that asks a service to stop.
pub(crate) async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    // Without signals there is no way to be asked.
    let _ = tokio::signal::ctrl_c().await;
}

/// Where a server that is ready has what.
struct Ready<'a> {
    url: &'a str,
    lake: &'a str,
    metrics: Option<&'a str>,
}

fn announce(common: &Common, ready: &Ready<'_>, role: &Role) -> Result<(), Failure> {
    let Ready { url, lake, metrics } = ready;
    let role = match role {
        Role::Leading(epoch) => format!("leads, in epoch {epoch}"),
        Role::Following(_) => "follows".to_owned(),
    };
    if common.output == Format::Json {
        return output::json(&json!({"url": url, "lake": lake, "role": role, "metrics": metrics}));
    }
    output::line(format!("marquetry serves at {url}; it {role}"))?;
    output::line(format!("data in {lake}"))?;
    if let Some(metrics) = metrics {
        output::line(format!("metrics at {metrics}"))?;
    }
    output::line(format!(
        "start workers with `marquetry worker --coordinator {url} --lake {lake}`"
    ))
}

/// Listens where an option says, and gives where that is.
pub(crate) async fn listen(
    option: &str,
    wanted: &str,
) -> Result<(TcpListener, SocketAddr), Failure> {
    let cannot = |error: std::io::Error| cannot_listen(option, wanted, &error);
    let mut last = None;
    for address in tokio::net::lookup_host(wanted).await.map_err(cannot)? {
        match listen_at(address) {
            Ok(listener) => {
                let address = listener.local_addr().map_err(Failure::internal)?;
                return Ok((listener, address));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(cannot(last.unwrap_or_else(|| {
        std::io::Error::other("the name stands for no address")
    })))
}

fn listen_at(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // As `TcpListener::bind` does: a server that was killed is started again at once.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn cannot_listen(option: &str, address: &str, error: &std::io::Error) -> Failure {
    let message = format!("cannot listen on {address}: {error}");
    let help = format!("`{option}` takes an address and a free port, as in 127.0.0.1:7070");
    Diagnostic::new(codes::BAD_ENDPOINT, message)
        .help(help)
        .into()
}

/// A server that others can reach lets nobody in without a token, nor sends one in the clear.
fn refuse_strangers(arguments: &Server, address: SocketAddr, front: &Front) -> Result<(), Failure> {
    let is_guarded = front.tls.is_some() && front.tokens.are_asked_for();
    if address.ip().is_loopback() || is_guarded || arguments.insecure {
        return Ok(());
    }
    let lacks = match (front.tls.is_some(), front.tokens.are_asked_for()) {
        (false, false) => "neither TLS nor tokens",
        (false, true) => "no TLS",
        (true, _) => "no tokens",
    };
    let message = format!("{address} can be reached from elsewhere, and there is {lacks}");
    let help = "give `--certificate`, `--key` and `--tokens`; or listen on 127.0.0.1; or say \
                `--insecure` where the network lets nobody else in";
    Err(Diagnostic::new(codes::BAD_ENDPOINT, message)
        .help(help)
        .into())
}

/// Metrics have neither TLS nor tokens: beyond this machine they are shown by order only.
fn refuse_onlookers(arguments: &Server, address: SocketAddr) -> Result<(), Failure> {
    if address.ip().is_loopback() || arguments.insecure {
        return Ok(());
    }
    let message =
        format!("{address} can be reached from elsewhere, and metrics have neither TLS nor tokens");
    let help = "give `--metrics` an address of 127.0.0.1; or say `--insecure` where the network lets \
                nobody else in";
    Err(Diagnostic::new(codes::BAD_ENDPOINT, message)
        .help(help)
        .into())
}

fn front(arguments: &Server) -> Result<Front, Failure> {
    let tls = match (&arguments.certificate, &arguments.key) {
        (Some(certificate), Some(key)) => Some(ServerTls {
            certificate: bytes(certificate)?,
            key: bytes(key)?,
            client_authority: arguments
                .client_authority
                .as_deref()
                .map(bytes)
                .transpose()?,
        }),
        _ => None,
    };
    let tokens = match &arguments.tokens {
        None => Tokens::default(),
        Some(path) => Tokens::parse(&path.display().to_string(), &text(path)?)
            .map_err(|error| Failure::Input(Diagnostic::from(error).into()))?,
    };
    Ok(Front {
        tls,
        tokens,
        metrics: None,
    })
}

/// `marquetry token new`
pub(crate) fn token(common: &Common, arguments: &NewToken) -> Result<(), Failure> {
    let role = match arguments.role {
        TokenRole::Viewer => AccessRole::Viewer,
        TokenRole::Operator => AccessRole::Operator,
        TokenRole::Admin => AccessRole::Admin,
        TokenRole::Worker => AccessRole::Worker,
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if arguments.name.is_empty() || !arguments.name.chars().all(is_word) {
        let message = format!("`{}` is no name for a token", arguments.name);
        let help = "take letters, digits, `-`, `_` and `.`";
        return Err(Failure::no_match(message, help));
    }
    let (token, line) = new_token(role, &arguments.name);
    if common.output == Format::Json {
        return output::json(&json!({"token": token, "line": line}));
    }
    output::note("the token, for its holder; it is not shown again:");
    output::line(&token)?;
    output::note("its line for the file of `marquetry server --tokens`:");
    output::line(&line)
}

/// A name for a worker process that no other has.
pub(crate) fn process_name(prefix: &str) -> String {
    let id = RunId::new(Timestamp::now(), u128::from(std::process::id()));
    let unique: String = id.as_str().chars().skip(2).collect();
    format!("{prefix}-{unique}")
}
