//! Stages whose outputs are used again: what the content of a stage is, and what becomes of it.
//!
//! What was found is not believed: an attempt of kind `dataset/reuse` looks at it in the lake first, and where it
//! is not what it was, the stage is computed as if nothing had been found.

use marquetry_types::{DATASET_KEY, DatasetRef, RunId, StageKind, StageName, Timestamp};
use marquetry_workflow::Stage;
use serde_json::{Value, json};

use crate::dispatch::seed;
use crate::live_run::LiveRun;
use crate::shelf::Shelf;
use crate::{CacheUse, Cached, Decision, Engine, Lookup, Remembered, RunState};

/// How the content of a stage is told, as part of it: grows when that changes.
const FORMAT: u32 = 1;

/// A stage whose outputs are used again, while it waits.
#[derive(Debug, Clone)]
pub(crate) struct Reuse {
    /// The stage's content.
    pub(crate) key: String,
    /// What was found under it.
    pub(crate) found: Option<Cached>,
    /// Whether it is known what there is.
    pub(crate) is_known: bool,
}

/// The kind of the attempt that looks whether an outcome is still there.
pub(crate) fn reuse_kind(otherwise: &StageKind) -> StageKind {
    // It is a valid name.
    "dataset/reuse"
        .parse()
        .unwrap_or_else(|_| otherwise.clone())
}

impl RunState {
    /// Whether a stage is computed anew whatever is known: somebody asked for that, or what was known was not
    /// there.
    fn computes_anew(&self, name: &StageName) -> bool {
        let whole = self.stages.get(name.stage());
        let own = self.stages.get(name);
        self.submitted.ignores_cache
            || whole.is_some_and(|stage| stage.is_anew)
            || own.is_some_and(|stage| stage.is_anew || stage.was_refused_reuse())
    }
}

impl Engine {
    /// Whether a stage may go ahead: where its outputs are used again, it is to be known what there is. Asks
    /// where it is not.
    pub(crate) fn knows_cached(
        &mut self,
        run: &RunId,
        index: usize,
        now: Timestamp,
        decision: &mut Decision,
    ) -> bool {
        let Some(live) = self.runs.get_mut(run) else {
            return true;
        };
        let Some((name, state)) = live.state.stages.get_index(index) else {
            return true;
        };
        let stage = live.state.workflow().stage(name);
        let Some((stage, cache)) = stage.and_then(|stage| Some((stage, stage.cache.as_ref()?)))
        else {
            return true;
        };
        // Gathering what the items gave costs no more than looking for it.
        if state.items.is_some() {
            return true;
        }
        let is_anew = live.state.computes_anew(name);
        if let Some(reuse) = live.reuses.get(&index)
            && !(is_anew && reuse.found.is_some())
        {
            return reuse.is_known;
        }
        let options = live.options.get(&index).cloned().unwrap_or_default();
        let key = content_of(&live.state, &self.shelf, name, stage, options);
        let lookup = Lookup::Cached {
            key: key.clone(),
            not_before: cache.max_age.map(|age| now.saturating_sub(age)),
        };
        if !is_anew {
            Self::ask(run, name, lookup, decision);
        }
        let reuse = Reuse {
            key,
            found: None,
            is_known: is_anew,
        };
        live.reuses.insert(index, reuse);
        is_anew
    }

    /// It is known what there is.
    pub(crate) fn cached_found(&mut self, run: &RunId, index: usize, found: Option<Cached>) {
        let Some(live) = self.runs.get_mut(run) else {
            return;
        };
        let Some(asked) = live.reuses.get(&index).filter(|reuse| !reuse.is_known) else {
            return;
        };
        let reuse = Reuse {
            key: asked.key.clone(),
            found,
            is_known: true,
        };
        live.reuses.insert(index, reuse);
        live.decidable.push(index);
        self.touched.insert(run.clone());
    }
}

impl LiveRun {
    /// What the next attempt of a stage has to do with the cache.
    pub(crate) fn cache_use(&self, index: usize) -> Option<CacheUse> {
        let reuse = self.reuses.get(&index)?;
        let found = reuse.found.as_ref();
        Some(CacheUse {
            key: reuse.key.clone(),
            reuses: found.map(|found| Remembered {
                attempt: found.attempt.clone(),
                computed_at: found.computed_at,
            }),
        })
    }
}

/// What a stage is the same by: what it does, with what, and the seed of its chance.
fn content_of(
    run: &RunState,
    shelf: &Shelf,
    name: &StageName,
    stage: &Stage,
    mut options: Value,
) -> String {
    shelf.put_policies(run, &mut options);
    identify(&mut options);
    let files = stage.cache.as_ref().map(|cache| &cache.files);
    let content = json!({
        "format": FORMAT,
        "kind": stage.uses,
        "version": stage.version,
        "seed": seed(&run.workflow().name, name),
        "options": options,
        "files": files,
    });
    blake3::hash(content.to_string().as_bytes())
        .to_hex()
        .to_string()
}

/// Leaves of each dataset what stands for its data, wherever that lies.
fn identify(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let dataset = fields.get(DATASET_KEY);
            let dataset = dataset
                .and_then(|dataset| serde_json::from_value::<DatasetRef>(dataset.clone()).ok());
            match dataset {
                Some(dataset) => {
                    fields.insert(DATASET_KEY.to_owned(), json!(dataset.identity()));
                }
                None => fields.values_mut().for_each(identify),
            }
        }
        Value::Array(items) => items.iter_mut().for_each(identify),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
