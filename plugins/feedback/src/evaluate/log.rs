//! The decisions of a log, in memory, in an order that does not depend on how they were stored.

use std::cmp::Ordering;
use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::prelude::ident;
use futures::StreamExt;
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::{invalid, is_numeric, missing_column};
use marquetry_types::codes;

use super::options::EvaluateOptions;

/// What a customer without a segment is counted under.
const NO_SEGMENT: &str = "(none)";

/// The decisions of a log, sorted by everything that is read of them: rows that compare equal are the
/// same, so that their order in the lake has no say in any result.
#[derive(Debug)]
pub(super) struct Log {
    /// Names of the actions, integers in the order of their values.
    pub(super) actions: Vec<String>,
    /// Names of the segments, in the same way; a single one where the log is not told by any.
    pub(super) segments: Vec<String>,
    /// The decisions.
    pub(super) decisions: Vec<Decision>,
    /// The number of context columns.
    dimensions: usize,
    /// Contexts, row by row.
    contexts: Vec<f64>,
    /// Eligible actions of all rows, one after the other, ascending.
    eligible: Vec<u32>,
    /// Every action, for logs that say nothing of eligibility.
    all: Vec<u32>,
    /// Counts against the memory of the stage as long as this lives.
    #[expect(dead_code, reason = "held for its drop")]
    reservation: MemoryReservation,
}

/// A decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decision {
    /// The number of the action taken.
    pub(super) action: u32,
    /// The number of the segment.
    pub(super) segment: u32,
    /// What it earned.
    pub(super) reward: f64,
    /// The probability with which it was taken.
    pub(super) propensity: f64,
    /// Its row of contexts.
    context: usize,
    /// Its eligible actions.
    eligible: Option<(usize, usize)>,
}

impl Log {
    /// Reads a log.
    ///
    /// # Errors
    /// A column is missing or of the wrong type, a value cannot be, or there are no decisions.
    pub(super) async fn read(
        stage: &StageContext,
        options: &EvaluateOptions,
    ) -> Result<Self, StageError> {
        let frame = stage.table(&options.log).await?;
        let schema = frame.schema().as_arrow().clone();
        let mut columns = vec![options.action.as_str(), options.reward.as_str()];
        let optional = [&options.propensity, &options.by, &options.eligible];
        columns.extend(optional.into_iter().flatten().map(String::as_str));
        for column in &options.context {
            if !columns.contains(&column.as_str()) {
                columns.push(column);
            }
        }
        if let Some(missing) = columns.iter().find(|name| schema.index_of(name).is_err()) {
            return Err(missing_column("log", missing, &schema));
        }
        let frame = frame.select(columns.into_iter().map(ident).collect::<Vec<_>>())?;
        let pool = &stage.session().runtime_env().memory_pool;
        let reservation = MemoryConsumer::new("decisions of `log`").register(pool);
        let mut reader = Reader::new(options, &schema)?;
        let mut stream = frame.execute_stream().await?;
        while let Some(batch) = stream.next().await {
            stage.check_cancelled()?;
            let batch = batch?;
            reader.add(&batch)?;
            let used = reader.bytes();
            reservation.try_grow(used.saturating_sub(reader.reserved))?;
            reader.reserved = used;
            let read = reader.decisions.len() as u64;
            stage.progress("reading decisions", read, None, "decisions");
        }
        reader.finish(reservation)
    }

    /// The context of a decision.
    pub(super) fn context(&self, decision: &Decision) -> &[f64] {
        let first = decision.context * self.dimensions;
        &self.contexts[first..first + self.dimensions]
    }

    /// How many numbers a context has.
    pub(super) const fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The numbers of the actions that could have been taken, ascending.
    pub(super) fn eligible(&self, decision: &Decision) -> &[u32] {
        match decision.eligible {
            Some((first, end)) => &self.eligible[first..end],
            None => &self.all,
        }
    }
}

