//! Files that an older version wrote.

use std::path::Path;

use super::*;
use crate::sqlite::schema::FORMAT;

/// A file of format 3, as [`conformance::take_up_from_before_deployments`] wants it.
fn old_journal() -> Folder {
    let folder = Folder::new();
    let connection = Connection::open(folder.path()).unwrap();
    let sql = include_str!("format3.sql");
    connection.execute_batch(sql).unwrap();
    folder
}

/// The tables and indices of a file, and how they are made, in whatever layout.
fn tables(path: &Path) -> Vec<(String, String)> {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT name, ifnull(sql, '') FROM sqlite_schema ORDER BY name";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        let sql: String = row.get(1)?;
        let words: Vec<_> = sql.split_whitespace().collect();
        Ok((row.get(0)?, words.join(" ")))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_file_of_format_3_is_brought_up_to_date_with_all_that_is_in_it() {
    let folder = old_journal();
    let refused = SqliteJournal::open_read_only(folder.path()).unwrap_err();
    let expected = JournalError::UnknownFormat {
        journal: folder.path().display().to_string(),
        found: 3,
        known: FORMAT,
    };
    assert_eq!(refused, expected);
    conformance::take_up_from_before_deployments(&folder).await;
    assert_eq!(folder.count("SELECT version FROM schema_version"), FORMAT);
    let fresh = Folder::new();
    drop(fresh.journal());
    assert_eq!(tables(&folder.path()), tables(&fresh.path()));
}

#[tokio::test]
async fn a_file_that_cannot_be_brought_up_to_date_stays_as_it_was() {
    let folder = old_journal();
    // The last of the new tables is in the way.
    folder.tamper("CREATE TABLE schedule_positions (something TEXT)");
    let before = tables(&folder.path());
    let refused = SqliteJournal::open(folder.path()).unwrap_err();
    assert!(matches!(refused, JournalError::Open { .. }), "{refused:?}");
    assert_eq!(tables(&folder.path()), before);
    assert_eq!(folder.count("SELECT version FROM schema_version"), 3);
    folder.tamper("DROP TABLE schedule_positions");
    conformance::take_up_from_before_deployments(&folder).await;
}
