//! The check of the secret, in front of the service.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// How long a secret that is not known may take to become known: workers hear of a new epoch within moments
/// of each other. It also slows down whoever guesses.
const PATIENCE: Duration = Duration::from_secs(1);

/// The secrets that open a data plane, as digests. They are compared in the same time, right or wrong.
type Digests = Vec<blake3::Hash>;

/// Lets calls through that show one of the secrets.
#[derive(Debug, Clone)]
pub(super) struct SecretLayer {
    known: watch::Receiver<Digests>,
}

impl SecretLayer {
    /// The layer, and where it hears of secrets.
    pub(super) fn new() -> (Self, watch::Sender<Digests>) {
        let (sender, known) = watch::channel(Vec::new());
        (Self { known }, sender)
    }
}

/// What a secret is known by.
pub(super) fn digest(secret: &str) -> blake3::Hash {
    blake3::hash(secret.as_bytes())
}

impl<S> Layer<S> for SecretLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded {
            known: self.known.clone(),
            inner,
        }
    }
}

/// A service behind the check.
#[derive(Debug, Clone)]
pub(super) struct Guarded<S> {
    known: watch::Receiver<Digests>,
    inner: S,
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shown = shown(request.headers());
        let mut known = self.known.clone();
        // The one that was found ready is used, and the clone waits in its place.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            let is_let_in = match shown {
                None => false,
                Some(shown) => {
                    let comes = known.wait_for(|known| known.contains(&shown));
                    matches!(tokio::time::timeout(PATIENCE, comes).await, Ok(Ok(_)))
                }
            };
            if is_let_in {
                inner.call(request).await
            } else {
                let message = "this data plane does not know the secret";
                Ok(Status::unauthenticated(message).into_http())
            }
        })
    }
}

fn shown(headers: &HeaderMap) -> Option<blake3::Hash> {
    let shown = headers.get(AUTHORIZATION)?.to_str().ok()?;
    Some(digest(shown.strip_prefix("Bearer ")?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use tower::ServiceExt;

    async fn answer(layer: SecretLayer, shown: Option<&str>) -> Option<String> {
        let inner = tower::service_fn(|_: Request<()>| async {
            Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
        });
        let mut request = Request::new(());
        if let Some(shown) = shown {
            let headers = request.headers_mut();
            headers.insert(AUTHORIZATION, shown.parse().unwrap());
        }
        let answer = layer.layer(inner).oneshot(request).await.unwrap();
        let code = answer.headers().get("grpc-status");
        code.map(|code| code.to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn only_those_who_know_the_secret_are_let_in() {
        let (layer, known) = SecretLayer::new();
        let unauthenticated = Some("16".to_owned());
        let anybody = answer(layer.clone(), Some("Bearer ")).await;
        assert_eq!(anybody, unauthenticated, "before there is a secret");
        known.send(vec![digest("new"), digest("old")]).unwrap();
        for (shown, code) in [
            (Some("Bearer new"), None),
            (Some("Bearer old"), None),
            (Some("Bearer newer"), unauthenticated.clone()),
            (Some("new"), unauthenticated.clone()),
            (Some("Bearer "), unauthenticated.clone()),
            (None, unauthenticated.clone()),
        ] {
            assert_eq!(answer(layer.clone(), shown).await, code, "{shown:?}");
        }
    }

    #[tokio::test]
    async fn a_secret_may_be_shown_a_moment_before_it_is_known() {
        let (layer, known) = SecretLayer::new();
        let (answered, ()) = tokio::join!(answer(layer, Some("Bearer soon")), async {
            tokio::time::sleep(PATIENCE / 2).await;
            known.send(vec![digest("soon")]).unwrap();
        });
        assert_eq!(answered, None);
    }
}
