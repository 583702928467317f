//! `features/sql`: any query over the inputs of a stage.

mod fault;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use datafusion::common::TableReference;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use marquetry_plugin::{FileName, Input, StageContext, StageError, StageHandler, describe};
use marquetry_rows::invalid;
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;

use fault::Source;

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
            .pure()
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
        // A copy, since the stage is written to while errors may still name the query.
        let in_file = match &options.file {
            Some(file) => Some((file, stage.file(file)?.to_owned())),
            None => None,
        };
        let query = match (&options.query, &in_file) {
            (Some(query), None) => Source::inline(query),
            (None, Some((file, text))) => Source::file(file, text),
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
        let names = options.inputs.keys().map(String::as_str).collect();
        let rows = plan(stage.session(), &query, names).await?;
        let written = stage.write("rows", rows).await;
        let dataset = written.map_err(|error| query.named_in(error))?;
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

/// Plans the query, and refuses what is none.
async fn plan(
    session: &SessionContext,
    query: &Source,
    tables: Vec<&str>,
) -> Result<DataFrame, StageError> {
    // Without it, the planner does not know where in the text an error is.
    let state = session.state_ref();
    state
        .write()
        .config_mut()
        .options_mut()
        .sql_parser
        .collect_spans = true;
    let only_select = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let rows = session.sql_with_options(query.text(), only_select).await;
    let rows = rows.map_err(|error| query.fault(&error, &tables))?;
    let is_about_a_query = matches!(
        rows.logical_plan(),
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_)
    );
    if is_about_a_query {
        return Err(query.refuse(
            "this gives no rows but says something about a query",
            &tables,
        ));
    }
    check_names(&rows)?;
    Ok(rows)
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
            "EXPLAIN SELECT 1",
            "DESCRIBE t",
            "SELECT 1; SELECT 2",
            "",
        ] {
            let output = run(json!({"inputs": inputs, "query": query})).await;
            let StageError::Invalid(diagnostic) = output.error() else {
                panic!("{query}: {:?}", output.error())
            };
            assert_eq!(diagnostic.code, codes::QUERY, "{query}");
        }
    }

    #[tokio::test]
    async fn errors_say_where_in_the_query_they_are() {
        let mut messages = Vec::new();
        for query in [
            "SELECT n\nFORM t",
            "SELECT m\nFROM t",
            "SELECT n\nFROM u",
            "SELECT n\nFROM t\nWHERE nosuch(n)",
            "SELECT 'n",
        ] {
            let output = run(json!({"inputs": {"t": "$t"}, "query": query})).await;
            messages.push(output.error().to_string());
        }
        let stage =
            TestStage::new(Arc::new(Sql::default())).file("q.sql", "SELECT 1\nFROM nowhere");
        let options = json!({"inputs": {}, "file": "q.sql"});
        messages.push(stage.options(options).run().await.error().to_string());
        assert_eq!(
            messages,
            [
                "expected: end of statement, found: t at line 2, column 6 of `query` [MQ0407]; \
                 help: write one SELECT; its tables are `t`",
                "no field named m at line 1, column 8 of `query` [MQ0407]; help: valid fields are t.n",
                "table 'u' not found at line 2, column 6 of `query` [MQ0407]; \
                 help: write one SELECT; its tables are `t`",
                "invalid function 'nosuch' at line 3, column 7 of `query` [MQ0407]; \
                 help: did you mean 'cosh'?",
                "unterminated string literal at line 1, column 8 of `query` [MQ0407]; \
                 help: write one SELECT; its tables are `t`",
                "q.sql:2:6: table 'nowhere' not found [MQ0407]; \
                 help: write one SELECT; its tables are none",
            ]
        );
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
