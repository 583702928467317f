//! Reaching the database: where it is, and how a session with it begins.

use std::io::ErrorKind;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::patience::Patience;
use super::tls::{self, Tls};
use super::url::{Parts, shown};
use crate::JournalError;

/// The schema where the URL names none.
const SCHEMA: &str = "marquetry";
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// After how long a connection whose other end is silent is given up by the system.
const SILENCE: Duration = Duration::from_secs(5);
/// The name of every session of ours, by which others know it.
pub(super) const APPLICATION: &str = "marquetry";
/// A commit that is acknowledged is on the disk; a client that vanished is found out by the server too; and
/// no statement is so long that compiling it pays.
const SETTINGS: &str = "-c synchronous_commit=on -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 \
                        -c tcp_keepalives_count=3 -c jit=off";

/// A database, and the schema in it.
#[derive(Clone)]
pub(super) struct Place {
    config: Config,
    tls: Tls,
    /// Of those who commit.
    pub(super) patience: Patience,
    pub(super) schema: String,
    /// The URL without its password, as people read it.
    pub(super) shown: String,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Place").field(&self.shown).finish()
    }
}

impl Place {
    pub(super) fn parse(url: &str) -> Result<Self, JournalError> {
        let shown = shown(url);
        let refused = |reason: String| JournalError::Open {
            journal: shown.clone(),
            reason,
        };
        let parts = Parts::of(url).map_err(refused)?;
        let schema = parts.schema.unwrap_or_else(|| SCHEMA.to_owned());
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if schema.is_empty() || !schema.chars().all(is_word) {
            let reason = "its schema is not made of lower-case letters, digits and `_`".to_owned();
            return Err(refused(reason));
        }
        let mut config: Config = parts
            .url
            .parse()
            .map_err(|error: tokio_postgres::Error| refused(cause(&error)))?;
        let tls = Tls::asked_for(parts.sslmode.as_deref(), parts.sslrootcert.as_deref())
            .map_err(refused)?;
        // On a socket of this machine there is no TLS, whatever is asked for, as with libpq.
        let is_local = is_local(&config);
        config
            .ssl_mode(if is_local { SslMode::Disable } else { tls.mode })
            .application_name(APPLICATION)
            .connect_timeout(CONNECT)
            .keepalives(true)
            .keepalives_idle(SILENCE)
            .tcp_user_timeout(SILENCE);
        Ok(Self {
            config,
            tls,
            patience: Patience::WRITING,
            schema,
            shown,
        })
    }

    /// How a session of that patience is begun.
    pub(super) fn session(&self, patience: Patience) -> (Config, MakeRustlsConnect) {
        let mut config = self.config.clone();
        let asked = self.config.get_options().unwrap_or_default();
        let (ours, schema) = (patience.settings(), &self.schema);
        config.options(format!("{asked} {ours} {SETTINGS} -c search_path={schema}"));
        (config, self.tls.connector.clone())
    }

    /// A connection, whose other half runs as a task until the client is dropped.
    pub(super) async fn connect(&self, patience: Patience) -> Result<Client, JournalError> {
        self.try_connect(patience)
            .await
            .map_err(|error| JournalError::Storage {
                doing: "reach the journal's database",
                reason: cause(&error),
            })
    }

    /// The same, for whoever tells a database that is away from one that refuses.
    pub(super) async fn try_connect(
        &self,
        patience: Patience,
    ) -> Result<Client, tokio_postgres::Error> {
        let (config, connector) = self.session(patience);
        let (client, connection) = config.connect(connector).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(
                    error = cause(&error),
                    "a connection to the journal's database ended"
                );
            }
        });
        Ok(client)
    }
}

fn is_local(config: &Config) -> bool {
    let hosts = config.get_hosts();
    let is_tcp = |host: &Host| matches!(host, Host::Tcp(_));
    !hosts.is_empty() && !hosts.iter().any(is_tcp)
}

/// Whether the same may go well later although nobody changes what was asked: nobody listens, the network
/// breaks, or the database starts, stops or is full of sessions. A user, a password, a database or a
/// certificate that is wrong stays wrong.
pub(super) fn is_away(error: &tokio_postgres::Error) -> bool {
    if let Some(code) = error.code() {
        // 08: the connection failed; 57P: the server starts, stops or crashed; 53300: no session is free.
        let code = code.code();
        return code.starts_with("08") || code.starts_with("57P0") || code == "53300";
    }
    if error.is_closed() {
        return true;
    }
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|error| {
            // TLS hands its own errors down as those of the network.
            let is_of_tls = error
                .get_ref()
                .is_some_and(|inner| inner.is::<rustls::Error>());
            let is_refused = matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::InvalidData
            );
            !is_of_tls && !is_refused
        })
}

/// What the database, the network or TLS said; the library's own words say only where.
pub(super) fn cause(error: &tokio_postgres::Error) -> String {
    if let Some(database) = error.as_db_error() {
        return format!("{} ({})", database.message(), database.code().code());
    }
    let Some(source) = std::error::Error::source(error) else {
        return error.to_string();
    };
    let of_tls = source
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    match of_tls {
        Some(of_tls) => format!("{error}: {}", tls::explain(of_tls)),
        None => format!("{error}: {source}"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_schema_is_a_word() {
        let refused = Place::parse("postgres://db/runs?schema=Mine;drop").unwrap_err();
        assert!(refused.to_string().contains("its schema"), "{refused}");
        assert_eq!(Place::parse("postgres://db/runs").unwrap().schema, SCHEMA);
    }

    #[test]
    fn a_socket_has_no_tls() {
        let mode = |url: &str| Place::parse(url).unwrap().config.get_ssl_mode();
        let socket = "postgres://me@%2Frun%2Fpostgresql/runs?sslmode=require";
        assert_eq!(mode(socket), SslMode::Disable);
        assert_eq!(mode("postgres://db/runs?sslmode=require"), SslMode::Require);
        assert_eq!(mode("postgres://db/runs"), SslMode::Prefer);
    }
}
