//! Certificates for tests.

use marquetry_tests::Place;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Makes an authority, `authority.pem`, and for each name and host a certificate that it signed:
/// `NAME.pem` and `NAME.key`.
pub(crate) fn certify(files: &Place, names: &[(&str, &str)]) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    files.file("authority.pem", &authority.pem());
    for (name, host) in names {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![(*host).to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &authority).unwrap();
        files.file(&format!("{name}.pem"), &certificate.pem());
        files.file(&format!("{name}.key"), &key.serialize_pem());
    }
}
