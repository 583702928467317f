//! Which rows have equal keys. Keys are compared by 128 bits of BLAKE3 over their Arrow row encoding:
//! two different keys would have to collide in one of 2^64 rows to be taken for equal. What is
//! remembered counts against the stage's memory limit.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};

use crate::options::Keep;

/// The identity of a key.
type KeyHash = u128;

/// Encodes chosen columns of batches as comparable bytes.
#[derive(Debug)]
struct RowEncoder {
    columns: Vec<usize>,
    converter: RowConverter,
}

impl RowEncoder {
    fn new(schema: &Schema, columns: Vec<usize>) -> Result<Self, ArrowError> {
        let fields = columns
            .iter()
            .map(|column| SortField::new(schema.field(*column).data_type().clone()))
            .collect();
        Ok(Self {
            columns,
            converter: RowConverter::new(fields)?,
        })
    }

    fn arrays(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.columns
            .iter()
            .map(|column| Arc::clone(batch.column(*column)))
            .collect()
    }

    fn encode(&self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        self.converter.convert_columns(&self.arrays(batch))
    }
}

fn hash(row: &[u8]) -> KeyHash {
    let digest = blake3::hash(row);
    let mut half = [0; 16];
    half.copy_from_slice(&digest.as_bytes()[..16]);
    KeyHash::from_le_bytes(half)
}

/// A map from keys whose growth is asked for beforehand.
#[derive(Debug)]
struct KeyMap<V> {
    entries: HashMap<KeyHash, V>,
    /// What the values hold beside themselves.
    value_bytes: usize,
    reservation: MemoryReservation,
}

impl<V> KeyMap<V> {
    fn new(name: &str, pool: &Arc<dyn MemoryPool>) -> Self {
        let reservation = MemoryConsumer::new(name).register(pool);
        Self {
            entries: HashMap::new(),
            value_bytes: 0,
            reservation,
        }
    }

    /// Makes room for `additional` more keys.
    fn reserve(&mut self, additional: usize) -> Result<(), DataFusionError> {
        if self.entries.capacity() - self.entries.len() >= additional {
            return Ok(());
        }
        // A hash map doubles, is at most 7/8 full, and lives twice while it moves.
        let slots = (self.entries.len() + additional).saturating_mul(8) / 7;
        let bytes_per_slot = size_of::<(KeyHash, V)>() + 1;
        let table_bytes = slots.next_power_of_two().saturating_mul(bytes_per_slot);
        self.reservation
            .try_resize(table_bytes.saturating_add(self.value_bytes))?;
        self.entries.reserve(additional);
        Ok(())
    }

    /// Makes room for bytes that a value holds.
    fn reserve_value(&mut self, bytes: usize) -> Result<(), DataFusionError> {
        self.reservation.try_grow(bytes)?;
        self.value_bytes += bytes;
        Ok(())
    }
}

/// Finds rows whose key stood in an earlier row.
#[derive(Debug)]
pub(crate) struct UniqueCheck {
    encoder: RowEncoder,
    first: KeyMap<RowPlace>,
}

/// Which record of which source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowPlace {
    pub(crate) source: usize,
    pub(crate) record: u64,
}

