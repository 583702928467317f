//! The customers that something is decided for: their segments, their contexts, and what each may get.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use marquetry_plugin::{Input, StageContext, StageError};
use marquetry_rows::{KeyedRows, Keys, Wanted, check_key, invalid};
use marquetry_types::codes;

use crate::catalogue::{Action, Catalogue, Eligibility};
use crate::log::LOG_COLUMNS;

/// The column of an assignment that names the segment.
const SEGMENT: &str = "segment";

/// What a stage says of its customers.
#[derive(Debug, Clone, Copy)]
pub struct AudienceOptions<'a> {
    /// The customers, one a row.
    pub customers: &'a Input,
    /// The segment of each.
    pub segments: Option<&'a Input>,
    /// The column that identifies a customer.
    pub key: &'a str,
    /// The columns of a context.
    pub context: &'a [String],
    /// The catalogue.
    pub actions: &'a [Action],
}

/// Customers in the order of their key, in memory.
#[derive(Debug)]
pub struct Audience {
    rows: KeyedRows,
    /// The segment of each, none where it has none.
    segments: Vec<Option<Arc<str>>>,
    /// The contexts, one after the other.
    contexts: Vec<f64>,
    dimensions: usize,
    pub(crate) catalogue: Catalogue,
    pub(crate) eligibility: Eligibility,
}

impl Audience {
    /// Reads the customers and works out what each may get.
    ///
    /// # Errors
    /// A column is missing, a context holds what is no finite number, the catalogue is empty, a rule fails,
    /// or the rows do not fit the stage's memory.
    pub async fn read(
        stage: &StageContext,
        options: AudienceOptions<'_>,
    ) -> Result<Self, StageError> {
        check_key(options.key, &LOG_COLUMNS)?;
        let frame = stage.table(options.customers).await?;
        let mut schema = frame.schema().as_arrow().clone();
        drop(frame);
        let has_segments = options.segments.is_some();
        if has_segments {
            schema = with_segment(&schema)?;
        }
        let catalogue = Catalogue::new(options.actions, &schema)?;
        let mut columns: Vec<String> = options.context.to_vec();
        columns.extend(catalogue.columns().map(str::to_owned));
        columns.retain(|column| !(has_segments && column == SEGMENT));
        let rows = KeyedRows::read(
            stage,
            Wanted {
                option: "customers",
                input: options.customers,
                key: options.key,
                columns: Some(&columns),
            },
        )
        .await?;
        let segments = match options.segments {
            Some(input) => segments_of(stage, input, &rows).await?,
            None => vec![None; rows.len()],
        };
        let batch = if has_segments {
            joined(rows.batch(), &segments)?
        } else {
            rows.batch().clone()
        };
        let catalogue = Catalogue::new(options.actions, &batch.schema())?;
        let eligibility = catalogue.eligible(&batch, rows.keys())?;
        let dimensions = options.context.len() + 1;
        let mut numbers = Vec::with_capacity(options.context.len());
        for column in options.context {
            numbers.push(rows.numbers(column)?);
        }
        let mut contexts = Vec::with_capacity(rows.len().saturating_mul(dimensions));
        for row in 0..rows.len() {
            contexts.push(1.0);
            contexts.extend(numbers.iter().map(|column| column[row]));
        }
        Ok(Self {
            rows,
            segments,
            contexts,
            dimensions,
            catalogue,
            eligibility,
        })
    }

    /// How many customers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their keys, ascending.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        self.rows.keys()
    }

    /// A customer's segment.
    #[must_use]
    pub fn segment(&self, row: usize) -> Option<&str> {
        self.segments.get(row)?.as_deref()
    }

    /// A customer's context: a constant 1 and the columns.
    #[must_use]
    pub fn context(&self, row: usize) -> &[f64] {
        let first = row * self.dimensions;
        self.contexts
            .get(first..first + self.dimensions)
            .unwrap_or_default()
    }

    /// The names of the actions.
    #[must_use]
    pub fn actions(&self) -> Vec<&str> {
        self.catalogue.names()
    }

    /// The segments that there are, each once, in the order of their names.
    #[must_use]
    pub fn segment_names(&self) -> BTreeSet<Option<&str>> {
        self.segments.iter().map(Option::as_deref).collect()
    }
}

fn with_segment(schema: &Schema) -> Result<Schema, StageError> {
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    fields.retain(|field| field.name() != SEGMENT);
    fields.push(Arc::new(Field::new(SEGMENT, DataType::Utf8, true)));
    Ok(Schema::new(fields))
}

/// The rows with their segments, in place of a column of that name.
fn joined(batch: &RecordBatch, segments: &[Option<Arc<str>>]) -> Result<RecordBatch, StageError> {
    let schema = Arc::new(with_segment(&batch.schema())?);
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns() + 1);
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.name() != SEGMENT {
            columns.push(Arc::clone(column));
        }
    }
    columns.push(Arc::new(StringArray::from_iter(
        segments.iter().map(|segment| segment.as_deref()),
    )));
    Ok(RecordBatch::try_new(schema, columns)?)
}

async fn segments_of(
    stage: &StageContext,
    input: &Input,
    rows: &KeyedRows,
) -> Result<Vec<Option<Arc<str>>>, StageError> {
    let columns = [SEGMENT.to_owned()];
    let assignment = KeyedRows::read(
        stage,
        Wanted {
            option: "segments",
            input,
            key: rows.keys().name(),
            columns: Some(&columns),
        },
    )
    .await?;
    if !rows.is_empty() && !assignment.is_empty() && !rows.keys().is_like(assignment.keys()) {
        let message = format!(
            "the key `{}` is an integer in one of `customers` and `segments`, and a text in the other",
            rows.keys().name()
        );
        let help = "cast one of them with features/sql";
        return Err(invalid(codes::COLUMN_MISMATCH, message, help));
    }
    let names = assignment.texts(SEGMENT)?;
    let names: Vec<Option<Arc<str>>> = names
        .into_iter()
        .map(|name| name.map(|name| Arc::from(name.as_str())))
        .collect();
    let places = rows.keys().find_in(assignment.keys());
    Ok(places
        .into_iter()
        .map(|place| names.get(place?).cloned().flatten())
        .collect())
}
