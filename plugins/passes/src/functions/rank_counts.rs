//! `marquetry_rank_counts(wanted, key)`: what one pass of a search for ranks counts; nulls do not count.
//!
//! `wanted` is a literal: the bits that are known, and the prefixes of so many bits, eight bytes each. States
//! and result are entries of prefix, digit and count, likewise: there are as many as the column has
//! different beginnings.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, UInt64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use marquetry_kernels::RankCounts;

use super::arguments::{literal_bytes, states, wrong};

const NAME: &str = "marquetry_rank_counts";

/// What an entry of counts takes in memory, about.
const ENTRY: usize = 48;

/// The function.
pub(super) fn function() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(CountRanks {
        signature: Signature::any(2, Volatility::Immutable),
    }))
}

/// The argument `wanted`.
pub(crate) fn counts_argument(wanted: &RankCounts) -> ScalarValue {
    let words = std::iter::once(u64::from(wanted.known())).chain(wanted.prefixes().iter().copied());
    ScalarValue::Binary(Some(words.flat_map(u64::to_le_bytes).collect()))
}

/// Adds what the function gave.
pub(crate) fn counts_of(bytes: &[u8], counts: &mut RankCounts) {
    let words: Vec<u64> = bytes
        .as_chunks()
        .0
        .iter()
        .map(|it| u64::from_le_bytes(*it))
        .collect();
    for entry in words.as_chunks().0 {
        let [place, digit, count] = *entry;
        if let (Ok(place), Ok(digit)) = (usize::try_from(place), u16::try_from(digit)) {
            counts.add(place, digit, count);
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CountRanks {
    signature: Signature,
}

impl AggregateUDFImpl for CountRanks {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let wanted = literal_bytes(NAME, &arguments)?;
        let words: Vec<u64> = wanted
            .as_chunks()
            .0
            .iter()
            .map(|it| u64::from_le_bytes(*it))
            .collect();
        let Some((known, prefixes)) = words.split_first() else {
            return Err(wrong(NAME, "known bits and prefixes"));
        };
        let known = u32::try_from(*known).unwrap_or(0);
        Ok(Box::new(Counting(RankCounts::new(
            known,
            prefixes.to_vec(),
        ))))
    }
}

#[derive(Debug)]
struct Counting(RankCounts);

impl Accumulator for Counting {
    fn update_batch(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        let Some(keys) = arguments.get(1) else {
            return Err(wrong(NAME, "keys"));
        };
        let keys = keys.as_primitive_opt::<UInt64Type>();
        let keys = keys.ok_or_else(|| wrong(NAME, "keys of UInt64"))?;
        for key in keys.iter().flatten() {
            self.0.count(key);
        }
        Ok(())
    }

    fn merge_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        for state in states(NAME, arrays)? {
            counts_of(state, &mut self.0);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let entries = self.0.iter();
        let words = entries.flat_map(|(place, digit, count)| [place as u64, digit.into(), count]);
        Ok(ScalarValue::Binary(Some(
            words.flat_map(u64::to_le_bytes).collect(),
        )))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.iter().count() * ENTRY
    }
}
