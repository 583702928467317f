//! The stage kind `personalization/content`.

mod fields;
mod fill;
mod options;
mod templates;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use marquetry_plugin::{
    LogLevel, Panel, PanelBody, Paragraph, StageContext, StageError, StageHandler, describe,
};
use marquetry_rows::{Cells, KeyedRows, Keys, Wanted, invalid, off_thread, readable};
use marquetry_types::{Outcome, StageDescriptor, codes};
use serde_json::json;

use fill::{Filled, Filler, Message};
use options::{ContentOptions, Missing};
use templates::Templates;

const DESCRIPTION: &str = "\
Writes a message to each customer, in each channel, from the template of the customer's segment. Templates are in the \
language of Jinja (minijinja): `Hello {{ first_name }}`, `{% if orders > 1 %}again{% endif %}`, `{{ spent | round(2) }}`. \
They see the columns of `rows`, and `segment`; times as ISO 8601 writes them.\n\n\
A column that does not exist is an error before anything is written. A value that is null is missing where a template \
prints or computes with it: `missing` says whether the stage then fails, leaves the message out, or takes a fallback; \
the output `missing` names every customer and field either way. A template may ask for itself: `{% if first_name %}`, \
`{{ first_name | default('friend') }}`. In the format html, values are escaped.\n\n\
A message may take 100,000 steps of the engine, and reaches no file or clock. O(customers x templates), rows in memory.";

