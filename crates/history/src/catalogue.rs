//! Queries: `runs` and `stages` over what is archived and what the journal still holds, and published tables.
//!
//! The journal is asked first and the archive is listed afterwards, so that a run that is archived meanwhile is
//! found in one of the two. Where it is in both, or was archived more than once, its latest state counts: no
//! run appears twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::{MemTable, MemorySchemaProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::config::Dialect;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::{DataFrame, SessionContext};
use marquetry_journal::JournalReader;
use marquetry_lake::{LAKE_URL, Lake, SessionOptions};
use marquetry_types::{PublishedKind, PublishedName};

use crate::HistoryError;
use crate::archive::folder;
use crate::columns::{Table, Value};
use crate::latest::{DAY, Latest};
use crate::runs::{self, RUNS};
use crate::stages::{self, STAGES};

/// Runs of the journal that are loaded at once.
const AT_ONCE: usize = 500;
/// The schema of published tables.
const PUBLISHED: &str = "tables";

/// What queries are about: a lake, and the journal where there is one.
pub struct Catalogue {
    lake: Lake,
    journal: Option<Arc<dyn JournalReader>>,
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Catalogue")
            .field("lake", &self.lake)
            .field("has_journal", &self.journal.is_some())
            .finish()
    }
}

impl Catalogue {
    /// A catalogue. Without a journal it has what is archived and nothing else.
    #[must_use]
    pub fn new(lake: Lake, journal: Option<Arc<dyn JournalReader>>) -> Self {
        Self { lake, journal }
    }

    /// Plans a query, which may only read. Its rows are computed when they are asked for.
    ///
    /// # Errors
    /// It is no query, changes something, or names a table that is not there.
    pub async fn query(
        &self,
        sql: &str,
        options: &SessionOptions,
    ) -> Result<DataFrame, HistoryError> {
        let session = marquetry_lake::session(&self.lake, options)?;
        session
            .state_ref()
            .write()
            .config_mut()
            .options_mut()
            .sql_parser
            .collect_spans = true;
        let state = session.state();
        let statement = state.sql_to_statement(sql, &Dialect::Generic)?;
        let mut wanted = BTreeSet::new();
        for table in state.resolve_table_references(&statement)? {
            match &table {
                TableReference::Bare { table } if **table == *RUNS.name => {
                    wanted.insert(RUNS.name);
                }
                TableReference::Bare { table } if **table == *STAGES.name => {
                    wanted.insert(STAGES.name);
                }
                TableReference::Partial { schema, table } if **schema == *PUBLISHED => {
                    self.add_published(&session, table).await?;
                }
                other => return Err(self.unknown(other.to_string()).await?),
            }
        }
        if !wanted.is_empty() {
            self.add_history(&session, &wanted).await?;
        }
        let options = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let plan = session.state().statement_to_plan(statement).await?;
        options.verify_plan(&plan)?;
        Ok(session.execute_logical_plan(plan).await?)
    }

    async fn unknown(&self, name: String) -> Result<HistoryError, HistoryError> {
        let mut known = vec![RUNS.name.to_owned(), STAGES.name.to_owned()];
        if let Some(journal) = &self.journal {
            let published = journal.list_published(Some(PublishedKind::Table)).await?;
            let names = published.iter().map(|it| &it.published.name);
            known.extend(names.map(|name| format!("{PUBLISHED}.{name}")));
        }
        let mut known = format!("there are {}", known.join(", "));
        if self.journal.is_none() {
            known.push_str("; published tables are known where the journal is");
        }
        Ok(HistoryError::UnknownTable { name, known })
    }

    /// Makes the current version of a published table known to a session.
    async fn add_published(
        &self,
        session: &SessionContext,
        name: &str,
    ) -> Result<(), HistoryError> {
        let found = match (&self.journal, PublishedName::try_from(name.to_owned())) {
            (Some(journal), Ok(name)) => {
                journal
                    .find_published(PublishedKind::Table, &name, None)
                    .await?
            }
            _ => None,
        };
        let Some(publication) = found else {
            return Err(self.unknown(format!("{PUBLISHED}.{name}")).await?);
        };
        let dataset = &publication.published.dataset;
        let table = marquetry_lake::table(&self.lake, session, dataset).await?;
        let catalog = session
            .catalog("datafusion")
            .ok_or_else(|| DataFusionError::Internal("no catalog".to_owned()))?;
        if catalog.schema(PUBLISHED).is_none() {
            catalog.register_schema(PUBLISHED, Arc::new(MemorySchemaProvider::new()))?;
        }
        session.register_table(TableReference::partial(PUBLISHED, name.to_owned()), table)?;
        Ok(())
    }

    /// Makes the tables of history known to a session.
    async fn add_history(
        &self,
        session: &SessionContext,
        wanted: &BTreeSet<&'static str>,
    ) -> Result<(), HistoryError> {
        let [runs, stages] = self.unarchived().await?;
        for (table, unarchived) in [(RUNS, runs), (STAGES, stages)] {
            if wanted.contains(table.name) {
                session.register_table(table.name, self.latest(&table, unarchived)?)?;
            }
        }
        Ok(())
    }

    /// What the journal holds that is not archived, of both tables.
    async fn unarchived(&self) -> Result<[Vec<RecordBatch>; 2], HistoryError> {
        let (mut runs, mut stages) = (Vec::new(), Vec::new());
        let Some(journal) = &self.journal else {
            return Ok([runs, stages]);
        };
        let ids = journal.list_unarchived(None, usize::MAX).await?;
        for ids in ids.chunks(AT_ONCE) {
            let (mut run_rows, mut stage_rows): (Vec<Vec<Value>>, Vec<Vec<Value>>) =
                Default::default();
            for (run, loaded) in journal.load_runs(ids).await? {
                match loaded {
                    Ok(stored) => {
                        run_rows.push(runs::row(&stored));
                        stage_rows.extend(stages::rows(&stored));
                    }
                    Err(error) => {
                        tracing::warn!(%run, %error, "only the summary of a run can be read");
                        let found = journal.find_runs_by_prefix(run.as_str(), 1).await?;
                        run_rows.extend(found.iter().map(runs::row_of_summary));
                    }
                }
            }
            runs.push(RUNS.batch(&run_rows).map_err(DataFusionError::from)?);
            stages.push(STAGES.batch(&stage_rows).map_err(DataFusionError::from)?);
        }
        Ok([runs, stages])
    }

    /// A table as queries see it.
    fn latest(
        &self,
        table: &Table,
        unarchived: Vec<RecordBatch>,
    ) -> Result<Arc<dyn TableProvider>, HistoryError> {
        let schema = table.schema();
        let url = ListingTableUrl::parse(format!("{LAKE_URL}{}/", folder(table)))?;
        let options = ListingOptions::new(Arc::new(ParquetFormat::default()))
            .with_file_extension(".parquet")
            .with_table_partition_cols(vec![(DAY.to_owned(), DataType::Date32)]);
        let config = ListingTableConfig::new(url)
            .with_listing_options(options)
            .with_schema(Arc::clone(&schema));
        Ok(Arc::new(Latest {
            keys: match table.name == RUNS.name {
                true => &["run"],
                false => &["run", "stage"],
            },
            archived: Arc::new(ListingTable::try_new(config)?),
            unarchived: Arc::new(MemTable::try_new(Arc::clone(&schema), vec![unarchived])?),
            schema,
        }))
    }
}
