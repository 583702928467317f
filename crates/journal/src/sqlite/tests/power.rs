//! Power that goes at any moment: of the log that SQLite was writing, some first part is on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use marquetry_types::Timestamp;

use super::*;

/// The log's header.
const HEADER: usize = 32;
/// A frame of it: its own header, and a page.
const FRAME: usize = 24 + 4096;

fn log_of(folder: &Folder) -> PathBuf {
    folder.folder.path().join("journal.db-wal")
}

/// Does one thing after the other, and says how long the log was when each was acknowledged.
async fn work(folder: &Folder, journal: &SqliteJournal) -> Vec<usize> {
    let length = || usize::try_from(fs::metadata(log_of(folder)).unwrap().len()).unwrap();
    let epoch = samples::lead(journal).await;
    let mut lengths = Vec::new();
    for number in 1..=6_u64 {
        let deployment = samples::deployment("retail", &format!("b{number}"));
        let deployed = journal.deploy(epoch, deployment).await.unwrap();
        assert_eq!(deployed.deployment.version, number);
        lengths.push(length());
        let at = Timestamp::from_millis(i64::try_from(number).unwrap());
        let run = samples::run_id(number);
        let records = samples::scheduled_run(&run, "retail", "nightly", at);
        journal.append(epoch, records).await.unwrap();
        lengths.push(length());
    }
    assert_eq!(journal.retire(epoch, "retail").await, Ok(Some(6)));
    lengths.push(length());
    lengths
}

#[tokio::test]
async fn deployments_and_positions_are_there_whole_or_not_at_all() {
    let folder = Folder::new();
    let journal = folder.journal();
    let lengths = work(&folder, &journal).await;
    assert!(lengths.is_sorted(), "the log began anew: {lengths:?}");
    let database = fs::read(folder.path()).unwrap();
    let log = fs::read(log_of(&folder)).unwrap();
    let frames = (log.len() - HEADER) / FRAME;
    assert_eq!(HEADER + frames * FRAME, log.len());

    let mut met = BTreeSet::new();
    for frame in 0..=frames {
        // Whole frames, and half of one more.
        for torn in [0, FRAME / 2] {
            let kept = (HEADER + frame * FRAME + torn).min(log.len());
            let after = Folder::new();
            fs::write(after.path(), &database).unwrap();
            fs::write(log_of(&after), &log[..kept]).unwrap();
            let done = done(&after.journal()).await;
            let acknowledged = lengths.iter().filter(|length| **length <= kept).count();
            assert!(done >= acknowledged, "{done} of {acknowledged}: {kept} B");
            met.insert(done);
        }
    }
    assert_eq!(met, (0..=lengths.len()).collect(), "every state was met");
}

/// How many things were done: the first ones, and each of them whole.
async fn done(journal: &SqliteJournal) -> usize {
    let page = Page::first(99);
    let listed = journal.list_deployments("retail", &page).await.unwrap();
    let current = journal.current_deployments().await.unwrap();
    assert_eq!((listed.damaged, current.damaged), (Vec::new(), Vec::new()));
    let deployed = listed.sound.len();
    let versions = listed.sound.iter().map(|it| it.version);
    let expected = 1..=u64::try_from(deployed).unwrap();
    assert!(versions.eq(expected.rev()), "{:?}", listed.sound);

    let unfinished = journal.load_unfinished().await.unwrap();
    assert_eq!(unfinished.damaged, []);
    let submitted = unfinished.runs.len();
    assert!(deployed == submitted || deployed == submitted + 1);
    let last = unfinished.runs.last().map(|run| {
        let scheduled = run.submitted.schedule.as_ref().unwrap();
        (scheduled.schedule.clone(), scheduled.at)
    });
    let positions = journal.schedule_positions("retail").await;
    assert_eq!(positions, Ok(BTreeMap::from_iter(last)));

    let is_retired = current.sound.is_empty() && deployed > 0;
    if is_retired {
        assert_eq!((deployed, submitted), (6, 6));
    } else {
        let newest = listed.sound.into_iter().next();
        assert_eq!(current.sound, Vec::from_iter(newest));
    }
    deployed + submitted + usize::from(is_retired)
}
