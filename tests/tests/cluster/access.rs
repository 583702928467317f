//! Who gets in.

use std::process::Output;

use marquetry_tests::{Cluster, Place, said};
use serde_json::Value;

use crate::certificates::certify;

const NOTHING: &str = "
marquetry: v1
name: nothing
stages: { nothing: { uses: probe/nothing, with: {} } }
";

fn token(place: &Place, role: &str) -> (String, String) {
    let made = place.json(&["token", "new", "--role", role, "--name", role]);
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("token"), text("line"))
}

fn with_token(cluster: &Cluster, arguments: &[&str], token: Option<&str>) -> Output {
    let mut command = cluster.command(arguments);
    if let Some(token) = token {
        command.env("MARQUETRY_TOKEN", token);
    }
    command.output().unwrap()
}

#[test]
fn a_token_opens_what_its_role_includes() {
    let place = Place::new();
    let tokens = ["viewer", "operator", "worker"].map(|role| token(&place, role));
    let lines: Vec<&str> = tokens.iter().map(|(_, line)| line.as_str()).collect();
    place.file("tokens", &lines.join("\n"));
    let [(viewer, _), (operator, _), (worker, _)] = &tokens;
    let file = place.path().join("tokens");
    let mut cluster = Cluster::start(&["--tokens", file.to_str().unwrap()]);
    cluster.place.file("nothing.yaml", NOTHING);
    cluster.place.file("worker-token", worker);

    for (token, code) in [
        (None, "MQ0707"),
        (Some("mq_wrong"), "MQ0707"),
        (Some(viewer.as_str()), "MQ0707"),
        (Some(worker.as_str()), "MQ0707"),
    ] {
        let refused = with_token(&cluster, &["submit", "nothing.yaml"], token);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains(code), "{}", said(&refused));
    }
    cluster.add_worker(&["--token-file", "worker-token"]);
    let submitted = with_token(
        &cluster,
        &["submit", "nothing.yaml", "--wait"],
        Some(operator),
    );
    assert!(submitted.status.success(), "{}", said(&submitted));
    let seen = with_token(&cluster, &["runs", "--output", "json"], Some(viewer));
    let seen: Value = serde_json::from_slice(&seen.stdout).unwrap();
    assert_eq!(seen[0]["status"], "succeeded");
    let attached = with_token(&cluster, &["worker"], Some(operator));
    assert_eq!(attached.status.code(), Some(2), "{}", said(&attached));
    assert!(
        said(&attached).contains("refuses this worker"),
        "{}",
        said(&attached)
    );
}

#[test]
fn a_server_that_others_can_reach_wants_tls_and_tokens() {
    let place = Place::new();
    let refused = place.run(&["server", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(
        said(&refused).contains("there is neither TLS nor tokens"),
        "{}",
        said(&refused)
    );
}

#[test]
fn with_mutual_tls_only_those_with_a_certificate_get_in() {
    let files = Place::new();
    certify(&files, &[("server", "127.0.0.1"), ("client", "client")]);
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let mut cluster = Cluster::start(&[
        "--certificate",
        &path("server.pem"),
        "--key",
        &path("server.key"),
        "--client-authority",
        &path("authority.pem"),
    ]);
    assert!(cluster.url(0).starts_with("https://"), "{}", cluster.url(0));
    cluster.place.file("nothing.yaml", NOTHING);
    let (authority, client, key) = (
        path("authority.pem"),
        path("client.pem"),
        path("client.key"),
    );
    let identity = [
        "--authority",
        &authority,
        "--client-certificate",
        &client,
        "--client-key",
        &key,
    ];
    cluster.add_worker(&identity);
    let mut arguments = vec!["submit", "nothing.yaml", "--wait"];
    arguments.extend(identity);
    let submitted = cluster.command(&arguments).output().unwrap();
    assert!(submitted.status.success(), "{}", said(&submitted));
    let stranger = cluster
        .command(&["runs", "--authority", &authority])
        .output()
        .unwrap();
    assert_eq!(stranger.status.code(), Some(3), "{}", said(&stranger));
    assert!(said(&stranger).contains("MQ0703"), "{}", said(&stranger));
}
