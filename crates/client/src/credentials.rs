//! The bearer token of every call.

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::{ClientError, Secret};

/// Adds the token to calls, if there is one.
#[derive(Clone, Default)]
pub struct Credentials {
    bearer: Option<MetadataValue<Ascii>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("has_token", &self.bearer.is_some())
            .finish()
    }
}

impl Credentials {
    /// Credentials with a token, or none.
    ///
    /// # Errors
    /// [`ClientError::BadToken`]: it cannot stand in a header.
    pub fn new(token: Option<&Secret>) -> Result<Self, ClientError> {
        let bearer = token.map(|token| {
            let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.expose().trim())
                .parse()
                .map_err(|_| ClientError::BadToken)?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self {
            bearer: bearer.transpose()?,
        })
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.bearer {
            request
                .metadata_mut()
                .insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}
