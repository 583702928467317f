//! The check itself, in front of all services.

use std::sync::Arc;

use http::{HeaderMap, Request};
use tonic::{Code, Status};

use marquetry_proto::status_from_diagnostics;
use marquetry_types::{Diagnostic, codes};

use super::tokens::{Role, Tokens};
use crate::gate::Gate;

/// Whose token a call carries; in the extensions of its request.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) String);

/// Lets calls through whose token has the role that their method needs.
#[derive(Debug, Clone)]
pub(crate) struct Access(Arc<Tokens>);

impl Access {
    pub(crate) fn by(tokens: Tokens) -> Self {
        Self(Arc::new(tokens))
    }
}

impl Gate for Access {
    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Status> {
        let caller = check(&self.0, request.uri().path(), request.headers())?;
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        Ok(())
    }
}

/// The role that a method needs; none for what everybody may ask.
fn needed(path: &str) -> Option<Role> {
    let (service, method) = path.trim_start_matches('/').split_once('/')?;
    match (service, method) {
        // Load balancers and probes have no token, and learn nothing but that it lives.
        ("grpc.health.v1.Health", _) => None,
        ("marquetry.v1.WorkerService", _) => Some(Role::Worker),
        ("grpc.reflection.v1.ServerReflection", _) => Some(Role::Viewer),
        (_, method)
            if ["Get", "List", "Watch", "Stream"]
                .iter()
                .any(|verb| method.starts_with(verb)) =>
        {
            Some(Role::Viewer)
        }
        ("marquetry.v1.ClusterService", _) => Some(Role::Admin),
        _ => Some(Role::Operator),
    }
}

fn check(tokens: &Tokens, path: &str, headers: &HeaderMap) -> Result<Option<Caller>, Status> {
    let Some(needed) = needed(path).filter(|_| tokens.are_asked_for()) else {
        return Ok(None);
    };
    let refuse = |code: Code, message: String, help: &str| {
        let diagnostic = Diagnostic::new(codes::NOT_ALLOWED, message).help(help);
        status_from_diagnostics(code, &diagnostic.into())
    };
    let bearer = headers
        .get(http::header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let Some(bearer) = bearer else {
        let message = "this coordinator asks for a token".to_owned();
        let help = "give one with `--token-file`, or in MARQUETRY_TOKEN";
        return Err(refuse(Code::Unauthenticated, message, help));
    };
    match tokens.find(bearer.trim()) {
        None => {
            let message = "this coordinator does not know the token".to_owned();
            let help = "ask whoever runs it for a token, or for its line in the file of tokens";
            Err(refuse(Code::Unauthenticated, message, help))
        }
        Some((role, name)) if role.includes(needed) => Ok(Some(Caller(name.to_owned()))),
        Some((role, name)) => {
            let message = format!("`{name}` is {role}, and this needs {needed}: it is not allowed");
            let help = "ask whoever runs the coordinator for a token with that role";
            Err(refuse(Code::PermissionDenied, message, help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_needs_more_than_a_viewer() {
        let role = |path| needed(path);
        assert_eq!(role("/marquetry.v1.RunService/GetRun"), Some(Role::Viewer));
        assert_eq!(
            role("/marquetry.v1.RunService/WatchRun"),
            Some(Role::Viewer)
        );
        assert_eq!(
            role("/marquetry.v1.RunService/SubmitRun"),
            Some(Role::Operator)
        );
        assert_eq!(
            role("/marquetry.v1.WorkerService/Attach"),
            Some(Role::Worker)
        );
        assert_eq!(
            role("/marquetry.v1.ClusterService/DrainWorker"),
            Some(Role::Admin)
        );
        assert_eq!(role("/grpc.health.v1.Health/Check"), None);
        assert_eq!(
            role("/marquetry.v1.Unheard/Of"),
            Some(Role::Operator),
            "what is not known is not open"
        );
    }
}