/// Names, numbered as they are met.
#[derive(Debug, Default)]
struct Names {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// The names in order, and for each number the new one. Integers are in the order of their values.
    fn sorted(self) -> (Vec<String>, Vec<u32>) {
        let key = |name: &str| (name.parse::<i64>().ok(), name.to_owned());
        let mut order: Vec<usize> = (0..self.texts.len()).collect();
        let all_integers = self.texts.iter().all(|name| name.parse::<i64>().is_ok());
        order.sort_by_cached_key(|place| {
            let (integer, text) = key(&self.texts[*place]);
            (integer.filter(|_| all_integers), text)
        });
        let mut renumbered = vec![0; order.len()];
        for (new, old) in (0..).zip(&order) {
            renumbered[*old] = new;
        }
        let names = order.iter().map(|place| self.texts[*place].clone());
        (names.collect(), renumbered)
    }
}

struct Reader<'a> {
    options: &'a EvaluateOptions,
    actions: Names,
    segments: Names,
    decisions: Vec<Decision>,
    contexts: Vec<f64>,
    eligible: Vec<u32>,
    reserved: usize,
    dimensions: Option<usize>,
}

impl<'a> Reader<'a> {
    fn new(options: &'a EvaluateOptions, schema: &Schema) -> Result<Self, StageError> {
        let numeric = [Some(&options.reward), options.propensity.as_ref()];
        for name in numeric.into_iter().flatten().chain(&options.context) {
            let kind = match schema.field_with_name(name)?.data_type() {
                DataType::List(item) if options.context.contains(name) => item.data_type(),
                kind => kind,
            };
            if !is_numeric(kind) && !matches!(kind, DataType::Boolean | DataType::Null) {
                return Err(wrong_type(name, kind, "a number"));
            }
        }
        for name in [Some(&options.action), options.by.as_ref()]
            .into_iter()
            .flatten()
        {
            let kind = schema.field_with_name(name)?.data_type();
            let kind = match kind {
                DataType::Dictionary(_, values) => values,
                kind => kind,
            };
            let is_name = kind.is_integer()
                || matches!(
                    kind,
                    DataType::Utf8
                        | DataType::LargeUtf8
                        | DataType::Utf8View
                        | DataType::Boolean
                        | DataType::Null
                );
            if !is_name {
                return Err(wrong_type(name, kind, "a text or an integer"));
            }
        }
        if let Some(name) = &options.eligible {
            let kind = schema.field_with_name(name)?.data_type();
            if !matches!(kind, DataType::List(_) | DataType::LargeList(_)) {
                return Err(wrong_type(name, kind, "a list of actions"));
            }
        }
        Ok(Self {
            options,
            actions: Names::default(),
            segments: Names::default(),
            decisions: Vec::new(),
            contexts: Vec::new(),
            eligible: Vec::new(),
            reserved: 0,
            dimensions: None,
        })
    }

