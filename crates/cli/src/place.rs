//! The data folder: where journal, lake and reports lie.

use std::path::PathBuf;
use std::sync::Arc;

use marquetry_engine::RunState;
use marquetry_journal::{JournalReader, Location, Page, RunFilter};
use marquetry_lake::Lake;
use marquetry_types::RunId;

use crate::arguments::Common;
use crate::failure::Failure;

/// A data folder.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    root: PathBuf,
    /// Where the lake is, if not in the folder.
    lake: Option<String>,
    /// Where the journal is, if not in the folder.
    journal: Option<Location>,
}

impl Place {
    pub(crate) fn of(common: &Common) -> Result<Self, Failure> {
        let root = std::path::absolute(&common.data_dir);
        let root = root.map_err(|error| Failure::file("find", &common.data_dir, &error))?;
        let lake = common.lake.clone();
        let journal = common.journal.as_deref().map(Location::parse);
        Ok(Self {
            root,
            lake,
            journal,
        })
    }

    pub(crate) fn journal(&self) -> Location {
        match &self.journal {
            Some(location) => location.clone(),
            None => Location::Sqlite(self.root.join("journal.db")),
        }
    }

    pub(crate) fn spill_path(&self) -> PathBuf {
        self.root.join("spill")
    }

    pub(crate) fn report_path(&self, run: &RunId) -> PathBuf {
        self.root.join("reports").join(format!("{run}.html"))
    }

    pub(crate) async fn lake(&self) -> Result<Lake, Failure> {
        let lake = match &self.lake {
            Some(lake) => Lake::open(lake).await,
            None => Lake::open(&self.root.join("lake").to_string_lossy()).await,
        };
        Ok(lake?)
    }

    /// Whether there is a journal, as far as that can be known without asking a database.
    pub(crate) fn has_journal(&self) -> bool {
        match self.journal() {
            Location::Sqlite(path) => path.exists() || self.journal.is_some(),
            Location::Postgres(_) => true,
        }
    }

    /// Opens the journal for reading, while anybody may write it.
    pub(crate) async fn reader(&self) -> Result<Arc<dyn JournalReader>, Failure> {
        let location = self.journal();
        if let Location::Sqlite(path) = &location
            && !path.exists()
        {
            let folder = path.parent().unwrap_or(path);
            let message = format!("there are no runs in {}", folder.display());
            let help = "`marquetry run` makes one; `--data-dir` says where to look";
            return Err(Failure::no_match(message, help));
        }
        Ok(marquetry_journal::open_read_only(&location).await?)
    }

    /// The run that a person means: an id, the beginning of one, or `latest`.
    pub(crate) async fn find(
        &self,
        journal: &dyn JournalReader,
        name: &str,
    ) -> Result<RunId, Failure> {
        let found = if name == "latest" {
            journal
                .list_runs(&RunFilter::default(), &Page::first(1))
                .await?
        } else {
            journal.find_runs_by_prefix(name, 2).await?
        };
        match found.as_slice() {
            [one] => Ok(one.run.clone()),
            [] => Err(Failure::unknown_run(name, &self.root.display())),
            _ => {
                let message = format!("more than one run begins with `{name}`");
                Err(Failure::no_match(message, "give more of its id"))
            }
        }
    }

    /// A run with its stages.
    pub(crate) async fn load(&self, name: &str) -> Result<RunState, Failure> {
        let journal = self.reader().await?;
        let run = self.find(journal.as_ref(), name).await?;
        Ok(journal.load_run(&run).await?)
    }
}
