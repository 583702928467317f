//! What `sslmode` and `sslrootcert` do, with a server that has TLS, and with one that has not.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::{NamedTempFile, TempPath};

use super::*;
use crate::testing::ServerCertificate;

type Authority = CertifiedIssuer<'static, KeyPair>;

/// An authority with names of its own, which is what `openssl req -x509 -addext subjectAltName=DNS:…`
/// makes where a server is to have a certificate.
fn authority(names: &[&str]) -> Authority {
    let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A file with that certificate, and the parameter that names it.
fn trusting(certificate: &str) -> (TempPath, String) {
    let file = NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&file, certificate).unwrap();
    let parameter = format!("&sslrootcert={}", file.display());
    (file, parameter)
}

/// Whether a connection has TLS, or why there is none.
async fn has_tls(url: &str) -> Result<bool, String> {
    let place = Place::parse(url).map_err(|error| error.to_string())?;
    let client = place
        .connect(place.patience)
        .await
        .map_err(|error| error.to_string())?;
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    Ok(client.query_one(sql, &[]).await.unwrap().get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_keeps_out_what_it_says() {
    let authority = authority(&[]);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &authority).unwrap();
    let tls = ServerCertificate {
        certificate: &certificate.pem(),
        key: &key.serialize_pem(),
    };
    let Some(server) = PostgresServer::start_on_tcp(Some(tls)) else {
        return;
    };
    let (_ours, ours) = trusting(&authority.pem());
    let (_other, other) = trusting(&self::authority(&[]).pem());
    let (named, unnamed) = ("localhost", "127.0.0.1");
    let stranger = Err("is of no authority that is trusted here");
    let misnamed = Err("not valid for name");
    for (host, mode, roots, expected) in [
        (named, "", "", Ok(true)),
        (named, "", ours.as_str(), Ok(true)),
        (unnamed, "", &ours, misnamed),
        (named, "&sslmode=disable", &ours, Ok(false)),
        (unnamed, "&sslmode=prefer", "", Ok(true)),
        (unnamed, "&sslmode=prefer", &ours, Ok(true)),
        (named, "&sslmode=prefer", &other, stranger),
        (unnamed, "&sslmode=require", "", Ok(true)),
        (unnamed, "&sslmode=require", &ours, Ok(true)),
        (named, "&sslmode=require", &other, stranger),
        (unnamed, "&sslmode=verify-ca", &ours, Ok(true)),
        (named, "&sslmode=verify-ca", "", stranger),
        (named, "&sslmode=verify-ca", &other, stranger),
        (named, "&sslmode=verify-full", &ours, Ok(true)),
        (unnamed, "&sslmode=verify-full", &ours, misnamed),
        (named, "&sslmode=verify-full", &other, stranger),
        (named, "&sslmode=verify-full", "", stranger),
        (named, "", "&sslrootcert=system", stranger),
    ] {
        let url = format!("{}{mode}{roots}", server.new_journal_at(host));
        let is_as_expected = match (&has_tls(&url).await, expected) {
            (Ok(has), Ok(expected)) => *has == expected,
            (Err(reason), Err(expected)) => reason.contains(expected),
            _ => false,
        };
        assert!(is_as_expected, "{url}: {:?}", has_tls(&url).await);
    }

    // And all of a journal's connections are made that way.
    let url = format!("{}{ours}", server.new_journal_at(named));
    conformance_of_one_run(&url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_signed_its_own_certificate_is_believed_by_that() {
    let own = authority(&["localhost"]);
    let tls = ServerCertificate {
        certificate: &own.pem(),
        key: &own.key().serialize_pem(),
    };
    let Some(server) = PostgresServer::start_on_tcp(Some(tls)) else {
        return;
    };
    let (_own, own) = trusting(&own.pem());
    let (_other, other) = trusting(&authority(&["localhost"]).pem());
    let at = |host, roots: &str| format!("{}{roots}", server.new_journal_at(host));
    assert_eq!(has_tls(&at("localhost", &own)).await, Ok(true));
    assert!(has_tls(&at("127.0.0.1", &own)).await.is_err(), "its name");
    assert!(has_tls(&at("localhost", &other)).await.is_err(), "another");
    conformance_of_one_run(&at("localhost", &own)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_refused_unless_it_was_only_preferred() {
    let Some(server) = PostgresServer::start_on_tcp(None) else {
        return;
    };
    let at = |mode: &str| format!("{}{mode}", server.new_journal_at("localhost"));
    assert_eq!(has_tls(&at("")).await, Ok(false));
    assert_eq!(has_tls(&at("&sslmode=prefer")).await, Ok(false));
    for mode in ["require", "verify-ca", "verify-full"] {
        let refused = has_tls(&at(&format!("&sslmode={mode}"))).await.unwrap_err();
        assert!(refused.contains("server does not support TLS"), "{refused}");
    }
    // A socket is of this machine.
    let socket = format!("{}&sslmode=verify-full", server.new_journal());
    assert_eq!(has_tls(&socket).await, Ok(false));
}

async fn conformance_of_one_run(url: &str) {
    let journal = PostgresJournal::open(url).await.unwrap();
    let epoch = samples::lead(&journal).await;
    let run = samples::run_id(1);
    let records = samples::finished_run(&run, "retail", None);
    journal.append(epoch, records.clone()).await.unwrap();
    let reader = PostgresJournal::open_read_only(url).await.unwrap();
    let state = reader.load_run(&run).await.unwrap();
    assert_eq!(state, samples::replayed(&records));
}