    fn bytes(&self) -> usize {
        size_of_val(self.decisions.as_slice())
            + size_of_val(self.contexts.as_slice())
            + size_of_val(self.eligible.as_slice())
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        let options = self.options;
        let actions = texts(column(batch, &options.action)?)?;
        let rewards = numbers(batch, &options.reward)?;
        let propensities = match &options.propensity {
            Some(name) => Some(numbers(batch, name)?),
            None => None,
        };
        let segments = match &options.by {
            Some(name) => Some(texts(column(batch, name)?)?),
            None => None,
        };
        let contexts = options.context.iter().map(|name| Context::of(batch, name));
        let contexts = contexts.collect::<Result<Vec<_>, _>>()?;
        let eligible = match &options.eligible {
            Some(name) => Some(lists(column(batch, name)?)?),
            None => None,
        };
        for row in 0..batch.num_rows() {
            if actions.is_null(row) {
                return Err(invalid(
                    codes::BAD_VALUE,
                    format!("a decision has no action in column `{}`", options.action),
                    "a log holds actions that were taken: filter the others with features/sql",
                ));
            }
            let action = actions.value(row);
            let propensity = propensities.as_ref().map_or(1.0, |values| values[row]);
            if !(propensity > 0.0 && propensity <= 1.0) {
                let column = options.propensity.as_deref().unwrap_or_default();
                return Err(invalid(
                    codes::BAD_VALUE,
                    format!(
                        "a decision for action `{action}` has the propensity {propensity} in column `{column}`"
                    ),
                    "a propensity is the probability of the action that was taken: above 0 and at most 1",
                ));
            }
            let number = self.actions.number(action);
            let range = match &eligible {
                Some(lists) => Some(self.eligible_of(&lists[row], number, action)?),
                None => None,
            };
            let segment = match &segments {
                Some(names) if names.is_valid(row) => names.value(row),
                Some(_) => NO_SEGMENT,
                None => "",
            };
            self.decisions.push(Decision {
                action: number,
                segment: self.segments.number(segment),
                reward: rewards[row],
                propensity,
                context: self.decisions.len(),
                eligible: range,
            });
            let first = self.contexts.len();
            for (context, name) in contexts.iter().zip(&options.context) {
                context.append(row, name, &mut self.contexts)?;
            }
            let found = self.contexts.len() - first;
            let dimensions = *self.dimensions.get_or_insert(found);
            if found != dimensions {
                return Err(invalid(
                    codes::BAD_VALUE,
                    format!(
                        "one decision has a context of {dimensions} numbers and another of {found}"
                    ),
                    "lists in a column of `context` have one length",
                ));
            }
        }
        Ok(())
    }

    fn eligible_of(
        &mut self,
        list: &[String],
        taken: u32,
        action: &str,
    ) -> Result<(usize, usize), StageError> {
        let first = self.eligible.len();
        for name in list {
            let number = self.actions.number(name);
            if !self.eligible[first..].contains(&number) {
                self.eligible.push(number);
            }
        }
        if self.eligible[first..].contains(&taken) {
            return Ok((first, self.eligible.len()));
        }
        Err(invalid(
            codes::BAD_VALUE,
            format!("a decision took action `{action}`, which is none of its eligible ones"),
            "a log must list all actions that could be taken, the one taken included",
        ))
    }

