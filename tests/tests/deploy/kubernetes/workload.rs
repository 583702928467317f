//! A Deployment or StatefulSet: its pods as processes, and what holds for the pods.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Cluster, Object};
use crate::findings::Findings;
use crate::process::{Process, SECRET, mebibytes};
use crate::yaml::{entries, list, scalar, text, texts};

/// Where the pod's only container stands.
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// What keeps pods running.
#[derive(Debug)]
pub(super) struct Workload<'cluster> {
    pub(super) object: &'cluster Object,
    /// One for each pod of a StatefulSet, one in all for a Deployment.
    pub(super) processes: Vec<Process>,
    /// The secrets that it refers to.
    pub(super) secrets: BTreeSet<String>,
}

impl<'cluster> Workload<'cluster> {
    pub(super) fn new(
        object: &'cluster Object,
        cluster: &Cluster,
        findings: &mut Findings,
    ) -> Self {
        let mut reader = Reader {
            object,
            cluster,
            findings,
            secrets: BTreeSet::new(),
        };
        let variables = reader.variables();
        let files = reader.files();
        let secrets = reader.secrets;
        let replicas: u64 = match text(&object.value, "/kind").as_deref() {
            Some("StatefulSet") => text(&object.value, "/spec/replicas")
                .and_then(|it| it.parse().ok())
                .unwrap_or(1),
            _ => 1,
        };
        let at = |pointer: &str| text(&object.value, pointer);
        let container = object.value.pointer(CONTAINER).unwrap_or(&Value::Null);
        let probes: Vec<Vec<String>> = probes(container)
            .map(|(_, probe)| texts(probe, "/exec/command"))
            .filter(|command| !command.is_empty())
            .collect();
        let processes = (0..replicas).map(|number| Process {
            file: object.file.clone(),
            name: object.name(),
            command: texts(container, "/args"),
            probes: probes.clone(),
            variables: expanded(&variables, &format!("{}-{number}", object.name())),
            files: files.clone(),
            grace: at("/spec/template/spec/terminationGracePeriodSeconds")
                .and_then(|it| it.parse().ok()),
            memory: text(container, "/resources/limits/memory")
                .as_deref()
                .and_then(mebibytes),
        });
        Self {
            object,
            processes: processes.collect(),
            secrets,
        }
    }

    /// The program's command that it runs.
    pub(super) fn command(&self) -> Option<&str> {
        let process = self.processes.first()?;
        process.command.first().map(String::as_str)
    }

    pub(super) fn container(&self) -> &Value {
        self.object.value.pointer(CONTAINER).unwrap_or(&Value::Null)
    }

    /// The labels of its pods.
    pub(super) fn labels(&self) -> Vec<(&str, &Value)> {
        entries(&self.object.value, "/spec/template/metadata/labels")
    }

    /// What holds for any pod.
    pub(super) fn check(&self, user: Option<u64>, findings: &mut Findings) {
        let file = &self.object.file;
        let name = self.object.name();
        let pod = self
            .object
            .value
            .pointer("/spec/template/spec")
            .unwrap_or(&Value::Null);
        let container = self.container();
        for (place, pointer, expected) in [
            (pod, "/securityContext/runAsNonRoot", "true"),
            (
                pod,
                "/securityContext/seccompProfile/type",
                "RuntimeDefault",
            ),
            (pod, "/automountServiceAccountToken", "false"),
            (container, "/securityContext/readOnlyRootFilesystem", "true"),
            (
                container,
                "/securityContext/allowPrivilegeEscalation",
                "false",
            ),
            (container, "/securityContext/capabilities/drop/0", "ALL"),
        ] {
            let field = pointer.trim_start_matches("/securityContext/");
            findings.expect(
                text(place, pointer).as_deref() == Some(expected),
                file,
                || format!("{name}: `{field}` is not {expected}"),
            );
        }
        let runs_as = text(pod, "/securityContext/runAsUser").and_then(|it| it.parse().ok());
        findings.expect(runs_as == user, file, || {
            let user = user.unwrap_or_default();
            format!("{name}: runAsUser is {runs_as:?}, and the image's user is {user}")
        });
        for pointer in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
            let is_said = text(container, &format!("/resources{pointer}")).is_some();
            findings.expect(is_said, file, || {
                format!("{name}: it has no resources{pointer}")
            });
        }
        self.check_probes(findings);
    }

    /// Probes ask ports that there are, in a language that the kubelet speaks.
    fn check_probes(&self, findings: &mut Findings) {
        let (file, name) = (&self.object.file, self.object.name());
        let has_tls = self
            .processes
            .iter()
            .any(|it| it.variables.contains_key("MARQUETRY_CERTIFICATE"));
        for (kind, probe) in probes(self.container()) {
            findings.expect(!has_tls || probe.get("grpc").is_none(), file, || {
                format!("{name}: {kind}: the kubelet's gRPC probe cannot speak TLS")
            });
            for way in ["/tcpSocket/port", "/httpGet/port", "/grpc/port"] {
                let Some(port) = text(probe, way) else {
                    continue;
                };
                findings.expect(self.port(&port).is_some(), file, || {
                    format!("{name}: {kind} probes port `{port}`, which it does not have")
                });
            }
        }
    }

    /// The number of a port of its container, by name or number.
    pub(super) fn port(&self, port: &str) -> Option<u16> {
        list(self.container(), "/ports").into_iter().find_map(|it| {
            let number = text(it, "/containerPort")?;
            let is_meant = number == port || text(it, "/name").as_deref() == Some(port);
            number.parse().ok().filter(|_| is_meant)
        })
    }
}

