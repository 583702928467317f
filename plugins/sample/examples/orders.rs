//! Writes a sample without the `marquetry` binary, for the scripts that compute expected results:
//! `cargo run -p marquetry-sample --example orders -- ROWS SEED FOLDER`. The planted groups go to
//! `FOLDER-truth/customers.parquet`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("give ROWS SEED FOLDER");
    let (rows, seed, folder) = (next()?.parse()?, next()?.parse()?, next()?);
    marquetry_sample::write_orders(&PathBuf::from(&folder), rows, seed, |_| ())?;
    let truth = PathBuf::from(format!("{folder}-truth")).join("customers.parquet");
    marquetry_sample::write_customers(&truth, rows, seed)?;
    Ok(())
}
