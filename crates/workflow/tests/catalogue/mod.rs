//! A catalogue like that of the installed plugins, and files beside a workflow, for tests.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    reason = "tests, of which each uses a part of it"
)]

use std::collections::BTreeMap;

use marquetry_types::{OutputDescriptor, StageDescriptor};
use marquetry_workflow::StageCatalogue;
use serde_json::{Value, json};

/// Descriptors by kind.
pub struct Catalogue(BTreeMap<String, StageDescriptor>);

impl StageCatalogue for Catalogue {
    fn descriptor(&self, kind: &str) -> Option<&StageDescriptor> {
        self.0.get(kind)
    }

    fn kinds(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

fn descriptor(kind: &str, options: Value, outputs: &[&str], metrics: &[&str]) -> StageDescriptor {
    let named = |names: &[&str]| {
        names
            .iter()
            .map(|name| OutputDescriptor::new(*name, format!("the {name}")))
            .collect()
    };
    StageDescriptor {
        kind: kind.parse().expect("a valid kind"),
        version: 1,
        summary: format!("what {kind} does"),
        description: String::new(),
        options,
        outputs: named(outputs),
        metrics: named(metrics),
        example: String::new(),
        is_pure: !kind.starts_with("ingest/"),
    }
}

/// As schemars writes a dataset option.
fn input() -> Value {
    json!({
        "description": "A dataset.",
        "x-marquetry": "dataset",
        "type": "object",
        "properties": {"$dataset": {"type": "object"}},
        "required": ["$dataset"],
    })
}

fn options(properties: Value, required: &[&str]) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
        "$defs": {
            "Input": input(),
            "FileName": {"type": "string", "x-marquetry": "file"},
            "RowExpression": {"type": "string", "x-marquetry": "script"},
            "CsvOptions": {
                "type": "object",
                "properties": {
                    "delimiter": {"type": "string", "minLength": 1, "maxLength": 1,
                                  "description": "The character between fields."},
                    "header": {"type": "boolean", "default": true,
                               "description": "Whether the first line names the columns."},
                },
                "additionalProperties": false,
            },
            "ColumnType": {"enum": ["string", "int64", "float64", "bool", "date", "timestamp"]},
            "Column": {
                "type": "object",
                "properties": {
                    "from": {"type": ["string", "null"]},
                    "type": {"$ref": "#/$defs/ColumnType"},
                    "not_null": {"type": "boolean"},
                },
                "additionalProperties": false,
            },
            "Rule": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "when": {"$ref": "#/$defs/RowExpression",
                             "description": "When a row belongs to the segment."},
                },
                "required": ["name", "when"],
                "additionalProperties": false,
            },
        },
    })
}

/// Kinds like those of the installed plugins.
pub fn catalogue() -> Catalogue {
    let dataset = |description: &str| json!({"$ref": "#/$defs/Input", "description": description});
    let kinds = [
        descriptor(
            "ingest/files",
            options(
                json!({
                    "path": {"type": ["string", "array"], "items": {"type": "string"},
                             "description": "What to read: a file, a folder or a glob."},
                    "format": {"anyOf": [
                        {"oneOf": [
                            {"description": "Comma-separated values.", "type": "string", "const": "csv"},
                            {"description": "One JSON object a line.", "type": "string", "const": "ndjson"},
                            {"description": "Apache Parquet.", "type": "string", "const": "parquet"},
                        ]},
                        {"type": "null"},
                    ], "description": "The format of the files."},
                    "csv": {"$ref": "#/$defs/CsvOptions", "description": "How CSV files are written."},
                    "columns": {"type": "object", "additionalProperties": {
                        "anyOf": [{"$ref": "#/$defs/ColumnType"}, {"$ref": "#/$defs/Column"}]},
                        "description": "The columns of the output."},
                    "unique": {"type": "array", "items": {"type": "string"},
                               "description": "Columns that identify a row."},
                    "max_rejected_share": {"type": "number", "format": "double", "minimum": 0, "maximum": 1,
                                           "description": "The share of rows that may be rejected."},
                }),
                &["path"],
            ),
            &["rows", "rejected"],
            &["rows", "rejected"],
        ),
        descriptor(
            "features/customer",
            options(
                json!({
                    "orders": dataset("The lines of the orders."),
                    "as_of": {"type": ["string", "null"], "description": "The day up to which is counted."},
                    "timezone": {"type": "string", "description": "Whose days and hours."},
                    "top": {"type": "array", "items": {"type": "string"},
                            "description": "Columns whose most frequent value is kept."},
                }),
                &["orders"],
            ),
            &["customers"],
            &["customers"],
        ),
        descriptor(
            "features/sql",
            options(
                json!({
                    "inputs": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Input"},
                               "minProperties": 1, "description": "Tables by the name that SQL uses."},
                    "query": {"type": ["string", "null"], "description": "The SQL."},
                    "query_file": {"anyOf": [{"$ref": "#/$defs/FileName"}, {"type": "null"}],
                                   "description": "A file with the SQL."},
                }),
                &["inputs"],
            ),
            &["rows"],
            &[],
        ),
        descriptor(
            "segmentation/kmeans",
            options(
                json!({
                    "rows": dataset("One row per customer."),
                    "k": {"anyOf": [
                        {"type": "integer", "format": "uint32", "minimum": 2, "maximum": 1000},
                        {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
                    ], "description": "How many segments, or a range of which the best is taken."},
                    "seed": {"type": "integer", "minimum": 0, "description": "The seed."},
                    "init": {"enum": ["plus_plus", "random"], "description": "Where centres begin."},
                    "columns": {"type": "array", "items": {"type": "string"}, "minItems": 1,
                                "description": "The columns to cluster by."},
                }),
                &["rows", "k"],
            ),
            &["segments", "centres"],
            &["inertia", "iterations", "k"],
        ),
        descriptor(
            "segmentation/rules",
            options(
                json!({
                    "rows": dataset("One row per customer."),
                    "rules": {"type": "array", "items": {"$ref": "#/$defs/Rule"},
                              "description": "Rules, the first that holds deciding."},
                    "script": {"anyOf": [{"$ref": "#/$defs/FileName"}, {"type": "null"}],
                               "description": "A script with `fn segment(row)`."},
                }),
                &["rows"],
            ),
            &["segments"],
            &["unmatched"],
        ),
        descriptor(
            "evaluation/clusters",
            options(
                json!({
                    "rows": dataset("The rows that were clustered."),
                    "assignment": dataset("The segment of each row."),
                    "other": {"anyOf": [{"$ref": "#/$defs/Input"}, {"type": "null"}],
                              "description": "Another assignment to compare with."},
                    "sample": {"type": "integer", "minimum": 2, "description": "Rows for the silhouette."},
                }),
                &["rows", "assignment"],
            ),
            &["quality"],
            &["silhouette", "davies_bouldin", "calinski_harabasz"],
        ),
        descriptor(
            "personalization/offers",
            options(
                json!({
                    "customers": dataset("One row per customer."),
                    "policy": {"type": ["string", "object"], "x-marquetry": "policy",
                               "description": "The policy that chooses."},
                }),
                &["customers", "policy"],
            ),
            &["decisions"],
            &[],
        ),
        descriptor(
            "feedback/bandit",
            options(
                json!({
                    "decisions": dataset("What was decided."),
                    "policy": {"type": ["string", "object"], "x-marquetry": "policy_update",
                               "description": "The policy that learns."},
                }),
                &["decisions", "policy"],
            ),
            &["policy", "arms"],
            &[],
        ),
        descriptor(
            "notify/webhook",
            options(
                json!({"url": {"type": "string", "description": "Where to post."}}),
                &["url"],
            ),
            &[],
            &[],
        ),
    ];
    Catalogue(
        kinds
            .into_iter()
            .map(|descriptor| (descriptor.kind.to_string(), descriptor))
            .collect(),
    )
}

