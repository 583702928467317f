//! `marquetry health`, as probes ask.

use marquetry_tests::{Cluster, said};

#[test]
fn health_is_told_by_the_exit_code() {
    let mut cluster = Cluster::start(&[]);
    let url = cluster.url(0).to_owned();
    let code = |cluster: &Cluster, more: &[&str]| {
        let arguments = [&["health", &url][..], more].concat();
        let output = cluster.command(&arguments).output().unwrap();
        (output.status.code(), said(&output))
    };
    let (alive, told) = code(&cluster, &[]);
    assert_eq!(alive, Some(0), "{told}");
    assert!(told.contains("is well"), "{told}");
    let (leads, told) = code(&cluster, &["--leads"]);
    assert_eq!(leads, Some(0), "{told}");
    assert!(told.contains("leads"), "{told}");
    cluster.kill_server(0);
    let (dead, told) = code(&cluster, &[]);
    assert_eq!(dead, Some(3), "{told}");
    assert!(told.contains("MQ0703"), "{told}");
}
