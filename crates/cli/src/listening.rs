//! Listening for those who connect: a server, its metrics, a data plane.

use std::net::SocketAddr;

use marquetry_types::{Diagnostic, codes};
use tokio::net::{TcpListener, TcpSocket};

use crate::failure::Failure;

/// Connections that wait to be accepted: all workers of a large cluster come at once after a take-over.
const BACKLOG: u32 = 4096;

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

/// Listens at one address.
pub(crate) fn listen_at(address: SocketAddr) -> std::io::Result<TcpListener> {
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
