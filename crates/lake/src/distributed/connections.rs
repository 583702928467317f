//! Connections to data planes, which outlive the sessions that use them: to make one costs several round trips,
//! more with TLS, and a stage may be shorter than that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::error::DataFusionError;
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{ChannelResolver, WorkerChannel};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use marquetry_types::Secret;
use tonic::body::Body;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tower::ServiceExt;
use url::Url;

use super::PeerLost;

/// How often a connection must show that its other end is there, and how long it may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// What may be on the way on a stream and on a connection: shuffles are large.
const WINDOWS: (u32, u32) = (4 << 20, 16 << 20);

/// The authority that signed the data planes' certificates, as PEM; without one, the system's.
pub(super) type Authority = Option<Vec<u8>>;

/// Connections by URL and authority, each made once. They hold no secret: that is shown with every call. Clones
/// share them; they belong to the runtime on which they are first used.
#[derive(Debug, Clone, Default)]
pub struct PeerConnections {
    made: Arc<Mutex<HashMap<(Url, Authority), Channel>>>,
}

impl PeerConnections {
    /// Lets go of connections to others than these; whoever uses one still keeps it.
    pub(super) fn keep(&self, urls: &[Url]) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|(url, _), _| urls.contains(url));
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.len()
    }

    /// A connection, which comes about when it is first used, and again when it breaks.
    fn get(&self, url: &Url, authority: &Authority) -> Result<Channel, PeerLost> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (url.clone(), authority.clone());
        if let Some(channel) = made.get(&place) {
            return Ok(channel.clone());
        }
        let channel = Self::endpoint(url, authority).map_err(|error| PeerLost {
            reason: format!("{url} cannot be spoken with: {error}"),
        })?;
        made.insert(place, channel.clone());
        Ok(channel)
    }

    fn endpoint(url: &Url, authority: &Authority) -> Result<Channel, tonic::transport::Error> {
        let mut endpoint = Endpoint::from_shared(url.to_string())?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .http2_keep_alive_interval(KEEPALIVE.0)
            .keep_alive_timeout(KEEPALIVE.1)
            .keep_alive_while_idle(true);
        if url.scheme() == "https" {
            let tls = ClientTlsConfig::new();
            endpoint = endpoint.tls_config(match authority {
                Some(authority) => tls.ca_certificate(Certificate::from_pem(authority)),
                None => tls.with_native_roots(),
            })?;
        }
        Ok(endpoint.connect_lazy())
    }
}

/// Speaks with data planes, and shows them the secret.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    connections: PeerConnections,
    authority: Authority,
    shown: Option<HeaderValue>,
}

impl Channels {
    pub(super) fn new(
        connections: PeerConnections,
        authority: Authority,
        secret: Option<&Secret>,
    ) -> Result<Self, DataFusionError> {
        let shown = secret.map(|secret| {
            let mut shown = HeaderValue::from_str(&format!("Bearer {}", secret.expose()))?;
            shown.set_sensitive(true);
            Ok::<_, http::header::InvalidHeaderValue>(shown)
        });
        let shown = shown.transpose();
        Ok(Self {
            connections,
            authority,
            shown: shown.map_err(|error| DataFusionError::External(Box::new(error)))?,
        })
    }

    /// The same connections, with what another worker showed: its query goes on to others in its name.
    pub(super) fn showing(
        connections: PeerConnections,
        authority: Authority,
        shown: Option<HeaderValue>,
    ) -> Self {
        Self {
            connections,
            authority,
            shown,
        }
    }
}

#[async_trait]
impl ChannelResolver for Channels {
    async fn get_worker_client_for_url(
        &self,
        url: &Url,
    ) -> Result<Box<dyn WorkerChannel>, DataFusionError> {
        let channel = self.connections.get(url, &self.authority);
        let channel = channel.map_err(|lost| DataFusionError::External(Box::new(lost)))?;
        let shown = self.shown.clone();
        let channel = channel.map_request(move |mut request: Request<Body>| {
            if let Some(shown) = &shown {
                request.headers_mut().insert(AUTHORIZATION, shown.clone());
            }
            request
        });
        Ok(create_worker_client(BoxCloneSyncChannel::new(channel)))
    }
}