/// The files beside a workflow.
pub fn read_file(path: &str) -> Result<String, String> {
    match path {
        "sql/orders.sql" => Ok("select * from orders".to_owned()),
        "scripts/segments.rhai" => {
            Ok("fn segment(row) { if row.monetary > 1000 { \"gold\" } else { () } }".to_owned())
        }
        "scripts/broken.rhai" => {
            Ok("fn segment(row) {\n  if row.monetary > { \"gold\" }\n}".to_owned())
        }
        _ => Err("no such file".to_owned()),
    }
}

/// A workflow that uses all of the format.
pub const GOOD: &str = r#"marquetry: v1
name: retail-segmentation
description: Who the customers are.
params:
  orders:   { type: string, default: data/orders/*.parquet, description: where the orders are }
  segments: { type: int, default: 8, min: 2, max: 64 }
  share:    { type: float, default: 0.01, max: 1 }
  period:   { type: string, default: daily, allowed: [daily, weekly] }
  top:      { type: list, default: [country, channel] }
  notify:   { type: bool, default: false }
on:
  - { schedule: "30 2 * * MON-FRI", timezone: Europe/Berlin, params: { segments: 6 } }
  - { every: 15m, catch_up: { all: 3 }, from: 2026-12-01T00:00:00Z, enabled: false }
defaults:
  timeout: 30m
  retry: { attempts: 3, backoff: { initial: 1s, factor: 2, max: 1m } }
stages:
  orders:
    uses: ingest/files
    description: Order lines.
    with:
      path: "${{ params.orders }}"
      columns: { customer_id: int64, ts: { type: timestamp, not_null: true } }
      max_rejected_share: ${{ params.share }}
    retry: { attempts: 5 }
  paid:
    uses: features/sql
    with:
      inputs: { orders: "${{ stages.orders }}", bad: "${{ stages.orders.outputs.rejected }}" }
      query_file: sql/orders.sql
  customers:
    uses: features/customer
    with: { orders: "${{ stages.paid }}", top: "${{ params.top }}", as_of: null }
    memory: 2GiB
  segments:
    uses: segmentation/kmeans
    with: { rows: "${{ stages.customers }}", k: "${{ params.segments }}", seed: 7 }
    timeout: 1h30m
  rules:
    uses: segmentation/rules
    with:
      rows: "${{ stages.customers }}"
      rules:
        - { name: gold, when: monetary > 1000 && recency_days < 30 }
        - name: lapsed
          when: |
            recency_days > 365
              && frequency > 1
      script: scripts/segments.rhai
  quality:
    uses: evaluation/clusters
    if: "${{ stages.customers.rows > 10 }}"
    with: { rows: "${{ stages.customers }}", assignment: "${{ stages.segments }}" }
  good_news:
    uses: notify/webhook
    if: params.notify && stages.quality.metrics.silhouette > 0.2
    with: { url: "https://example.org/${{ run.id }}?rows=${{ stages.segments.rows }}" }
  bad_news:
    uses: notify/webhook
    needs: [segments, quality]
    if: failure()
    with: { url: https://example.org/failed }
"#;