fn probes(container: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    ["readinessProbe", "livenessProbe", "startupProbe"]
        .into_iter()
        .filter_map(|kind| Some((kind, container.get(kind)?)))
}

/// The variables of one pod, `$(NAME)` in place of which stands what was set before.
fn expanded(variables: &[(String, String)], pod: &str) -> BTreeMap<String, String> {
    let mut set: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in variables {
        let mut value = match value.as_str() {
            "metadata.name" => pod.to_owned(),
            // It stays as it is, for coordinators and workers alike.
            "metadata.namespace" => format!("$({name})"),
            _ => value.clone(),
        };
        for (earlier, text) in &set {
            value = value.replace(&format!("$({earlier})"), text);
        }
        set.insert(name.clone(), value);
    }
    set
}

/// Reads what a pod refers to, and tells what is not there.
struct Reader<'work> {
    object: &'work Object,
    cluster: &'work Cluster,
    findings: &'work mut Findings,
    secrets: BTreeSet<String>,
}

impl Reader<'_> {
    fn say(&mut self, message: &str) {
        let name = self.object.name();
        self.findings
            .add(&self.object.file, format!("{name}: {message}"));
    }

    /// The keys of a secret.
    fn secret(&mut self, name: &str) -> BTreeSet<String> {
        self.secrets.insert(name.to_owned());
        match self.cluster.secrets.get(name) {
            Some(keys) => keys.clone(),
            None => {
                self.say(&format!("there is no secret `{name}`"));
                BTreeSet::new()
            }
        }
    }

    fn expect_key(&mut self, secret: &str, key: &str) {
        let keys = self.secret(secret);
        if !keys.is_empty() && !keys.contains(key) {
            self.say(&format!("the secret `{secret}` has no `{key}`"));
        }
    }

    /// What `env` and `envFrom` set, in the order of the file. What is in no file stands as [`SECRET`] or as the path
    /// of the pod's field.
    fn variables(&mut self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let object = self.object;
        for source in list(&object.value, &format!("{CONTAINER}/envFrom")) {
            if let Some(name) = text(source, "/configMapRef/name") {
                match self.cluster.find("ConfigMap", &name) {
                    None => self.say(&format!("there is no config map `{name}`")),
                    Some(map) => {
                        let data = entries(&map.value, "/data").into_iter();
                        found.extend(
                            data.filter_map(|(key, it)| Some((key.to_owned(), scalar(it)?))),
                        );
                    }
                }
            }
            if let Some(name) = text(source, "/secretRef/name") {
                let keys = self.secret(&name);
                found.extend(keys.into_iter().map(|key| (key, SECRET.to_owned())));
            }
        }
        for variable in list(&object.value, &format!("{CONTAINER}/env")) {
            let name = text(variable, "/name").unwrap_or_default();
            if let Some(secret) = text(variable, "/valueFrom/secretKeyRef/name") {
                let key = text(variable, "/valueFrom/secretKeyRef/key").unwrap_or_default();
                self.expect_key(&secret, &key);
            }
            let value = text(variable, "/value")
                .or_else(|| text(variable, "/valueFrom/fieldRef/fieldPath"))
                .unwrap_or_else(|| SECRET.to_owned());
            found.push((name, value));
        }
        found
    }

    /// The files of secrets that are mounted.
    fn files(&mut self) -> BTreeSet<String> {
        let object = self.object;
        let volumes = list(&object.value, "/spec/template/spec/volumes");
        let mounts = list(&object.value, &format!("{CONTAINER}/volumeMounts"));
        let mut found = BTreeSet::new();
        for mount in &mounts {
            let name = text(mount, "/name").unwrap_or_default();
            let path = text(mount, "/mountPath").unwrap_or_default();
            let is_it = |it: &&&Value| text(it, "/name").as_ref() == Some(&name);
            let Some(volume) = volumes.iter().find(is_it) else {
                self.say(&format!("there is no volume `{name}`"));
                continue;
            };
            let Some(secret) = text(volume, "/secret/secretName") else {
                continue;
            };
            let items = list(volume, "/secret/items");
            for item in &items {
                let key = text(item, "/key").unwrap_or_default();
                self.expect_key(&secret, &key);
                found.extend(text(item, "/path").map(|it| format!("{path}/{it}")));
            }
            let keys = self.secret(&secret);
            if items.is_empty() {
                found.extend(keys.iter().map(|key| format!("{path}/{key}")));
            }
        }
        found
    }
}