impl UniqueCheck {
    /// A check over the columns at these places.
    ///
    /// # Errors
    ///
    /// If a column's type cannot be compared.
    pub(crate) fn new(
        schema: &Schema,
        columns: Vec<usize>,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<Self, DataFusionError> {
        let encoder = RowEncoder::new(schema, columns)?;
        Ok(Self {
            encoder,
            first: KeyMap::new("ingest unique keys", pool),
        })
    }

    /// For each row its predecessor with the same key, if there is one. Rows that `alive` does not
    /// mark take no part; a null in a key equals nothing, as in SQL.
    ///
    /// # Errors
    ///
    /// If the keys do not fit in the stage's memory.
    pub(crate) fn predecessors(
        &mut self,
        batch: &RecordBatch,
        alive: &[bool],
        place: &dyn Fn(usize) -> RowPlace,
    ) -> Result<Vec<Option<RowPlace>>, DataFusionError> {
        self.first.reserve(batch.num_rows())?;
        let rows = self.encoder.encode(batch)?;
        let arrays = self.encoder.arrays(batch);
        let mut predecessors = vec![None; batch.num_rows()];
        for (index, row) in rows.iter().enumerate() {
            let has_null = arrays.iter().any(|array| array.is_null(index));
            if !alive[index] || has_null {
                continue;
            }
            let here = place(index);
            let first = *self.first.entries.entry(hash(row.as_ref())).or_insert(here);
            if first != here {
                predecessors[index] = Some(first);
            }
        }
        Ok(predecessors)
    }
}

/// Finds which row of each key stays, in a first pass over all rows.
#[derive(Debug)]
pub(crate) struct WinnerSearch {
    keys: RowEncoder,
    order: Option<RowEncoder>,
    keep: Keep,
    best: KeyMap<Winner>,
    rows: u64,
}

#[derive(Debug)]
struct Winner {
    row: u64,
    order: Box<[u8]>,
}

impl WinnerSearch {
    /// A search over the key columns at these places; `order` is the place of the ordering column.
    ///
    /// # Errors
    ///
    /// If a column's type cannot be compared.
    pub(crate) fn new(
        schema: &Schema,
        keys: Vec<usize>,
        order: Option<usize>,
        keep: Keep,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<Self, DataFusionError> {
        let keys = RowEncoder::new(schema, keys)?;
        let order = order
            .map(|column| RowEncoder::new(schema, vec![column]))
            .transpose()?;
        let best = KeyMap::new("ingest deduplication keys", pool);
        Ok(Self {
            keys,
            order,
            keep,
            best,
            rows: 0,
        })
    }

    /// Takes in the next rows.
    ///
    /// # Errors
    ///
    /// If the keys do not fit in the stage's memory.
    pub(crate) fn look_at(&mut self, batch: &RecordBatch) -> Result<(), DataFusionError> {
        self.best.reserve(batch.num_rows())?;
        let keys = self.keys.encode(batch)?;
        let orders = self
            .order
            .as_ref()
            .map(|order| order.encode(batch))
            .transpose()?;
        for (index, key) in keys.iter().enumerate() {
            let row = self.rows;
            self.rows += 1;
            let order_row = orders.as_ref().map(|orders| orders.row(index));
            let order: &[u8] = order_row.as_ref().map_or(&[], AsRef::as_ref);
            let hash = hash(key.as_ref());
            match self.best.entries.get_mut(&hash) {
                None => {
                    self.best.reserve_value(order.len())?;
                    self.best.entries.insert(
                        hash,
                        Winner {
                            row,
                            order: order.into(),
                        },
                    );
                }
                // Rows come in order, so among equals the last seen is the last.
                Some(best) => {
                    let wins = match self.keep {
                        Keep::First => order < best.order.as_ref(),
                        Keep::Last => order >= best.order.as_ref(),
                    };
                    if wins {
                        *best = Winner {
                            row,
                            order: order.into(),
                        };
                    }
                }
            }
        }
        Ok(())
    }

    /// The rows that stay.
    pub(crate) fn finish(self) -> Winners {
        let mut rows: Vec<u64> = self
            .best
            .entries
            .into_values()
            .map(|winner| winner.row)
            .collect();
        rows.sort_unstable();
        Winners {
            rows,
            next_winner: 0,
            next_row: 0,
        }
    }
}

/// The rows that stay, asked for in the order of the rows.
#[derive(Debug)]
pub(crate) struct Winners {
    rows: Vec<u64>,
    next_winner: usize,
    next_row: u64,
}

impl Winners {
    /// Whether the next row stays.
    pub(crate) fn next_stays(&mut self) -> bool {
        let stays = self.rows.get(self.next_winner).copied() == Some(self.next_row);
        self.next_row += 1;
        self.next_winner += usize::from(stays);
        stays
    }
}

/// Drops every row whose key stood in an earlier row, in one pass.
#[derive(Debug)]
pub(crate) struct FirstOnly {
    keys: RowEncoder,
    seen: KeyMap<()>,
}

impl FirstOnly {
    /// A filter over the key columns at these places.
    ///
    /// # Errors
    ///
    /// If a column's type cannot be compared.
    pub(crate) fn new(
        schema: &Schema,
        keys: Vec<usize>,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<Self, DataFusionError> {
        let keys = RowEncoder::new(schema, keys)?;
        Ok(Self {
            keys,
            seen: KeyMap::new("ingest deduplication keys", pool),
        })
    }

    /// For each row whether it stays.
    ///
    /// # Errors
    ///
    /// If the keys do not fit in the stage's memory.
    pub(crate) fn stays(&mut self, batch: &RecordBatch) -> Result<Vec<bool>, DataFusionError> {
        self.seen.reserve(batch.num_rows())?;
        let keys = self.keys.encode(batch)?;
        let seen = &mut self.seen.entries;
        Ok(keys
            .iter()
            .map(|key| seen.insert(hash(key.as_ref()), ()).is_none())
            .collect())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use datafusion::execution::memory_pool::{GreedyMemoryPool, UnboundedMemoryPool};

    fn batch() -> RecordBatch {
        RecordBatch::try_from_iter([
            (
                "id",
                Arc::new(StringArray::from(vec![
                    Some("a"),
                    Some("b"),
                    Some("a"),
                    None,
                    None,
                    Some("a"),
                ])) as ArrayRef,
            ),
            (
                "at",
                Arc::new(Int64Array::from(vec![
                    Some(5),
                    Some(1),
                    Some(9),
                    Some(1),
                    Some(1),
                    None,
                ])) as ArrayRef,
            ),
        ])
        .unwrap()
    }

    fn unbounded() -> Arc<dyn MemoryPool> {
        Arc::new(UnboundedMemoryPool::default())
    }

    #[test]
    fn later_rows_with_a_known_key_have_a_predecessor() {
        let batch = batch();
        let mut check = UniqueCheck::new(&batch.schema(), vec![0], &unbounded()).unwrap();
        let place = |index: usize| RowPlace {
            source: 0,
            record: index as u64 + 1,
        };
        let found = check.predecessors(&batch, &[true; 6], &place).unwrap();
        let first = Some(RowPlace {
            source: 0,
            record: 1,
        });
        assert_eq!(found, [None, None, first, None, None, first]);
    }

    #[test]
    fn the_first_or_the_last_row_stays() {
        let batch = batch();
        let stays = |keep, order| {
            let mut search =
                WinnerSearch::new(&batch.schema(), vec![0], order, keep, &unbounded()).unwrap();
            search.look_at(&batch).unwrap();
            let mut winners = search.finish();
            (0..6).map(|_| winners.next_stays()).collect::<Vec<_>>()
        };
        assert_eq!(
            stays(Keep::First, None),
            [true, true, false, true, false, false]
        );
        assert_eq!(
            stays(Keep::Last, None),
            [false, true, false, false, true, true]
        );
        // By `at`, nulls first.
        assert_eq!(
            stays(Keep::First, Some(1)),
            [false, true, false, true, false, true]
        );
        assert_eq!(
            stays(Keep::Last, Some(1)),
            [false, true, true, false, true, false]
        );
        let mut first_only = FirstOnly::new(&batch.schema(), vec![0], &unbounded()).unwrap();
        assert_eq!(first_only.stays(&batch).unwrap(), stays(Keep::First, None));
    }

    #[test]
    fn keys_beyond_the_memory_limit_are_an_error() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100));
        let batch = batch();
        let mut first_only = FirstOnly::new(&batch.schema(), vec![0], &pool).unwrap();
        let error = first_only.stays(&batch).unwrap_err();
        assert!(
            matches!(error, DataFusionError::ResourcesExhausted(_)),
            "{error}"
        );
    }
}
