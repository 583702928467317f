//! The stage kind `personalization/recommend`.

mod options;
mod output;
mod panels;
mod purchases;
mod scores;
mod similarity;

use std::sync::Arc;

use arrow::array::{Array, StringArray};
use arrow::compute::{SortOptions, concat, sort, take};
use async_trait::async_trait;
use datafusion::execution::memory_pool::MemoryConsumer;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{KeyedRows, Keys, Wanted, check_key, invalid, missing_column, off_thread};
use marquetry_types::{Outcome, StageDescriptor, codes};
use serde_json::json;

use options::RecommendOptions;
use purchases::{Codes, Purchases};
use scores::{Recommender, Scored, neighbours, typical};

const DESCRIPTION: &str = "\
Recommends products by what was bought together. Two products are similar if many baskets hold both, by a \
similarity of your choice: `cosine` (Sarwar et al. 2001), `lift`, or `log_likelihood` (Dunning 1993). A basket is an \
order, or everything that a customer bought.\n\n\
A customer's score of a product is the sum of its similarities to what the customer bought (Karypis 2001), over the \
`neighbours` most similar products of each; `because_of` is the bought product that adds most. The products typical \
of a segment are those most similar to it by the same measure, with customers in place of baskets and the segment in \
place of a product.\n\n\
Products that fewer than `min_support` baskets hold have no similar ones, and of a basket with more than `most_items` \
products those count that are in most baskets. Similarities are made product by product, so that memory is O(products \
of baskets + products x neighbours) however many pairs there are; time is O(sum of squared basket sizes + products of \
customers x neighbours).";

const EXAMPLE: &str = "\
orders: ${{ stages.orders }}
basket: order_id
segments: ${{ stages.segments }}
similarity: log_likelihood
top: 5
";

/// The column of an assignment that names the segment.
const SEGMENT: &str = "segment";

/// Customers between two writes.
const BATCH: usize = 8192;

/// `personalization/recommend`.
#[derive(Debug)]
pub(crate) struct Recommend {
    descriptor: StageDescriptor,
}

