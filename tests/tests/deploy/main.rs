//! The files in `deploy/` name commands, flags, variables, ports, secrets and labels, and nothing reads them before
//! somebody deploys. So they are compared here with what the program says of itself, and with each other. A second
//! test breaks a copy of them in one place at a time, and expects to be told.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod compose;
mod containerfile;
mod findings;
mod kubernetes;
mod process;
mod program;
mod prose;
mod secrets;
mod systemd;
mod yaml;

use std::fs;
use std::path::Path;

use marquetry_tests::repository;

use crate::findings::Findings;
use crate::program::Program;

/// Everything that is wrong in a folder such as `deploy/`.
fn wrong_in(deploy: &Path, program: &Program) -> Vec<String> {
    let mut findings = Findings::default();
    let user = containerfile::check(deploy, program, &mut findings);
    compose::check(deploy, program, &mut findings);
    systemd::check(deploy, program, &mut findings);
    kubernetes::check(deploy, program, user, &mut findings);
    prose::check(deploy, program, &mut findings);
    secrets::check(deploy, &mut findings);
    findings.into_lines()
}

/// The files below a folder, by their paths in it, without what git does not keep.
pub(crate) fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let path = match folder.as_str() {
                "" => name,
                folder => format!("{folder}/{name}"),
            };
            match entry.file_type().unwrap().is_dir() {
                true if path == "secrets" => {}
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_deploy_says_is_what_the_program_takes() {
    let found = wrong_in(&repository().join("deploy"), &Program::new());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn whatever_is_wrong_is_told() {
    let program = Program::new();
    let deploy = repository().join("deploy");
    let mut untold = Vec::new();
    for &(file, right, wrong, message) in BROKEN {
        let copy = tempfile::tempdir().unwrap();
        for path in files(&deploy) {
            let to = copy.path().join(&path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(deploy.join(&path), to).unwrap();
        }
        let text = fs::read_to_string(deploy.join(file)).unwrap();
        assert!(text.contains(right), "{file} does not say `{right}`");
        fs::write(copy.path().join(file), text.replacen(right, wrong, 1)).unwrap();
        let found = wrong_in(copy.path(), &program);
        let is_told = found
            .iter()
            .any(|line| line.starts_with(&format!("{file}: ")) && line.contains(message));
        if !is_told {
            untold.push(format!(
                "{file}: `{wrong}` for `{right}` should be told as `{message}`; told is\n    {}",
                found.join("\n    ")
            ));
        }
    }
    assert!(untold.is_empty(), "\n{}\n", untold.join("\n"));
}

/// A file, what it says, what it says when it is broken, and what is then told.
#[rustfmt::skip]
const BROKEN: &[(&str, &str, &str, &str)] = &[
    ("Containerfile", "rust:1.95.0-slim", "rust:1-slim", "is not pinned"),
    ("Containerfile", "rust:1.95.0-slim", "rust:1.50.0-slim", "older than the workspace needs"),
    ("Containerfile", "COPY proto proto", "COPY protos proto", "there is no `protos`"),
    ("Containerfile", "USER 10001:10001", "USER root", "is not a number above 0"),
    ("Containerfile", "EXPOSE 7070", "EXPOSE 7071", "the server listens on 7070"),
    ("Containerfile", "ENTRYPOINT [\"marquetry\"]", "ENTRYPOINT [\"sh\"]", "the entry point is not `marquetry` alone"),
    ("Containerfile", "MARQUETRY_DATA_DIR", "MARQUETRY_DATA", "knows no MARQUETRY_DATA"),
    ("Containerfile", "VERSION=0.1.0", "VERSION=0.0.9", "the program is of version"),
    ("Containerfile.dockerignore", "!plugins\n", "", "leaves out `plugins`"),
    ("compose.yaml", "command: [server]", "command: [serve]", "there is no `marquetry serve`"),
    ("compose.yaml", "--stage-memory", "--stage-mem", "`marquetry worker` has no flag `--stage-mem`"),
    ("compose.yaml", "--limit, \"1\"", "--last, \"1\"", "`marquetry runs` has no flag `--last`"),
    ("compose.yaml", "  MARQUETRY_LISTEN:", "  MARQUETRY_ADDRESS:", "`marquetry server` knows no MARQUETRY_ADDRESS"),
    ("compose.yaml", "MARQUETRY_LISTEN: 0.0.0.0:7070", "MARQUETRY_LISTEN: 0.0.0.0:7071", "its URL says 7070, and it listens on 7071"),
    ("compose.yaml", "https://coordinator-a:7070,", "https://coordinator-c:7070,", "`https://coordinator-c:7070` is no server's URL"),
    ("compose.yaml", "      MARQUETRY_COORDINATOR: https://coordinator-b:7070", "      MARQUETRY_COORDINATOR: https://coordinator-a:7070", "its probe asks another server"),
    ("compose.yaml", "  MARQUETRY_TOKENS: /run/secrets/tokens\n", "", "can be reached from elsewhere without MARQUETRY_TOKENS"),
    ("compose.yaml", "certificate, key, tokens,", "certificate, tokens,", "`/run/secrets/key` is not mounted"),
    ("compose.yaml", "worker-certificate, worker-key, worker-token]", "worker-certificate, worker-key, token]", "`token` is not declared"),
    ("compose.yaml", "  tokens: { file: secrets/tokens }\n", "", "`tokens` is not declared"),
    ("compose.yaml", "{ file: secrets/tokens }", "{ file: tokens }", "lies outside of secrets/"),
    ("compose.yaml", "env_file: [secrets/s3.env]", "env_file: [s3.env]", "lies outside of secrets/"),
    ("compose.yaml", "secrets: [database-password]\n", "secrets: []\n", "`/run/secrets/database-password` is not mounted"),
    ("compose.yaml", "stop_grace_period: 11m", "stop_grace_period: 9m", "it is given 540 s to stop, and drains for 600 s"),
    ("compose.yaml", "versitygw:v1.8.0", "versitygw:latest", "is not pinned"),
    ("compose.yaml", "marquetry:0.1.0", "marquetry:0.2.0", "the program is of version"),
    ("compose.yaml", "<<: [*lake, *coordinators]", "<<: *coordinators", "worker-a: its lake is not the servers'"),
    ("compose.yaml", "https://worker-b:7071", "https://worker-b:7070", "worker-b: its data plane's URL says 7070, and it listens on 7071"),
    ("compose.yaml", "https://worker-c:7071", "http://worker-c:7071", "its data plane's URL is not of https"),
    ("compose.yaml", "  MARQUETRY_DATA_PLANE_KEY: /run/secrets/worker-key\n", "", "its data plane can be reached without MARQUETRY_DATA_PLANE_KEY"),
    ("compose.yaml", "worker-certificate: {", "worker-certificates: {", "`worker-certificate` is not declared"),
    ("compose.yaml", "AWS_ENDPOINT: http://s3:9000", "AWS_ENDPOINT: http://s3:9001", "`s3` does not listen on 9001"),
    ("compose.yaml", "AWS_ALLOW_HTTP", "AWS_ALLOW_HTPP", "the lake's store knows no AWS_ALLOW_HTPP"),
    ("compose.yaml", "http://127.0.0.1:9000/health", "http://127.0.0.1:7070/health", "asks port 7070"),
    ("compose.yaml", "  work:\n\nsecrets", "\nsecrets", "volume `work` is not declared"),
    ("compose.yaml", "services:\n", "services: [\n", "cannot be read"),
    ("compose.yaml", "MARQUETRY_LOG: info", "MARQUETRY_TOKEN: mq_00112233445566778899aabbccddeeff", "a token stands in line"),
    ("compose.yaml", "POSTGRES_PASSWORD_FILE: /run/secrets/database-password", "POSTGRES_PASSWORD: geheim", "a value for POSTGRES_PASSWORD stands in line"),
    ("compose.yaml", "MARQUETRY_LOG: info", "MARQUETRY_JOURNAL: postgres://me:geheim@db/runs", "a URL with a password stands in line"),
    ("systemd/marquetry-server.service", "marquetry server", "marquetry serve", "there is no `marquetry serve`"),
    ("systemd/marquetry-server.service", "=MARQUETRY_KEY=", "=MARQUETRY_SECRET=", "knows no MARQUETRY_SECRET"),
    ("systemd/marquetry-server.service", "LoadCredential=tokens:", "LoadCredential=token:", "`%d/tokens` is not mounted"),
    ("systemd/marquetry-server.service", "MARQUETRY_LISTEN=0.0.0.0:7070", "MARQUETRY_LISTEN=0.0.0.0:7443", "its URL says 7070, and it listens on 7443"),
    ("systemd/marquetry-server.service", "NoNewPrivileges=yes", "NoNewPrivileges=no", "NoNewPrivileges is not `yes`"),
    ("systemd/marquetry-server.service", "/etc/marquetry/server.env", "/etc/marquetry/servers.env", "there is no example of servers.env"),
    ("systemd/marquetry-server.service", "StateDirectory=marquetry\n", "StateDirectory=other\n", "is not its state directory"),
    ("systemd/marquetry-worker.service", "--drain-timeout 600", "--drain-time 600", "`marquetry worker` has no flag `--drain-time`"),
    ("systemd/marquetry-worker.service", "TimeoutStopSec=630", "TimeoutStopSec=90", "it is given 90 s to stop, and drains for 600 s"),
    ("systemd/marquetry-worker.service", "KillMode=mixed", "KillMode=control-group", "KillMode is not `mixed`"),
    ("systemd/marquetry-worker.service", "OOMPolicy=continue", "OOMPolicy=stop", "OOMPolicy is not `continue`"),
    ("systemd/marquetry-worker.service", "MemoryMax=9G", "MemoryMax=7G", "its stages and its data plane may take 7168 MiB"),
    ("systemd/marquetry-worker.service", "--data-plane 0.0.0.0:7071 ", "", "it shares no queries"),
    ("systemd/marquetry-worker.service", "LoadCredential=key:", "LoadCredential=keys:", "`%d/key` is not mounted"),
    ("systemd/marquetry-worker.service", "--data-plane 0.0.0.0:7071", "--data-plane 0.0.0.0:7072", "its data plane's URL says 7071, and it listens on 7072"),
    ("systemd/marquetry-worker.service", "[Install]", "Install", "is no assignment"),
    ("systemd/worker.env.example", "coordinator-b.example:7070", "coordinator-b.example:7071", "no server listens on 7071"),
    ("systemd/worker.env.example", "s3://bucket", "s3://other", "its lake is not the servers'"),
    ("systemd/worker.env.example", "MARQUETRY_LAKE", "MARQUETRY_LAKES", "knows no MARQUETRY_LAKES"),
    ("systemd/worker.env.example", "# AWS_SECRET_ACCESS_KEY=", "AWS_SECRET_ACCESS_KEY=geheim", "a value for AWS_SECRET_ACCESS_KEY stands in line"),
    ("kubernetes/kustomization.yaml", "  - disruption.yaml\n", "", "does not name disruption.yaml"),
    ("kubernetes/kustomization.yaml", "  - network.yaml\n", "  - network.yaml\n  - secrets.example.yaml\n", "secrets.example.yaml is an example"),
    ("kubernetes/kustomization.yaml", "newTag: 0.1.0", "newTag: 0.2.0", "the program is of version"),
    ("kubernetes/coordinator.yaml", "containerPort: 7070", "containerPort: 7071", "port `grpc` is 7071, and it listens on 7070"),
    ("kubernetes/coordinator.yaml", "              port: grpc", "              port: http", "probes port `http`, which it does not have"),
    ("kubernetes/coordinator.yaml", "tcpSocket:", "grpc:", "the kubelet's gRPC probe cannot speak TLS"),
    ("kubernetes/coordinator.yaml", "targetPort: grpc", "targetPort: web", "no pod that it selects has a port `web`"),
    ("kubernetes/coordinator.yaml", ".svc:7070", ".svc:7443", "its URL says 7443, and it listens on 7070"),
    ("kubernetes/coordinator.yaml", "$(POD_NAME).coordinator.", "$(POD_NAME).coordinators.", "has no name of its service in it"),
    ("kubernetes/coordinator.yaml", "serviceName: coordinator", "serviceName: coordinators", "there is no service `coordinators`"),
    ("kubernetes/coordinator.yaml", "  clusterIP: None\n", "", "gives its pods no names"),
    ("kubernetes/coordinator.yaml", "--limit", "--first", "`marquetry runs` has no flag `--first`"),
    ("kubernetes/coordinator.yaml", "name: MARQUETRY_URL", "name: MARQUETRY_URI", "`marquetry server` knows no MARQUETRY_URI"),
    ("kubernetes/coordinator.yaml", "secretName: marquetry-viewer", "secretName: marquetry-reader", "there is no secret `marquetry-reader`"),
    ("kubernetes/coordinator.yaml", "key: MARQUETRY_JOURNAL", "key: url", "secret `marquetry-journal` has no `url`"),
    ("kubernetes/coordinator.yaml", "value: /etc/marquetry/tls/tls.key", "value: /etc/marquetry/tls/key.pem", "`/etc/marquetry/tls/key.pem` is not mounted"),
    ("kubernetes/coordinator.yaml", "            - name: viewer\n", "            - name: view\n", "there is no volume `view`"),
    ("kubernetes/coordinator.yaml", "runAsUser: 10001", "runAsUser: 1000", "the image's user is 10001"),
    ("kubernetes/coordinator.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "`readOnlyRootFilesystem` is not true"),
    ("kubernetes/coordinator.yaml", "serviceAccountName: coordinator", "serviceAccountName: server", "there is no service account `server`"),
    ("kubernetes/worker.yaml", "--slots", "--places", "`marquetry worker` has no flag `--places`"),
    ("kubernetes/worker.yaml", "https://coordinator-1.", "https://coordinator-2.", "`https://coordinator-2.coordinator.$(POD_NAMESPACE).svc:7070` is no server's URL"),
    ("kubernetes/worker.yaml", "terminationGracePeriodSeconds: 630", "terminationGracePeriodSeconds: 30", "it is given 30 s to stop, and drains for 600 s"),
    ("kubernetes/worker.yaml", "              memory: 8Gi", "              memory: 7Gi", "its stages and its data plane may take 7168 MiB"),
    ("kubernetes/worker.yaml", "value: /etc/marquetry/tls/tls.key", "value: /etc/marquetry/tls/key.pem", "`/etc/marquetry/tls/key.pem` is not mounted"),
    ("kubernetes/worker.yaml", "secretName: marquetry-worker-tls", "secretName: marquetry-workers-tls", "there is no secret `marquetry-workers-tls`"),
    ("kubernetes/worker.yaml", "containerPort: 7071", "containerPort: 7070", "port `data-plane` is 7070, and it listens on 7071"),
    ("kubernetes/worker.yaml", "      port: 7071", "      port: 7070", "the service is at 7070, and `worker` listens on 7071"),
    ("kubernetes/worker.yaml", "$(POD_NAME).worker.", "$(POD_NAME).workers.", "has no name of its service in it"),
    ("kubernetes/network.yaml", "- port: 7071", "- port: 7070", "lets 7070 in, and `worker` listens on 7071"),
    ("kubernetes/worker.yaml", "name: marquetry\n            - secretRef", "name: settings\n            - secretRef", "there is no config map `settings`"),
    ("kubernetes/disruption.yaml", "app.kubernetes.io/name: worker", "app.kubernetes.io/name: workers", "its selector finds no pod"),
    ("kubernetes/disruption.yaml", "app.kubernetes.io/name: coordinator", "app.kubernetes.io/name: worker", "nothing limits the disruption of `coordinator`"),
    ("kubernetes/network.yaml", "- port: 7070", "- port: 7071", "lets 7071 in, and `coordinator` listens on 7070"),
    ("kubernetes/network.yaml", "app.kubernetes.io/name: worker", "app.kubernetes.io/name: workers", "its selector finds no pod"),
    ("kubernetes/configuration.yaml", "MARQUETRY_LAKE", "MARQUETRY_LAKES", "knows no MARQUETRY_LAKES"),
    ("kubernetes/secrets.example.yaml", "AWS_SECRET_ACCESS_KEY: REPLACE", "AWS_SECRET_ACCESS_KEY: geheim", "a value for AWS_SECRET_ACCESS_KEY stands in line"),
    ("kubernetes/secrets.example.yaml", "  tokens: REPLACE", "  tokens: operator", "`tokens` is not REPLACE"),
    ("kubernetes/secrets.example.yaml", "name: marquetry-tokens", "name: marquetry-token", "nothing uses the secret `marquetry-token`"),
    ("kubernetes/autoscaling/autoscaler.yaml", "    name: worker", "    name: workers", "there is no StatefulSet `workers`"),
    ("README.md", "marquetry token new --role", "marquetry token make --role", "there is no `marquetry token make`"),
    ("README.md", "client submit", "client submits", "there is no `marquetry submits`"),
    ("README.md", "--name $role", "--names $role", "`marquetry token new` has no flag `--names`"),
    ("README.md", "MARQUETRY_JOURNAL", "MARQUETRY_DATABASE", "knows no MARQUETRY_DATABASE"),
    ("README.md", "database.password\n", "database.passwort\n", "makes no `database.password`"),
    ("README.md", "secret marquetry-viewer", "secret marquetry-view", "makes no secret `marquetry-viewer`"),
];
