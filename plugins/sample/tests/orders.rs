//! What the sample promises: the same rows every time, as many as asked for, and groups that differ.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use marquetry_sample::{
    END_MICROS, Group, MAX_ROWS, OrderGenerator, START_MICROS, SampleError, customers,
    orders_schema, write_customers, write_orders,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn orders(rows: u64, seed: u64) -> RecordBatch {
    let batches: Vec<_> = OrderGenerator::new(rows, seed)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    concat_batches(&orders_schema(), &batches).unwrap()
}

/// A value as text, a time as its microseconds: names of time zones need a feature that is not on here.
fn text(column: &dyn Array, row: usize) -> String {
    match column.data_type() {
        DataType::Timestamp(..) => {
            let times = cast(&column.slice(row, 1), &DataType::Int64).unwrap();
            array_value_to_string(&times, 0).unwrap()
        }
        _ => array_value_to_string(column, row).unwrap(),
    }
}

/// A digest of the values, by column.
fn digest(batch: &RecordBatch) -> String {
    let mut hasher = blake3::Hasher::new();
    for column in batch.columns() {
        for row in 0..column.len() {
            hasher.update(text(column, row).as_bytes()).update(&[0]);
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[test]
fn the_same_seed_gives_the_same_rows_on_every_machine() {
    // A change of this digest changes everybody's sample, and every committed expectation about it.
    assert_eq!(digest(&orders(5_000, 1)), "bf48fdc46accff02");
    assert_ne!(digest(&orders(5_000, 2)), digest(&orders(5_000, 1)));
}

#[test]
fn there_are_as_many_rows_as_asked_for() {
    for rows in [0, 1, 2, 17, 1_000, 70_001] {
        assert_eq!(orders(rows, 3).num_rows() as u64, rows);
    }
    let refused = OrderGenerator::new(MAX_ROWS + 1, 3).err();
    assert!(matches!(refused, Some(SampleError::TooManyRows { .. })));
}

#[test]
fn rows_are_in_time_order_within_the_two_years_and_an_order_is_one_purchase() {
    let batch = orders(30_000, 4);
    let times = batch["ts"].as_primitive::<TimestampMicrosecondType>();
    let order_ids = batch["order_id"].as_primitive::<Int64Type>();
    let products = batch["product_id"].as_primitive::<Int64Type>();
    let quantities = batch["quantity"].as_primitive::<Int64Type>();
    let prices = batch["unit_price"].as_primitive::<Float64Type>();
    assert!(times.values().is_sorted());
    assert!(order_ids.values().is_sorted());
    assert!(
        times
            .values()
            .iter()
            .all(|at| (START_MICROS..END_MICROS).contains(at))
    );
    assert!(quantities.values().iter().all(|quantity| *quantity > 0));
    assert!(prices.values().iter().all(|price| *price > 0.0));

    let mut seen = BTreeMap::new();
    let mut lines = BTreeSet::new();
    for row in 0..batch.num_rows() {
        let shared = ["customer_id", "ts", "country", "channel", "cancelled"]
            .map(|name| text(&batch[name], row));
        let order = order_ids.value(row);
        assert_eq!(seen.entry(order).or_insert_with(|| shared.clone()), &shared);
        assert!(
            lines.insert((order, products.value(row))),
            "a product twice in order {order}"
        );
    }
}

#[test]
fn some_orders_are_cancelled_and_some_have_no_customer() {
    let batch = orders(30_000, 5);
    let share_of = |count: usize| count as f64 / batch.num_rows() as f64;
    let cancelled = share_of(batch["cancelled"].as_boolean().true_count());
    let unknown = share_of(batch["customer_id"].null_count());
    assert!((0.01..0.06).contains(&cancelled), "{cancelled}");
    assert!((0.005..0.03).contains(&unknown), "{unknown}");
}

/// Figures of a group over its customers' lines.
#[derive(Default)]
struct Figures {
    lines: f64,
    orders: BTreeSet<i64>,
    customers: BTreeSet<i64>,
    pieces: f64,
    weekend: f64,
    late: f64,
    cancelled: f64,
    last: i64,
    first: Option<i64>,
}

fn figures_by_group(rows: u64, seed: u64) -> BTreeMap<String, Figures> {
    let truth = customers(rows, seed).unwrap();
    let ids = truth["customer_id"].as_primitive::<Int64Type>();
    let groups = truth["planted_group"].as_string::<i32>();
    let group_of: BTreeMap<_, _> = ids.values().iter().zip(groups.iter().flatten()).collect();
    let batch = orders(rows, seed);
    let customer = batch["customer_id"].as_primitive::<Int64Type>();
    let mut figures: BTreeMap<String, Figures> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        if customer.is_null(row) {
            continue;
        }
        let id = customer.value(row);
        let at = batch["ts"]
            .as_primitive::<TimestampMicrosecondType>()
            .value(row);
        let hours = (at - START_MICROS) / 3_600_000_000;
        let group = figures.entry(group_of[&id].to_owned()).or_default();
        group.lines += 1.0;
        group.customers.insert(id);
        group
            .orders
            .insert(batch["order_id"].as_primitive::<Int64Type>().value(row));
        group.pieces += batch["quantity"].as_primitive::<Int64Type>().value(row) as f64;
        group.weekend += f64::from(u8::from(matches!(hours / 24 % 7, 0 | 6)));
        group.late += f64::from(u8::from(hours % 24 >= 18));
        group.cancelled += f64::from(u8::from(batch["cancelled"].as_boolean().value(row)));
        group.last = group.last.max(at);
        group.first = Some(group.first.map_or(at, |first| first.min(at)));
    }
    figures
}

#[test]
fn planted_groups_behave_as_their_names_say() {
    let figures = figures_by_group(60_000, 6);
    assert_eq!(figures.len(), Group::ALL.len());
    let of = |group: Group| &figures[group.name()];
    let orders_each =
        |group: Group| of(group).orders.len() as f64 / of(group).customers.len() as f64;
    let months = 30 * 86_400_000_000_i64;
    assert!(orders_each(Group::LoyalWeekly) > 2.0 * orders_each(Group::WeekendShopper));
    assert!(orders_each(Group::GiftBuyer) < 1.01);
    assert!(of(Group::Wholesale).pieces / of(Group::Wholesale).lines > 20.0);
    assert!(of(Group::WeekendShopper).weekend / of(Group::WeekendShopper).lines > 0.85);
    assert!(of(Group::EveningBrowser).late / of(Group::EveningBrowser).lines > 0.7);
    assert!(of(Group::Hesitant).cancelled / of(Group::Hesitant).lines > 0.2);
    assert!(of(Group::Lapsed).last < END_MICROS - 7 * months);
    assert!(of(Group::New).first.unwrap() > END_MICROS - 2 * months);
}

#[test]
fn files_are_written_by_month_and_hold_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("a/orders");
    let mut heard = Vec::new();
    let files = write_orders(&dir, 12_000, 7, |rows| heard.push(rows)).unwrap();
    assert_eq!(files.len(), 24);
    assert_eq!(files[13].file_name().unwrap(), "orders-2024-02.parquet");
    assert_eq!(heard.last(), Some(&12_000));
    assert_eq!(
        fs::read_dir(&dir).unwrap().count(),
        24,
        "no unfinished file stays"
    );

    let mut batches = Vec::new();
    for file in &files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(file).unwrap())
            .unwrap()
            .build()
            .unwrap();
        batches.extend(reader.map(Result::unwrap));
    }
    let read = concat_batches(&orders_schema(), &batches).unwrap();
    assert_eq!(digest(&read), digest(&orders(12_000, 7)));
}

#[test]
fn a_folder_with_parquet_files_is_left_alone_and_a_killed_call_is_cleaned_up() {
    let folder = tempfile::tempdir().unwrap();
    let stale = folder.path().join(".unfinished");
    fs::create_dir(&stale).unwrap();
    fs::write(stale.join("orders-2023-01.parquet"), "half").unwrap();
    let files = write_orders(folder.path(), 0, 8, |_| ()).unwrap();
    assert_eq!(files, [folder.path().join("orders.parquet")]);
    assert!(!stale.exists());

    let refused = write_orders(folder.path(), 10, 8, |_| ()).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("already holds Parquet files, such as orders.parquet")
    );
}

#[test]
fn the_truth_names_every_customer_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("truth/customers.parquet");
    write_customers(&file, 2_000, 9).unwrap();
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&file).unwrap())
        .unwrap()
        .build()
        .unwrap();
    let read = reader.next().unwrap().unwrap();
    assert_eq!(read, customers(2_000, 9).unwrap());
    let ids: BTreeSet<_> = read["customer_id"]
        .as_primitive::<Int64Type>()
        .values()
        .iter()
        .collect();
    assert_eq!(ids.len(), read.num_rows());
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
}
