//! `server`: a coordinator for clients and workers elsewhere.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use marquetry_coordinator::{AccessRole, Front, Role, ServerTls, Tokens, new_token};
use marquetry_types::{Diagnostic, RunId, Timestamp, codes};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use crate::arguments::{Common, Format, NewToken, Server, TokenRole};
use crate::cluster::{bytes, text};
use crate::failure::Failure;
use crate::listening::listen;
use crate::opening::Start;
use crate::output;
use crate::place::Place;

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
            front.metrics = Some(Arc::new(listener));
            Some(format!("http://{address}/metrics"))
        }
        None => None,
    };
    let scheme = if front.tls.is_some() { "https" } else { "http" };
    let url = match &arguments.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("{scheme}://{address}"),
    };
    let lake = place.lake().await?;
    let mut incoming = TcpIncoming::from(listener)
        .with_nodelay(Some(true))
        .with_keepalive(Some(Duration::from_secs(10)));
    let shutdown = CancellationToken::new();
    let mut stop = pin!(stop_signal());
    let start = Start {
        place: &place,
        lake: &lake,
        url: &url,
        keep: &arguments.keep,
    };
    let coordinator = tokio::select! {
        started = start.coordinator(&front, &mut incoming, &shutdown) => started?,
        () = &mut stop => {
            output::note("stopping: the journal was never there");
            return Ok(());
        }
    };
    let ready = Ready {
        url: &url,
        lake: lake.location(),
        metrics: metrics.as_deref(),
    };
    announce(common, &ready, &coordinator.role().borrow())?;
    let signal = async {
        stop.await;
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
