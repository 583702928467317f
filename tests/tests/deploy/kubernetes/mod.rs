//! The manifests for Kubernetes: what the kustomization puts together, and that all of it fits.

mod links;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::findings::Findings;
use crate::program::Program;
use crate::yaml::{documents, entries, scalar, text, texts};
use workload::Workload;

const FOLDER: &str = "kubernetes";
const KUSTOMIZATION: &str = "kubernetes/kustomization.yaml";
const EXAMPLE: &str = "kubernetes/secrets.example.yaml";

/// An object, and the file that it stands in.
#[derive(Debug)]
struct Object {
    file: String,
    value: Value,
}

impl Object {
    fn kind(&self) -> String {
        text(&self.value, "/kind").unwrap_or_default()
    }

    fn name(&self) -> String {
        text(&self.value, "/metadata/name").unwrap_or_default()
    }
}

/// Everything that the folder holds.
#[derive(Debug, Default)]
struct Cluster {
    objects: Vec<Object>,
    /// The keys of each secret of the example.
    secrets: BTreeMap<String, BTreeSet<String>>,
}

impl Cluster {
    fn of_kind<'cluster>(
        &'cluster self,
        kind: &'cluster str,
    ) -> impl Iterator<Item = &'cluster Object> {
        self.objects.iter().filter(move |it| it.kind() == kind)
    }

    fn find(&self, kind: &str, name: &str) -> Option<&Object> {
        self.objects
            .iter()
            .find(|it| it.kind() == kind && it.name() == name)
    }
}

pub(crate) fn check(deploy: &Path, program: &Program, user: Option<u64>, findings: &mut Findings) {
    let cluster = read(deploy, program, findings);
    let workloads: Vec<Workload<'_>> = ["StatefulSet", "Deployment"]
        .into_iter()
        .flat_map(|kind| cluster.of_kind(kind))
        .map(|object| Workload::new(object, &cluster, findings))
        .collect();
    let mut seats = Vec::new();
    for workload in &workloads {
        workload.check(user, findings);
        for process in &workload.processes {
            seats.extend(process.check(program, findings));
        }
    }
    for workload in &workloads {
        for process in &workload.processes {
            process.check_coordinators(&seats, true, findings);
        }
        let port = match workload.command() {
            Some("server") => seats.first().and_then(|seat| seat.port),
            Some("worker") => {
                let process = workload.processes.first();
                process.and_then(|process| process.data_plane_port(program))
            }
            _ => None,
        };
        links::check_ports(workload, port, &cluster, findings);
    }
    links::check(&cluster, &workloads, findings);
    check_secrets(&cluster, &workloads, findings);
    check_settings(&cluster, program, findings);
}

fn read(deploy: &Path, program: &Program, findings: &mut Findings) -> Cluster {
    let mut cluster = Cluster::default();
    let named = kustomization(deploy, program, findings);
    for path in crate::files(&deploy.join(FOLDER)) {
        let file = format!("{FOLDER}/{path}");
        if file == EXAMPLE || path.ends_with("kustomization.yaml") {
            continue;
        }
        let is_base = !path.contains('/');
        findings.expect(!is_base || named.contains(&path), KUSTOMIZATION, || {
            format!("does not name {path}")
        });
        for value in documents(deploy, &file, findings) {
            let file = file.clone();
            cluster.objects.push(Object { file, value });
        }
    }
    for secret in documents(deploy, EXAMPLE, findings) {
        let mut keys = BTreeSet::new();
        for (key, value) in entries(&secret, "/stringData") {
            findings.expect(scalar(value).as_deref() == Some("REPLACE"), EXAMPLE, || {
                format!("`{key}` is not REPLACE")
            });
            keys.insert(key.to_owned());
        }
        let name = text(&secret, "/metadata/name").unwrap_or_default();
        cluster.secrets.insert(name, keys);
    }
    cluster
}

/// The kustomization names files that are there, and the program's version. Returns the files.
fn kustomization(deploy: &Path, program: &Program, findings: &mut Findings) -> Vec<String> {
    let mut named = Vec::new();
    for file in [KUSTOMIZATION, "kubernetes/autoscaling/kustomization.yaml"] {
        let folder = deploy.join(file);
        let documents = documents(deploy, file, findings);
        for path in documents.iter().flat_map(|it| texts(it, "/resources")) {
            let is_there = folder.with_file_name(&path).exists();
            findings.expect(is_there, file, || format!("there is no {path}"));
            findings.expect(!path.contains("example"), file, || {
                format!("{path} is an example")
            });
            named.push(path);
        }
        for tag in documents
            .iter()
            .filter_map(|it| text(it, "/images/0/newTag"))
        {
            findings.expect(tag == program.version, file, || {
                format!(
                    "the image is {tag}, and the program is of version {}",
                    program.version
                )
            });
        }
    }
    named
}

/// Every secret of the example is used. That those that are used stand there is checked where they are.
fn check_secrets(cluster: &Cluster, workloads: &[Workload<'_>], findings: &mut Findings) {
    for name in cluster.secrets.keys() {
        let is_used = workloads.iter().any(|it| it.secrets.contains(name));
        findings.expect(is_used, EXAMPLE, || {
            format!("nothing uses the secret `{name}`")
        });
    }
}

/// The program knows what config maps set.
fn check_settings(cluster: &Cluster, program: &Program, findings: &mut Findings) {
    for map in cluster.of_kind("ConfigMap") {
        for (name, _) in entries(&map.value, "/data") {
            let is_known = !name.starts_with("MARQUETRY_") || program.knows(name);
            findings.expect(is_known, &map.file, || {
                format!("the program knows no {name}")
            });
        }
    }
}
