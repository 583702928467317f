//! The files of the workflows whose stages run here, fetched once each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use marquetry_client::Coordinators;
use marquetry_proto::v1;
use marquetry_types::{Diagnostic, codes};
use marquetry_workflow::Bundle;

use crate::line::client;

/// Bundles that are kept.
const KEPT: usize = 32;

/// Bundles by digest, the latest last.
#[derive(Debug)]
pub(crate) struct BundleCache {
    coordinators: Coordinators,
    kept: Mutex<VecDeque<(String, Arc<Bundle>)>>,
}

impl BundleCache {
    pub(crate) const fn new(coordinators: Coordinators) -> Self {
        Self {
            coordinators,
            kept: Mutex::new(VecDeque::new()),
        }
    }

    /// The bundle of that digest.
    ///
    /// # Errors
    /// The coordinator cannot be asked, or what it sent does not hash to the digest.
    pub(crate) async fn get(&self, digest: &str) -> Result<Arc<Bundle>, Diagnostic> {
        if let Some(kept) = self.find(digest) {
            return Ok(kept);
        }
        let failed = |reason: String| {
            let message = format!("cannot fetch workflow bundle {digest}: {reason}");
            Diagnostic::new(codes::UNREACHABLE, message)
        };
        let request = v1::FetchBundleRequest {
            digest: digest.to_owned(),
        };
        let response = client(self.coordinators.current())
            .fetch_bundle(request)
            .await;
        let wire = response
            .map_err(|status| failed(status.message().to_owned()))?
            .into_inner()
            .bundle;
        let wire = wire.ok_or_else(|| failed("the answer is empty".to_owned()))?;
        let bundle = Bundle {
            entry: wire.entry,
            files: wire.files.into_iter().collect(),
        };
        if bundle.digest() != digest {
            return Err(failed("it was damaged on the way".to_owned()));
        }
        let bundle = Arc::new(bundle);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((digest.to_owned(), Arc::clone(&bundle)));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        Ok(bundle)
    }

    fn find(&self, digest: &str) -> Option<Arc<Bundle>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .find(|(key, _)| key == digest)
            .map(|(_, bundle)| Arc::clone(bundle))
    }
}
