//! What others need to check tokens themselves: OIDC discovery and the public key (V-06).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::ServiceAccountIssuer;

/// The document at `/.well-known/openid-configuration`. `jwks_uri` is where [`jwks`] is served.
pub fn discovery_document(issuer: &ServiceAccountIssuer, jwks_uri: &str) -> Value {
    json!({
        "issuer": issuer.issuer(),
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

/// The document at `/openid/v1/jwks`, of type `application/jwk-set+json`.
pub fn jwks(issuer: &ServiceAccountIssuer) -> Value {
    let point = issuer.public_key().get(1..65).unwrap_or_default();
    let (x, y) = point.split_at(point.len() / 2);
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({"keys": [{
        "use": "sig", "kty": "EC", "kid": issuer.key_id(), "crv": "P-256", "alg": "ES256", "x": text(x), "y": text(y),
    }]})
}
