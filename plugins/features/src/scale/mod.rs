//! `features/scale`: makes columns comparable, and keeps how.

mod faults;
mod fit;
mod fitted;
mod options;
mod spread;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use datafusion::prelude::ident;
use marquetry_kernels::Imputation;
use marquetry_passes::{Scan, unless_too_large};
use marquetry_plugin::{StageContext, StageError, StageHandler, describe};
use marquetry_rows::{KeyedRows, Wanted, invalid, is_numeric, off_thread};
use marquetry_types::{Outcome, StageDescriptor, codes};

use fit::Plan;
use fitted::Step;
use options::ScaleOptions;

/// The stage kind `features/scale`.
#[derive(Debug)]
pub struct Scale {
    descriptor: StageDescriptor,
    /// Whether rows may be read into memory, as they are where they fit.
    is_in_memory: bool,
}

impl Default for Scale {
    fn default() -> Self {
        let summary = "imputes, takes logarithms, scales and one-hot encodes columns";
        let descriptor = describe::<ScaleOptions>("features/scale", 1, summary)
            .pure()
            .description(
                "Numbers are imputed, then the logarithm of 1 + value is taken where `log1p` says so, \
                 then they are scaled as scikit-learn's StandardScaler or MinMaxScaler do; a constant \
                 column becomes 0. Texts of `one_hot` become columns of 0 and 1, in the order of their \
                 values; a missing text, and one that the fit did not see, is 0 in all. Fits are made \
                 on rows sorted by key, so that the same rows give the same bits. Output `fitted` says \
                 what was learnt; given to `apply`, later rows are treated the same.\n\n\
                 Rows are held in memory. Where they do not fit, or `parallelism` is `cluster`, means, \
                 ranges and medians are queries over them, which workers share: exact, the same bits on any \
                 number of workers, and those of memory but for the rounding of sums (1e-9 of their size).",
            )
            .output("rows", "the key and the scaled columns, sorted by key")
            .output(
                "fitted",
                "one row per scaled column: position, column, output, category, impute, log1p, center, scale",
            )
            .metric("rows", "rows scaled")
            .metric("columns", "columns besides the key")
            .example(
                "rows: ${{ stages.customers }}\n\
                 columns: [recency_days, frequency, monetary]\n\
                 log1p: [frequency, monetary]\n",
            )
            .build();
        Self {
            descriptor,
            is_in_memory: true,
        }
    }
}

#[async_trait]
impl StageHandler for Scale {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: ScaleOptions = stage.options()?;
        options.check()?;
        let work = match &options.apply {
            Some(fitted) => {
                let rows = stage.table(fitted).await?;
                if rows
                    .schema()
                    .as_arrow()
                    .column_with_name("position")
                    .is_none()
                {
                    return Err(invalid(
                        codes::COLUMN_MISMATCH,
                        "`apply` is no dataset of fitted scalings",
                        "give it the output `fitted` of a features/scale stage",
                    ));
                }
                let rows = rows.sort(vec![ident("position").sort(true, true)])?;
                Work::Apply(fitted::from_batches(&rows.collect().await?)?)
            }
            None => Work::Fit(plan(&stage, &options).await?),
        };
        let columns = work.columns();
        let wanted = Wanted {
            option: "rows",
            input: &options.rows,
            key: &options.key,
            columns: Some(&columns),
        };
        let loaded = if self.is_in_memory && !stage.is_spread() {
            unless_too_large(&stage, KeyedRows::read(&stage, wanted).await)?
        } else {
            None
        };
        let (count, steps) = match loaded {
            Some(rows) => in_memory(&mut stage, work, rows).await?,
            None => by_passes(&mut stage, work, wanted).await?,
        };
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        {
            stage.metric("rows", count as f64);
            stage.metric("columns", steps.len() as f64);
        }
        let batch = fitted::to_batch(&steps)?;
        stage
            .write_batches("fitted", fitted::schema(), vec![batch])
            .await?;
        Ok(stage.finish())
    }
}

/// Scales rows in memory and writes them: how many, and how.
async fn in_memory(
    stage: &mut StageContext,
    work: Work,
    rows: KeyedRows,
) -> Result<(u64, Vec<Step>), StageError> {
    stage.check_cancelled()?;
    let (scaled, steps) = off_thread(move || {
        let steps = match work {
            Work::Apply(steps) => steps,
            Work::Fit(plan) => fit::fit(&rows, &plan)?,
        };
        Ok((fit::apply(&rows, &steps)?, steps))
    })
    .await?;
    let count = scaled.num_rows() as u64;
    stage
        .write_batches("rows", scaled.schema(), vec![scaled])
        .await?;
    Ok((count, steps))
}

/// The same by passes over rows that stay where they are.
async fn by_passes(
    stage: &mut StageContext,
    work: Work,
    wanted: Wanted<'_>,
) -> Result<(u64, Vec<Step>), StageError> {
    let scan = Scan::open(stage, wanted).await?;
    let steps = match work {
        Work::Apply(steps) => steps,
        Work::Fit(plan) => spread::fit(stage, &scan, &plan).await?,
    };
    let count = spread::apply(stage, &scan, &steps).await?;
    Ok((count, steps))
}

/// What to do with the rows.
enum Work {
    /// What was learnt before.
    Apply(Vec<Step>),
    /// Learn, then apply it.
    Fit(Plan),
}

impl Work {
    /// The columns to read, each once.
    fn columns(&self) -> Vec<String> {
        let mut columns: Vec<String> = match self {
            Self::Apply(steps) => steps.iter().map(|step| step.column.clone()).collect(),
            Self::Fit(plan) => plan.numbers.iter().chain(&plan.one_hot).cloned().collect(),
        };
        columns.sort();
        columns.dedup();
        columns
    }
}

/// What the options say to learn.
async fn plan(stage: &StageContext, options: &ScaleOptions) -> Result<Plan, StageError> {
    let one_hot = options.one_hot.clone().unwrap_or_default();
    let log1p = options.log1p.clone().unwrap_or_default();
    let numbers = match &options.columns {
        Some(columns) => columns.clone(),
        None => {
            let rows = stage.table(&options.rows).await?;
            let fields = rows.schema().fields().iter();
            fields
                .filter(|field| is_numeric(field.data_type()))
                .map(|field| field.name().clone())
                .filter(|name| *name != options.key && !one_hot.contains(name))
                .collect()
        }
    };
    if numbers.is_empty() && one_hot.is_empty() {
        return Err(invalid(
            codes::COLUMN_MISMATCH,
            "there is no column to scale: none is named, and `rows` has no numbers besides its key",
            "name columns in `columns` or `one_hot`",
        ));
    }
    if let Some(name) = log1p.iter().find(|name| !numbers.contains(name)) {
        return Err(invalid(
            codes::STAGE_OPTIONS,
            format!("`log1p` names `{name}`, which is none of the columns that are scaled"),
            "name it in `columns` as well, or leave it out of `log1p`",
        ));
    }
    let impute = options
        .impute
        .map_or(Imputation::Constant(0.0), Imputation::from);
    let method = options.scale.unwrap_or_default();
    Ok(Plan {
        numbers,
        log1p,
        one_hot,
        impute,
        method,
    })
}
