//! Requests that cannot be: each is refused with a code and a reason, and begins nothing.

use marquetry_proto::v1::workflow_service_client::WorkflowServiceClient;
use marquetry_proto::{diagnostics_from_status, to_prost_value, v1};
use marquetry_types::{Diagnostics, codes};
use serde_json::json;
use tonic::{Code, Status};

use crate::exchange::Exchange;
use crate::house::{House, diagnostic, in_time, submission};
use crate::scripted_worker::ScriptedWorker;

const ONE: &str = r#"
marquetry: v1
name: one
params: { drawers: { type: int, default: 3, max: 9 } }
stages: { a: { uses: test/step, with: {} } }
"#;

/// A coordinator without a worker: what is begun stays on record as begun.
async fn counter(house: &House) -> (crate::house::Server, Exchange) {
    let server = house.coordinator().await.unwrap();
    let exchange = Exchange::new();
    exchange.plug_into(&server);
    (server, exchange)
}

async fn nothing_was_begun(house: &House) {
    let page = marquetry_journal::Page::first(1);
    let filter = marquetry_journal::RunFilter::default();
    assert_eq!(house.journal.list_runs(&filter, &page).await.unwrap(), []);
    assert_eq!(
        house.faults.commits(),
        1,
        "of the coordinator's start alone"
    );
}

/// Submits what must be refused as invalid.
async fn refused(request: v1::SubmitRunRequest) -> Diagnostics {
    let house = House::new();
    let (_server, exchange) = counter(&house).await;
    let status = in_time(exchange.client().submit_run(request))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    nothing_was_begun(&house).await;
    diagnostics_from_status(&status, &codes::INTERNAL)
}

fn one_line(diagnostics: &Diagnostics) -> String {
    assert_eq!(diagnostics.0.len(), 1, "{diagnostics}");
    diagnostics.0[0].to_string()
}

#[tokio::test]
async fn an_empty_submission_is_refused() {
    let refusal = refused(v1::SubmitRunRequest::default()).await;
    assert_eq!(
        one_line(&refusal),
        "both `bundle` and `workflow` are missing [MQ0704]"
    );
}

#[tokio::test]
async fn a_workflow_name_that_no_journal_can_keep_costs_nobody_else_anything() {
    let house = House::new();
    let (_server, exchange) = counter(&house).await;
    let mut workflows = WorkflowServiceClient::new(exchange.channel());
    let name = "a\0b".to_owned();
    let retire = v1::RetireWorkflowRequest { name: name.clone() };
    let retired = in_time(workflows.retire_workflow(retire)).await;
    let get = v1::GetWorkflowRequest { name, version: 0 };
    let shown = in_time(workflows.get_workflow(get)).await;
    for status in [retired.unwrap_err(), shown.unwrap_err()] {
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert_eq!(diagnostic(&status).code, codes::BAD_REQUEST);
    }
    nothing_was_begun(&house).await;
}

#[tokio::test]
async fn a_bundle_without_its_entry_is_refused() {
    let bundle = Some(v1::WorkflowBundle::default());
    let refusal = refused(v1::SubmitRunRequest {
        bundle,
        ..Default::default()
    })
    .await;
    assert_eq!(
        one_line(&refusal),
        "the bundle does not hold its entry `` [MQ0704]"
    );
    let mut request = submission(ONE);
    request.bundle.as_mut().unwrap().entry = "other.yaml".to_owned();
    let refusal = refused(request).await;
    assert_eq!(
        one_line(&refusal),
        "the bundle does not hold its entry `other.yaml` [MQ0704]"
    );
}

#[tokio::test]
async fn a_workflow_of_nothing_is_refused() {
    let refusal = refused(submission("")).await;
    assert!(!refusal.0.is_empty());
    assert_eq!(refusal.0[0].location.as_ref().unwrap().file, "test.yaml");
}

