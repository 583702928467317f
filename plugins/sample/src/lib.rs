//! Orders of a gift shop that never was, with customer groups planted in them.
//!
//! Somebody who has no data at hand still wants to see a segmentation find something, and a test wants to
//! know what there is to find. So the orders here come from ten [`Group`]s of customers that differ in how
//! often, when, where and how much they buy, with enough noise that no single column gives a group away,
//! and with what real data has: orders without a customer, cancellations, a long tail of products.
//!
//! The same number of rows and the same seed give the same rows on every machine: only integers and exact
//! floating-point operations stand between the random words and the values. Memory is about 6 bytes a row
//! (the plan of all orders, so that they come out in time order); the rows themselves are streamed.

mod calendar;
mod customers;
mod dice;
mod error;
mod generator;
mod group;
mod plan;
mod preferences;
mod write;

pub use calendar::{END_MICROS, START_MICROS};
pub use customers::{customers, customers_schema, write_customers};
pub use error::SampleError;
pub use generator::{OrderGenerator, orders_schema};
pub use group::{Group, UnknownGroup};
pub use plan::MAX_ROWS;
pub use preferences::{OFFERS, response_rate};
pub use write::write_orders;