impl Default for Recommend {
    fn default() -> Self {
        let summary = "recommend products by what was bought together";
        let descriptor = describe::<RecommendOptions>("personalization/recommend", 1, summary)
            .pure()
            .description(DESCRIPTION)
            .output("customers", "the customer, rank (from 1), item, score, because_of")
            .output("items", "item, similar, score, support (baskets with both), the best first")
            .output(
                "segments",
                "segment, rank (from 1), item, score, support (its customers who bought it); empty without `segments`",
            )
            .metric("items", "products")
            .metric("baskets", "baskets")
            .metric("cut_baskets", "baskets with more products than `most_items`")
            .metric("pairs", "pairs of a product and a similar one")
            .metric("customers", "customers who bought anything")
            .metric("recommended_share", "share of them who have a recommendation, 0 to 1")
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Recommend {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: RecommendOptions = stage.options()?;
        check_key(&options.customer, &["rank", "item", "score", "because_of"])?;
        let purchases = Arc::new(Purchases::read(&stage, &options).await?);
        let similar = {
            let (purchases, options) = (Arc::clone(&purchases), options.clone());
            let (threads, reporter) = (stage.threads(), stage.reporter());
            off_thread(move || neighbours(&purchases, &options, threads, &reporter)).await?
        };
        let similar = Arc::new(similar);
        let recommended = write_customers(&mut stage, &options, &purchases, &similar).await?;

        let items = output::items(&purchases.items, &similar)?;
        let pairs = items.num_rows();
        stage
            .write_batches("items", items.schema(), vec![items])
            .await?;
        stage
            .panel(&panels::pairs(
                &purchases.items,
                &similar,
                options.similarity,
            ))
            .await?;
        write_segments(&mut stage, &options, &purchases).await?;

        let customers = purchases.customers.len();
        stage.metric("items", purchases.items.len() as f64);
        stage.metric("baskets", purchases.baskets.len() as f64);
        stage.metric("cut_baskets", purchases.cut as f64);
        stage.metric("pairs", pairs as f64);
        stage.metric("customers", customers as f64);
        stage.metric("recommended_share", recommended as f64 / customers as f64);
        if purchases.cut > 0 {
            let fields = [
                ("baskets", json!(purchases.cut)),
                ("most_items", json!(options.most_items)),
            ];
            let message = "of large baskets only the most frequent products count";
            stage.log(LogLevel::Info, message, fields);
        }
        if pairs == 0 {
            let fields = [("min_support", json!(options.min_support))];
            let message = "no two products are together in enough baskets";
            stage.log(LogLevel::Warn, message, fields);
        }
        Ok(stage.finish())
    }
}

/// Writes the recommendations of all customers and gives the number of those who have any.
async fn write_customers(
    stage: &mut StageContext,
    options: &RecommendOptions,
    purchases: &Arc<Purchases>,
    similar: &Arc<Vec<Vec<Scored>>>,
) -> Result<usize, StageError> {
    let schema = output::customers_schema(&purchases.customers, &purchases.items);
    let mut writer = stage.writer("customers", schema).await?;
    let total = purchases.customers.len();
    let mut with_any = 0;
    for first in (0..total).step_by(BATCH) {
        stage.check_cancelled()?;
        let end = (first + BATCH).min(total);
        let (options, purchases) = (options.clone(), Arc::clone(purchases));
        let similar = Arc::clone(similar);
        let (batch, count) = off_thread(move || {
            let mut recommender = Recommender::new(&similar, &options);
            let mut found = Vec::with_capacity(end - first);
            for customer in first..end {
                let of_customer = recommender.of(purchases.bought.get(customer));
                if !of_customer.is_empty() {
                    found.push((u32::try_from(customer).unwrap_or(u32::MAX), of_customer));
                }
            }
            let batch = output::customers(&purchases.customers, &purchases.items, &found)?;
            Ok((batch, found.len()))
        })
        .await?;
        with_any += count;
        writer.write(&batch).await?;
        stage.progress("recommending", end as u64, Some(total as u64), "customers");
    }
    stage.finish_output(writer).await?;
    Ok(with_any)
}

/// Writes what is typical of each segment; nothing without segments.
async fn write_segments(
    stage: &mut StageContext,
    options: &RecommendOptions,
    purchases: &Purchases,
) -> Result<(), StageError> {
    let (segments, found) = match &options.segments {
        Some(input) => {
            let (segments, of_customer) = assigned(stage, input, purchases).await?;
            // A table of counts: many segments of many products must not end the process.
            let cells = segments.len().saturating_mul(purchases.items.len());
            let pool = &stage.session().runtime_env().memory_pool;
            let counts = MemoryConsumer::new("products of segments").register(pool);
            counts.try_grow(cells.saturating_mul(size_of::<u32>()))?;
            let found = typical(purchases, &of_customer, segments.len(), options);
            drop(counts);
            let panel = panels::typical(&segments, &purchases.items, &found, options.similarity);
            stage.panel(&panel).await?;
            (segments, found)
        }
        None => {
            let none: arrow::array::ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
            (Keys::new("segments", SEGMENT, &none)?, Vec::new())
        }
    };
    let batch = output::segments(&segments, &purchases.items, &found)?;
    stage
        .write_batches("segments", batch.schema(), vec![batch])
        .await?;
    Ok(())
}

/// The segments in their order, and for each customer who bought anything the number of the segment.
async fn assigned(
    stage: &StageContext,
    input: &Input,
    purchases: &Purchases,
) -> Result<(Keys, Vec<Option<u32>>), StageError> {
    let columns = [SEGMENT.to_owned()];
    let wanted = Wanted {
        option: "segments",
        input,
        key: purchases.customers.name(),
        columns: Some(&columns),
    };
    let rows = KeyedRows::read(stage, wanted).await?;
    if !rows.is_empty() && !rows.keys().is_like(&purchases.customers) {
        return Err(invalid(
            codes::COLUMN_MISMATCH,
            format!(
                "`{}` is an integer in one of `orders` and `segments`, and a text in the other",
                purchases.customers.name()
            ),
            "cast one of them in ingest/files or features/sql",
        ));
    }
    let Some(column) = rows.batch().column_by_name(SEGMENT) else {
        return Err(missing_column("segments", SEGMENT, &rows.schema()));
    };
    let ascending = SortOptions::default();
    let sorted = sort(column, Some(ascending))?;
    let borders = arrow::compute::partition(std::slice::from_ref(&sorted))?.ranges();
    let firsts = borders.iter().map(|range| range.start as u64);
    let firsts = arrow::array::UInt64Array::from_iter_values(firsts);
    let distinct = take(&sorted, &firsts, None)?;
    // A customer without a segment is in none.
    let nulls = distinct.null_count();
    let distinct = concat(&[distinct.slice(nulls, distinct.len() - nulls).as_ref()])?;
    let segments = Keys::new("segments", SEGMENT, &distinct)?;
    let numbers = Codes::new(&segments).of(column)?;
    let found = purchases.customers.find_in(rows.keys());
    let of_customer: Vec<Option<u32>> = found
        .into_iter()
        .map(|row| row.and_then(|row| numbers[row]))
        .collect();
    if of_customer.iter().all(Option::is_none) {
        return Err(invalid(
            codes::TOO_FEW_ROWS,
            "no customer of `orders` is in `segments`",
            "both must come from the same customers, with the same customer column",
        ));
    }
    Ok((segments, of_customer))
}
