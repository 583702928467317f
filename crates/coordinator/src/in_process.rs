//! gRPC inside one process: the same services and the same bytes, over a pipe in memory instead of a
//! socket, so that a laptop needs no port and nobody else can connect.

use futures::Stream;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// Bytes that a pipe holds before its writer waits.
const PIPE_BYTES: usize = 256 * 1024;

/// The clients' end.
#[derive(Debug, Clone)]
pub struct InProcess {
    pipes: mpsc::UnboundedSender<DuplexStream>,
}

/// A connected pair: what clients dial, and the connections that a server is to accept.
pub fn in_process() -> (
    InProcess,
    impl Stream<Item = std::io::Result<DuplexStream>> + use<>,
) {
    let (pipes, accepted) = mpsc::unbounded_channel();
    (
        InProcess { pipes },
        UnboundedReceiverStream::new(accepted).map(Ok),
    )
}

impl InProcess {
    /// A channel to the server, which connects when it is first used, and again when that breaks.
    #[must_use]
    pub fn channel(&self) -> Channel {
        let pipes = self.pipes.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            let sent = pipes.send(theirs);
            async move {
                match sent {
                    Ok(()) => Ok(TokioIo::new(ours)),
                    Err(_) => Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)),
                }
            }
        });
        Endpoint::from_static("http://in-process").connect_with_connector_lazy(connector)
    }
}
