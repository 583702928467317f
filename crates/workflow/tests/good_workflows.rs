//! What a workflow that is right reads as.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod catalogue;

use std::collections::BTreeMap;
use std::time::Duration;

use marquetry_schedule::CatchUp;
use marquetry_types::{Parallelism, StageDescriptor, StageName};
use marquetry_workflow::{
    Condition, ParamInput, Retry, Stage, StageCatalogue, Workflow, control_descriptors,
    json_schema, parse, render,
};
use serde_json::{Value, json};

fn read(text: &str) -> Workflow {
    match parse(
        "retail.yaml",
        text,
        &catalogue::catalogue(),
        &catalogue::read_file,
    ) {
        Ok((workflow, _)) => workflow,
        Err(problems) => panic!("{}", render(&problems, Some(text), false)),
    }
}

fn stage<'w>(workflow: &'w Workflow, name: &str) -> &'w Stage {
    &workflow.stages[name]
}

fn needs(workflow: &Workflow, name: &str) -> Vec<String> {
    stage(workflow, name)
        .needs
        .iter()
        .map(StageName::to_string)
        .collect()
}

#[test]
fn needs_come_from_references_and_from_what_is_stated() {
    let workflow = read(catalogue::GOOD);
    assert_eq!(needs(&workflow, "orders"), [""; 0]);
    assert_eq!(needs(&workflow, "paid"), ["orders"]);
    assert_eq!(needs(&workflow, "quality"), ["customers", "segments"]);
    assert_eq!(needs(&workflow, "good_news"), ["quality", "segments"]);
    assert_eq!(needs(&workflow, "bad_news"), ["quality", "segments"]);
}

