//! The workflow that is interrupted at any moment, by whatever test, and the customers that it works on.

use std::fmt::Write;

/// Ingestion, scores, clusters and rules over `customers.csv`.
pub const WORKFLOW: &str = r#"
marquetry: v1
name: killed
stages:
  customers:
    uses: ingest/files
    with:
      path: customers.csv
      columns: { customer_id: int64, recency_days: float64, frequency: float64, monetary: float64 }
  rfm:
    uses: segmentation/rfm
    with: { rows: "${{ stages.customers }}" }
  segments:
    uses: segmentation/kmeans
    with: { rows: "${{ stages.customers }}", k: 3, columns: [frequency, monetary], seed: 1 }
  rules:
    uses: segmentation/rules
    with:
      rows: "${{ stages.rfm }}"
      rules: [{ name: best, when: "r == 5 && m >= 4" }]
      otherwise: rest
"#;

/// Three hundred customers whose figures follow from their ids.
///
/// # Panics
/// There is no memory for them.
#[must_use]
pub fn customers() -> String {
    let mut customers = "customer_id,recency_days,frequency,monetary\n".to_owned();
    for id in 0_u32..300 {
        let (recency, frequency) = (id * 37 % 365, id * 13 % 40 + 1);
        let monetary = frequency * (id % 17 + 3);
        writeln!(customers, "{id},{recency},{frequency},{monetary}.5").unwrap();
    }
    customers
}
