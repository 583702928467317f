//! Stages that panic, hang, block or say that they failed: what a user sees of each, how often it is
//! tried, and that it costs its neighbours nothing.

use marquetry_proto::v1;
use marquetry_proto::v1::FailureClass::{Invalid, ResourceExhausted, Transient};
use marquetry_types::{AttemptId, AttemptNumber, RunId};
use marquetry_worker::read_log;

use crate::exchange::Exchange;
use crate::house::{House, resume, submit, watch_to_end};

/// A stage that misbehaves beside two that do not. `more` are further keys of that stage.
fn beside_others(act: &str, more: &str) -> String {
    format!(
        r#"
marquetry: v1
name: beside-others
defaults: {{ retry: {{ attempts: 3, backoff: {{ initial: 1ms, max: 1ms }} }} }}
stages:
  bad: {{ uses: test/step, with: {{ {act} }}, {more} }}
  after: {{ uses: test/step, with: {{ inputs: ["${{{{ stages.bad }}}}"] }} }}
  good: {{ uses: test/step, with: {{}} }}
  better: {{ uses: test/step, with: {{ inputs: ["${{{{ stages.good }}}}"] }} }}
"#
    )
}

/// How a stage that misbehaves ends.
struct Expected {
    class: v1::FailureClass,
    code: &'static str,
    message: &'static str,
    help: &'static str,
    attempts: usize,
}

