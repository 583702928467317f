//! A data plane from within: it serves the parts of queries on the socket that is its standard output, for
//! as long as the worker at the other end of its standard input lives.

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::Duration;

use marquetry_lake::{FragmentOptions, Functions, Lake, fragment_routes};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use super::busy::BusyLayer;
use super::secrets::{SecretLayer, digest};
use super::{Begin, Said, Told};
use crate::memory;

/// How often a connection must show that its other end is there, and how long it may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));

/// What the worker says.
type Line = Lines<BufReader<OwnedReadHalf>>;

/// Serves parts of queries until the worker lets go; they may call these functions. What the worker says is heard on a thread of its
/// own, so that no query keeps the process when its worker is gone.
///
/// # Errors
/// The standard streams are not what a worker makes of them, the lake cannot be opened, or the
/// certificate cannot be used.
pub fn serve_data_plane(functions: Functions) -> std::io::Result<()> {
    memory::volunteer_for_the_oom_killer();
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    control.block_on(async {
        let socket =
            std::os::unix::net::UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        socket.set_nonblocking(true)?;
        let (heard, voice) = UnixStream::from_std(socket)?.into_split();
        let mut line = BufReader::new(heard).lines();
        let Some(Told::Begin(begin)) = hear(&mut line).await? else {
            return Err(std::io::Error::other("the worker does not begin"));
        };
        let queries = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(begin.threads.max(1))
            .thread_name("data-plane")
            .enable_all()
            .build()?;
        let (secrets, known) = SecretLayer::new();
        let (busy, calls) = BusyLayer::new();
        let served = queries.spawn(serve(*begin, functions, secrets, busy));
        let ended = tokio::select! {
            ended = listen(line, known) => ended,
            ended = tell(voice, calls) => ended,
            served = served => served.map_err(std::io::Error::other)?,
        };
        // Nobody waits for what still runs.
        queries.shutdown_background();
        ended
    })
}

async fn hear(line: &mut Line) -> std::io::Result<Option<Told>> {
    match line.next_line().await? {
        None => Ok(None),
        Some(text) => Ok(Some(serde_json::from_str(&text)?)),
    }
}

/// Takes new secrets until the worker is gone.
async fn listen(mut line: Line, known: watch::Sender<Vec<blake3::Hash>>) -> std::io::Result<()> {
    while let Some(told) = hear(&mut line).await? {
        if let Told::Secrets(secrets) = told {
            let digests = secrets.iter().map(|secret| digest(secret));
            known.send_replace(digests.collect());
        }
    }
    Ok(())
}

/// Tells whether there are calls, whenever that changes.
async fn tell(mut voice: OwnedWriteHalf, mut calls: watch::Receiver<usize>) -> std::io::Result<()> {
    let mut was_busy = false;
    while calls.changed().await.is_ok() {
        let is_busy = *calls.borrow_and_update() > 0;
        if is_busy != was_busy {
            let mut text = serde_json::to_vec(&Said { is_busy })?;
            text.push(b'\n');
            voice.write_all(&text).await?;
            was_busy = is_busy;
        }
    }
    // Nobody serves any more, which is told by whoever did.
    std::future::pending().await
}

async fn serve(
    begin: Begin,
    functions: Functions,
    secrets: SecretLayer,
    busy: BusyLayer,
) -> std::io::Result<()> {
    let other = |error: &dyn std::fmt::Display| std::io::Error::other(error.to_string());
    let listener = TcpListener::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?)
        .with_nodelay(Some(true))
        .with_keepalive(Some(Duration::from_secs(10)));
    let lake = Lake::open(&begin.lake).await;
    let lake = lake.map_err(|error| other(&error))?;
    let options = FragmentOptions {
        memory_limit: begin.memory_limit,
        spill_dir: begin.spill_dir,
        authority: begin.authority.map(String::into_bytes),
        functions,
    };
    let routes = fragment_routes(&lake, &options).map_err(|error| other(&error))?;
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1));
    if let Some((certificate, key)) = begin.tls {
        let identity = Identity::from_pem(certificate, key);
        server = server
            .tls_config(ServerTlsConfig::new().identity(identity))
            .map_err(|error| other(&error))?;
    }
    let served = server
        .layer(secrets)
        .layer(busy)
        .add_routes(routes)
        .serve_with_incoming(incoming);
    served.await.map_err(|error| other(&error))
}
