//! Two assignments of customers, and who is elsewhere in the second.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{concat, sort_to_indices, take};
use arrow::datatypes::{DataType, Field, Schema};
use marquetry_kernels::maximum_overlap;
use marquetry_plugin::StageError;
use marquetry_rows::Keys;

use super::Match;
use crate::assignment::{Assignment, Names};

/// One assignment: its customers and their segments.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) keys: Keys,
    pub(super) assignment: Assignment,
}

/// Who is where: the segment before and after of every customer that one of both has.
#[derive(Debug)]
pub(super) struct Moves {
    /// The keys, ascending, as a column.
    keys: ArrayRef,
    key: Field,
    places: Vec<Place>,
    pub(super) before: Names,
    pub(super) after: Names,
    /// The segment after that each segment before is the same as.
    same: Vec<Option<usize>>,
}

/// A customer's segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) before: Option<usize>,
    pub(super) after: Option<usize>,
}

/// How many did what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Customers that have a segment after.
    pub(super) customers: usize,
    /// Customers that both assignments have.
    pub(super) both: usize,
    /// Of those, the ones that are in another segment.
    pub(super) moved: usize,
    /// Customers that only the assignment after has.
    pub(super) new: usize,
    /// Customers that only the assignment before has.
    pub(super) gone: usize,
}

impl Moves {
    /// Compares; `before` is none where nothing was published yet.
    pub(super) fn new(before: Option<&Side>, after: &Side, by: Match) -> Result<Self, StageError> {
        let after_labels = after.assignment.label_of_rows(after.keys.len());
        let wide = |label: Option<u32>| label.map(|label| label as usize);
        let mut places: Vec<Place> = after_labels
            .iter()
            .map(|label| Place {
                before: None,
                after: wide(*label),
            })
            .collect();
        let mut keys = after.keys.array();
        if let Some(before) = before {
            let labels = before.assignment.label_of_rows(before.keys.len());
            let mut gone = Vec::new();
            for (row, found) in before.keys.find_in(&after.keys).iter().enumerate() {
                match found {
                    Some(found) => places[*found].before = wide(labels[row]),
                    None => {
                        gone.push(i64::try_from(row).unwrap_or(i64::MAX));
                        places.push(Place {
                            before: wide(labels[row]),
                            after: None,
                        });
                    }
                }
            }
            if after.keys.is_empty() {
                // They may not even be of one type.
                keys = before.keys.array();
            } else if !gone.is_empty() {
                let gone = take(&before.keys.array(), &Int64Array::from(gone), None)?;
                keys = concat(&[&keys, &gone])?;
            }
        }
        let order = sort_to_indices(&keys, None, None)?;
        // Customers that have a segment on neither side are nobody's.
        let known = |place: usize| places[place].before.or(places[place].after).is_some();
        let order: Vec<u32> = order
            .values()
            .iter()
            .copied()
            .filter(|place| known(*place as usize))
            .collect();
        let sorted = order.iter().map(|place| places[*place as usize]).collect();
        let keys = take(&keys, &arrow::array::UInt32Array::from(order), None)?;
        let key = Field::new(after.keys.name(), keys.data_type().clone(), false);
        let after_names = after.assignment.names.clone();
        let before_names = match before {
            Some(before) => before.assignment.names.clone(),
            None => match &after_names {
                Names::Int(_) => Names::Int(Vec::new()),
                Names::Text(_) => Names::Text(Vec::new()),
            },
        };
        let mut moves = Self {
            keys,
            key,
            places: sorted,
            before: before_names,
            after: after_names,
            same: Vec::new(),
        };
        moves.same = match by {
            Match::Names => by_names(&moves.before, &moves.after),
            Match::Overlap => maximum_overlap(&moves.overlap()),
        };
        Ok(moves)
    }

    /// The customers in each segment before (rows) and after (columns).
    fn overlap(&self) -> Vec<Vec<u64>> {
        let mut overlap = vec![vec![0; self.after.len()]; self.before.len()];
        for place in &self.places {
            if let (Some(before), Some(after)) = (place.before, place.after) {
                overlap[before][after] += 1;
            }
        }
        overlap
    }

    /// Whether a customer of both is in another segment.
    fn is_moved(&self, place: Place) -> bool {
        match (place.before, place.after) {
            (Some(before), Some(after)) => self.is_same(before, after) == Some(false),
            _ => false,
        }
    }

    fn is_same(&self, before: usize, after: usize) -> Option<bool> {
        self.same.get(before).map(|same| *same == Some(after))
    }

    pub(super) fn counts(&self) -> Counts {
        let count = |wanted: &dyn Fn(Place) -> bool| {
            let places = self.places.iter();
            places.filter(|place| wanted(**place)).count()
        };
        Counts {
            customers: count(&|place| place.after.is_some()),
            both: count(&|place| place.before.is_some() && place.after.is_some()),
            moved: count(&|place| self.is_moved(place)),
            new: count(&|place| place.before.is_none()),
            gone: count(&|place| place.after.is_none()),
        }
    }

    /// How many customers went from where to where; pairs without customers are left out.
    pub(super) fn cells(&self) -> BTreeMap<Place, usize> {
        let mut cells = BTreeMap::new();
        for place in &self.places {
            *cells.entry(*place).or_default() += 1;
        }
        cells
    }

    /// The output `moves`.
    pub(super) fn batch(&self) -> Result<RecordBatch, StageError> {
        let fields = vec![
            self.key.clone(),
            Field::new("before", self.before.kind(), true),
            Field::new("after", self.after.kind(), true),
            Field::new("moved", DataType::Boolean, false),
        ];
        let places = || self.places.iter().copied();
        let moved: BooleanArray = places().map(|place| Some(self.is_moved(place))).collect();
        let columns = vec![
            Arc::clone(&self.keys),
            self.before.nullable(places().map(|place| place.before)),
            self.after.nullable(places().map(|place| place.after)),
            Arc::new(moved) as ArrayRef,
        ];
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?)
    }

    /// The output `matrix`.
    pub(super) fn matrix(&self) -> Result<RecordBatch, StageError> {
        let cells = self.cells();
        let fields = vec![
            Field::new("before", self.before.kind(), true),
            Field::new("after", self.after.kind(), true),
            Field::new("customers", DataType::Int64, false),
            Field::new("same", DataType::Boolean, false),
        ];
        let customers = cells
            .values()
            .map(|customers| i64::try_from(*customers).unwrap_or(i64::MAX));
        let same = |place: &Place| match (place.before, place.after) {
            (Some(before), Some(after)) => self.is_same(before, after),
            _ => Some(false),
        };
        let columns = vec![
            self.before.nullable(cells.keys().map(|place| place.before)),
            self.after.nullable(cells.keys().map(|place| place.after)),
            Arc::new(Int64Array::from_iter_values(customers)) as ArrayRef,
            Arc::new(cells.keys().map(same).collect::<BooleanArray>()) as ArrayRef,
        ];
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?)
    }
}

/// The segment after of the same name as each before.
fn by_names(before: &Names, after: &Names) -> Vec<Option<usize>> {
    fn places<T: PartialEq>(before: &[T], after: &[T]) -> Vec<Option<usize>> {
        let place = |name| after.iter().position(|other| other == name);
        before.iter().map(place).collect()
    }
    match (before, after) {
        (Names::Int(before), Names::Int(after)) => places(before, after),
        (Names::Text(before), Names::Text(after)) => places(before, after),
        _ => vec![None; before.len()],
    }
}
