//! Counters of gRPC calls, by method and code.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::Code;

/// What is called and is no method of this coordinator: one value, whatever callers make up.
const OTHER: &str = "other";
/// Services that the descriptors have and no coordinator serves.
const SERVED_ELSEWHERE: [&str; 1] = ["marquetry.v1.PluginService"];

/// The labels of a call that ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Ended {
    method: Arc<str>,
    code: &'static str,
}

/// The label of a call's bytes.
pub(super) type Of = [(&'static str, Arc<str>); 1];

/// The counters of every method that this coordinator has.
#[derive(Debug)]
pub(super) struct Methods {
    pub(super) requests: Family<Ended, Counter>,
    pub(super) received: Family<Of, Counter>,
    pub(super) sent: Family<Of, Counter>,
    known: HashMap<Arc<str>, Method>,
    other: Method,
}

/// The counters of one method. Its errors are looked up, because most of them never happen.
#[derive(Debug, Clone)]
pub(super) struct Method {
    name: Arc<str>,
    ended: Family<Ended, Counter>,
    succeeded: Counter,
    pub(super) received: Counter,
    pub(super) sent: Counter,
}

impl Default for Methods {
    fn default() -> Self {
        let (requests, received, sent) = (Family::default(), Family::default(), Family::default());
        let method = |name: &str| Method::new(name, &requests, &received, &sent);
        let sets = [
            marquetry_proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        ];
        let known = sets
            .into_iter()
            .flat_map(names)
            .map(|name| (Arc::from(name.as_str()), method(&name)))
            .collect();
        let other = method(OTHER);
        Self {
            requests,
            received,
            sent,
            known,
            other,
        }
    }
}

impl Methods {
    /// The counters of what is called by the path of its URI.
    pub(super) fn find(&self, path: &str) -> &Method {
        let name = path.strip_prefix('/').unwrap_or(path);
        self.known.get(name).unwrap_or(&self.other)
    }
}

impl Method {
    fn new(
        name: &str,
        ended: &Family<Ended, Counter>,
        received: &Family<Of, Counter>,
        sent: &Family<Of, Counter>,
    ) -> Self {
        let name: Arc<str> = Arc::from(name);
        let of = [("method", Arc::clone(&name))];
        let succeeded = Ended {
            method: Arc::clone(&name),
            code: code_name(Code::Ok),
        };
        Self {
            ended: ended.clone(),
            succeeded: ended.get_or_create_owned(&succeeded),
            received: received.get_or_create_owned(&of),
            sent: sent.get_or_create_owned(&of),
            name,
        }
    }

    /// Counts a call that ended.
    pub(super) fn ended(&self, code: Code) {
        if code == Code::Ok {
            self.succeeded.inc();
            return;
        }
        let labels = Ended {
            method: Arc::clone(&self.name),
            code: code_name(code),
        };
        self.ended.get_or_create(&labels).inc();
    }
}

/// The methods of a `FileDescriptorSet`, as in `marquetry.v1.RunService/GetRun`.
fn names(descriptors: &[u8]) -> Vec<String> {
    let files = match FileDescriptorSet::decode(descriptors) {
        Ok(set) => set.file,
        // Its calls are counted as others then.
        Err(error) => {
            tracing::error!(%error, "the methods of a service cannot be told apart");
            Vec::new()
        }
    };
    let mut names = Vec::new();
    for file in &files {
        for service in &file.service {
            let service_name = format!("{}.{}", file.package(), service.name());
            if SERVED_ELSEWHERE.contains(&service_name.as_str()) {
                continue;
            }
            let methods = service.method.iter();
            names.extend(methods.map(|method| format!("{service_name}/{}", method.name())));
        }
    }
    names
}

/// The name of a code as gRPC has it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_those_of_the_services_and_nothing_that_callers_make_up() {
        let methods = Methods::default();
        let name = |path| methods.find(path).name.to_string();
        assert_eq!(
            name("/marquetry.v1.RunService/GetRun"),
            "marquetry.v1.RunService/GetRun"
        );
        assert_eq!(
            name("/marquetry.v1.WorkerService/Attach"),
            "marquetry.v1.WorkerService/Attach"
        );
        assert_eq!(
            name("/grpc.health.v1.Health/Check"),
            "grpc.health.v1.Health/Check"
        );
        assert_eq!(
            name("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
            "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        );
        assert_eq!(name("/marquetry.v1.PluginService/RunStage"), OTHER);
        assert_eq!(name("/marquetry.v1.RunService/Made/Up"), OTHER);
        assert_eq!(name(""), OTHER);
    }
}
