//! From a bearer token to a user (AN-02, AN-03, AN-05, AN-06).
//!
//! Order: static tokens (the token file's and the administrator's), then service accounts. A static token is looked up by
//! its hash, so the time this takes says nothing about it. The signature of a service account's token is checked once;
//! what it said is kept, bounded, by its hash. Its time and what must still exist are checked for every request.

use std::{collections::HashMap, sync::Arc};

use kcp_apimachinery::{UserInfo, time::Timestamp};
use kcp_logicalcluster::ClusterName;
use parking_lot::Mutex;

use crate::{
    LiveObject, Secret, ServiceAccountIssuer, ServiceAccountLookup,
    secret::sha256,
    service_account::{BoundKind, Claims, VerifyError},
};

/// A deleted object's tokens are valid this much longer, in seconds, so that what runs can end in order.
const DELETION_LEEWAY: i64 = 60;
/// Clocks of those who issue and check may differ by this much, in seconds.
const CLOCK_LEEWAY: i64 = 10;
/// How many checked tokens each of the two generations of the cache holds.
const GENERATION: usize = 4096;

/// Why a token is not accepted. Clients only hear 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nobody knows the token, or its signature is wrong.
    #[error("invalid bearer token")]
    Unknown,
    /// It is valid only later.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It was valid.
    #[error("the token has expired")]
    Expired,
    /// It is for somebody else.
    #[error("the token is not for this audience")]
    Audience,
    /// Its service account, or what it is bound to, is gone.
    #[error("the service account token has been invalidated")]
    Invalidated,
}

/// A token that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// Whose it is, `system:authenticated` among the groups.
    pub user: Arc<UserInfo>,
    /// For which of the audiences asked for it is; empty when it is for any.
    pub audiences: Vec<String>,
}

/// Knows all kinds of bearer tokens.
#[derive(Default)]
pub struct TokenAuthenticator {
    fixed: HashMap<[u8; 32], Arc<UserInfo>>,
    accounts: Option<(Arc<ServiceAccountIssuer>, Arc<dyn ServiceAccountLookup>)>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    young: HashMap<[u8; 32], Arc<Known>>,
    old: HashMap<[u8; 32], Arc<Known>>,
}

/// A token whose signature is good.
struct Known {
    claims: Claims,
    cluster: ClusterName,
    user: Arc<UserInfo>,
}

impl TokenAuthenticator {
    /// One that knows no tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a static token. The first user of a token keeps it.
    #[must_use]
    pub fn with_static(self, token: &Secret, user: UserInfo) -> Self {
        self.with_static_hash(token.sha256(), user)
    }

    /// Adds a static token that only its SHA-256 is known of.
    #[must_use]
    pub fn with_static_hash(mut self, hash: [u8; 32], user: UserInfo) -> Self {
        self.fixed.entry(hash).or_insert_with(|| Arc::new(user));
        self
    }

    /// Adds the tokens of service accounts.
    #[must_use]
    pub fn with_service_accounts(
        mut self,
        issuer: Arc<ServiceAccountIssuer>,
        lookup: Arc<dyn ServiceAccountLookup>,
    ) -> Self {
        self.accounts = Some((issuer, lookup));
        self
    }

    /// Whose token this is. `audiences` empty asks for this server's own.
    ///
    /// # Errors
    /// When it is nobody's, or no longer or not yet valid, or for others.
    pub fn authenticate(&self, token: &str, audiences: &[String], now: Timestamp) -> Result<Authenticated, TokenError> {
        let hash = sha256(token.as_bytes());
        if let Some(user) = self.fixed.get(&hash) {
            return Ok(Authenticated { user: Arc::clone(user), audiences: audiences.to_vec() });
        }
        let (issuer, lookup) = self.accounts.as_ref().ok_or(TokenError::Unknown)?;
        let known = self.known(hash, token, issuer)?;
        let claims = &known.claims;
        let second = now.unix_seconds();
        if second + CLOCK_LEEWAY < claims.not_before {
            return Err(TokenError::NotYetValid);
        }
        if claims.expires.is_some_and(|end| second > end + CLOCK_LEEWAY) {
            return Err(TokenError::Expired);
        }
        let wanted = if audiences.is_empty() { issuer.audiences() } else { audiences };
        let own = if claims.audiences.is_empty() { issuer.audiences() } else { &claims.audiences };
        let common: Vec<String> = wanted.iter().filter(|a| own.contains(a)).cloned().collect();
        if common.is_empty() {
            return Err(TokenError::Audience);
        }
        if !alive(&known, token, lookup.as_ref(), now) {
            return Err(TokenError::Invalidated);
        }
        Ok(Authenticated { user: Arc::clone(&known.user), audiences: common })
    }

    fn known(&self, hash: [u8; 32], token: &str, issuer: &ServiceAccountIssuer) -> Result<Arc<Known>, TokenError> {
        if let Some(known) = self.cache.lock().get(&hash) {
            return Ok(known);
        }
        // Not under the lock: this is the one expensive step.
        let claims = issuer.verify(token).map_err(|e: VerifyError| {
            tracing::debug!(error = %e, "bearer token refused");
            TokenError::Unknown
        })?;
        let cluster = ClusterName::new(&claims.cluster).map_err(|_| TokenError::Unknown)?;
        let known = Arc::new(Known { user: Arc::new(claims.user()), claims, cluster });
        self.cache.lock().put(hash, Arc::clone(&known));
        Ok(known)
    }
}

/// Whether the account, and what the token is bound to, still exist.
fn alive(known: &Known, token: &str, lookup: &dyn ServiceAccountLookup, now: Timestamp) -> bool {
    let (claims, cluster, namespace) = (&known.claims, &known.cluster, known.claims.namespace.as_str());
    let same = |object: Option<LiveObject>, uid: &str| {
        object.is_some_and(|o| {
            (uid.is_empty() || o.uid == uid) && o.deleted.is_none_or(|at| now.seconds_since(at) <= DELETION_LEEWAY)
        })
    };
    if !same(lookup.service_account(cluster, namespace, &claims.name), &claims.uid) {
        return false;
    }
    match &claims.bound {
        None => true,
        Some(bound) if bound.kind == BoundKind::Pod => same(lookup.pod(cluster, namespace, &bound.name), &bound.uid),
        Some(bound) => lookup.secret(cluster, namespace, &bound.name).is_some_and(|secret| {
            // A legacy token must be the one in its Secret: taking it out there revokes it.
            let held = claims.expires.is_some() || secret.token.is_some_and(|t| t.expose() == token);
            held && same(Some(secret.object), &bound.uid)
        }),
    }
}

impl Cache {
    fn get(&mut self, hash: &[u8; 32]) -> Option<Arc<Known>> {
        if let Some(known) = self.young.get(hash) {
            return Some(Arc::clone(known));
        }
        let known = self.old.remove(hash)?;
        self.put(*hash, Arc::clone(&known));
        Some(known)
    }

    /// Two generations: what is used moves to the young one; what has not been used for a whole generation is dropped.
    fn put(&mut self, hash: [u8; 32], known: Arc<Known>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, known);
    }
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
