//! Where coordinators are and how to be let in.

use marquetry_types::{Diagnostic, Secret, codes};

/// How a client trusts and identifies itself, all of it PEM.
#[derive(Debug, Clone, Default)]
pub struct ClientTls {
    /// The authority that signed the coordinators' certificates; without one, the system's.
    pub authority: Option<Vec<u8>>,
    /// The client's own certificate and key, where the coordinator asks for them.
    pub identity: Option<(Vec<u8>, Secret)>,
}

/// Where coordinators are and how to be let in.
#[derive(Debug, Clone, Default)]
pub struct ClientConfig {
    /// Their URLs, `http://host:port` or `https://host:port`; one suffices, the others are asked when
    /// it does not answer.
    pub urls: Vec<String>,
    /// The bearer token that is sent with every call.
    pub token: Option<Secret>,
    /// How TLS is spoken with `https` URLs.
    pub tls: ClientTls,
}

/// Why coordinators cannot even be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// There is no URL.
    #[error("no coordinator is named")]
    NoUrl,
    /// A URL cannot be understood.
    #[error("`{url}` is no coordinator's URL: {reason}")]
    BadUrl {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The token cannot be sent.
    #[error("the token holds characters that no token has")]
    BadToken,
    /// The certificates or the key cannot be used.
    #[error("TLS cannot be set up for {url}: {reason}")]
    Tls {
        /// The URL as given.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

impl From<ClientError> for Diagnostic {
    fn from(error: ClientError) -> Self {
        let help = match &error {
            ClientError::NoUrl | ClientError::BadUrl { .. } => {
                "write it as in `--coordinator http://127.0.0.1:7070`, or https:// for one with TLS"
            }
            ClientError::BadToken => "give the token as `marquetry token new` printed it",
            ClientError::Tls { .. } => "give certificates and keys as PEM files",
        };
        Self::new(codes::BAD_ENDPOINT, error.to_string()).help(help)
    }
}
