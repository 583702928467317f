//! Who bought what, as numbers.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::prelude::{DataFrame, ident};
use futures::StreamExt;
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::{Keys, invalid, missing_column};
use marquetry_types::codes;

use super::options::RecommendOptions;

/// Sets of numbers, one for each row, each ascending.
#[derive(Debug)]
pub(super) struct Sets {
    starts: Vec<usize>,
    members: Vec<u32>,
}

impl Sets {
    /// The sets of these pairs of a row below `rows` and a member. Sorts them.
    fn new(rows: usize, mut pairs: Vec<(u32, u32)>) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        let mut starts = vec![0; rows + 1];
        for (row, _) in &pairs {
            starts[*row as usize + 1] += 1;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let members = pairs.into_iter().map(|(_, member)| member).collect();
        Self { starts, members }
    }

    /// How many sets there are.
    pub(super) const fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// A set.
    pub(super) fn get(&self, row: usize) -> &[u32] {
        &self.members[self.starts[row]..self.starts[row + 1]]
    }

    /// How many sets each member below `members` is in.
    pub(super) fn counts(&self, members: usize) -> Vec<u32> {
        let mut counts = vec![0; members];
        for member in &self.members {
            counts[*member as usize] += 1;
        }
        counts
    }

    /// For each member below `members` the sets that it is in.
    pub(super) fn transposed(&self, members: usize) -> Self {
        let mut starts = vec![0; members + 1];
        for member in &self.members {
            starts[*member as usize + 1] += 1;
        }
        for member in 0..members {
            starts[member + 1] += starts[member];
        }
        let mut next = starts.clone();
        let mut sets = vec![0; self.members.len()];
        for (row, number) in (0..self.len()).zip(0..) {
            for member in self.get(row) {
                let place = &mut next[*member as usize];
                sets[*place] = number;
                *place += 1;
            }
        }
        Self {
            starts,
            members: sets,
        }
    }

    /// The same sets without the members that are not `kept`, and of a set with more than `most` members
    /// those that `weights` makes heaviest, the first of equals. Also how many sets were cut so.
    fn reduced(&self, kept: impl Fn(u32) -> bool, weights: &[u32], most: usize) -> (Self, usize) {
        let (mut starts, mut members, mut cut) = (vec![0], Vec::new(), 0);
        for row in 0..self.len() {
            let set = self.get(row).iter().copied();
            let mut set: Vec<u32> = set.filter(|member| kept(*member)).collect();
            if set.len() > most {
                cut += 1;
                set.sort_by_key(|member| (std::cmp::Reverse(weights[*member as usize]), *member));
                set.truncate(most);
                set.sort_unstable();
            }
            members.extend(set);
            starts.push(members.len());
        }
        (Self { starts, members }, cut)
    }
}

/// Who bought what.
#[derive(Debug)]
pub(super) struct Purchases {
    /// The products.
    pub(super) items: Keys,
    /// The customers who bought any.
    pub(super) customers: Keys,
    /// The products of each customer.
    pub(super) bought: Sets,
    /// The products of each basket that are in enough baskets to be similar to anything.
    pub(super) baskets: Sets,
    /// How many baskets were too large.
    pub(super) cut: usize,
    /// Counts against the memory of the stage as long as this lives.
    #[expect(dead_code, reason = "held for its drop")]
    reservation: MemoryReservation,
}

impl Purchases {
    /// Reads order lines. Lines without a product are left out, and those without a customer (or basket)
    /// where it is asked for.
    ///
    /// # Errors
    /// A column is missing or no key, there are no purchases, or they do not fit the memory: 40 bytes for
    /// each product of each customer, and as much for each of each basket.
    pub(super) async fn read(
        stage: &StageContext,
        options: &RecommendOptions,
    ) -> Result<Self, StageError> {
        let lines = stage.table(&options.orders).await?;
        let schema = lines.schema().as_arrow().clone();
        let named = [&options.customer, &options.product];
        for column in named.into_iter().chain(&options.basket) {
            if schema.column_with_name(column).is_none() {
                return Err(missing_column("orders", column, &schema));
            }
        }
        let pool = &stage.session().runtime_env().memory_pool;
        let reservation = MemoryConsumer::new("purchases").register(pool);
        let (customer, product) = (options.customer.as_str(), options.product.as_str());
        let items = distinct(stage, &lines, product).await?;
        let customers = distinct(stage, &lines, customer).await?;
        if items.is_empty() || customers.is_empty() {
            return Err(invalid(
                codes::TOO_FEW_ROWS,
                format!("`orders` has no line with a `{customer}` and a `{product}`"),
                "look at the stage that makes the orders: its input or its filter may be empty",
            ));
        }
        let (item_codes, customer_codes) = (Codes::new(&items), Codes::new(&customers));
        let of_customers = pairs(
            stage,
            &lines,
            [(customer, &customer_codes), (product, &item_codes)],
            &reservation,
        );
        let bought = Sets::new(customers.len(), of_customers.await?);
        let by_basket = match &options.basket {
            None => None,
            Some(basket) => {
                let baskets = distinct(stage, &lines, basket).await?;
                let basket_codes = Codes::new(&baskets);
                let of_baskets = pairs(
                    stage,
                    &lines,
                    [(basket, &basket_codes), (product, &item_codes)],
                    &reservation,
                );
                Some(Sets::new(baskets.len(), of_baskets.await?))
            }
        };
        let all = by_basket.as_ref().unwrap_or(&bought);
        let support = all.counts(items.len());
        // Two products are together in no more baskets than either is in.
        let kept = |item: u32| support[item as usize] >= options.min_support;
        let (baskets, cut) = all.reduced(kept, &support, options.most_items);
        Ok(Self {
            items,
            customers,
            bought,
            baskets,
            cut,
            reservation,
        })
    }
}

