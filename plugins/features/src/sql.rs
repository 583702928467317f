//! `features/sql`: any query over the inputs of a stage.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use datafusion::common::TableReference;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::DataFrame;
use marquetry_plugin::{FileName, Input, StageContext, StageError, StageHandler, describe};
use marquetry_rows::invalid;
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `features/sql`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SqlOptions {
    /// The tables of the query: names and datasets. A name with capitals is quoted in the query.
    inputs: BTreeMap<String, Input>,
    /// The query: one SELECT, in DataFusion's SQL. Either this or `file`.
    #[serde(default)]
    query: Option<String>,
    /// A file beside the workflow that holds the query.
    #[serde(default)]
    file: Option<FileName>,
}

/// The stage kind `features/sql`.
#[derive(Debug)]
pub struct Sql {
    descriptor: StageDescriptor,
}

impl Default for Sql {
    fn default() -> Self {
        let summary = "makes rows from its inputs by a SQL query";
        let descriptor = describe::<SqlOptions>("features/sql", 1, summary)
            .description(
                "The query is one SELECT in the SQL of Apache DataFusion, over the tables that \
                 `inputs` names; it reads nothing else and changes nothing. Sorts, joins and \
                 aggregates that outgrow the stage's memory spill where DataFusion can. Rows keep the \
                 order of an ORDER BY. Times without an offset are in UTC.",
            )
            .output("rows", "the rows of the query")
            .metric("rows", "rows of the result")
            .example(
                "inputs: {orders: '${{ stages.orders }}'}\n\
                 query: SELECT * FROM orders WHERE quantity > 0\n",
            )
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Sql {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: SqlOptions = stage.options()?;
        let query = match (&options.query, &options.file) {
            (Some(query), None) => query.clone(),
            (None, Some(file)) => stage.file(file)?.to_owned(),
            (given, _) => {
                let what = if given.is_some() { "both" } else { "neither" };
                return Err(invalid(
                    codes::STAGE_OPTIONS,
                    format!("{what} of `query` and `file` are given"),
                    "give the query as text in `query`, or the name of its file in `file`",
                ));
            }
        };
        for (name, input) in &options.inputs {
            let rows = stage.table(input).await?.into_view();
            stage
                .session()
                .register_table(TableReference::bare(name.as_str()), rows)?;
        }
        let only_select = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let rows = stage.session().sql_with_options(&query, only_select).await;
        let rows = rows.map_err(|error| {
            let names: Vec<String> = options
                .inputs
                .keys()
                .map(|name| format!("`{name}`"))
                .collect();
            let tables = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            StageError::from(error).help(format!("write one SELECT; its tables are {tables}"))
        })?;
        check_names(&rows)?;
        let dataset = stage.write("rows", rows).await?;
        let written = Input(dataset);
        let rows = stage.table(&written).await?.count().await?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of rows are far below 2^53"
        )]
        stage.metric("rows", rows as f64);
        Ok(stage.finish())
    }
}

/// A dataset has no place for two columns of one name, although a query has.
fn check_names(rows: &DataFrame) -> Result<(), StageError> {
    let mut names = BTreeSet::new();
    match rows
        .schema()
        .fields()
        .iter()
        .find(|field| !names.insert(field.name().as_str()))
    {
        None => Ok(()),
        Some(field) => Err(invalid(
            codes::QUERY,
            format!("the query gives two columns the name `{}`", field.name()),
            "name one of them otherwise with AS",
        )),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::Int64Type;
    use marquetry_plugin::testing::{TestOutput, TestStage};
    use serde_json::{Value, json};

    use super::*;

    async fn run(options: Value) -> TestOutput {
        let numbers = Int64Array::from(vec![3, 1, 2]);
        let batch = RecordBatch::try_from_iter([("n", Arc::new(numbers) as _)]).unwrap();
        let stage = TestStage::new(Arc::new(Sql::default())).input("t", vec![batch]);
        stage
            .file("q.sql", "SELECT n FROM t WHERE n > 1 ORDER BY n")
            .options(options)
            .run()
            .await
    }

    #[tokio::test]
    async fn a_query_from_a_text_or_a_file_gives_rows_in_its_order() {
        for query in [
            json!({"query": "SELECT n FROM t WHERE n > 1 ORDER BY n"}),
            json!({"file": "q.sql"}),
        ] {
            let mut options = query;
            options["inputs"] = json!({"t": "$t"});
            let output = run(options).await;
            assert_eq!(
                output.outcome().metrics["rows"].to_bits(),
                2.0_f64.to_bits()
            );
            let numbers = output.outputs["rows"][0]
                .column(0)
                .as_primitive::<Int64Type>()
                .clone();
            assert_eq!(numbers, Int64Array::from(vec![2, 3]));
        }
    }

    #[tokio::test]
    async fn whatever_is_not_a_select_is_refused() {
        let inputs = json!({"t": "$t"});
        for query in [
            "CREATE TABLE u AS SELECT 1",
            "DROP TABLE t",
            "INSERT INTO t VALUES (4)",
            "COPY t TO 'out.parquet'",
            "SET datafusion.execution.batch_size = 1",
            "SELECT missing FROM t",
            "SELECT n, n + 0 AS n FROM t",
            "SELECT * FROM 'Cargo.toml'",
        ] {
            let output = run(json!({"inputs": inputs, "query": query})).await;
            let StageError::Invalid(diagnostic) = output.error() else {
                panic!("{query}: {:?}", output.error())
            };
            assert_eq!(diagnostic.code, codes::QUERY, "{query}");
        }
    }

    #[tokio::test]
    async fn exactly_one_of_query_and_file_is_wanted() {
        let inputs = json!({"t": "$t"});
        for options in [
            json!({"inputs": inputs}),
            json!({"inputs": inputs, "query": "SELECT 1", "file": "q.sql"}),
        ] {
            let StageError::Invalid(diagnostic) = run(options).await.error().clone() else {
                panic!()
            };
            assert_eq!(diagnostic.code, codes::STAGE_OPTIONS);
        }
    }
}
