//! The objects below a prefix, all of them or an error.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, Result};

use crate::reason::is_broken_answer;

/// How often a list is asked for whose answer breaks off.
const TRIES: u32 = 5;
/// The pause after the first one; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// Lists what is below a prefix. The store makes a request again that failed, but not one whose answer breaks
/// off half-way: that is done here.
pub(crate) async fn list_all(
    store: &Arc<dyn ObjectStore>,
    prefix: &Path,
) -> Result<Vec<ObjectMeta>> {
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match store.list(Some(prefix)).try_collect().await {
            Err(error) if is_broken_answer(&error) => tokio::time::sleep(pause).await,
            listed => return listed,
        }
        pause *= 2;
    }
    store.list(Some(prefix)).try_collect().await
}
