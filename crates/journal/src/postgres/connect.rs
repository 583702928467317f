//! Reaching the database: the URL, TLS, and the patience of a session.

use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::JournalError;

/// The schema where the URL names none.
const SCHEMA: &str = "marquetry";
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// After how long a connection whose other end is silent is given up by the system.
const SILENCE: Duration = Duration::from_secs(5);
/// Patience of a session: for a statement, for a lock, and for whoever forgot a transaction.
const PATIENCE: &str = "-c statement_timeout=10000 -c lock_timeout=2000 \
                        -c idle_in_transaction_session_timeout=2000 -c synchronous_commit=on";

/// A database, and the schema in it.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) config: Config,
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
        let (url, schema) = take_schema(url);
        let schema = schema.unwrap_or_else(|| SCHEMA.to_owned());
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if schema.is_empty() || !schema.chars().all(is_word) {
            let reason = "its schema is not made of lower-case letters, digits and `_`".to_owned();
            return Err(refused(reason));
        }
        let mut config: Config = url
            .parse()
            .map_err(|error: tokio_postgres::Error| refused(cause(&error)))?;
        config
            .application_name("marquetry")
            .connect_timeout(CONNECT)
            .keepalives(true)
            .keepalives_idle(SILENCE)
            .tcp_user_timeout(SILENCE)
            .options(format!("{PATIENCE} -c search_path={schema}"));
        Ok(Self {
            config,
            schema,
            shown,
        })
    }

    /// A connection, whose other half runs as a task until the client is dropped.
    pub(super) async fn connect(&self) -> Result<Client, JournalError> {
        let failed = |reason: String| JournalError::Storage {
            doing: "reach the journal's database",
            reason,
        };
        let (client, connection) = self
            .config
            .connect(tls())
            .await
            .map_err(|error| failed(cause(&error)))?;
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

/// TLS with the system's authorities; the URL's `sslmode` says whether it is used.
pub(super) fn tls() -> MakeRustlsConnect {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    MakeRustlsConnect::new(config)
}

/// Takes the parameter `schema`, which is ours, out of a URL.
fn take_schema(url: &str) -> (String, Option<String>) {
    let Some((address, query)) = url.split_once('?') else {
        return (url.to_owned(), None);
    };
    let mut schema = None;
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| match pair.strip_prefix("schema=") {
            Some(name) => {
                schema = Some(name.to_owned());
                false
            }
            None => true,
        })
        .collect();
    let url = if kept.is_empty() {
        address.to_owned()
    } else {
        format!("{address}?{}", kept.join("&"))
    };
    (url, schema)
}

/// The URL without what must not be read: whatever stands between `:` and `@`, and a `password`.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, tail) = match rest.find(['/', '?']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{user}@{host}")
        }
        None => authority.to_owned(),
    };
    let tail = match tail.split_once('?') {
        Some((path, query)) => {
            let shown: Vec<&str> = query
                .split('&')
                .map(|pair| match pair.starts_with("password=") {
                    true => "password=…",
                    false => pair,
                })
                .collect();
            format!("{path}?{}", shown.join("&"))
        }
        None => tail.to_owned(),
    };
    format!("{scheme}://{authority}{tail}")
}

/// What the database or the network said; the library's own words say only where.
pub(super) fn cause(error: &tokio_postgres::Error) -> String {
    if let Some(database) = error.as_db_error() {
        return format!("{} ({})", database.message(), database.code().code());
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (url, expected) in [
            (
                "postgres://me:secret@db:5432/runs?sslmode=require",
                "postgres://me@db:5432/runs?sslmode=require",
            ),
            (
                "postgres://me:se@cret@db/runs?password=secret&schema=a",
                "postgres://me@db/runs?password=…&schema=a",
            ),
            ("postgres://db", "postgres://db"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn the_schema_is_ours_and_the_rest_the_databases() {
        let (url, schema) = take_schema("postgres://db/runs?sslmode=require&schema=mine");
        assert_eq!(url, "postgres://db/runs?sslmode=require");
        assert_eq!(schema.as_deref(), Some("mine"));
        let refused = Place::parse("postgres://db/runs?schema=Mine;drop").unwrap_err();
        assert!(refused.to_string().contains("its schema"), "{refused}");
    }
}
