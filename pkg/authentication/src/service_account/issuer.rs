//! Making and checking tokens.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kcp_apimachinery::{names, time::Timestamp};
use kcp_logicalcluster::ClusterName;
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
    },
};
use serde_json::{Value, json};

use super::{Bound, Claims, LEGACY_ISSUER};
use crate::{
    Secret,
    files::{self, FileError},
    pem::{self, PemError},
    secret::sha256,
};

/// What stands before the 65 bytes of a P-256 public key in its DER form.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// No token that this server has signed is longer.
const LONGEST_TOKEN: usize = 16 * 1024;

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The key is not one that can sign.
    #[error("{origin} is not the private key of a P-256 key pair in PKCS#8 form: {detail}")]
    Key {
        /// The file.
        origin: String,
        /// What is wrong.
        detail: String,
    },
}

/// Why a token is no good. Never sent to clients: they hear 401 and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is not one of this server's service account tokens at all; another authenticator may know it.
    #[error("not a service account token of this server")]
    Foreign,
    /// It says that it is, but it is malformed or its signature is wrong.
    #[error("the signature or the form is wrong")]
    Invalid,
}

/// What a token is wanted for.
#[derive(Debug, Clone)]
pub struct TokenRequest<'a> {
    /// The logical cluster of the account.
    pub cluster: &'a ClusterName,
    /// The account's namespace.
    pub namespace: &'a str,
    /// The account's name.
    pub name: &'a str,
    /// The account's uid.
    pub uid: &'a str,
    /// For whom the token is; empty for this server.
    pub audiences: &'a [String],
    /// For how many seconds it is valid.
    pub seconds: i64,
    /// What else it dies with.
    pub bound: Option<Bound>,
}

/// A token just made.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The token.
    pub token: Secret,
    /// When it ends.
    pub expires: Timestamp,
    /// For whom it is.
    pub audiences: Vec<String>,
}

/// Signs and checks the tokens of service accounts with one P-256 key (ES256).
pub struct ServiceAccountIssuer {
    key: EcdsaKeyPair,
    key_id: String,
    random: SystemRandom,
    issuer: String,
    audiences: Vec<String>,
}

impl ServiceAccountIssuer {
    /// Reads the key from `path`, or makes one. `issuer` is the URL that tokens name; `audiences` are what this server
    /// answers to, the issuer when there are none.
    ///
    /// # Errors
    /// When the file cannot be read or written, or does not hold such a key.
    pub fn load_or_create(path: &Path, issuer: &str, audiences: &[String]) -> Result<Self, IssuerError> {
        let random = SystemRandom::new();
        let fail = |detail: String| IssuerError::Key { origin: path.display().to_string(), detail };
        let pkcs8 = match files::read_optional(path)? {
            Some(text) => pem::private_key(&text, &path.display().to_string())?.secret_der().to_vec(),
            None => {
                let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
                let made = made.map_err(|e| fail(e.to_string()))?;
                files::write_private(path, pem::encode("PRIVATE KEY", made.as_ref()).as_bytes())?;
                made.as_ref().to_vec()
            }
        };
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random)
            .map_err(|e| fail(e.to_string()))?;
        let mut der = SPKI.to_vec();
        der.extend_from_slice(key.public_key().as_ref());
        let key_id = URL_SAFE_NO_PAD.encode(sha256(&der));
        let audiences = if audiences.is_empty() { vec![issuer.to_owned()] } else { audiences.to_vec() };
        Ok(Self { key, key_id, random, issuer: issuer.to_owned(), audiences })
    }

    /// The URL that tokens name as their issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What this server answers to.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// The id of the key, in every token's header.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The uncompressed public key: 0x04, then both coordinates.
    pub(super) fn public_key(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }

    /// Makes a token (B-04, AN-05). `None` when the system gives no random numbers.
    pub fn mint(&self, request: &TokenRequest<'_>, now: Timestamp) -> Option<Minted> {
        let audiences = if request.audiences.is_empty() { self.audiences.clone() } else { request.audiences.to_vec() };
        let expires = now.plus_seconds(request.seconds);
        let claims = Claims {
            issuer: self.issuer.clone(),
            audiences: audiences.clone(),
            cluster: request.cluster.to_string(),
            namespace: request.namespace.to_owned(),
            name: request.name.to_owned(),
            uid: request.uid.to_owned(),
            id: names::new_uid(),
            issued: now.unix_seconds(),
            not_before: now.unix_seconds(),
            expires: Some(expires.unix_seconds()),
            bound: request.bound.clone(),
        };
        Some(Minted { token: self.sign(&claims)?, expires, audiences })
    }

    /// Makes a legacy token, to be kept in the Secret `secret` and valid as long as that exists (AN-06). `None` when the
    /// system gives no random numbers.
    pub fn mint_legacy(
        &self,
        cluster: &ClusterName,
        namespace: &str,
        name: &str,
        uid: &str,
        secret: &str,
    ) -> Option<Secret> {
        let bound = Bound { kind: super::BoundKind::Secret, name: secret.to_owned(), uid: String::new() };
        self.sign(&Claims {
            issuer: LEGACY_ISSUER.to_owned(),
            cluster: cluster.to_string(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            bound: Some(bound),
            ..Claims::default()
        })
    }

    fn sign(&self, claims: &Claims) -> Option<Secret> {
        let header = json!({"alg": "ES256", "kid": self.key_id});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims.to_value()));
        let signature = self.key.sign(&self.random, signed.as_bytes()).ok()?;
        Some(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }

    /// Checks form, key and signature of a token and reads what it says. Time, audience and what must still exist are
    /// checked elsewhere.
    ///
    /// # Errors
    /// Says whether another authenticator may know the token.
    pub fn verify(&self, token: &str) -> Result<Claims, VerifyError> {
        if token.len() > LONGEST_TOKEN {
            return Err(VerifyError::Foreign);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(VerifyError::Foreign)?;
        let (header, payload) = signed.split_once('.').ok_or(VerifyError::Foreign)?;
        let json = |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
        let (header, payload) = (json(header).ok_or(VerifyError::Foreign)?, json(payload).ok_or(VerifyError::Foreign)?);
        let issuer = payload.get("iss").and_then(Value::as_str).ok_or(VerifyError::Foreign)?;
        if issuer != self.issuer && issuer != LEGACY_ISSUER {
            return Err(VerifyError::Foreign);
        }
        // The algorithm is ours to say, not the token's.
        let ours = header.get("alg").is_some_and(|a| a == "ES256")
            && header.get("kid").is_none_or(|k| *k == self.key_id.as_str());
        if !ours {
            return Err(VerifyError::Invalid);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| VerifyError::Invalid)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.public_key())
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| VerifyError::Invalid)?;
        Claims::from_value(&payload).ok_or(VerifyError::Invalid)
    }
}

/// The logical cluster that a token names, not checked: only good for routing a request whose token is checked after
/// that.
pub fn cluster_hint(token: &str) -> Option<String> {
    let payload = token.split('.').nth(1).filter(|p| p.len() <= LONGEST_TOKEN)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let bound = claims.get("kubernetes.io").and_then(|k| k.get("clusterName"));
    let name = bound.or_else(|| claims.get("kubernetes.io/serviceaccount/clusterName"))?;
    ClusterName::new(name.as_str()?).ok().map(|n| n.to_string())
}

#[cfg(test)]
#[path = "issuer_tests.rs"]
mod tests;
