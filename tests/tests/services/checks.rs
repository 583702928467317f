//! What must hold of every run, however it went: what is on record is in the lake, once.

use marquetry_engine::{AttemptEnd, RunState, RunStatus, StageStatus};
use marquetry_lake::{FileLocation, Lake, SessionOptions, session, table};
use marquetry_types::{AttemptId, Outcome};

/// `a` is done when `b` waits; `c` comes last.
pub(crate) const CHAIN: &str = r#"
marquetry: v1
name: chain
stages:
  a: { uses: test/step, with: {} }
  b: { uses: test/step, with: { act: wait, inputs: ["${{ stages.a }}"] } }
  c: { uses: test/step, with: { inputs: ["${{ stages.b }}"] } }
"#;

/// A chain and a fan of four stages: `d` gives 5.
pub(crate) const DIAMOND: &str = r#"
marquetry: v1
name: diamond
defaults: { retry: { attempts: 3, backoff: { initial: 1ms, max: 1ms } } }
stages:
  a: { uses: test/step, with: {} }
  b: { uses: test/step, with: { inputs: ["${{ stages.a }}"] } }
  c: { uses: test/step, with: { inputs: ["${{ stages.a }}"] } }
  d: { uses: test/step, with: { inputs: ["${{ stages.b }}", "${{ stages.c }}"] } }
"#;

/// Whether everything that an outcome names lies in the lake with its digest, in the folder of the
/// attempt that gave it.
pub(crate) async fn outcome_is_durable(
    lake: &Lake,
    attempt: &AttemptId,
    outcome: &Outcome,
) -> Result<(), String> {
    let prefix = format!("{}/", Lake::attempt_prefix(attempt));
    let mut named = Vec::new();
    for (name, dataset) in &outcome.outputs {
        let manifest = lake.manifest(dataset).await;
        let manifest = manifest.map_err(|error| format!("{attempt}, output `{name}`: {error}"))?;
        if manifest.rows != dataset.rows || manifest.bytes() != dataset.bytes {
            return Err(format!(
                "{attempt}: the manifest of `{name}` says otherwise"
            ));
        }
        named.push((dataset.manifest.clone(), None));
        for file in manifest.files {
            let FileLocation::InLake { path } = file.location else {
                return Err(format!("{attempt}: `{name}` lies outside of the lake"));
            };
            named.push((path, Some((file.bytes, file.digest.unwrap_or_default()))));
        }
    }
    for artifact in &outcome.artifacts {
        let content = (artifact.bytes, artifact.digest.clone());
        named.push((artifact.path.clone(), Some(content)));
    }
    for (path, content) in named {
        if !path.starts_with(&prefix) {
            return Err(format!("{attempt} names {path}, which is not its own"));
        }
        let bytes = lake.get(&path).await;
        let bytes = bytes.map_err(|error| format!("{attempt} names {path}: {error}"))?;
        let found = (
            bytes.len() as u64,
            blake3::hash(&bytes).to_hex().to_string(),
        );
        if content.is_some_and(|content| content != found) {
            return Err(format!(
                "{attempt} names {path}, which holds something else"
            ));
        }
    }
    Ok(())
}

/// Whether what the journal says of a run is so: each stage that succeeded did so in one attempt, all
/// of whose outputs are in the lake.
pub(crate) async fn record_is_true(lake: &Lake, run: &RunState) {
    for (name, stage) in &run.stages {
        let won: Vec<_> = stage
            .attempts
            .iter()
            .filter(|attempt| attempt.end == Some(AttemptEnd::Succeeded))
            .collect();
        match &stage.outcome {
            Some(outcome) => {
                assert_eq!(stage.status, StageStatus::Succeeded, "{name}");
                assert_eq!(won.len(), 1, "{name} is committed once");
                assert_eq!(outcome.outputs.len(), 1, "{name} has an output");
                outcome_is_durable(lake, &won[0].token.attempt, outcome)
                    .await
                    .unwrap();
            }
            None => assert_eq!(won.len(), 0, "{name} has no outcome"),
        }
    }
}

/// Whether the diamond came to its end as it does undisturbed.
pub(crate) async fn diamond_is_done(lake: &Lake, run: &RunState) {
    assert_eq!(run.status, RunStatus::Succeeded, "{:?}", run.failure);
    record_is_true(lake, run).await;
    for (name, expected) in [("a", 1), ("b", 2), ("c", 2), ("d", 5)] {
        assert_eq!(value(lake, run, name).await, expected, "{name}");
    }
}

/// What a stage of `test/step` wrote.
pub(crate) async fn value(lake: &Lake, run: &RunState, stage: &str) -> i64 {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    let spill = tempfile::tempdir().unwrap();
    let options = SessionOptions {
        memory_limit: 16 * 1024 * 1024,
        spill_dir: spill.path().to_owned(),
        threads: 1,
    };
    let session = session(lake, &options).unwrap();
    let dataset = &run.stages[stage].outcome.as_ref().unwrap().outputs["sum"];
    let rows = table(lake, &session, dataset).await.unwrap();
    let batches = session.read_table(rows).unwrap().collect().await.unwrap();
    let values: Vec<i64> = batches
        .iter()
        .flat_map(|batch| {
            batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        })
        .collect();
    assert_eq!(values.len(), 1, "{stage} wrote one row");
    values[0]
}
