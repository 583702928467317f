//! What a store said, as a person reads it.
//!
//! A cloud's error is a chain of wrappers around an HTTP status and a page of XML. A person wants the status
//! and the two fields of the XML that say something, or the system's word for what is wrong with the
//! connection, and from whom it came.

use std::error::Error;
use std::io::ErrorKind;

/// What the innermost cause says, without the wrappers.
pub(crate) fn reason(error: &object_store::Error) -> String {
    let whole = error.to_string();
    let Some(request) = request_of(&whole) else {
        return of_this_machine(error);
    };
    if request.address.contains("/latest/api/token")
        || request.address.contains("/latest/meta-data")
    {
        return "there are no keys in the environment, and this machine has no role".to_owned();
    }
    let innermost = chain(error).last().map(ToString::to_string);
    let innermost = innermost.unwrap_or_default();
    let said = match innermost.strip_prefix("Server returned non-2xx status code: ") {
        Some(answer) => answer_of(answer),
        None => format!(
            "{} does not answer: {}",
            host_of(request.address),
            innermost.trim()
        ),
    };
    match request.tries {
        Some(tries) => format!("{said} (tried {} times)", tries + 1),
        None => said,
    }
}

/// Whether a request was answered, and the answer broke off.
pub(crate) fn is_broken_answer(error: &object_store::Error) -> bool {
    let is_of_http = chain(error).any(|cause| cause.is::<object_store::client::HttpError>());
    // A request that failed tells what it was, and was made again already.
    is_of_http && request_of(&error.to_string()).is_none()
}

/// Whether there is no room for what was to be written.
pub(crate) fn is_full(error: &object_store::Error) -> bool {
    chain(error).any(|cause| {
        let system = cause.downcast_ref::<std::io::Error>();
        system.is_some_and(|it| {
            matches!(it.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
        })
    }) || error.to_string().contains("507 Insufficient Storage")
}

/// The error of a store that another error is about, if it is.
pub(crate) fn store_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e object_store::Error> {
    chain(error).find_map(|cause| match cause.downcast_ref::<object_store::Error>() {
        Some(found) => Some(found),
        // What a stream of bytes passes on is wrapped once more, and says so to nobody but this.
        None => cause
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref()),
    })
}

/// An error and its causes, outermost first.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

/// A request that was made, as the wrapper around its outcome tells it.
struct Request<'t> {
    address: &'t str,
    /// How often it was made again.
    tries: Option<u32>,
}

fn request_of(whole: &str) -> Option<Request<'_>> {
    let (_, request) = whole.split_once("Error performing ")?;
    let address = request.split_whitespace().nth(1)?;
    let tries = request
        .split_once(", after ")
        .and_then(|(_, rest)| rest.split_once(" retries"))
        .and_then(|(tries, _)| tries.parse().ok());
    Some(Request { address, tries })
}

/// `503 Service Unavailable, SlowDown: Please reduce your request rate`
fn answer_of(answer: &str) -> String {
    let (status, page) = answer.split_once('<').unwrap_or((answer, ""));
    let status = status.trim().trim_end_matches(':');
    match (field(page, "Code"), field(page, "Message")) {
        (Some(code), Some(message)) => {
            format!("{status}, {code}: {}", message.trim_end_matches('.'))
        }
        (Some(code), None) => format!("{status}, {code}"),
        _ => status.to_owned(),
    }
}

/// The text between `<name>` and `</name>`.
fn field<'p>(page: &'p str, name: &str) -> Option<&'p str> {
    let (_, rest) = page.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

/// `http://127.0.0.1:9000` of an address with a path.
fn host_of(address: &str) -> &str {
    let begin = address.find("://").map_or(0, |at| at + 3);
    let end = address.get(begin..).and_then(|rest| rest.find('/'));
    end.and_then(|end| address.get(..begin + end))
        .unwrap_or(address)
}

/// What is wrong where no request was made: the wrapper names a store, which says nothing.
fn of_this_machine(error: &object_store::Error) -> String {
    match error {
        object_store::Error::Generic { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: source.into(),
        }
    }

    #[test]
    fn a_page_of_xml_becomes_its_code_and_message() {
        let page = "403 Forbidden: <?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>\
                    <Message>Access Denied.</Message><RequestId>1</RequestId></Error>";
        assert_eq!(
            answer_of(page),
            "403 Forbidden, AccessDenied: Access Denied"
        );
        assert_eq!(
            answer_of("500 Internal Server Error: "),
            "500 Internal Server Error"
        );
    }

    #[test]
    fn a_request_is_told_by_host_and_number_of_tries() {
        let error = generic(
            "Error performing PUT http://127.0.0.1:9000/bucket/a in 2.1s, after 3 retries, max_retries: 9, \
             retry_timeout: 2s  - HTTP error: error sending request",
        );
        let said = reason(&error);
        assert!(
            said.starts_with("http://127.0.0.1:9000 does not answer: "),
            "{said}"
        );
        assert!(said.ends_with("(tried 4 times)"), "{said}");
    }

    #[test]
    fn a_machine_without_keys_is_told_so() {
        let error = generic(
            "Error performing PUT http://169.254.169.254/latest/api/token in 1s - HTTP error",
        );
        assert!(reason(&error).contains("no keys"), "{}", reason(&error));
    }

    #[test]
    fn a_full_disk_is_known_through_its_wrappers() {
        let full = std::io::Error::from(ErrorKind::StorageFull);
        let error = object_store::Error::Generic {
            store: "local folder",
            source: Box::new(full),
        };
        assert!(is_full(&error));
        assert!(!is_full(&generic("something else")));
        let wrapped = std::io::Error::other(error);
        assert!(store_error(&wrapped).is_some_and(is_full));
    }
}