#[tokio::test]
async fn a_bundle_that_lacks_a_file_of_its_workflow_is_refused() {
    let yaml = r#"
marquetry: v1
name: one
stages: { a: { uses: test/step, with: { notes: notes.txt } } }
"#;
    let refusal = refused(submission(yaml)).await;
    let diagnostic = &refusal.0[0];
    assert_eq!(diagnostic.code, codes::MISSING_FILE, "{diagnostic}");
    assert!(diagnostic.message.contains("notes.txt"), "{diagnostic}");
    assert!(
        diagnostic.message.contains("it is not in the bundle"),
        "{diagnostic}"
    );
    assert_eq!(diagnostic.location.as_ref().unwrap().line, 4);
}

#[tokio::test]
async fn an_unknown_stage_kind_is_refused_with_a_suggestion() {
    let yaml = ONE.replace("test/step", "test/stepp");
    let refusal = refused(submission(&yaml)).await;
    let diagnostic = &refusal.0[0];
    assert_eq!(diagnostic.code, codes::UNKNOWN_STAGE_KIND);
    let help = diagnostic.help.as_deref().unwrap_or_default();
    assert!(help.contains("test/step"), "{diagnostic}");
}

#[tokio::test]
async fn a_workflow_over_the_limits_is_refused() {
    let padded = format!("{ONE}# {}\n", "x".repeat(1024 * 1024));
    let refusal = refused(submission(&padded)).await;
    assert_eq!(refusal.0[0].code, codes::YAML_TOO_BIG, "{refusal}");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused() {
    let house = House::new();
    let (_server, exchange) = counter(&house).await;
    let padded = format!("{ONE}# {}\n", "x".repeat(17 * 1024 * 1024));
    let status = in_time(exchange.client().submit_run(submission(&padded)))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    nothing_was_begun(&house).await;
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_refused() {
    for (name, value, code) in [
        ("drawer", json!(3), codes::UNKNOWN_PARAM),
        ("drawers", json!(10), codes::BAD_PARAM),
        ("drawers", json!("many"), codes::BAD_PARAM),
        ("drawers", json!([3]), codes::BAD_PARAM),
        ("drawers", json!(2.5), codes::BAD_PARAM),
    ] {
        let mut request = submission(ONE);
        request
            .params
            .insert(name.to_owned(), to_prost_value(&value));
        let refusal = refused(request).await;
        assert_eq!(refusal.0[0].code, code, "{name}: {value}: {refusal}");
        assert!(refusal.0[0].message.contains(name), "{refusal}");
    }
}

#[tokio::test]
async fn an_unknown_run_is_not_found_whatever_is_asked_of_it() {
    let house = House::new();
    let (_server, exchange) = counter(&house).await;
    let unknown = "01k0000000000000000000000a";
    for status in ask_everything(&exchange, unknown).await {
        assert_eq!(status.code(), Code::NotFound, "{status}");
        let diagnostic = diagnostic(&status);
        assert_eq!(
            diagnostic.to_string(),
            format!(
                "there is no run {unknown} [MQ0701]; help: `marquetry runs` lists the runs, and \
                 `marquetry sql` finds those that are in the archive only"
            )
        );
    }
    nothing_was_begun(&house).await;
}

#[tokio::test]
async fn a_run_id_that_is_none_is_refused_whatever_is_asked_of_it() {
    let house = House::new();
    let (_server, exchange) = counter(&house).await;
    for malformed in ["", "latest", "../../etc/passwd"] {
        for status in ask_everything(&exchange, malformed).await {
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            assert_eq!(diagnostic(&status).code, codes::BAD_REQUEST);
        }
    }
    let request = v1::ListRunsRequest {
        page_token: "page two".to_owned(),
        ..Default::default()
    };
    let status = in_time(exchange.client().list_runs(request))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    nothing_was_begun(&house).await;
}

#[tokio::test]
async fn a_request_that_is_sent_twice_begins_one_run() {
    let house = House::new();
    let (_server, exchange) = counter(&house).await;
    let mut client = exchange.client();
    let request = v1::SubmitRunRequest {
        request_id: "monday".to_owned(),
        ..submission(ONE)
    };
    let first = in_time(client.submit_run(request.clone()))
        .await
        .unwrap()
        .into_inner();
    let second = in_time(client.submit_run(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((first.created, second.created), (true, false));
    assert_eq!(first.run_id, second.run_id);
}

#[tokio::test]
async fn an_answer_that_waits_comes_with_the_end_of_the_run() {
    let house = House::new();
    let (_server, exchange) = counter(&house).await;
    let wait = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let request = |seconds| v1::SubmitRunRequest {
        request_id: "monday".to_owned(),
        wait: wait(seconds),
        ..submission(ONE)
    };
    // Nobody runs it: the wait ends before the run does.
    let answered = in_time(exchange.client().submit_run(request(0))).await;
    let running = answered.unwrap().into_inner();
    assert!(running.created);
    assert_eq!(running.run.unwrap().status(), v1::RunStatus::Running);
    // Two wait for the same run, whoever began it.
    let mut worker = ScriptedWorker::attach("w", &exchange, &[]).await;
    let token = worker.assigned().await;
    let (mut first, mut second) = (exchange.client(), exchange.client());
    let both = async {
        tokio::join!(
            first.submit_run(request(600)),
            second.submit_run(request(600))
        )
    };
    let report = async {
        worker.report_success(&token).await;
        assert!(worker.acknowledged(&token).await);
    };
    let ((first, second), ()) = in_time(async { tokio::join!(both, report) }).await;
    for answer in [first, second] {
        let answer = answer.unwrap().into_inner();
        assert!(!answer.created);
        assert_eq!(answer.run_id, running.run_id);
        assert_eq!(answer.run.unwrap().status(), v1::RunStatus::Succeeded);
    }
    let too_long = v1::SubmitRunRequest {
        wait: wait(3601),
        ..submission(ONE)
    };
    let refused = in_time(exchange.client().submit_run(too_long)).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_workflow_that_is_known_is_kept_once_and_begins_a_run_each_time() {
    let house = House::new();
    let (_server, exchange) = counter(&house).await;
    let before = house.faults.commits();
    let mut runs = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let submitted = in_time(exchange.client().submit_run(submission(ONE))).await;
        runs.insert(submitted.unwrap().into_inner().run_id);
    }
    assert_eq!(runs.len(), 3);
    assert_eq!(
        house.faults.commits() - before,
        1 + 3,
        "the files once, then a commit for each run"
    );
}

/// How each question about one run is refused.
async fn ask_everything(exchange: &Exchange, run_id: &str) -> [Status; 4] {
    let mut client = exchange.client();
    let run_id = run_id.to_owned();
    let get = v1::GetRunRequest {
        run_id: run_id.clone(),
    };
    let watch = v1::WatchRunRequest {
        run_id: run_id.clone(),
    };
    let cancel = v1::CancelRunRequest {
        run_id: run_id.clone(),
        reason: String::new(),
    };
    let resume = v1::RetryRunRequest {
        run_id,
        from_stages: Vec::new(),
    };
    [
        in_time(client.get_run(get)).await.unwrap_err(),
        in_time(client.watch_run(watch)).await.unwrap_err(),
        in_time(client.cancel_run(cancel)).await.unwrap_err(),
        in_time(client.retry_run(resume)).await.unwrap_err(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_not_named_by_more_than_a_journal_can_keep() {
    for request_id in ["x".repeat(257), "a\0b".to_owned()] {
        let refused = refused(v1::SubmitRunRequest {
            request_id,
            ..submission(ONE)
        })
        .await;
        assert_eq!(refused.0[0].code, codes::BAD_REQUEST, "{refused}");
    }
}