const EXAMPLE: &str = "\
rows: ${{ stages.customers }}
segments: ${{ stages.segments }}
templates:
  - { segment: vip, channel: email, subject: \"Thank you, {{ first_name }}\", body_file: vip.txt }
  - { channel: email, subject: News, body: \"Hello {{ first_name }}, it has been {{ recency_days | int }} days.\" }
missing: fallback
fallback: { first_name: friend }
";

/// The column that names the segment.
const SEGMENT: &str = "segment";

/// Customers between two writes.
const BATCH: usize = 4096;

/// Examples that the report shows.
const EXAMPLES: usize = 24;

/// Fields that an error names.
const NAMED: usize = 10;

/// `personalization/content`.
#[derive(Debug)]
pub(crate) struct Content {
    descriptor: StageDescriptor,
}

impl Default for Content {
    fn default() -> Self {
        let summary = "write a message to each customer from a template by segment and channel";
        let descriptor = describe::<ContentOptions>("personalization/content", 1, summary)
            .pure()
            .description(DESCRIPTION)
            .output(
                "messages",
                "the key, segment and subject (null where there is none), channel, body",
            )
            .output(
                "missing",
                "the key and the field that a template needs and the customer lacks",
            )
            .metric("customers", "rows looked at")
            .metric("messages", "messages written")
            .metric("skipped", "messages left out for what they lack")
            .metric(
                "without_template",
                "customers for whom there is no template",
            )
            .metric("missing", "customers and fields that they lack")
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Content {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: Arc<ContentOptions> = Arc::new(stage.options()?);
        options.check()?;
        let schema = stage
            .table(&options.rows)
            .await?
            .schema()
            .as_arrow()
            .clone();
        // Templates are checked before a row is read: their errors should not wait for data.
        let templates = Arc::new(Templates::new(&stage, &options, &schema)?);
        let has_segment = options.segments.is_none() && schema.column_with_name(SEGMENT).is_some();
        let of_rows = |name: &&String| has_segment || *name != SEGMENT;
        let mut columns: Vec<String> = templates.fields.iter().filter(of_rows).cloned().collect();
        if has_segment && !columns.iter().any(|name| name == SEGMENT) {
            columns.push(SEGMENT.to_owned());
        }
        let wanted = Wanted {
            option: "rows",
            input: &options.rows,
            key: &options.key,
            columns: Some(&columns),
        };
        let rows = KeyedRows::read(&stage, wanted).await?;
        let segments = segments(&stage, &options, &rows, has_segment).await?;
        check_segments(&stage, &templates, &segments)?;
        let written = write(&mut stage, &options, &templates, &rows, segments).await?;
        written.report(&mut stage, &templates, rows.len()).await?;
        Ok(stage.finish())
    }
}

/// The segment of each row; none of those that have none.
async fn segments(
    stage: &StageContext,
    options: &ContentOptions,
    rows: &KeyedRows,
    has_segment: bool,
) -> Result<Vec<Option<String>>, StageError> {
    let Some(input) = &options.segments else {
        return if has_segment {
            rows.texts(SEGMENT)
        } else {
            Ok(vec![None; rows.len()])
        };
    };
    let columns = [SEGMENT.to_owned()];
    let wanted = Wanted {
        option: "segments",
        input,
        key: &options.key,
        columns: Some(&columns),
    };
    let assignment = KeyedRows::read(stage, wanted).await?;
    if !assignment.is_empty() && !rows.is_empty() && !assignment.keys().is_like(rows.keys()) {
        return Err(invalid(
            codes::COLUMN_MISMATCH,
            format!(
                "`{}` is an integer in one of `rows` and `segments`, and a text in the other",
                options.key
            ),
            "cast one of them in ingest/files or features/sql",
        ));
    }
    let texts = assignment.texts(SEGMENT)?;
    let found = rows.keys().find_in(assignment.keys());
    let of_row = |row: Option<usize>| texts.get(row?).cloned().flatten();
    Ok(found.into_iter().map(of_row).collect())
}

/// Templates for segments need segments; one for a segment that nobody is in is likely misspelt.
fn check_segments(
    stage: &StageContext,
    templates: &Templates,
    segments: &[Option<String>],
) -> Result<(), StageError> {
    let named = templates
        .entries
        .iter()
        .filter_map(|entry| entry.segment.as_deref());
    let named: std::collections::BTreeSet<&str> = named.collect();
    let present: std::collections::HashSet<&str> =
        segments.iter().filter_map(Option::as_deref).collect();
    if present.is_empty() && !named.is_empty() && !segments.is_empty() {
        return Err(invalid(
            codes::STAGE_OPTIONS,
            "templates are for segments, but the customers have none",
            "give their segments in `segments`, or leave `segment` out of the templates",
        ));
    }
    for segment in named.into_iter().filter(|name| !present.contains(name)) {
        let fields = [("segment", json!(segment))];
        stage.log(
            LogLevel::Warn,
            "a template is for a segment that nobody is in",
            fields,
        );
    }
    Ok(())
}

/// What was written.
#[derive(Debug, Default)]
struct Written {
    messages: u64,
    missing: u64,
    skipped: u64,
    without_template: u64,
    lacking: Vec<u64>,
    /// The first message of each segment and channel.
    examples: BTreeMap<(Option<String>, usize), (Option<String>, String)>,
}

async fn write(
    stage: &mut StageContext,
    options: &Arc<ContentOptions>,
    templates: &Arc<Templates>,
    rows: &KeyedRows,
    segments: Vec<Option<String>>,
) -> Result<Written, StageError> {
    let messages_schema = messages_schema(rows.keys());
    let missing_schema = missing_schema(rows.keys());
    let mut messages = stage
        .writer("messages", Arc::clone(&messages_schema))
        .await?;
    let mut missing = stage.writer("missing", Arc::clone(&missing_schema)).await?;
    let mut written = Written {
        lacking: vec![0; templates.fields.len()],
        ..Written::default()
    };
    let total = rows.len();
    for first in (0..total).step_by(BATCH) {
        stage.check_cancelled()?;
        let count = BATCH.min(total - first);
        let batch = rows.batch().slice(first, count);
        let keys = rows.keys().slice(first, count);
        let of_batch = segments[first..first + count].to_vec();
        let (options, templates_of_batch) = (Arc::clone(options), Arc::clone(templates));
        let (filled, keys, of_batch) = off_thread(move || {
            let cells = cells(&batch, &templates_of_batch.fields, &of_batch)?;
            let filler = Filler::new(&templates_of_batch, &options)?;
            let filled = filler.all(&cells, &of_batch, &keys)?;
            Ok((filled, keys, of_batch))
        })
        .await?;
        let batch = message_rows(
            &messages_schema,
            &keys,
            &of_batch,
            templates,
            &filled.messages,
        )?;
        messages.write(&batch).await?;
        let batch = missing_rows(&missing_schema, &keys, templates, &filled.missing)?;
        missing.write(&batch).await?;
        written.add(filled, &of_batch);
        stage.progress(
            "writing messages",
            (first + count) as u64,
            Some(total as u64),
            "customers",
        );
    }
    if options.missing != Missing::Skip {
        refuse_lacking(templates, &written.lacking, options.missing)?;
    }
    stage.finish_output(messages).await?;
    stage.finish_output(missing).await?;
    Ok(written)
}

/// The fields in the order of the templates' list, `segment` from the assignment.
fn cells(
    batch: &RecordBatch,
    fields: &[String],
    segments: &[Option<String>],
) -> Result<Cells, StageError> {
    let segment: ArrayRef = Arc::new(
        segments
            .iter()
            .map(Option::as_deref)
            .collect::<StringArray>(),
    );
    let mut columns: Vec<(&str, ArrayRef)> = Vec::with_capacity(fields.len() + 1);
    for field in fields {
        let column = if field == SEGMENT {
            Some(&segment)
        } else {
            batch.column_by_name(field)
        };
        let Some(column) = column else {
            return Err(marquetry_rows::missing_column(
                "rows",
                field,
                &batch.schema(),
            ));
        };
        columns.push((field, Arc::clone(column)));
    }
    // A batch needs a column to know how many rows it has.
    columns.push(("", segment));
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )?;
    let readable = readable(&batch.schema());
    let is_read = vec![true; readable.len()];
    Ok(Cells::new(&batch, &readable, &is_read)?)
}

fn messages_schema(keys: &Keys) -> SchemaRef {
    Arc::new(Schema::new(vec![
        keys.field(),
        Field::new(SEGMENT, DataType::Utf8, true),
        Field::new("channel", DataType::Utf8, false),
        Field::new("subject", DataType::Utf8, true),
        Field::new("body", DataType::Utf8, false),
    ]))
}

fn missing_schema(keys: &Keys) -> SchemaRef {
    Arc::new(Schema::new(vec![
        keys.field(),
        Field::new("field", DataType::Utf8, false),
    ]))
}

fn keys_of(keys: &Keys, rows: impl Iterator<Item = usize>) -> Result<ArrayRef, StageError> {
    let rows = UInt64Array::from_iter_values(rows.map(|row| row as u64));
    Ok(take(&keys.array(), &rows, None)?)
}

fn message_rows(
    schema: &SchemaRef,
    keys: &Keys,
    segments: &[Option<String>],
    templates: &Templates,
    messages: &[Message],
) -> Result<RecordBatch, StageError> {
    let segment = messages
        .iter()
        .map(|message| segments[message.row].as_deref());
    let channel = messages
        .iter()
        .map(|message| templates.entries[message.entry].channel.as_str());
    let columns: Vec<ArrayRef> = vec![
        keys_of(keys, messages.iter().map(|message| message.row))?,
        Arc::new(segment.collect::<StringArray>()),
        Arc::new(StringArray::from_iter_values(channel)),
        Arc::new(
            messages
                .iter()
                .map(|message| message.subject.as_deref())
                .collect::<StringArray>(),
        ),
        Arc::new(StringArray::from_iter_values(
            messages.iter().map(|message| message.body.as_str()),
        )),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn missing_rows(
    schema: &SchemaRef,
    keys: &Keys,
    templates: &Templates,
    missing: &[(usize, usize)],
) -> Result<RecordBatch, StageError> {
    let fields = missing
        .iter()
        .map(|(_, field)| templates.fields[*field].as_str());
    let columns: Vec<ArrayRef> = vec![
        keys_of(keys, missing.iter().map(|(row, _)| *row))?,
        Arc::new(StringArray::from_iter_values(fields)),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Fails if customers lack fields that nothing stands in for.
fn refuse_lacking(
    templates: &Templates,
    lacking: &[u64],
    missing: Missing,
) -> Result<(), StageError> {
    let counts = templates
        .fields
        .iter()
        .zip(lacking)
        .filter(|(_, count)| **count > 0);
    let mut counts: Vec<(&String, u64)> = counts.map(|(field, count)| (field, *count)).collect();
    if counts.is_empty() {
        return Ok(());
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let customers = |count: u64| match count {
        1 => "1 customer".to_owned(),
        count => format!("{count} customers"),
    };
    let mut named: Vec<String> = counts
        .iter()
        .take(NAMED)
        .map(|(field, count)| format!("`{field}` of {}", customers(*count)))
        .collect();
    if counts.len() > NAMED {
        named.push(format!("{} more fields", counts.len() - NAMED));
    }
    let help = match missing {
        Missing::Fallback => {
            "name a value for each of them in `fallback`, or ask for it in the template: `{% if … %}`"
        }
        Missing::Fail | Missing::Skip => {
            "say `missing: skip` to leave these messages out, `missing: fallback` to put something in, or ask for the \
             field in the template: `{% if … %}`"
        }
    };
    let message = format!("messages need what is missing: {}", named.join(", "));
    Err(invalid(codes::BAD_VALUE, message, help))
}

impl Written {
    fn add(&mut self, filled: Filled, segments: &[Option<String>]) {
        self.messages += filled.messages.len() as u64;
        self.missing += filled.missing.len() as u64;
        self.skipped += filled.skipped;
        self.without_template += filled.without_template;
        for (sum, count) in self.lacking.iter_mut().zip(&filled.lacking) {
            *sum += count;
        }
        for message in filled.messages {
            let place = (segments[message.row].clone(), message.entry);
            if self.examples.len() < EXAMPLES && !self.examples.contains_key(&place) {
                self.examples.insert(place, (message.subject, message.body));
            }
        }
    }

    /// Metrics, remarks and examples.
    #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
    async fn report(
        self,
        stage: &mut StageContext,
        templates: &Templates,
        customers: usize,
    ) -> Result<(), StageError> {
        stage.metric("customers", customers as f64);
        stage.metric("messages", self.messages as f64);
        stage.metric("skipped", self.skipped as f64);
        stage.metric("without_template", self.without_template as f64);
        stage.metric("missing", self.missing as f64);
        if self.skipped > 0 {
            let fields = [("messages", json!(self.skipped))];
            stage.log(
                LogLevel::Warn,
                "messages are left out for what they lack",
                fields,
            );
        }
        if self.examples.is_empty() {
            return Ok(());
        }
        let paragraphs = self
            .examples
            .into_iter()
            .map(|((segment, entry), (subject, body))| {
                let channel = &templates.entries[entry].channel;
                Paragraph {
                    heading: match segment {
                        Some(segment) => format!("{segment}, {channel}"),
                        None => channel.clone(),
                    },
                    text: match subject {
                        Some(subject) => format!("{subject}\n{body}"),
                        None => body,
                    },
                }
            });
        let panel = Panel {
            title: "What customers are told".to_owned(),
            caption: Some("the first message of each segment and channel".to_owned()),
            body: PanelBody::Text(paragraphs.collect()),
        };
        stage.panel(&panel).await
    }
}
