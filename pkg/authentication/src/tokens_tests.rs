use std::path::Path;

use super::*;
use crate::{
    LiveSecret,
    service_account::{Bound, Minted, TokenRequest},
};

const URL: &str = "https://kcp.default.svc";

#[derive(Default)]
struct Objects {
    account: Mutex<Option<LiveObject>>,
    secret: Mutex<Option<LiveSecret>>,
}

impl ServiceAccountLookup for Objects {
    fn service_account(&self, cluster: &ClusterName, namespace: &str, name: &str) -> Option<LiveObject> {
        let here = cluster.as_str() == "abc" && namespace == "ns" && name == "bot";
        self.account.lock().clone().filter(|_| here)
    }
    fn secret(&self, _: &ClusterName, _: &str, _: &str) -> Option<LiveSecret> {
        self.secret.lock().clone()
    }
}

struct World {
    _dir: tempfile::TempDir,
    issuer: Arc<ServiceAccountIssuer>,
    objects: Arc<Objects>,
    tokens: TokenAuthenticator,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000 + second)
}

fn live(uid: &str) -> LiveObject {
    LiveObject { uid: uid.into(), deleted: None }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key: &Path = &dir.path().join("sa.key");
        let issuer = Arc::new(ServiceAccountIssuer::load_or_create(key, URL, &[]).unwrap());
        let objects = Arc::new(Objects::default());
        *objects.account.lock() = Some(live("u1"));
        let lookup: Arc<dyn ServiceAccountLookup> = Arc::clone(&objects) as _;
        let admin = UserInfo { username: "admin".into(), ..UserInfo::default() };
        let tokens = TokenAuthenticator::new()
            .with_static(&Secret::new("admin-token"), admin)
            .with_service_accounts(Arc::clone(&issuer), lookup);
        Self { _dir: dir, issuer, objects, tokens }
    }

    fn mint(&self, audiences: &[String], bound: Option<Bound>) -> Minted {
        let cluster = ClusterName::new("abc").unwrap();
        let request =
            TokenRequest { cluster: &cluster, namespace: "ns", name: "bot", uid: "u1", audiences, seconds: 600, bound };
        self.issuer.mint(&request, at(0)).unwrap()
    }

    fn ask(&self, token: &Secret, second: i64) -> Result<String, TokenError> {
        self.tokens.authenticate(token.expose(), &[], at(second)).map(|a| a.user.username.clone())
    }
}

#[test]
fn static_tokens_come_first_an02_an03() {
    let w = World::new();
    assert_eq!(w.ask(&Secret::new("admin-token"), 0).as_deref(), Ok("admin"));
    assert_eq!(w.ask(&Secret::new("admin-tokem"), 0), Err(TokenError::Unknown));
    assert_eq!(w.ask(&Secret::new(""), 0), Err(TokenError::Unknown));
    assert_eq!(TokenAuthenticator::new().authenticate("x", &[], at(0)), Err(TokenError::Unknown));
}

#[test]
fn tokens_have_their_time_and_audience_an05() {
    let w = World::new();
    let token = w.mint(&[], None).token;
    let me = "system:serviceaccount:ns:bot";
    let cases = [
        (0, Ok(me)),
        (600, Ok(me)),
        (620, Err(TokenError::Expired)),
        (-5, Ok(me)),
        (-60, Err(TokenError::NotYetValid)),
    ];
    for (second, want) in cases {
        assert_eq!(w.ask(&token, second).as_deref().map_err(|e| *e), want, "{second}");
    }
    let other = w.mint(&["vault".to_owned()], None).token;
    assert_eq!(w.ask(&other, 0), Err(TokenError::Audience));
    let asked = ["vault".to_owned(), "x".to_owned()];
    assert_eq!(w.tokens.authenticate(other.expose(), &asked, at(0)).unwrap().audiences, ["vault"]);
}

#[test]
fn tokens_die_with_their_account_an05() {
    let w = World::new();
    let token = w.mint(&[], None).token;
    assert!(w.ask(&token, 1).is_ok());
    *w.objects.account.lock() = Some(LiveObject { deleted: Some(at(2)), ..live("u1") });
    assert!(w.ask(&token, 60).is_ok(), "within the leeway");
    assert_eq!(w.ask(&token, 63), Err(TokenError::Invalidated));
    *w.objects.account.lock() = Some(live("u2"));
    assert_eq!(w.ask(&token, 3), Err(TokenError::Invalidated), "made anew under the same name");
    *w.objects.account.lock() = None;
    assert_eq!(w.ask(&token, 3), Err(TokenError::Invalidated));
}

#[test]
fn tokens_die_with_what_they_are_bound_to() {
    let w = World::new();
    let bound = |kind| Some(Bound { kind, name: "s".into(), uid: "su".into() });
    let secret = w.mint(&[], bound(BoundKind::Secret)).token;
    assert_eq!(w.ask(&secret, 0), Err(TokenError::Invalidated));
    *w.objects.secret.lock() = Some(LiveSecret { object: live("su"), token: None });
    assert!(w.ask(&secret, 0).is_ok());
    let pod = w.mint(&[], bound(BoundKind::Pod)).token;
    assert_eq!(w.ask(&pod, 0), Err(TokenError::Invalidated), "there are no pods");
}

#[test]
fn legacy_tokens_must_be_in_their_secret_an06() {
    let w = World::new();
    let cluster = ClusterName::new("abc").unwrap();
    let token = w.issuer.mint_legacy(&cluster, "ns", "bot", "u1", "s").unwrap();
    assert_eq!(w.ask(&token, 0), Err(TokenError::Invalidated));
    *w.objects.secret.lock() = Some(LiveSecret { object: live("x"), token: Some(token.clone()) });
    assert!(w.ask(&token, 10_000_000).is_ok());
    *w.objects.secret.lock() = Some(LiveSecret { object: live("x"), token: Some(Secret::new("another")) });
    assert_eq!(w.ask(&token, 0), Err(TokenError::Invalidated));
}

#[test]
fn the_cache_is_bounded_and_keeps_what_is_used() {
    let w = World::new();
    let token = w.mint(&[], None).token;
    assert!(w.ask(&token, 0).is_ok());
    let known = w.tokens.cache.lock().get(&token.sha256()).unwrap();
    let mut cache = Cache::default();
    let hash = |i: usize| {
        let mut h = [0; 32];
        h[..8].copy_from_slice(&i.to_le_bytes());
        h
    };
    for i in 1..4 * GENERATION {
        cache.put(hash(i), Arc::clone(&known));
        let used = cache.get(&hash(0)).unwrap_or_else(|| Arc::clone(&known));
        cache.put(hash(0), used);
        assert!(cache.young.len() + cache.old.len() <= 2 * GENERATION);
    }
    assert!(cache.get(&hash(0)).is_some() && cache.get(&hash(1)).is_none());
}
