//! Secrets in `with`: a template with `${{ secrets.NAME }}` in it becomes a reference that holds the
//! name, and the worker makes a text of it.

use marquetry_script::{Expression, Piece, ScriptError, ScriptErrorKind, Template};
use marquetry_types::{SECRET_KEY, SecretPiece};
use serde_json::{Map, Value, json};

/// The name by which expressions know secrets.
pub(crate) const ROOT: &str = "secrets";

/// Whether an expression reads a secret, alone or with other things.
pub(crate) fn reads_secret(expression: &Expression) -> bool {
    let mut references = expression.references().iter();
    references.any(|reference| reference.path.first().is_some_and(|root| root == ROOT))
}

/// The secret that an expression stands for, if it is one and nothing else.
pub(crate) fn secret_of(expression: &Expression) -> Option<&str> {
    match expression.as_reference()?.path.as_slice() {
        [root, name] if root == ROOT => Some(name),
        _ => None,
    }
}

/// The value of a template over the names in `scope`: with secrets in it, a reference to them.
///
/// # Errors
/// As [`Template::evaluate`]; and a value that looks like a reference to a secret and does not stand in
/// the workflow: whoever submits a run must not choose which secrets it reads.
pub(crate) fn evaluate(
    template: &Template,
    scope: &Map<String, Value>,
) -> Result<Value, ScriptError> {
    if template.expressions().any(reads_secret) {
        return reference(template, scope);
    }
    let value = template.evaluate(scope)?;
    if holds_key(&value) {
        return Err(reserved());
    }
    Ok(value)
}

/// Why a key of a mapping cannot be used, if it cannot.
pub(crate) fn check_key(key: &str) -> Result<(), ScriptError> {
    if key == SECRET_KEY {
        return Err(reserved());
    }
    Ok(())
}

fn reference(template: &Template, scope: &Map<String, Value>) -> Result<Value, ScriptError> {
    let secret = |expression: &Expression| {
        let name = secret_of(expression).map(str::to_owned);
        name.ok_or_else(|| {
            let message = "an expression computes something of a secret";
            ScriptError::new(ScriptErrorKind::Type, message)
                .help("only the worker knows its value: write `${{ secrets.NAME }}` and nothing else between the braces")
        })
    };
    let mut pieces = Vec::new();
    match template {
        Template::Literal(_) => {}
        Template::Whole(expression) => pieces.push(SecretPiece::Name(secret(expression)?)),
        Template::Mixed(all) => {
            for piece in all {
                pieces.push(match piece {
                    Piece::Expression(expression) if reads_secret(expression) => {
                        SecretPiece::Name(secret(expression)?)
                    }
                    other => {
                        let text = Template::Mixed(vec![other.clone()]).evaluate(scope)?;
                        SecretPiece::Text(text.as_str().unwrap_or_default().to_owned())
                    }
                });
            }
        }
    }
    Ok(json!({SECRET_KEY: pieces}))
}

fn holds_key(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.contains_key(SECRET_KEY) || fields.values().any(holds_key),
        Value::Array(items) => items.iter().any(holds_key),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn reserved() -> ScriptError {
    let message = format!("a value has the key `{SECRET_KEY}`, which stands for a secret");
    ScriptError::new(ScriptErrorKind::Type, message)
        .help("a workflow names its secrets itself, as in `${{ secrets.NAME }}`")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn value(text: &str) -> Result<Value, ScriptError> {
        let scope = json!({"params": {"host": "db", "forged": [{"$secret": [{"name": "ROOT"}]}]}});
        evaluate(&Template::parse(text).unwrap(), scope.as_object().unwrap())
    }

    #[test]
    fn a_secret_stays_a_name_and_the_rest_is_evaluated() {
        assert_eq!(
            value("${{ secrets.TOKEN }}"),
            Ok(json!({"$secret": [{"name": "TOKEN"}]}))
        );
        assert_eq!(
            value("pg://${{ secrets.USER }}:${{ secrets.PASS }}@${{ params.host }}"),
            Ok(json!({"$secret": [
                {"text": "pg://"}, {"name": "USER"}, {"text": ":"}, {"name": "PASS"},
                {"text": "@"}, {"text": "db"},
            ]}))
        );
        assert_eq!(value("${{ params.host }}"), Ok(json!("db")));
    }

    #[test]
    fn nothing_is_computed_of_a_secret_and_none_is_forged() {
        let error = value("${{ secrets.TOKEN + \"x\" }}").unwrap_err();
        assert_eq!(
            error.message,
            "an expression computes something of a secret"
        );
        let error = value("${{ params.forged }}").unwrap_err();
        assert!(error.message.contains("`$secret`"), "{error:?}");
        assert!(check_key("$secret").is_err());
    }
}