#[test]
fn what_holds_a_stage_back_comes_from_the_stage_then_the_defaults() {
    let workflow = read(
        "marquetry: v1
name: shop
params: { shop: { type: string } }
defaults:
  concurrency: { group: warehouse, limit: 4 }
  rate: { limit: 100, per: 1m }
stages:
  plain: { uses: ingest/files, with: { path: a.csv } }
  own:
    uses: ingest/files
    with: { path: a.csv }
    concurrency: 2
    rate: { group: \"api-${{ params.shop }}-${{ stages.plain.rows }}\", limit: 5, per: 10s, burst: 1 }
  nap: { uses: wait/until, with: { duration: 1h } }
",
    );
    let told = |name: &str| serde_json::to_value(&stage(&workflow, name).throttle).unwrap();
    assert_eq!(
        told("plain"),
        json!({
            "concurrency": {"group": "warehouse", "limit": 4},
            "rate": {"group": "shop/plain", "limit": 100, "per": {"secs": 60, "nanos": 0}, "burst": 100},
        })
    );
    assert_eq!(
        told("own"),
        json!({
            "concurrency": {"group": "shop/own", "limit": 2},
            "rate": {
                "group": "api-${{ params.shop }}-${{ stages.plain.rows }}",
                "limit": 5, "per": {"secs": 10, "nanos": 0}, "burst": 1,
            },
        })
    );
    assert_eq!(told("nap"), json!({}), "it takes no worker");
    assert_eq!(needs(&workflow, "own"), ["plain"], "its group reads it");
}

#[test]
fn a_run_gives_what_its_outputs_name_and_runs_other_workflows() {
    let workflow = read(
        "marquetry: v1
name: countries
params: { countries: { type: list, default: [de, fr] } }
outputs:
  customers: \"${{ stages.customers }}\"
  silhouette: \"${{ stages.daily.metrics.silhouette }}\"
stages:
  daily:
    uses: workflow/run
    timeout: 1h
    with: { workflow: daily, params: { segments: 6 } }
  customers:
    uses: features/customer
    with: { orders: \"${{ stages.daily.outputs.orders }}\" }
  each:
    uses: workflow/run
    for_each: { items: \"${{ params.countries }}\", limit: 2 }
    with: { workflow: country, params: { country: \"${{ item }}\" } }
",
    );
    let daily = stage(&workflow, "daily");
    assert_eq!(
        (daily.timeout, daily.stage_timeout),
        (None, Some(Duration::from_secs(3600))),
        "it has no attempts"
    );
    assert_eq!(needs(&workflow, "customers"), ["daily"]);
    let outputs: Vec<(&str, Vec<&str>)> = workflow
        .outputs
        .iter()
        .map(|(name, output)| {
            let needs = output.needs.iter().map(StageName::as_str);
            (name.as_str(), needs.collect())
        })
        .collect();
    assert_eq!(
        outputs,
        [
            ("customers", vec!["customers"]),
            ("silhouette", vec!["daily"])
        ]
    );
    assert!(stage(&workflow, "each").for_each.is_some());
}

#[test]
fn a_cached_stage_knows_the_files_that_it_names() {
    let text = "marquetry: v1
name: shop
stages:
  orders: { uses: ingest/files, with: { path: x.csv } }
  paid:
    uses: features/sql
    cache: { max_age: 7d }
    with: { inputs: { orders: \"${{ stages.orders }}\" }, query_file: sql/orders.sql }
  customers: { uses: features/customer, cache: true, with: { orders: \"${{ stages.paid }}\" } }
  segments: { uses: segmentation/kmeans, cache: false, with: { rows: \"${{ stages.customers }}\", k: 3 } }
";
    let workflow = read(text);
    let paid = stage(&workflow, "paid").cache.as_ref().unwrap();
    assert_eq!(paid.max_age, Some(Duration::from_secs(7 * 86_400)));
    let sql = catalogue::read_file("sql/orders.sql").unwrap();
    let digest = blake3::hash(sql.as_bytes()).to_hex().to_string();
    assert_eq!(
        paid.files,
        BTreeMap::from([("sql/orders.sql".to_owned(), digest)])
    );
    let customers = stage(&workflow, "customers").cache.as_ref().unwrap();
    assert!(customers.files.is_empty() && customers.max_age.is_none());
    assert!(stage(&workflow, "segments").cache.is_none());
}

#[test]
fn secrets_stay_names() {
    let workflow = read(
        "marquetry: v1
name: shop
stages:
  orders: { uses: ingest/files, with: { path: \"s3://${{ secrets.BUCKET }}/x.csv\" } }
",
    );
    let value = stage(&workflow, "orders")
        .with
        .evaluate(&serde_json::Map::new());
    let pieces = json!([{"text": "s3://"}, {"name": "BUCKET"}, {"text": "/x.csv"}]);
    assert_eq!(value.unwrap()["path"], json!({"$secret": pieces}));
}

#[test]
fn policies_come_from_the_stage_then_the_defaults() {
    let workflow = read(catalogue::GOOD);
    let orders = stage(&workflow, "orders");
    assert_eq!(
        orders.retry,
        Retry {
            attempts: 5,
            ..Retry::default()
        }
    );
    assert_eq!(orders.timeout, Some(Duration::from_secs(1800)));
    assert_eq!(
        stage(&workflow, "segments").timeout,
        Some(Duration::from_secs(5400))
    );
    assert_eq!(stage(&workflow, "customers").memory, Some(2 << 30));
    assert_eq!(orders.memory, None);
    assert_eq!(orders.outputs, ["rows", "rejected"]);
}

#[test]
fn conditions_are_always_failure_or_an_expression() {
    let workflow = read(catalogue::GOOD);
    assert_eq!(stage(&workflow, "orders").condition, None);
    assert_eq!(
        stage(&workflow, "bad_news").condition,
        Some(Condition::Failure)
    );
    let Some(Condition::When(expression)) = &stage(&workflow, "quality").condition else {
        panic!("a condition");
    };
    assert_eq!(expression.source().trim(), "stages.customers.rows > 10");
}

#[test]
fn options_evaluate_over_a_scope_and_then_fit_their_schema() {
    let workflow = read(catalogue::GOOD);
    let params = workflow.resolve_params(&BTreeMap::new()).unwrap();
    let dataset = json!({"manifest": "m", "digest": "d", "rows": 3, "bytes": 9});
    let scope = json!({
        "params": params,
        "stages": {"customers": {"$dataset": dataset, "rows": 3}},
        "run": {"id": "r", "submitted_at": "now"},
    });
    let Value::Object(scope) = scope else {
        unreachable!("an object")
    };
    let options = stage(&workflow, "segments").with.evaluate(&scope).unwrap();
    assert_eq!(options["k"], json!(8));
    assert_eq!(options["seed"], json!(7));
    let catalogue = catalogue::catalogue();
    let kmeans = catalogue.descriptor("segmentation/kmeans").unwrap();
    assert_eq!(marquetry_workflow::check_options(kmeans, &options), Ok(()));
    let mut wrong = options;
    wrong["k"] = json!(1);
    let problem = marquetry_workflow::check_options(kmeans, &wrong).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "options of `segmentation/kmeans`: `k` must be at least 2, got the number `1` [MQ0113]; \
         help: `k`: How many segments, or a range of which the best is taken"
    );
}

#[test]
fn the_bundle_holds_the_workflow_and_the_files_that_it_names() {
    let text = catalogue::GOOD;
    let (_, bundle) = parse(
        "flows/retail.yaml",
        text,
        &catalogue::catalogue(),
        &catalogue::read_file,
    )
    .unwrap();
    assert_eq!(bundle.workflow_text(), text);
    let paths: Vec<_> = bundle.files.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "flows/retail.yaml",
            "scripts/segments.rhai",
            "sql/orders.sql"
        ]
    );
}

#[test]
fn a_workflow_reads_back_from_its_json() {
    let workflow = read(catalogue::GOOD);
    let json = serde_json::to_string(&workflow).unwrap();
    assert_eq!(serde_json::from_str::<Workflow>(&json).unwrap(), workflow);
}

#[test]
fn stages_are_ordered_by_need_and_else_as_in_the_file() {
    let workflow = read(catalogue::GOOD);
    let order = workflow.topological_order();
    let order: Vec<_> = order.iter().map(StageName::as_str).collect();
    let expected = [
        "orders",
        "paid",
        "customers",
        "segments",
        "rules",
        "quality",
        "good_news",
        "bad_news",
    ];
    assert_eq!(order, expected);
    let backwards = read(
        "marquetry: v1\nname: n\nstages:\n  b: { uses: notify/webhook, with: { url: u }, needs: a }\n  \
         a: { uses: notify/webhook, with: { url: u } }\n",
    );
    let order: Vec<_> = backwards
        .topological_order()
        .iter()
        .map(StageName::to_string)
        .collect();
    assert_eq!(order, ["a", "b"]);
}

#[test]
fn a_chain_as_long_as_a_file_can_hold_is_read_in_order() {
    let mut text = "marquetry: v1\nname: n\nstages:\n".to_owned();
    let mut count = 0;
    while text.len() < 1_000_000 {
        let needs = if count == 0 {
            String::new()
        } else {
            format!(", needs: s{}", count - 1)
        };
        text += &format!("  s{count}: {{uses: notify/webhook, with: {{url: u}}{needs}}}\n");
        count += 1;
    }
    let workflow = read(&text);
    assert_eq!(workflow.topological_order().len(), count);
}

#[test]
fn anchors_and_aliases_stand_for_their_values() {
    let text = "marquetry: v1\nname: n\nstages:\n  a: { uses: notify/webhook, with: &with { url: u } }\n  \
                b: { uses: notify/webhook, with: *with }\n";
    let workflow = read(text);
    assert_eq!(stage(&workflow, "a").with, stage(&workflow, "b").with);
}

#[test]
fn parallelism_is_that_of_the_stage_else_of_the_defaults_else_auto() {
    let text = |defaults: &str| {
        format!(
            "marquetry: v1\nname: n\n{defaults}stages:\n  a: {{ uses: ingest/files, with: {{ path: a.csv }} }}\n  \
             b: {{ uses: ingest/files, with: {{ path: a.csv }}, parallelism: cluster }}\n"
        )
    };
    let of = |text: &str| {
        let workflow = read(text);
        ["a", "b"].map(|name| stage(&workflow, name).parallelism)
    };
    let (auto, cluster) = (Parallelism::Auto, Parallelism::Cluster);
    assert_eq!(of(&text("")), [auto, cluster]);
    let local = text("defaults: { parallelism: local }\n");
    assert_eq!(of(&local), [Parallelism::Local, cluster]);
}

/// The schema for editors accepts what `parse` accepts.
#[test]
fn the_schema_accepts_good_workflows_and_refuses_wrong_options() {
    let catalogue = catalogue::catalogue();
    let schema = json_schema(Some(&catalogue));
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    let good = json!({
        "marquetry": "v1", "name": "n",
        "params": {"k": {"type": "int", "default": 8, "min": 2}},
        "defaults": {"timeout": "1h30m", "memory": "2GiB", "parallelism": "local",
                     "retry": {"attempts": 2}},
        "stages": {
            "orders": {"uses": "ingest/files", "with": {"path": "a/*.csv",
                       "csv": {"delimiter": "${{ params.d }}"}, "columns": {"id": "int64"}}},
            "segments": {"uses": "segmentation/kmeans", "if": "always()", "needs": ["orders"],
                         "with": {"rows": "${{ stages.orders }}", "k": "${{ params.k }}"}},
        },
    });
    let problems: Vec<_> = validator
        .iter_errors(&good)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(problems, [""; 0]);
    let broken = [
        ("/stages/segments/with/k", json!("eight")),
        ("/stages/segments/with/rows", json!("orders")),
        ("/stages/segments/uses", json!("segmentation/kmean")),
        ("/stages/orders/with/csv/delimiter", json!(5)),
        ("/params/k/type", json!("integer")),
        ("/defaults/timeout", json!(30)),
        ("/marquetry", json!("v2")),
    ];
    for (pointer, value) in broken {
        let mut workflow = good.clone();
        *workflow.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&workflow), "{pointer}");
    }
    let plain = jsonschema::validator_for(&json_schema(None)).expect("a valid schema");
    assert!(plain.is_valid(&good));
}

#[test]
fn every_kind_of_the_catalogue_has_its_options_in_the_schema() {
    let catalogue = catalogue::catalogue();
    let schema = json_schema(Some(&catalogue));
    let descriptors: Vec<&StageDescriptor> = catalogue
        .kinds()
        .into_iter()
        .filter_map(|kind| catalogue.descriptor(kind))
        .collect();
    assert_eq!(
        schema["$defs"]["stage"]["allOf"].as_array().map(Vec::len),
        Some(descriptors.len() + control_descriptors().len())
    );
}

const SCHEDULED: &str = r#"marquetry: v1
name: retail
params:
  region: { type: string }
  segments: { type: int, default: 8, min: 2 }
  share: { type: float, default: 0.5 }
on:
  - schedule: "30 2 * * MON-FRI"
    timezone: europe/berlin
    catch_up: { all: 20 }
    params: { region: north, segments: 6, share: 1 }
    name: nightly
    from: 2026-12-01T00:00:00+01:00
    to: "2027-12-01T00:00:00Z"
  - every: 1h30m
    params: { region: "3" }
    jitter: 5m
    enabled: false
stages:
  orders:
    uses: ingest/files
    with: { path: "orders/${{ params.region }}/${{ run.interval_start ?? run.submitted_at }}.csv" }
  told:
    uses: notify/webhook
    if: run.scheduled_at != () && run.interval_end == run.scheduled_at
    with: { url: "https://example.org/", }
"#;

#[test]
fn schedules_are_read_with_their_params_in_the_types_of_the_workflow() {
    let workflow = read(SCHEDULED);
    let [nightly, other] = workflow.schedules.as_slice() else {
        panic!("two schedules");
    };
    assert_eq!(nightly.name.as_str(), "nightly");
    assert_eq!(nightly.schedule.when.to_string(), "30 2 * * MON-FRI");
    assert_eq!(nightly.schedule.timezone.name(), "Europe/Berlin");
    assert_eq!(nightly.schedule.catch_up, CatchUp::All { limit: 20 });
    let from = nightly.schedule.from.map(|from| from.to_string());
    assert_eq!(from.as_deref(), Some("2026-11-30T23:00:00.000Z"));
    let params = json!({"region": "north", "segments": 6, "share": 1.0});
    assert_eq!(Value::Object(nightly.params.clone()), params);
    assert!(nightly.enabled && !other.enabled);
    assert_eq!(other.name.as_str(), "schedule-2");
    assert_eq!(other.schedule.when.to_string(), "every 1h30m");
    assert_eq!(other.schedule.catch_up, CatchUp::Latest);
    let jitter = other.schedule.jitter.expect("a jitter");
    assert!(jitter.delay() <= Duration::from_secs(300));
    assert_eq!(nightly.schedule.jitter, None);
    // The run can begin with what the schedule gives.
    let given = nightly.params.iter();
    let given = given.map(|(name, value)| (name.clone(), ParamInput::Value(value.clone())));
    assert!(workflow.resolve_params(&given.collect()).is_ok());
    let json = serde_json::to_string(&workflow).unwrap();
    assert_eq!(serde_json::from_str::<Workflow>(&json).unwrap(), workflow);
}

#[test]
fn a_workflow_that_nothing_triggers_is_written_as_before() {
    for on in ["", "on:\n", "on: []\n"] {
        let text = format!(
            "marquetry: v1\nname: n\n{on}stages:\n  a: {{ uses: notify/webhook, with: {{ url: u }} }}\n"
        );
        let workflow = read(&text);
        assert_eq!(workflow.schedules, []);
        assert!(
            !serde_json::to_string(&workflow)
                .unwrap()
                .contains("schedules")
        );
    }
}

#[test]
fn a_workflow_has_a_hundred_triggers_at_most() {
    let text = |count: usize| {
        let triggers = "  - every: 1h\n".repeat(count);
        format!(
            "marquetry: v1\nname: n\non:\n{triggers}stages:\n  a: {{ uses: notify/webhook, with: {{ url: u }} }}\n"
        )
    };
    assert_eq!(read(&text(100)).schedules.len(), 100);
    let parsed = parse(
        "n.yaml",
        &text(101),
        &catalogue::catalogue(),
        &catalogue::read_file,
    );
    let problem = parsed.unwrap_err().to_string();
    assert!(
        problem.contains("`on` has 101 triggers, and a workflow may have 100"),
        "{problem}"
    );
}

#[test]
fn the_schema_knows_triggers() {
    let schema = json_schema(None);
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    let with = |trigger: Value| json!({"marquetry": "v1", "name": "n", "on": [trigger], "stages": {"a": {"uses": "notify/webhook"}}});
    for good in [
        json!({"schedule": "@daily", "timezone": "Europe/Berlin", "catch_up": "skip", "name": "nightly-1"}),
        json!({"every": "15m", "catch_up": {"all": 5}, "jitter": "1m", "enabled": false}),
        json!({"schedule": "0 3 * * *", "from": "2026-12-01T00:00:00Z", "params": {"k": 3, "l": ["a"]}}),
    ] {
        assert!(validator.is_valid(&with(good.clone())), "{good}");
    }
    for wrong in [
        json!({"schedule": "@daily", "every": "15m"}),
        json!({"every": "15m", "timezone": "UTC"}),
        json!({"every": 15}),
        json!({"name": "nightly"}),
        json!({"trigger": "orders"}),
        json!({"schedule": "@daily", "catch_up": "last"}),
        json!({"schedule": "@daily", "catch_up": {"all": 0}}),
        json!({"schedule": "@daily", "enabled": "no"}),
        json!("@daily"),
    ] {
        assert!(!validator.is_valid(&with(wrong.clone())), "{wrong}");
    }
}

#[test]
fn what_is_published_and_what_is_read_of_it_is_known_before_the_run() {
    let workflow = read(
        r#"marquetry: v1
name: loop
stages:
  customers:
    uses: features/customer
    with: { orders: "${{ tables.orders }}" }
    publish: customers
  segments:
    uses: segmentation/kmeans
    with: { rows: "${{ stages.customers }}", k: 3 }
    publish: { segments: segments, centres: segment_centres }
  offers:
    uses: personalization/offers
    with: { customers: "${{ stages.customers }}", policy: offers }
  learn:
    uses: feedback/bandit
    with: { decisions: "${{ stages.offers }}", policy: offers }
"#,
    );
    let published: Vec<String> = workflow
        .published()
        .into_iter()
        .map(|(kind, name)| format!("{} {name}", kind.as_str()))
        .collect();
    assert_eq!(
        published,
        [
            "table customers",
            "table orders",
            "table segment_centres",
            "table segments",
            "policy offers"
        ]
    );
    let of_stage = |name: &str| {
        let publishes = stage(&workflow, name).publish.iter();
        publishes
            .map(|publish| format!("{} as {}", publish.output, publish.name))
            .collect::<Vec<_>>()
    };
    assert_eq!(of_stage("customers"), ["customers as customers"]);
    assert_eq!(
        of_stage("segments"),
        ["segments as segments", "centres as segment_centres"]
    );
    assert_eq!(of_stage("offers"), [""; 0]);
    assert_eq!(of_stage("learn"), ["policy as offers"]);
    // It is journalled, and so must come back as it was.
    let json = serde_json::to_string(&workflow).unwrap();
    assert_eq!(serde_json::from_str::<Workflow>(&json).unwrap(), workflow);
}
