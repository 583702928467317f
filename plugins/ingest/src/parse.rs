//! Turns a block of records into a batch of accepted rows and a list of rejections. It is pure and
//! runs on any thread; blocks are put in order again by who called it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter;
use arrow::error::ArrowError;

use crate::cell::{Cell, ColumnBuilder, Converted};
use crate::parquet_cells::{CellColumn, row_text};
use crate::plan::{Action, Binding, Plan};
use crate::quarantine::{Rejection, raw_text, shown_value};
use crate::record::RecordLayout;
use crate::rule::Reason;
use crate::split::{RecordSpan, TextBlock};

/// Consecutive records of one file.
#[derive(Debug)]
pub(crate) struct Block {
    /// The file, by its place among the sources.
    pub(crate) source: usize,
    /// How its records fill the columns.
    pub(crate) binding: Arc<Binding>,
    /// The records.
    pub(crate) records: Records,
}

/// Records as text or as Parquet rows.
#[derive(Debug)]
pub(crate) enum Records {
    Text(TextBlock),
    Rows {
        batch: RecordBatch,
        /// The number in the file of the first row, counted from 1.
        first_record: u64,
    },
}

impl Block {
    /// How many records it holds.
    pub(crate) fn len(&self) -> usize {
        match &self.records {
            Records::Text(text) => text.records.len(),
            Records::Rows { batch, .. } => batch.num_rows(),
        }
    }

    /// The number in the file, counted from 1, of one of its records.
    pub(crate) const fn record_number(&self, index: usize) -> u64 {
        match &self.records {
            Records::Text(text) => text.first_record + index as u64,
            Records::Rows { first_record, .. } => *first_record + index as u64,
        }
    }

    /// One of its records, rejected.
    pub(crate) fn reject(
        &self,
        index: usize,
        field: Option<&str>,
        value: Option<String>,
        reason: Reason,
    ) -> Rejection {
        let (line, raw) = match &self.records {
            Records::Text(text) => match text.records.get(index) {
                Some(span) => (Some(span.line), raw_text(text.record(span))),
                None => (None, String::new()),
            },
            Records::Rows { batch, .. } => (None, raw_text(row_text(batch, index).as_bytes())),
        };
        Rejection {
            record: self.record_number(index),
            line,
            field: field.map(str::to_owned),
            value: value.map(shown_value),
            reason,
            raw,
        }
    }
}

/// What a block gave.
#[derive(Debug)]
pub(crate) struct ParsedBlock {
    /// The records it came from.
    pub(crate) block: Block,
    /// The accepted rows.
    pub(crate) batch: RecordBatch,
    /// For each accepted row, the index of its record in the block.
    pub(crate) origins: Vec<usize>,
    /// The rejected records, in order.
    pub(crate) rejections: Vec<Rejection>,
    /// Which slots were ever filled: in JSON a key may be absent.
    pub(crate) present: Vec<bool>,
    /// Some keys of JSON objects that no column reads, for a message.
    pub(crate) other_keys: Vec<String>,
}

/// How many unread keys are remembered.
const OTHER_KEYS: usize = 30;

/// Parses a block.
///
/// # Errors
///
/// If Parquet values do not fit the types that cells are read from.
pub(crate) fn parse_block(plan: &Plan, block: Block) -> Result<ParsedBlock, ArrowError> {
    match &block.records {
        Records::Text(text) => parse_text(plan, &block, text).finish(plan, block),
        Records::Rows { batch, .. } => parse_rows(plan, &block, batch)?.finish(plan, block),
    }
}

/// What grows while a block is parsed.
struct Growing {
    /// By column; none where a column is copied from the block's batch.
    columns: Vec<Option<ColumnBuilder>>,
    origins: Vec<usize>,
    rejections: Vec<Rejection>,
    present: Vec<bool>,
    other_keys: Vec<String>,
}

impl Growing {
    fn new(plan: &Plan, block: &Block) -> Self {
        let rows = block.len();
        let columns = plan.columns.iter().map(|column| match &column.action {
            Action::Constant { kind, .. } => Some(ColumnBuilder::new(*kind, rows)),
            Action::Convert { rule, .. } => Some(ColumnBuilder::new(rule.kind(), rows)),
            Action::Copy { .. } => None,
        });
        Self {
            columns: columns.collect(),
            origins: Vec::with_capacity(rows),
            rejections: Vec::new(),
            present: vec![false; block.binding.names.len()],
            other_keys: Vec::new(),
        }
    }

    fn accept(&mut self, record: usize, values: &[Converted<'_>]) {
        self.origins.push(record);
        for (column, value) in self.columns.iter_mut().zip(values) {
            if let Some(builder) = column {
                builder.append(value);
            }
        }
    }

    fn finish(self, plan: &Plan, block: Block) -> Result<ParsedBlock, ArrowError> {
        let mut accepted = vec![false; block.len()];
        for origin in &self.origins {
            accepted[*origin] = true;
        }
        let all = self.origins.len() == accepted.len();
        let mask = BooleanArray::from(accepted);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (index, builder) in self.columns.into_iter().enumerate() {
            let column = match (builder, &block.records, block.binding.slots.get(index)) {
                (Some(builder), _, _) => builder.finish(),
                (None, Records::Rows { batch, .. }, Some(Some(slot))) if all => {
                    Arc::clone(batch.column(*slot))
                }
                (None, Records::Rows { batch, .. }, Some(Some(slot))) => {
                    filter(batch.column(*slot), &mask)?
                }
                _ => {
                    let message = "only Parquet columns can be copied".to_owned();
                    return Err(ArrowError::InvalidArgumentError(message));
                }
            };
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.origins.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&plan.schema), columns, &options)?;
        Ok(ParsedBlock {
            block,
            batch,
            origins: self.origins,
            rejections: self.rejections,
            present: self.present,
            other_keys: self.other_keys,
        })
    }
}

