//! The coordinators of a cluster, one of which leads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{ClientConfig, ClientError, Credentials, LEADER_KEY};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How often the other side must show that it is there, and how long it may take. A connection whose
/// other end vanished without a word, or is paused, is found out within the sum.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
/// How long a coordinator that did not answer is not asked again on the word of another: until its lease
/// has ended, those who follow it name it as the leader.
const AVOIDED: Duration = Duration::from_secs(3);
/// Leaders that were named and are not among the configured ones are remembered up to this many.
const MOST_SEATS: usize = 16;

/// A channel to a coordinator, with credentials.
pub type Connection = InterceptedService<Channel, Credentials>;

/// Coordinators, and which of them is to be asked now. Clones share that.
#[derive(Debug, Clone)]
pub struct Coordinators {
    config: Arc<ClientConfig>,
    credentials: Credentials,
    seats: Arc<Mutex<Seats>>,
}

#[derive(Debug)]
struct Seats {
    known: Vec<Seat>,
    current: usize,
}

#[derive(Debug)]
struct Seat {
    url: String,
    channel: Channel,
    /// When it last did not answer.
    silent_at: Option<Instant>,
}

impl Seat {
    const fn new(url: String, channel: Channel) -> Self {
        Self {
            url,
            channel,
            silent_at: None,
        }
    }

    fn is_avoided(&self) -> bool {
        self.silent_at.is_some_and(|at| at.elapsed() < AVOIDED)
    }
}

