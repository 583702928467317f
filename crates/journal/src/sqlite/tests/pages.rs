//! Pages of the file that are not what was written: what can be read is true, the rest is refused, and
//! nothing panics.

use std::fs;

use marquetry_engine::RunState;

use super::*;

/// SQLite's pages.
const PAGE: usize = 4096;
/// Runs in the journal: every other one has ended.
const RUNS: u64 = 6;

/// What happens to a page.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// It was never written.
    Zeroes,
    /// Another page stands in its place.
    Misplaced,
    /// Some bits are wrong, at every so many bytes.
    Flips(usize),
}

impl Damage {
    fn apply(self, file: &mut [u8], page: usize) {
        let (from, to) = (page * PAGE, (page + 1) * PAGE);
        match self {
            Self::Zeroes => file[from..to].fill(0),
            Self::Misplaced => {
                let pages = file.len() / PAGE;
                let other = (page + 1) % pages * PAGE;
                file.copy_within(other..other + PAGE, from);
            }
            Self::Flips(distance) => {
                for byte in file[from..to].iter_mut().step_by(distance) {
                    *byte ^= 0x11;
                }
            }
        }
    }
}

async fn fill(folder: &Folder) -> Vec<RunState> {
    let journal = folder.journal();
    let epoch = samples::lead(&journal).await;
    let mut states = Vec::new();
    for number in 1..=RUNS {
        let run = samples::run_id(number);
        let request_id = format!("request-{number}");
        let records = match number % 2 {
            0 => samples::finished_run(&run, "retail", Some(&request_id)),
            _ => samples::begun_run(&run, "retail", Some(&request_id)),
        };
        states.push(samples::replayed(&records));
        journal.append(epoch, records).await.unwrap();
        let deployment = samples::deployment("retail", &format!("b{number}"));
        journal.deploy(epoch, deployment).await.unwrap();
        let bundle = vec![7; 3000];
        journal.put_bundle(&request_id, bundle).await.unwrap();
    }
    states
}

/// Asks a journal for everything and has it do something. Counts the answers that it refused.
async fn question(journal: &SqliteJournal, expected: &[RunState]) -> usize {
    let mut refused = 0;
    for state in expected {
        match journal.load_run(state.id()).await {
            Ok(found) => assert_eq!(found, *state),
            Err(_) => refused += 1,
        }
    }
    let page = Page::first(100);
    let listed = journal.list_runs(&RunFilter::default(), &page).await;
    refused += usize::from(listed.is_err());
    match journal.load_unfinished().await {
        Ok(unfinished) => {
            refused += unfinished.damaged.len();
            for found in unfinished.runs {
                assert!(expected.contains(&found), "a run that never was: {found:?}");
            }
        }
        Err(_) => refused += 1,
    }
    for number in 1..=RUNS {
        let digest = format!("request-{number}");
        match journal.get_bundle(&digest).await {
            Ok(found) => assert!(found.is_none_or(|found| found == vec![7; 3000])),
            Err(_) => refused += 1,
        }
        refused += usize::from(journal.find_by_request_id(&digest).await.is_err());
    }
    refused += usize::from(journal.current_deployments().await.is_err());
    refused += usize::from(journal.list_published(None).await.is_err());
    match journal.campaign(&samples::candidate("house")).await {
        Ok(crate::Campaign::Won(epoch)) => {
            let run = samples::run_id(RUNS + 1);
            let records = samples::finished_run(&run, "retail", None);
            refused += usize::from(journal.append(epoch, records).await.is_err());
        }
        Ok(crate::Campaign::Lost(_)) | Err(_) => refused += 1,
    }
    refused
}

#[tokio::test]
async fn a_damaged_page_costs_what_it_holds_and_is_no_panic() {
    let folder = Folder::new();
    let expected = fill(&folder).await;
    // All of it into the one file: what is beside it has checksums of SQLite's own.
    let database = Connection::open(folder.path()).unwrap();
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    database.query_row(checkpoint, [], |_| Ok(())).unwrap();
    drop(database);
    let whole = fs::read(folder.path()).unwrap();
    assert!(whole.len() > 20 * PAGE, "{}", whole.len());
    assert_eq!(question(&folder.journal(), &expected).await, 0);

    let (mut unopened, mut refused) = (0, 0);
    for page in 0..whole.len() / PAGE {
        for damage in [
            Damage::Zeroes,
            Damage::Misplaced,
            Damage::Flips(1),
            Damage::Flips(97),
        ] {
            let mut damaged = whole.clone();
            damage.apply(&mut damaged, page);
            let after = Folder::new();
            fs::write(after.path(), &damaged).unwrap();
            match SqliteJournal::open(after.path()) {
                Ok(journal) => {
                    let answers = question(&journal, &expected).await;
                    refused += usize::from(answers > 0);
                }
                Err(error) => {
                    let text = error.to_string();
                    let file = after.path().display().to_string();
                    assert!(text.contains(&file), "page {page}, {damage:?}: {text}");
                    assert!(error.diagnostic().help.is_some(), "{error}");
                    unopened += 1;
                }
            }
        }
    }
    assert!(unopened > 3, "{unopened}: the first page at least");
    assert!(refused > 20, "{refused}");
}
