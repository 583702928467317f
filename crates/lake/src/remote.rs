//! Stores behind a URL: which one it is, what the environment says about it, and how patient a request is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;

use crate::LakeError;

/// The variable with the seconds for which a request is tried again.
const PATIENCE: &str = "MARQUETRY_LAKE_PATIENCE";
/// What it is where nothing is said, and its bounds. Signatures of requests are good for some minutes.
const SECONDS: (u64, u64, u64) = (30, 1, 240);
/// The first and the longest pause between two tries of a request. Each is drawn between the first and three
/// times the one before it.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
const PAUSES_GROW: f64 = 3.0;
/// More tries than the time allows for: what ends them is the time.
const MOST_TRIES: usize = 1000;

/// What is said about stores beside their URLs: keys, regions, endpoints, by the names that the clouds' own
/// tools use.
///
/// Every cloud's names have a prefix of their own, `AWS_`, `GOOGLE_` or `AZURE_`: a `TOKEN` or `REGION` that
/// is meant for another program is none of theirs.
#[derive(Clone, Default)]
pub struct StoreSettings(Vec<(String, String)>);

impl StoreSettings {
    /// Those of this process's environment.
    #[must_use]
    pub fn from_environment() -> Self {
        let texts = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        texts.collect()
    }

    fn get(&self, wanted: &str) -> Option<&str> {
        let mut values = self.0.iter();
        let found = values.find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    }

    /// Those of a cloud, as its builder knows them; names that it does not know are none of its.
    fn of<K: FromStr>(&self, prefix: &str) -> impl Iterator<Item = (K, &str)> {
        let own = self
            .0
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix));
        own.filter_map(|(name, value)| {
            let key = name.to_ascii_lowercase().parse().ok()?;
            Some((key, value.as_str()))
        })
    }
}

impl FromIterator<(String, String)> for StoreSettings {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl fmt::Debug for StoreSettings {
    /// Values may be secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(name, _)| name);
        formatter.debug_set().entries(names).finish()
    }
}

/// The store that a URL means, and the path within it. A request to it that is refused for now, or whose
/// connection breaks, is made again for half a minute, or for as long as the settings say.
pub(crate) fn open(
    url: &Url,
    settings: &StoreSettings,
) -> Result<(Arc<dyn ObjectStore>, ObjectPath), LakeError> {
    let bad = |reason: String| LakeError::BadLocation {
        location: without_secrets(url),
        reason,
    };
    if holds_secrets(url) {
        return Err(bad(
            "a location is shown to everybody, and holds no keys: those belong into the environment"
                .to_owned(),
        ));
    }
    let refused = |error: object_store::Error| bad(error.to_string());
    let (scheme, path) = ObjectStoreScheme::parse(url).map_err(|error| bad(error.to_string()))?;
    let retry = retry(settings.get(PATIENCE)).map_err(bad)?;
    let text = url.as_str();
    let store: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::AmazonS3 => {
            let builder = settings
                .of("AWS_")
                .fold(AmazonS3Builder::new(), |builder, (key, value)| {
                    builder.with_config(key, value)
                });
            let builder = builder.with_url(text).with_retry(retry);
            Arc::new(builder.build().map_err(refused)?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let builder = settings
                .of("GOOGLE_")
                .fold(GoogleCloudStorageBuilder::new(), |builder, (key, value)| {
                    builder.with_config(key, value)
                });
            let builder = builder.with_url(text).with_retry(retry);
            Arc::new(builder.build().map_err(refused)?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let builder = settings
                .of("AZURE_")
                .fold(MicrosoftAzureBuilder::new(), |builder, (key, value)| {
                    builder.with_config(key, value)
                });
            let builder = builder.with_url(text).with_retry(retry);
            Arc::new(builder.build().map_err(refused)?)
        }
        ObjectStoreScheme::Memory => Arc::new(InMemory::new()),
        _ => return Err(bad(format!("there is no store behind `{}:`", url.scheme()))),
    };
    Ok((store, path))
}

/// A password, or a user where no store has one in its URLs.
fn holds_secrets(url: &Url) -> bool {
    let may_have_user = matches!(url.scheme(), "abfs" | "abfss");
    url.password().is_some() || (!may_have_user && !url.username().is_empty())
}

fn without_secrets(url: &Url) -> String {
    let mut shown = url.clone();
    if holds_secrets(url) {
        // A URL without a host has neither.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
    }
    shown.to_string()
}

/// How a request is tried again, with the patience that somebody asked for.
fn retry(patience: Option<&str>) -> Result<RetryConfig, String> {
    let (usual, least, most) = SECONDS;
    let seconds = match patience.map(str::trim).filter(|text| !text.is_empty()) {
        None => usual,
        Some(text) => match text.parse() {
            Ok(seconds) if (least..=most).contains(&seconds) => seconds,
            _ => {
                return Err(format!(
                    "{PATIENCE} is `{text}`: it takes seconds, from {least} to {most}"
                ));
            }
        },
    };
    Ok(RetryConfig {
        backoff: BackoffConfig {
            init_backoff: PAUSES.0,
            max_backoff: PAUSES.1,
            base: PAUSES_GROW,
        },
        max_retries: MOST_TRIES,
        retry_timeout: Duration::from_secs(seconds),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_location_with_keys_is_refused_and_they_are_not_repeated() {
        for url in [
            "s3://AKIA:hidden@bucket/prefix",
            "s3://hidden@bucket",
            "abfss://container:hidden@account.dfs.core.windows.net/prefix",
        ] {
            let error = open(&Url::parse(url).unwrap(), &StoreSettings::default())
                .unwrap_err()
                .to_string();
            assert!(error.contains("the environment"), "{error}");
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn what_is_no_store_is_refused() {
        for url in ["ftp://host/prefix", "http://127.0.0.1/prefix"] {
            assert!(
                open(&Url::parse(url).unwrap(), &StoreSettings::default()).is_err(),
                "{url}"
            );
        }
    }

    #[test]
    fn settings_are_known_by_their_prefix_and_shown_without_values() {
        let all = [
            ("AWS_REGION", "eu-1"),
            ("TOKEN", "hidden"),
            ("AWS_PROFILE", "x"),
        ];
        let settings: StoreSettings = all
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        let own: Vec<(object_store::aws::AmazonS3ConfigKey, &str)> = settings.of("AWS_").collect();
        assert_eq!(
            own,
            [(object_store::aws::AmazonS3ConfigKey::Region, "eu-1")]
        );
        assert!(!format!("{settings:?}").contains("hidden"));
    }

    #[test]
    fn patience_is_whole_seconds_within_bounds() {
        let seconds = |text| retry(text).map(|retry| retry.retry_timeout.as_secs());
        assert_eq!(seconds(None), Ok(30));
        assert_eq!(seconds(Some("")), Ok(30));
        assert_eq!(seconds(Some(" 2 ")), Ok(2));
        for text in ["0", "241", "1m", "-1"] {
            let refused = seconds(Some(text)).unwrap_err();
            assert!(refused.contains("from 1 to 240"), "{refused}");
        }
    }
}
