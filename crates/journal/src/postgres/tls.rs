//! TLS as the URL asks for it: `sslmode` and `sslrootcert` mean what they mean to libpq.
//!
//! Two things are stricter than there. A server whose certificate is refused is not asked again without
//! TLS, and a file of authorities without a word on the mode means that they and the name are checked.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// The authorities of the system, where a file of them could be named.
const SYSTEM: &str = "system";

/// Whether a connection has TLS, and how it comes about.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) mode: SslMode,
    pub(super) connector: MakeRustlsConnect,
}

impl Tls {
    /// What the URL's parameters `sslmode` and `sslrootcert` ask for. A file is read now.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn asked_for(
        sslmode: Option<&str>,
        sslrootcert: Option<&str>,
    ) -> Result<Self, String> {
        let default = if sslrootcert.is_some() {
            "verify-full"
        } else {
            "prefer"
        };
        let sslmode = sslmode.unwrap_or(default);
        let (mode, checks_authority, checks_name) = match sslmode {
            "disable" => (SslMode::Disable, false, false),
            "prefer" => (SslMode::Prefer, sslrootcert.is_some(), false),
            // A file of authorities is there to be used: to libpq this is `verify-ca`.
            "require" => (SslMode::Require, sslrootcert.is_some(), false),
            "verify-ca" => (SslMode::Require, true, false),
            "verify-full" => (SslMode::Require, true, true),
            other => {
                return Err(format!(
                    "its sslmode `{other}` is not one of `disable`, `prefer`, `require`, `verify-ca` \
                     and `verify-full`"
                ));
            }
        };
        if sslrootcert == Some(SYSTEM) && !checks_name {
            return Err(format!(
                "its sslrootcert is `{SYSTEM}`, for which anybody can have a certificate, and its \
                 sslmode `{sslmode}` looks at no name: use `verify-full`"
            ));
        }
        let authorities = match sslrootcert {
            _ if !checks_authority => None,
            None | Some(SYSTEM) => Some(Authorities::of_the_system()),
            Some(path) => Some(Authorities::of_file(path)?),
        };
        let provider = ring::default_provider();
        let verifier = Verifier {
            authorities,
            checks_name,
            algorithms: provider.signature_verification_algorithms,
        };
        let connector = connector(provider, verifier).map_err(|error| error.to_string())?;
        Ok(Self { mode, connector })
    }
}

fn connector(
    provider: CryptoProvider,
    verifier: Verifier,
) -> Result<MakeRustlsConnect, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .dangerous() // what rustls calls every verifier of one's own
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// What went wrong with a server's certificate, and what may be done.
pub(super) fn explain(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(wrong) = error else {
        return error.to_string();
    };
    match wrong {
        // An authority that was made anew has its old name and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => "the server's certificate is of no authority that is \
             trusted here: name the file with its authority, or with the certificate itself, in the \
             URL's parameter `sslrootcert`"
            .to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!(
                "{error}: the URL's host must be among the certificate's subject alternative names, \
                 or the URL say `sslmode=verify-ca`"
            )
        }
        _ => error.to_string(),
    }
}

/// Who signs the certificates of servers.
#[derive(Debug)]
struct Authorities {
    roots: RootCertStore,
    /// The certificates themselves, where a file has them: one may be the server's own.
    named: Vec<CertificateDer<'static>>,
}

impl Authorities {
    fn of_the_system() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self {
            roots,
            named: Vec::new(),
        }
    }

    fn of_file(path: &str) -> Result<Self, String> {
        let refused = |error: &dyn std::fmt::Display| format!("its sslrootcert {path}: {error}");
        let named = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| refused(&error))?;
        if named.is_empty() {
            return Err(refused(&"it holds no certificate in PEM"));
        }
        let mut roots = RootCertStore::empty();
        for certificate in &named {
            let added = roots.add(certificate.clone());
            added.map_err(|error| refused(&error))?;
        }
        Ok(Self { roots, named })
    }
}

/// Looks at as much of a server's certificate as the URL asks for.
#[derive(Debug)]
struct Verifier {
    /// Nothing where any certificate will do.
    authorities: Option<Authorities>,
    checks_name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authorities) = &self.authorities else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let signed = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &authorities.roots,
            intermediates,
            now,
            self.algorithms.all,
        );
        if let Err(error) = signed {
            // A server that signed its certificate itself mostly has one that says it is an authority
            // (`openssl req -x509` makes such), which may not be a server's by the rules. Who has it in
            // the file means that one. Its dates were looked at first, and count.
            let is_named = authorities.named.contains(end_entity);
            if !is_named || is_about_dates(&error) {
                return Err(error);
            }
        }
        if self.checks_name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn is_about_dates(error: &rustls::Error) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    matches!(
        error,
        rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }
        )
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate for `db` that signs itself, as an authority, until the end of a year.
    fn own(until: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["db".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(until, 12, 31);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        made.der().clone()
    }

    fn verdict(
        trusted: &CertificateDer<'static>,
        shown: &CertificateDer<'static>,
        name: &str,
    ) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let verifier = Verifier {
            authorities: Some(Authorities {
                roots,
                named: vec![trusted.clone()],
            }),
            checks_name: true,
            algorithms: ring::default_provider().signature_verification_algorithms,
        };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        // In 2026.
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_780_000_000));
        verifier
            .verify_server_cert(shown, &[], &name, &[], now)
            .map(|_| ())
    }

    #[test]
    fn a_certificate_that_the_file_names_is_believed_for_its_name_and_its_time() {
        let (good, old) = (own(2030), own(2020));
        assert_eq!(verdict(&good, &good, "db"), Ok(()));
        let other_name = verdict(&good, &good, "elsewhere").unwrap_err();
        assert!(explain(&other_name).contains("sslmode=verify-ca"));
        assert!(is_about_dates(&verdict(&old, &old, "db").unwrap_err()));
        assert!(verdict(&good, &own(2030), "db").is_err(), "another one");
    }

    #[test]
    fn what_cannot_be_asked_for_is_said() {
        let asked = |mode, roots| Tls::asked_for(mode, roots).map(|tls| tls.mode);
        assert_eq!(asked(None, None), Ok(SslMode::Prefer));
        assert_eq!(asked(Some("disable"), None), Ok(SslMode::Disable));
        assert_eq!(asked(None, Some("system")), Ok(SslMode::Require));
        let error = asked(Some("allow"), None).unwrap_err();
        assert!(error.starts_with("its sslmode `allow` is not"), "{error}");
        let error = asked(Some("require"), Some("system")).unwrap_err();
        assert!(error.ends_with("use `verify-full`"), "{error}");
        let error = asked(None, Some("/no/such/file.pem")).unwrap_err();
        assert!(
            error.starts_with("its sslrootcert /no/such/file.pem: "),
            "{error}"
        );
        let empty = tempfile::NamedTempFile::new().unwrap();
        let error = asked(None, empty.path().to_str()).unwrap_err();
        assert!(error.ends_with("it holds no certificate in PEM"), "{error}");
    }
}
