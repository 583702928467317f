//! The output `segments`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use marquetry_plugin::StageError;

use super::worth::{SegmentWorth, Worth};
use crate::assignment::{Names, SEGMENT};

/// A row per segment.
pub(super) fn segments(worth: &Worth, names: &Names) -> Result<RecordBatch, StageError> {
    let total = worth.total();
    let mut fields = vec![Field::new(SEGMENT, names.kind(), false)];
    let mut columns = vec![names.column(0..worth.segments.len())];
    let mut counts = |name: &str, value: fn(&SegmentWorth) -> usize| {
        let values = worth.segments.iter().map(value);
        let values = values.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        fields.push(Field::new(name, DataType::Int64, false));
        columns.push(Arc::new(Int64Array::from_iter_values(values)) as ArrayRef);
    };
    counts("customers", |segment| segment.customers);
    counts("active_customers", |segment| segment.active);
    let mut floats = |name: &str, value: &dyn Fn(&SegmentWorth) -> Option<f64>| {
        fields.push(Field::new(name, DataType::Float64, true));
        let values = worth.segments.iter().map(value);
        columns.push(Arc::new(values.collect::<Float64Array>()) as ArrayRef);
    };
    floats("share_of_customers", &|segment| {
        Some(segment.share_of_customers(&total))
    });
    floats("active_share", &|segment| Some(segment.active_share()));
    floats("active_share_low", &|segment| {
        segment.active_interval().map(|interval| interval.low)
    });
    floats("active_share_high", &|segment| {
        segment.active_interval().map(|interval| interval.high)
    });
    floats("orders", &|segment| Some(segment.orders));
    floats("orders_per_customer", &|segment| {
        Some(segment.orders_per_customer())
    });
    floats("repeat_share", &SegmentWorth::repeat_share);
    floats("first_order_days", &|segment| segment.first_order_days);
    floats("revenue", &|segment| Some(segment.revenue));
    floats("profit", &|segment| Some(segment.profit));
    floats("profit_per_customer", &|segment| Some(segment.moments.mean));
    floats("profit_per_customer_low", &|segment| {
        segment.profit_interval().map(|interval| interval.low)
    });
    floats("profit_per_customer_high", &|segment| {
        segment.profit_interval().map(|interval| interval.high)
    });
    floats("share_of_profit", &|segment| {
        segment.share_of_profit(&total)
    });
    floats("lift", &|segment| segment.lift(&total));
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}
