use super::*;

fn hosts(list: &[&str]) -> Vec<String> {
    list.iter().map(|h| (*h).to_owned()).collect()
}

#[test]
fn authorities_and_serving_certificates_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let ca = CertificateAuthority::load_or_create(dir.path(), "ca", "kcp").unwrap();
    let again = CertificateAuthority::load_or_create(dir.path(), "ca", "kcp").unwrap();
    assert_eq!(ca.certificate(), again.certificate());
    assert_eq!(pem::certificates(ca.certificate_pem().as_bytes(), "x").unwrap()[0], *ca.certificate());
    let names = hosts(&["10.1.2.3", "kcp.example.com"]);
    let first = ca.serving_or_create(dir.path(), "apiserver", &names).unwrap();
    // The CA read back signs as the one that was made.
    let second = again.serving_or_create(dir.path(), "apiserver", &names).unwrap();
    assert_eq!(first.chain, second.chain, "nothing has changed, so nothing is made anew");
    assert!(again.vouches(&second, &names) && !again.vouches(&second, &hosts(&["other.example.com"])));
    let third = again.serving_or_create(dir.path(), "apiserver", &hosts(&["other.example.com"])).unwrap();
    assert_ne!(first.chain[0], third.chain[0], "a new host needs a new certificate");
    assert!(ca.vouches(&third, &hosts(&["other.example.com"])), "the same CA after a restart");
    let foreign = CertificateAuthority::generate("other").unwrap();
    assert!(!foreign.vouches(&third, &[]));
}

#[test]
fn unusable_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let ca = CertificateAuthority::generate("kcp").unwrap();
    let (a, b) = (ca.issue_client("a", None, 1).unwrap(), ca.issue_client("b", None, 1).unwrap());
    std::fs::write(path("a.crt"), a.certificate_pem()).unwrap();
    std::fs::write(path("a.key"), a.key_pem()).unwrap();
    std::fs::write(path("b.key"), b.key_pem()).unwrap();
    assert!(Identity::read(&path("a.crt"), &path("a.key")).is_ok());
    let text = |r: Result<Identity, PkiError>| r.map(|_| ()).unwrap_err().to_string();
    assert!(text(Identity::read(&path("a.crt"), &path("b.key"))).contains("does not belong to the certificate"));
    assert!(text(Identity::read(&path("none.crt"), &path("a.key"))).starts_with("cannot read "));
    let mut old = parameters("old", None, 1);
    old.not_before = date_time_ymd(2001, 1, 1);
    old.not_after = date_time_ymd(2002, 1, 1);
    let old = ca.issue(old).unwrap();
    std::fs::write(path("old.crt"), old.certificate_pem()).unwrap();
    std::fs::write(path("old.key"), old.key_pem()).unwrap();
    let error = text(Identity::read(&path("old.crt"), &path("old.key")));
    assert!(error.ends_with("expired at 2002-01-01T00:00:00Z"), "{error}");
    let not_ca = CertificateAuthority::read(&path("a.crt"), &path("a.key")).map(|_| ()).unwrap_err();
    assert!(matches!(not_ca, PkiError::NotAuthority(_)), "{not_ca}");
    assert!(matches!(authorities_in(&path("a.crt")), Err(PkiError::NotAuthority(_))));
    std::fs::write(path("ca.crt"), ca.certificate_pem()).unwrap();
    assert_eq!(authorities_in(&path("ca.crt")).unwrap().len(), 1);
    // Half of a pair is not silently replaced: clients hold the other half.
    assert!(CertificateAuthority::load_or_create(dir.path(), "ca", "kcp").is_err());
    assert!(ca.issue_serving(&hosts(&["bad host\u{e9}"])).is_err());
}