async fn fails(act: &str, more: &str, expected: Expected) -> (House, RunId) {
    let house = House::new();
    let server = house.coordinator().await.unwrap();
    let exchange = Exchange::new();
    exchange.plug_into(&server);
    // One thread: nobody else must need the one that a stage blocks.
    let objects = std::sync::Arc::clone(&house.objects);
    let _worker = house.worker_on("w1", &exchange, objects, 1);
    let mut client = exchange.client();
    let run = submit(&mut client, &beside_others(act, more)).await;
    let shown = watch_to_end(&mut client, &run).await;

    let summary = shown.summary.unwrap();
    assert_eq!(summary.status(), v1::RunStatus::Failed);
    assert_eq!(
        (
            summary.stages_failed,
            summary.stages_skipped,
            summary.stages_succeeded
        ),
        (1, 1, 2)
    );
    let stage = |name: &str| {
        shown
            .stages
            .iter()
            .find(|stage| stage.name == name)
            .unwrap()
    };
    let bad = stage("bad");
    assert_eq!(bad.status(), v1::StageStatus::Failed);
    let failure = bad.failure.as_ref().unwrap();
    assert_eq!(failure.class(), expected.class);
    let diagnostic = failure.diagnostic.as_ref().unwrap();
    assert_eq!(
        (
            diagnostic.code.as_str(),
            diagnostic.message.as_str(),
            diagnostic.help.as_str()
        ),
        (expected.code, expected.message, expected.help)
    );
    assert_eq!(
        summary.failure.as_ref(),
        Some(diagnostic),
        "the run says the same"
    );
    assert_eq!(bad.attempts.len(), expected.attempts);
    assert!(bad.attempts.iter().all(|attempt| attempt.failure.is_some()));
    assert_eq!(
        stage("after").skip_reason,
        "it needs stage `bad`, which failed"
    );
    for unharmed in ["good", "better"] {
        assert_eq!(stage(unharmed).status(), v1::StageStatus::Succeeded);
        assert_eq!(stage(unharmed).attempts.len(), 1, "{unharmed}");
    }
    (house, run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_panics_fails_for_good_and_keeps_its_log() {
    let expected = Expected {
        class: Invalid,
        code: "MQ0803",
        message: "the stage panicked: the drawer is empty",
        help: "this is a bug in the stage; please report it with its log",
        attempts: 1,
    };
    let (house, run) = fails("act: panic", "", expected).await;
    let log = log_of(&house, &run, 1).await;
    let [entered, panicked, failed] = log.as_slice() else {
        panic!("{log:?}");
    };
    assert_eq!(entered, "entered the floor");
    // With the place, which is for whoever mends the stage.
    assert!(panicked.starts_with("it panicked at "), "{panicked}");
    assert!(panicked.ends_with(": the drawer is empty"), "{panicked}");
    assert_eq!(failed, "the stage panicked: the drawer is empty");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_hangs_is_cut_off_at_its_timeout_and_tried_again() {
    let expected = Expected {
        class: Transient,
        code: "MQ0801",
        message: "the stage ran longer than its timeout of 100ms",
        help: "raise the stage's `timeout`, or give it less to do",
        attempts: 3,
    };
    let (house, run) = fails("act: hang", "timeout: 100ms", expected).await;
    assert_eq!(
        log_of(&house, &run, 3).await,
        [
            "entered the floor",
            "the stage ran longer than its timeout of 100ms"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_blocks_its_thread_is_cut_off_at_its_timeout_too() {
    let expected = Expected {
        class: Transient,
        code: "MQ0801",
        message: "the stage ran longer than its timeout of 100ms",
        help: "raise the stage's `timeout`, or give it less to do",
        attempts: 3,
    };
    fails("act: block", "timeout: 100ms", expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_input_is_never_tried_again() {
    let expected = Expected {
        class: Invalid,
        code: "MQ0406",
        message: "the drawer is stuck",
        help: "oil it",
        attempts: 1,
    };
    fails("act: invalid", "", expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transient_failure_is_tried_as_often_as_the_workflow_says() {
    let expected = |attempts| Expected {
        class: Transient,
        code: "MQ0406",
        message: "the drawer is stuck",
        help: "oil it",
        attempts,
    };
    fails("act: transient", "", expected(3)).await;
    fails("act: transient", "retry: { attempts: 1 }", expected(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exhausted_resources_are_tried_again() {
    let expected = Expected {
        class: ResourceExhausted,
        code: "MQ0406",
        message: "the drawer is stuck",
        help: "oil it",
        attempts: 3,
    };
    fails("act: exhausted", "", expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_stops_unasked_is_told_so() {
    let expected = Expected {
        class: Transient,
        code: "MQ0806",
        message: "the stage stopped as if it were cancelled, and nobody cancelled it: the stage was stopped on request",
        help: "this is an error of the plugin that provides the stage kind",
        attempts: 3,
    };
    fails("act: give_up", "", expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_at_first_succeeds_in_the_attempt_that_does() {
    for act in ["transient", "exhausted", "give_up"] {
        let house = House::new();
        let (_server, _worker, exchange) = house.open().await;
        let mut client = exchange.client();
        let run = submit(
            &mut client,
            &beside_others(&format!("act: {act}, times: 2"), ""),
        )
        .await;
        let shown = watch_to_end(&mut client, &run).await;
        assert_eq!(shown.summary.unwrap().status(), v1::RunStatus::Succeeded);
        let bad = shown
            .stages
            .iter()
            .find(|stage| stage.name == "bad")
            .unwrap();
        let failed: Vec<_> = bad.attempts.iter().map(|it| it.failure.is_some()).collect();
        assert_eq!(failed, [true, true, false], "{act}");
        assert_eq!(bad.failure, None, "{act}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_resumes_with_what_did_not_succeed() {
    let house = House::new();
    let (_server, _worker, exchange) = house.open().await;
    let mut client = exchange.client();
    let run = submit(&mut client, &beside_others("act: panic, times: 1", "")).await;
    let shown = watch_to_end(&mut client, &run).await;
    assert_eq!(shown.summary.unwrap().status(), v1::RunStatus::Failed);
    resume(&mut client, &run).await.unwrap();
    let shown = watch_to_end(&mut client, &run).await;
    assert_eq!(shown.summary.unwrap().status(), v1::RunStatus::Succeeded);
    let starts = ["bad", "after", "good", "better"].map(|stage| house.floor.starts(stage));
    assert_eq!(starts, [2, 1, 1, 1]);
}

/// The messages in the log of one attempt at `bad`.
async fn log_of(house: &House, run: &RunId, attempt: u32) -> Vec<String> {
    let attempt = AttemptId {
        run: run.clone(),
        stage: "bad".parse().unwrap(),
        attempt: AttemptNumber(attempt),
    };
    let lines = read_log(&house.lake, &attempt).await.unwrap();
    lines.into_iter().map(|line| line.message).collect()
}