impl Coordinators {
    /// The coordinators of a configuration. Nothing is connected yet.
    ///
    /// # Errors
    /// A URL, the token or the certificates cannot be used.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let credentials = Credentials::new(config.token.as_ref())?;
        let known = config
            .urls
            .iter()
            .map(|url| Ok(Seat::new(url.clone(), dial(url, &config)?)))
            .collect::<Result<Vec<_>, ClientError>>()?;
        if known.is_empty() {
            return Err(ClientError::NoUrl);
        }
        Ok(Self {
            config: Arc::new(config),
            credentials,
            seats: Arc::new(Mutex::new(Seats { known, current: 0 })),
        })
    }

    /// The one coordinator behind a channel, such as a pipe within this process.
    #[must_use]
    pub fn one(channel: Channel) -> Self {
        let known = vec![Seat::new("in-process".to_owned(), channel)];
        Self {
            config: Arc::default(),
            credentials: Credentials::default(),
            seats: Arc::new(Mutex::new(Seats { known, current: 0 })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to the one that is asked now.
    #[must_use]
    pub fn current(&self) -> Connection {
        let seats = self.lock();
        // There is always one, and `current` is one of them.
        let seat = &seats.known[seats.current % seats.known.len()];
        InterceptedService::new(seat.channel.clone(), self.credentials.clone())
    }

    /// The URL of the one that is asked now.
    #[must_use]
    pub fn url(&self) -> String {
        let seats = self.lock();
        seats.known[seats.current % seats.known.len()].url.clone()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().known.len()
    }

    /// After a call that failed: turns to the leader that the answer names, or else to the next one. A
    /// leader that has just not answered is not tried again at once: whoever names it will lead soon, or
    /// name another.
    pub fn move_on(&self, status: &Status) {
        let leader = leader_of(status);
        let mut seats = self.lock();
        let (current, count) = (seats.current % seats.known.len(), seats.known.len());
        let Some(leader) = leader else {
            if !is_answer(status) {
                seats.known[current].silent_at = Some(Instant::now());
            }
            seats.current = (current + 1) % count;
            return;
        };
        match seats.known.iter().position(|seat| seat.url == leader) {
            Some(index) if seats.known[index].is_avoided() => {}
            Some(index) => seats.current = index,
            None if count < MOST_SEATS => {
                if let Ok(channel) = dial(&leader, &self.config) {
                    seats.known.push(Seat::new(leader, channel));
                    seats.current = count;
                }
            }
            None => seats.current = (current + 1) % count,
        }
    }

    /// Whether a call that was answered so may be answered otherwise by another coordinator, or by the
    /// same one a little later: nobody leads, or the connection broke, whatever code that was given.
    #[must_use]
    pub fn is_worth_another_try(status: &Status) -> bool {
        let is_broken = std::error::Error::source(status).is_some();
        is_broken || status.code() == Code::Unavailable
    }
}

/// Whether a coordinator said it, rather than the connection to it.
fn is_answer(status: &Status) -> bool {
    !status.details().is_empty()
}

/// The URL of the leader that an answer names.
fn leader_of(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    let leader = info.metadata.get(LEADER_KEY)?;
    (!leader.is_empty()).then(|| leader.clone())
}

fn dial(url: &str, config: &ClientConfig) -> Result<Channel, ClientError> {
    let bad = |reason: String| ClientError::BadUrl {
        url: url.to_owned(),
        reason,
    };
    let uri: http::Uri = url
        .parse()
        .map_err(|error: http::uri::InvalidUri| bad(error.to_string()))?;
    let is_secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(bad("it begins with neither http:// nor https://".to_owned())),
    };
    if uri.port().is_none() {
        return Err(bad("it has no port".to_owned()));
    }
    let mut endpoint = Endpoint::from(uri)
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true);
    if is_secure {
        let mut tls = ClientTlsConfig::new();
        tls = match &config.tls.authority {
            Some(authority) => tls.ca_certificate(Certificate::from_pem(authority)),
            None => tls.with_native_roots(),
        };
        if let Some((certificate, key)) = &config.tls.identity {
            tls = tls.identity(Identity::from_pem(certificate, key.expose()));
        }
        endpoint = endpoint.tls_config(tls).map_err(|error| ClientError::Tls {
            url: url.to_owned(),
            reason: error.to_string(),
        })?;
    }
    Ok(endpoint.connect_lazy())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn coordinators() -> Coordinators {
        let urls = ["http://127.0.0.1:1", "http://127.0.0.1:2"].map(str::to_owned);
        let config = ClientConfig {
            urls: urls.into(),
            ..ClientConfig::default()
        };
        Coordinators::new(config).unwrap()
    }

    fn not_leading(leader: &str) -> Status {
        let metadata = HashMap::from([(LEADER_KEY.to_owned(), leader.to_owned())]);
        let details = ErrorDetails::with_error_info("MQ0705", "marquetry", metadata);
        Status::with_error_details(Code::Unavailable, "it does not lead", details)
    }

    #[tokio::test]
    async fn the_leader_is_followed_whoever_names_it() {
        let coordinators = coordinators();
        assert_eq!(coordinators.url(), "http://127.0.0.1:1");
        coordinators.move_on(&Status::unavailable("broken"));
        assert_eq!(coordinators.url(), "http://127.0.0.1:2");
        coordinators.move_on(&not_leading("http://127.0.0.1:1"));
        assert_eq!(
            coordinators.url(),
            "http://127.0.0.1:2",
            "the first has just not answered"
        );
        coordinators.move_on(&not_leading("http://127.0.0.1:3"));
        assert_eq!(coordinators.url(), "http://127.0.0.1:3", "a new one");
        coordinators.move_on(&not_leading("http://127.0.0.1:2"));
        assert_eq!(coordinators.url(), "http://127.0.0.1:2");
        coordinators.move_on(&not_leading(""));
        assert_eq!(coordinators.url(), "http://127.0.0.1:3", "nobody leads");
    }

    #[test]
    fn a_connection_that_broke_is_no_answer() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(Coordinators::is_worth_another_try(&Status::from_error(
            Box::new(reset)
        )));
        assert!(Coordinators::is_worth_another_try(&Status::unavailable(
            "stopping"
        )));
        for answer in [Status::unknown("what"), Status::out_of_range("too large")] {
            assert!(!Coordinators::is_worth_another_try(&answer), "{answer}");
        }
    }

    #[tokio::test]
    async fn what_is_no_url_is_refused_with_the_reason() {
        for (url, reason) in [
            ("localhost:7070", "neither http:// nor https://"),
            ("http://localhost", "no port"),
            ("ftp://localhost:1", "neither http:// nor https://"),
        ] {
            let config = ClientConfig {
                urls: vec![url.to_owned()],
                ..ClientConfig::default()
            };
            let error = Coordinators::new(config).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
        assert_eq!(
            Coordinators::new(ClientConfig::default()).unwrap_err(),
            ClientError::NoUrl
        );
    }
}
