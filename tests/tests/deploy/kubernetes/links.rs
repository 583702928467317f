//! What refers to pods by their labels, and to ports by their numbers: services, budgets, policies, autoscalers.

use serde_json::Value;

use super::workload::Workload;
use super::{Cluster, Object};
use crate::findings::Findings;
use crate::process::shown;
use crate::yaml::{entries, list, text};

/// Checks the objects that refer to workloads, and that no workload lacks one.
pub(super) fn check(cluster: &Cluster, workloads: &[Workload<'_>], findings: &mut Findings) {
    for workload in workloads {
        let (object, name) = (workload.object, workload.object.name());
        let own = entries(&object.value, "/spec/selector/matchLabels");
        findings.expect(selects(&own, workload), &object.file, || {
            format!("{name}: it does not select its own pods")
        });
        let account =
            text(&object.value, "/spec/template/spec/serviceAccountName").unwrap_or_default();
        findings.expect(
            cluster.find("ServiceAccount", &account).is_some(),
            &object.file,
            || format!("{name}: there is no service account `{account}`"),
        );
        let is_limited = cluster.of_kind("PodDisruptionBudget").any(|budget| {
            selects(
                &entries(&budget.value, "/spec/selector/matchLabels"),
                workload,
            )
        });
        findings.expect(is_limited, "kubernetes/disruption.yaml", || {
            format!("nothing limits the disruption of `{name}`")
        });
        check_names(workload, cluster, findings);
    }
    for (kind, pointer) in [
        ("Service", "/spec/selector"),
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
        ("NetworkPolicy", "/spec/podSelector/matchLabels"),
    ] {
        for object in cluster.of_kind(kind) {
            expect_pods(
                object,
                &entries(&object.value, pointer),
                workloads,
                findings,
            );
        }
    }
    for policy in cluster.of_kind("NetworkPolicy") {
        for peer in peers(policy, "ingress", "from").chain(peers(policy, "egress", "to")) {
            let labels = entries(peer, "/podSelector/matchLabels");
            if !labels.is_empty() {
                expect_pods(policy, &labels, workloads, findings);
            }
        }
    }
    for autoscaler in cluster.of_kind("HorizontalPodAutoscaler") {
        let kind = text(&autoscaler.value, "/spec/scaleTargetRef/kind").unwrap_or_default();
        let name = text(&autoscaler.value, "/spec/scaleTargetRef/name").unwrap_or_default();
        findings.expect(
            cluster.find(&kind, &name).is_some(),
            &autoscaler.file,
            || format!("there is no {kind} `{name}`"),
        );
    }
}

/// The pods of a StatefulSet have names, and the URLs of servers are made of them.
fn check_names(workload: &Workload<'_>, cluster: &Cluster, findings: &mut Findings) {
    let file = &workload.object.file;
    let Some(service) = text(&workload.object.value, "/spec/serviceName") else {
        return;
    };
    let found = cluster.find("Service", &service);
    findings.expect(found.is_some(), file, || {
        format!("there is no service `{service}`")
    });
    let is_headless =
        found.is_none_or(|it| text(&it.value, "/spec/clusterIP").as_deref() == Some("None"));
    findings.expect(is_headless, file, || {
        format!("the service `{service}` gives its pods no names: it has an address of its own")
    });
    for process in &workload.processes {
        let urls = ["MARQUETRY_URL", "MARQUETRY_DATA_PLANE_URL"];
        for url in urls.iter().filter_map(|name| process.variables.get(*name)) {
            let is_inside = url.contains(&format!(".{service}."));
            findings.expect(is_inside, file, || {
                format!("`{url}` has no name of its service in it, which is `{service}`")
            });
        }
    }
}

/// A server's port, and that of a worker's data plane, is the one that its container, services and policies name.
pub(super) fn check_ports(
    workload: &Workload<'_>,
    listens: Option<u16>,
    cluster: &Cluster,
    findings: &mut Findings,
) {
    let name = workload.object.name();
    for port in list(workload.container(), "/ports") {
        let label = text(port, "/name").unwrap_or_default();
        let number = text(port, "/containerPort").and_then(|it| it.parse().ok());
        findings.expect(number == listens, &workload.object.file, || {
            format!(
                "{name}: port `{label}` is {}, and it listens on {}",
                shown(number),
                shown(listens)
            )
        });
    }
    for service in cluster.of_kind("Service") {
        if !selects(&entries(&service.value, "/spec/selector"), workload) {
            continue;
        }
        for port in list(&service.value, "/spec/ports") {
            let number = text(port, "/port").and_then(|it| it.parse::<u16>().ok());
            let target = text(port, "/targetPort").unwrap_or_else(|| shown(number));
            findings.expect(workload.port(&target).is_some(), &service.file, || {
                format!("no pod that it selects has a port `{target}`")
            });
            findings.expect(number == listens, &service.file, || {
                format!(
                    "the service is at {}, and `{name}` listens on {}",
                    shown(number),
                    shown(listens)
                )
            });
        }
    }
    for policy in cluster.of_kind("NetworkPolicy") {
        if selects(
            &entries(&policy.value, "/spec/podSelector/matchLabels"),
            workload,
        ) {
            for rule in list(&policy.value, "/spec/ingress") {
                expect_port(policy, rule, &name, listens, "in", findings);
            }
        }
        for rule in list(&policy.value, "/spec/egress") {
            let leads_here = list(rule, "/to")
                .iter()
                .any(|peer| selects(&entries(peer, "/podSelector/matchLabels"), workload));
            if leads_here {
                expect_port(policy, rule, &name, listens, "out", findings);
            }
        }
    }
}

fn expect_port(
    policy: &Object,
    rule: &Value,
    name: &str,
    listens: Option<u16>,
    way: &str,
    findings: &mut Findings,
) {
    for port in list(rule, "/ports") {
        let number = text(port, "/port").and_then(|it| it.parse().ok());
        findings.expect(number == listens, &policy.file, || {
            format!(
                "lets {} {way}, and `{name}` listens on {}",
                shown(number),
                shown(listens)
            )
        });
    }
}

fn peers<'policy>(
    policy: &'policy Object,
    way: &str,
    side: &'static str,
) -> impl Iterator<Item = &'policy Value> {
    let rules = list(&policy.value, &format!("/spec/{way}"));
    rules
        .into_iter()
        .flat_map(move |rule| list(rule, &format!("/{side}")))
}

fn expect_pods(
    object: &Object,
    labels: &[(&str, &Value)],
    workloads: &[Workload<'_>],
    findings: &mut Findings,
) {
    let is_any = workloads.iter().any(|it| selects(labels, it));
    findings.expect(is_any, &object.file, || {
        format!(
            "{} `{}`: its selector finds no pod: {labels:?}",
            object.kind(),
            object.name()
        )
    });
}

/// Whether labels select a workload's pods; none select nothing here, though Kubernetes would take all.
fn selects(labels: &[(&str, &Value)], workload: &Workload<'_>) -> bool {
    !labels.is_empty() && labels.iter().all(|label| workload.labels().contains(label))
}
