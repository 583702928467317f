//! `sample`: data to try things on.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use marquetry_sample::{SampleError, write_customers, write_orders};
use marquetry_types::{Diagnostic, codes, thousands};

use crate::arguments::{Common, Format, Sample};
use crate::failure::Failure;
use crate::output;

/// `marquetry sample`
pub(crate) fn make(common: &Common, sample: &Sample) -> Result<(), Failure> {
    let Sample::Orders { rows, seed, out } = sample;
    let bar = ProgressBar::new(*rows);
    if common.output == Format::Json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} rows") {
        bar.set_style(style);
    }
    let files = write_orders(out, *rows, *seed, |done| bar.set_position(done));
    let files = files.map_err(failed)?;
    bar.finish_and_clear();
    let truth = truth_path(out);
    write_customers(&truth, *rows, *seed).map_err(failed)?;
    if common.output == Format::Json {
        return output::json(&serde_json::json!({"files": files, "rows": rows, "truth": truth}));
    }
    output::note(format!(
        "{} rows in {} files in {}; the customers' planted groups are in {}",
        thousands(*rows),
        files.len(),
        out.display(),
        truth.display(),
    ));
    Ok(())
}

/// Beside the orders, not among them: whoever reads the folder wants orders only.
fn truth_path(orders: &Path) -> PathBuf {
    let mut name = orders.file_name().unwrap_or_default().to_owned();
    name.push("-customers.parquet");
    orders.with_file_name(name)
}

/// Why there is no sample, as a person reads it.
fn failed(error: SampleError) -> Failure {
    match error {
        SampleError::Batch(_) | SampleError::Encode { .. } => Failure::internal(error),
        other => Failure::Input(Diagnostic::new(codes::FILE_ACCESS, other.to_string()).into()),
    }
}
