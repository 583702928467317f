//! A URL's parts: the parameters that are ours, the rest that is the database's, and what people may see.

use percent_encoding::percent_decode_str;

/// What a URL says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// The URL without the parameters below.
    pub(super) url: String,
    pub(super) schema: Option<String>,
    pub(super) sslmode: Option<String>,
    pub(super) sslrootcert: Option<String>,
}

impl Parts {
    /// Takes a URL apart; of a parameter that stands twice the last one counts.
    ///
    /// # Errors
    /// Which parameter is not text.
    pub(super) fn of(url: &str) -> Result<Self, String> {
        let Some((address, query)) = url.split_once('?') else {
            return Ok(Self {
                url: url.to_owned(),
                ..Self::default()
            });
        };
        let mut parts = Self::default();
        let mut kept = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let ours = match name {
                "schema" => &mut parts.schema,
                "sslmode" => &mut parts.sslmode,
                "sslrootcert" => &mut parts.sslrootcert,
                _ => {
                    kept.push(pair);
                    continue;
                }
            };
            let value = percent_decode_str(value).decode_utf8();
            let value = value.map_err(|_| format!("its parameter `{name}` is not UTF-8"))?;
            *ours = Some(value.into_owned());
        }
        parts.url = match kept.is_empty() {
            true => address.to_owned(),
            false => format!("{address}?{}", kept.join("&")),
        };
        Ok(parts)
    }
}

/// The URL without what must not be read: whatever stands between `:` and `@`, and a `password`.
pub(super) fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, tail) = match rest.find(['/', '?']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{user}@{host}")
        }
        None => authority.to_owned(),
    };
    let tail = match tail.split_once('?') {
        Some((path, query)) => {
            let shown: Vec<&str> = query
                .split('&')
                .map(|pair| match pair.starts_with("password=") {
                    true => "password=…",
                    false => pair,
                })
                .collect();
            format!("{path}?{}", shown.join("&"))
        }
        None => tail.to_owned(),
    };
    format!("{scheme}://{authority}{tail}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (url, expected) in [
            (
                "postgres://me:secret@db:5432/runs?sslmode=require",
                "postgres://me@db:5432/runs?sslmode=require",
            ),
            (
                "postgres://me:se@cret@db/runs?password=secret&schema=a",
                "postgres://me@db/runs?password=…&schema=a",
            ),
            ("postgres://db", "postgres://db"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn three_parameters_are_ours_and_the_rest_the_databases() {
        let url = "postgres://db/runs?sslmode=prefer&user=me&schema=mine&sslmode=require\
                   &sslrootcert=%2Fetc%2Fa%20b.pem";
        let expected = Parts {
            url: "postgres://db/runs?user=me".to_owned(),
            schema: Some("mine".to_owned()),
            sslmode: Some("require".to_owned()),
            sslrootcert: Some("/etc/a b.pem".to_owned()),
        };
        assert_eq!(Parts::of(url), Ok(expected));
        assert_eq!(
            Parts::of("postgres://db/runs?schema=a").unwrap().url,
            "postgres://db/runs"
        );
        assert_eq!(Parts::of("postgres://db/runs").unwrap().schema, None);
        let refused = Parts::of("postgres://db/runs?schema=%FF").unwrap_err();
        assert_eq!(refused, "its parameter `schema` is not UTF-8");
    }
}