fn parse_text(plan: &Plan, block: &Block, text: &TextBlock) -> Growing {
    let mut growing = Growing::new(plan, block);
    let reader = RecordReader::new(&block.binding.layout, text);
    let is_json = matches!(block.binding.layout, RecordLayout::Json { .. });
    let mut cells = Vec::with_capacity(block.binding.names.len());
    let mut values = Vec::with_capacity(plan.columns.len());
    for (index, span) in text.records.iter().enumerate() {
        let other_keys = &mut growing.other_keys;
        let read = reader.read(span, &mut cells, &mut |key, _| {
            if other_keys.len() < OTHER_KEYS && !other_keys.iter().any(|other| other == key) {
                other_keys.push(key.to_owned());
            }
        });
        if let Err(reason) = read {
            growing
                .rejections
                .push(block.reject(index, None, None, reason));
            continue;
        }
        if is_json {
            for (present, cell) in growing.present.iter_mut().zip(&cells) {
                *present |= *cell != Cell::Absent;
            }
        }
        let cell_of = |slot: usize| cells.get(slot).cloned().unwrap_or(Cell::Absent);
        match convert(plan, &block.binding, &cell_of, &mut values) {
            Ok(()) => growing.accept(index, &values),
            Err(fault) => growing.rejections.push(fault.into_rejection(block, index)),
        }
    }
    growing
}

fn parse_rows(plan: &Plan, block: &Block, batch: &RecordBatch) -> Result<Growing, ArrowError> {
    let mut growing = Growing::new(plan, block);
    // By slot; columns that are only copied need no cells.
    let mut cell_columns: Vec<Option<CellColumn>> = Vec::new();
    cell_columns.resize_with(batch.num_columns(), || None);
    for (column, slot) in plan.columns.iter().zip(&block.binding.slots) {
        if let (Action::Convert { .. }, Some(slot)) = (&column.action, slot)
            && let Some(place @ None) = cell_columns.get_mut(*slot)
        {
            *place = Some(CellColumn::new(batch.column(*slot))?);
        }
    }
    let mut values = Vec::with_capacity(plan.columns.len());
    for row in 0..batch.num_rows() {
        let cell_of = |slot: usize| match cell_columns.get(slot) {
            Some(Some(column)) => column.cell(row),
            // A copied column: what matters is whether there is a value.
            _ if batch.column(slot).is_null(row) => Cell::Null,
            _ => Cell::Bool(true),
        };
        match convert(plan, &block.binding, &cell_of, &mut values) {
            Ok(()) => growing.accept(row, &values),
            Err(fault) => growing.rejections.push(fault.into_rejection(block, row)),
        }
    }
    Ok(growing)
}

/// Reads the records of one block.
pub(crate) struct RecordReader<'a> {
    layout: &'a RecordLayout,
    block: &'a TextBlock,
    /// The whole block, where it is UTF-8 throughout, so that records need not be checked alone.
    text: Option<&'a str>,
}

impl<'a> RecordReader<'a> {
    pub(crate) fn new(layout: &'a RecordLayout, block: &'a TextBlock) -> Self {
        Self {
            layout,
            block,
            text: std::str::from_utf8(&block.bytes).ok(),
        }
    }

    /// Fills `cells` with a record's values.
    ///
    /// # Errors
    ///
    /// Says why it is no record.
    pub(crate) fn read(
        &self,
        span: &RecordSpan,
        cells: &mut Vec<Cell<'a>>,
        other_keys: &mut dyn FnMut(&str, &Cell<'_>),
    ) -> Result<(), Reason> {
        if let Some(fault) = &span.fault {
            return Err(fault.clone());
        }
        let record = match self.text {
            Some(text) => text.get(span.start..span.end),
            None => std::str::from_utf8(self.block.record(span)).ok(),
        };
        let record = record.ok_or("not valid UTF-8")?;
        self.layout.read(record, cells, other_keys)
    }
}

/// A value that its column refuses.
struct ValueFault<'p> {
    column: &'p str,
    value: Option<String>,
    reason: Reason,
}

impl ValueFault<'_> {
    fn into_rejection(self, block: &Block, index: usize) -> Rejection {
        block.reject(index, Some(self.column), self.value, self.reason)
    }
}

/// Converts a record's cells to one value per planned column.
fn convert<'p, 'a>(
    plan: &'p Plan,
    binding: &Binding,
    cell_of: &dyn Fn(usize) -> Cell<'a>,
    values: &mut Vec<Converted<'a>>,
) -> Result<(), ValueFault<'p>> {
    values.clear();
    for (column, slot) in plan.columns.iter().zip(&binding.slots) {
        let value = match (&column.action, slot) {
            (Action::Constant { value, .. }, _) => value.clone(),
            (Action::Convert { rule, .. }, Some(slot)) => {
                let cell = cell_of(*slot);
                match rule.apply(cell) {
                    Ok(value) => value,
                    Err(reason) => {
                        let value = cell_of(*slot).to_text();
                        return Err(ValueFault {
                            column: &column.name,
                            value,
                            reason,
                        });
                    }
                }
            }
            (Action::Copy { not_null: true, .. }, Some(slot)) if cell_of(*slot) == Cell::Null => {
                let reason = "no value, and the column is not_null".into();
                return Err(ValueFault {
                    column: &column.name,
                    value: None,
                    reason,
                });
            }
            (Action::Copy { .. } | Action::Convert { .. }, _) => Converted::Null,
        };
        values.push(value);
    }
    Ok(())
}
