//! What the processes of a cluster say on standard error: every line that is about a run says which one.

use std::collections::BTreeMap;

use marquetry_tests::{Cluster, eventually};
use serde_json::Value;

const ONE: &str = "
marquetry: v1
name: one
stages:
  only: { uses: probe/nothing, with: {} }
";

/// A run through a cluster that says all that it has to say, and what server and worker said of it. The
/// worker's hosts speak where it does.
fn said_of_a_run(format: &str) -> (String, [String; 2]) {
    let options = ["--log", "info", "--log-format", format];
    let mut cluster = Cluster::start(&options);
    cluster.place.file("one.yaml", ONE);
    cluster.add_worker(&options);
    let run = cluster.submit("one.yaml", &[]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    eventually("both have told of it", || {
        cluster.log("server-0").contains("a run ended")
            && cluster.log("worker-0").matches("it succeeded").count() == 2
    });
    let said = [cluster.log("server-0"), cluster.log("worker-0")];
    (run, said)
}

/// The fields of a line and of the spans that it is in.
fn fields(line: &str) -> BTreeMap<String, Value> {
    let line: Value = serde_json::from_str(line).unwrap();
    let spans = line["spans"].as_array().cloned().unwrap_or_default();
    let all = spans.into_iter().chain([line]);
    let all = all.filter_map(|fields| fields.as_object().cloned());
    all.flatten().collect()
}

#[test]
fn every_json_line_about_a_run_says_which_run_stage_and_attempt() {
    let (run, said) = said_of_a_run("json");
    let mut messages = Vec::new();
    for line in said.iter().flat_map(|said| said.lines()) {
        if !line.starts_with('{') {
            // What the worker tells people is no line of the log.
            assert!(!line.contains(&run), "{line}");
            continue;
        }
        let fields = fields(line);
        let message = fields["message"].as_str().unwrap().to_owned();
        if !line.contains(&run) {
            assert!(
                !message.contains("attempt") && !message.contains("stage"),
                "{line}"
            );
            continue;
        }
        assert_eq!(fields["run"], run.as_str(), "{line}");
        let trace = fields["trace_id"].as_str().unwrap();
        assert!(
            trace.len() == 32 && trace.bytes().all(|it| it.is_ascii_hexdigit()),
            "{line}"
        );
        if !message.starts_with("a run ") {
            assert_eq!(fields["stage"], "only", "{line}");
            assert_eq!(fields["attempt"], 1, "{line}");
        }
        messages.push(message);
    }
    for message in [
        "a run began",
        "an attempt is granted",
        "an attempt begins",
        "it succeeded",
        "a stage succeeded",
        "a run ended",
    ] {
        assert!(
            messages.iter().any(|it| it == message),
            "{message}: {messages:?}"
        );
    }
}

#[test]
fn text_lines_say_the_same_and_have_no_colours_where_nobody_sees_them() {
    let (run, said) = said_of_a_run("text");
    let mut seen = 0;
    for line in said.iter().flat_map(|said| said.lines()) {
        assert!(!line.contains('\u{1b}'), "{line}");
        if line.contains(&run) && !line.contains("a run ") {
            seen += 1;
            assert!(line.contains(&format!("run={run}")), "{line}");
            assert!(
                line.contains("stage=only") && line.contains("attempt=1"),
                "{line}"
            );
            assert!(line.contains("trace_id="), "{line}");
        }
    }
    assert!(seen >= 5, "{said:#?}");
}