    fn finish(mut self, reservation: MemoryReservation) -> Result<Log, StageError> {
        if self.decisions.len() < 2 {
            let found = self.decisions.len();
            return Err(invalid(
                codes::TOO_FEW_ROWS,
                format!(
                    "`log` has {found} decisions: an estimate with an interval needs two or more"
                ),
                "look at the stage that makes the log: its input or its filter may be empty",
            ));
        }
        let (actions, action_numbers) = self.actions.sorted();
        let (segments, segment_numbers) = self.segments.sorted();
        for number in &mut self.eligible {
            *number = action_numbers[*number as usize];
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of actions")]
        for decision in &mut self.decisions {
            decision.action = action_numbers[decision.action as usize];
            decision.segment = segment_numbers[decision.segment as usize];
            let range = decision.eligible;
            if let Some((first, end)) = range {
                self.eligible[first..end].sort_unstable();
            }
            if self.options.uniform {
                let choices = range.map_or(actions.len(), |(first, end)| end - first);
                decision.propensity = 1.0 / choices as f64;
            }
        }
        let all = (0..).zip(&actions).map(|(number, _)| number).collect();
        let mut log = Log {
            actions,
            segments,
            decisions: self.decisions,
            dimensions: self.dimensions.unwrap_or(0),
            contexts: self.contexts,
            eligible: self.eligible,
            all,
            reservation,
        };
        let mut decisions = std::mem::take(&mut log.decisions);
        decisions.sort_by(|left, right| log.compare(left, right));
        log.decisions = decisions;
        Ok(log)
    }
}

impl Log {
    fn compare(&self, left: &Decision, right: &Decision) -> Ordering {
        let contexts = || {
            let pairs = self.context(left).iter().zip(self.context(right));
            let mut orders = pairs.map(|(left, right)| left.total_cmp(right));
            orders
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        left.action
            .cmp(&right.action)
            .then(left.propensity.total_cmp(&right.propensity))
            .then(left.reward.total_cmp(&right.reward))
            .then(left.segment.cmp(&right.segment))
            .then_with(contexts)
            .then_with(|| self.eligible(left).cmp(self.eligible(right)))
    }
}

fn wrong_type(name: &str, kind: &DataType, wanted: &str) -> StageError {
    invalid(
        codes::COLUMN_MISMATCH,
        format!("column `{name}` of `log` is of type {kind}, not {wanted}"),
        "cast it in ingest/files or features/sql",
    )
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, StageError> {
    let found = batch.column_by_name(name);
    found.ok_or_else(|| missing_column("log", name, &batch.schema()))
}

fn texts(column: &ArrayRef) -> Result<StringArray, StageError> {
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// A column as finite numbers.
fn numbers(batch: &RecordBatch, name: &str) -> Result<Vec<f64>, StageError> {
    let cast = cast(column(batch, name)?, &DataType::Float64)?;
    let values = cast.as_primitive::<Float64Type>();
    let is_bad = |row: &usize| values.is_null(*row) || !values.value(*row).is_finite();
    let Some(first) = (0..values.len()).find(is_bad) else {
        return Ok(values.values().to_vec());
    };
    let what = if values.is_null(first) {
        "no value".to_owned()
    } else {
        values.value(first).to_string()
    };
    Err(invalid(
        codes::BAD_VALUE,
        format!("a decision has {what} in column `{name}`"),
        "a decision whose outcome is not known yet is none of this log: filter it, or fill the value, with \
         features/sql",
    ))
}

/// A column of a context: a number a row, or a list of them.
enum Context {
    Numbers(Vec<f64>),
    Lists(ListArray),
}

impl Context {
    fn of(batch: &RecordBatch, name: &str) -> Result<Self, StageError> {
        let values = column(batch, name)?;
        if !matches!(values.data_type(), DataType::List(_)) {
            return Ok(Self::Numbers(numbers(batch, name)?));
        }
        let field = arrow::datatypes::Field::new("item", DataType::Float64, true);
        let cast = cast(values, &DataType::List(field.into()))?;
        Ok(Self::Lists(cast.as_list::<i32>().clone()))
    }

    /// Adds the numbers of a row.
    fn append(&self, row: usize, name: &str, to: &mut Vec<f64>) -> Result<(), StageError> {
        let lists = match self {
            Self::Numbers(numbers) => {
                to.push(numbers[row]);
                return Ok(());
            }
            Self::Lists(lists) => lists,
        };
        let list = lists.value(row);
        let list = list.as_primitive::<Float64Type>();
        let is_bad = |place: usize| list.is_null(place) || !list.value(place).is_finite();
        if lists.is_null(row) || (0..list.len()).any(is_bad) {
            return Err(invalid(
                codes::BAD_VALUE,
                format!(
                    "a decision has a list in column `{name}` that is null, or holds what is no finite number"
                ),
                "a context is what was known before the decision: fill or filter it with features/sql",
            ));
        }
        to.extend(list.values());
        Ok(())
    }
}

/// A column of lists as names of actions; none of a null list.
fn lists(column: &ArrayRef) -> Result<Vec<Vec<String>>, StageError> {
    let field = arrow::datatypes::Field::new("item", DataType::Utf8, true);
    let cast = cast(column, &DataType::List(field.into()))?;
    let lists = cast.as_list::<i32>();
    let of_row = |list: ArrayRef| {
        let names = list.as_string::<i32>().iter().flatten();
        names.map(str::to_owned).collect()
    };
    let rows = lists
        .iter()
        .map(|list| list.map(of_row).unwrap_or_default());
    Ok(rows.collect())
}