/// The values of a column, each once, without nulls.
async fn distinct(
    stage: &StageContext,
    lines: &DataFrame,
    column: &str,
) -> Result<Keys, StageError> {
    let values = lines
        .clone()
        .filter(ident(column).is_not_null())?
        .select(vec![ident(column)])?
        .distinct()?
        .sort(vec![ident(column).sort(true, true)])?;
    let mut stream = values.execute_stream().await?;
    let schema = stream.schema();
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        stage.check_cancelled()?;
        batches.push(batch?);
    }
    let all = concat_batches(&schema, &batches)?;
    Keys::new("orders", column, all.column(0))
}

/// The numbers of keys.
pub(super) enum Codes {
    Int(HashMap<i64, u32>),
    Text(HashMap<String, u32>),
}

impl Codes {
    pub(super) fn new(keys: &Keys) -> Self {
        let values = keys.array();
        match values.as_primitive_opt::<Int64Type>() {
            Some(integers) => Self::Int(integers.values().iter().copied().zip(0..).collect()),
            None => {
                let texts = values.as_string::<i32>().iter().flatten();
                Self::Text(texts.map(str::to_owned).zip(0..).collect())
            }
        }
    }

    /// The numbers of the values of a column; none of null.
    pub(super) fn of(&self, column: &ArrayRef) -> Result<Vec<Option<u32>>, StageError> {
        Ok(match self {
            Self::Int(numbers) => {
                let values = cast(column, &DataType::Int64)?;
                let values = values.as_primitive::<Int64Type>().iter();
                let number = |value: Option<i64>| numbers.get(&value?).copied();
                values.map(number).collect()
            }
            Self::Text(numbers) => {
                let values = cast(column, &DataType::Utf8)?;
                let values = values.as_string::<i32>().iter();
                let number = |value: Option<&str>| numbers.get(value?).copied();
                values.map(number).collect()
            }
        })
    }
}

/// The pairs of two columns, each once, as numbers.
async fn pairs(
    stage: &StageContext,
    lines: &DataFrame,
    [(left, left_codes), (right, right_codes)]: [(&str, &Codes); 2],
    reservation: &MemoryReservation,
) -> Result<Vec<(u32, u32)>, StageError> {
    if left == right {
        return Err(invalid(
            codes::STAGE_OPTIONS,
            format!("column `{left}` is named by two options"),
            "a customer, a product and a basket are columns of their own",
        ));
    }
    let frame = lines
        .clone()
        .filter(ident(left).is_not_null().and(ident(right).is_not_null()))?
        .select(vec![ident(left), ident(right)])?
        .distinct()?;
    let mut stream = frame.execute_stream().await?;
    let mut pairs = Vec::new();
    while let Some(batch) = stream.next().await {
        stage.check_cancelled()?;
        let batch: RecordBatch = batch?;
        // The pairs, their sorted copy as sets, the reduced sets, and those the other way round.
        reservation.try_grow(batch.num_rows().saturating_mul(40))?;
        let lefts = left_codes.of(batch.column(0))?;
        let rights = right_codes.of(batch.column(1))?;
        let both = lefts.into_iter().zip(rights);
        pairs.extend(both.filter_map(|(left, right)| Some((left?, right?))));
        stage.progress(
            "reading orders",
            pairs.len() as u64,
            None,
            "products of baskets",
        );
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets() -> Sets {
        Sets::new(3, vec![(2, 1), (0, 2), (0, 0), (0, 1), (2, 1)])
    }

    fn all(sets: &Sets) -> Vec<&[u32]> {
        (0..sets.len()).map(|row| sets.get(row)).collect()
    }

    #[test]
    fn pairs_become_sets_either_way_round() {
        let sets = sets();
        assert_eq!(all(&sets), [&[0, 1, 2][..], &[], &[1]]);
        assert_eq!(sets.counts(3), [1, 2, 1]);
        assert_eq!(all(&sets.transposed(3)), [&[0][..], &[0, 2], &[0]]);
    }

    #[test]
    fn of_a_large_basket_the_products_of_most_baskets_stay() {
        let sets = sets();
        let (two, cut) = sets.reduced(|_| true, &sets.counts(3), 2);
        assert_eq!((all(&two), cut), (vec![&[0, 1][..], &[], &[1]], 1));
        let (kept, cut) = sets.reduced(|item| item == 1, &sets.counts(3), 2);
        assert_eq!((all(&kept), cut), (vec![&[1][..], &[], &[1]], 0));
    }
}
