use super::*;
use crate::service_account::{BoundKind, discovery_document, jwks};

const URL: &str = "https://kcp.default.svc";

fn issuer(dir: &Path) -> ServiceAccountIssuer {
    ServiceAccountIssuer::load_or_create(&dir.join("sa.key"), URL, &[]).unwrap()
}

fn request(cluster: &ClusterName) -> TokenRequest<'_> {
    TokenRequest { cluster, namespace: "ns", name: "bot", uid: "u1", audiences: &[], seconds: 600, bound: None }
}

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000)
}

#[test]
fn tokens_say_who_and_where_an05_lc06() {
    let dir = tempfile::tempdir().unwrap();
    let (issuer, cluster) = (issuer(dir.path()), ClusterName::new("abc").unwrap());
    let bound = Bound { kind: BoundKind::Pod, name: "p".into(), uid: "pu".into() };
    let minted = issuer.mint(&TokenRequest { bound: Some(bound), ..request(&cluster) }, now()).unwrap();
    let again = self::issuer(dir.path());
    assert_eq!(again.key_id(), issuer.key_id(), "the key is kept");
    let claims = again.verify(minted.token.expose()).unwrap();
    assert_eq!((claims.cluster.as_str(), claims.namespace.as_str(), claims.uid.as_str()), ("abc", "ns", "u1"));
    assert_eq!((claims.audiences.as_slice(), claims.expires), ([URL.to_owned()].as_slice(), Some(1_700_000_600)));
    assert_eq!(
        (claims.issued, claims.not_before, minted.expires.unix_seconds()),
        (1_700_000_000, 1_700_000_000, 1_700_000_600)
    );
    let user = claims.user();
    assert_eq!(user.username, "system:serviceaccount:ns:bot");
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]);
    assert!(user.extra["authentication.kubernetes.io/credential-id"][0].starts_with("JTI="));
    assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
    assert_eq!(user.service_account_cluster(), Some("abc"));
    assert_eq!(cluster_hint(minted.token.expose()).as_deref(), Some("abc"));
}

#[test]
fn legacy_tokens_name_their_secret_an06() {
    let dir = tempfile::tempdir().unwrap();
    let (issuer, cluster) = (issuer(dir.path()), ClusterName::root());
    let token = issuer.mint_legacy(&cluster, "ns", "bot", "u1", "bot-token-x").unwrap();
    let claims = issuer.verify(token.expose()).unwrap();
    assert_eq!((claims.issuer.as_str(), claims.expires, claims.cluster.as_str()), (LEGACY_ISSUER, None, "root"));
    assert_eq!(claims.bound.unwrap().name, "bot-token-x");
    assert_eq!(cluster_hint(token.expose()).as_deref(), Some("root"));
}

#[test]
fn forged_tokens_are_told_from_foreign_ones() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (issuer, cluster) = (issuer(dir.path()), ClusterName::root());
    let good = issuer.mint(&request(&cluster), now()).unwrap().token;
    let theirs = self::issuer(other.path()).mint(&request(&cluster), now()).unwrap().token;
    let parts: Vec<&str> = good.expose().split('.').collect();
    let encode = |v: Value| URL_SAFE_NO_PAD.encode(v.to_string());
    let payload = json!({"iss": URL, "aud": [URL], "exp": 9_999_999_999i64, "sub": "system:serviceaccount:kube-system:root",
        "kubernetes.io": {"namespace": "kube-system", "serviceaccount": {"name": "root", "uid": "1"}, "clusterName": "root"}});
    let none = encode(json!({"alg": "none"}));
    let cases = [
        (theirs.expose().to_owned(), VerifyError::Invalid),
        (format!("{}.{}.{}", parts[0], encode(payload.clone()), parts[2]), VerifyError::Invalid),
        (format!("{none}.{}.", encode(payload)), VerifyError::Invalid),
        (format!("{}.{}.", parts[0], parts[1]), VerifyError::Invalid),
        (format!("{}.{}.{}", parts[0], encode(json!({"iss": "https://other"})), parts[2]), VerifyError::Foreign),
        ("x.y.z".to_owned(), VerifyError::Foreign),
        ("static-token".to_owned(), VerifyError::Foreign),
        (format!("{}.{}.{}", parts[0], parts[1], "a".repeat(LONGEST_TOKEN)), VerifyError::Foreign),
    ];
    for (token, want) in cases {
        assert_eq!(issuer.verify(&token), Err(want));
    }
}

#[test]
fn the_public_key_is_published_v06() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = issuer(dir.path());
    let keys = jwks(&issuer);
    assert_eq!((&keys["keys"][0]["crv"], &keys["keys"][0]["kid"]), (&json!("P-256"), &json!(issuer.key_id())));
    assert_eq!(keys["keys"][0]["x"].as_str().unwrap().len(), 43);
    assert_eq!(discovery_document(&issuer, "https://h/openid/v1/jwks")["jwks_uri"], "https://h/openid/v1/jwks");
    std::fs::write(dir.path().join("sa.key"), pem::encode("PRIVATE KEY", b"junk")).unwrap();
    let error = ServiceAccountIssuer::load_or_create(&dir.path().join("sa.key"), URL, &[]).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("is not the private key of a P-256 key pair"), "{error}");
}
