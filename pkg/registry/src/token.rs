//! Continue tokens: where the next page of a list starts, and at which revision (L-10 to L-13).
//!
//! A token is bound to the logical cluster, the resource and the namespace of its list; elsewhere it is refused, so
//! that it can never be used to read what the request was not authorised for.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kcp_apimachinery::Status;
use serde::{Deserialize, Serialize};

use crate::decode::go_json_error;

const VERSION: &str = "meta.k8s.io/v1";

/// A token, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    v: String,
    /// The revision that the list shows; -1 for whatever is there.
    pub(crate) rv: i64,
    /// The last key that was shown, below the list's prefix, and a NUL.
    start: String,
    /// What the list is of.
    #[serde(default)]
    scope: String,
}

fn invalid(why: &str) -> Status {
    Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
}

impl Token {
    /// After the object `namespace/name` of the list `scope`.
    pub(crate) fn after(rv: i64, scope: &str, cluster: &str, namespace: &str, name: &str) -> Self {
        Self { v: VERSION.into(), rv, start: format!("{cluster}/{namespace}/{name}\0"), scope: scope.into() }
    }

    pub(crate) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(crate) fn decode(text: &str, scope: &str) -> Result<Self, Status> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|e| invalid(&format!("illegal base64 data: {e}")))?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|e| invalid(&go_json_error(&bytes, &e)))?;
        if token.v != VERSION {
            return Err(invalid("server does not recognize this encoded version"));
        }
        if token.rv == 0 {
            return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        if token.parts().is_none() {
            return Err(invalid("encoded start key empty (version meta.k8s.io/v1)"));
        }
        if token.scope != scope {
            return Err(invalid("the token belongs to another list"));
        }
        Ok(token)
    }

    /// Cluster, namespace and name of the last object that was shown.
    pub(crate) fn parts(&self) -> Option<(&str, &str, &str)> {
        let mut parts = self.start.strip_suffix('\0')?.split('/');
        let (cluster, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
        (parts.next().is_none() && !name.is_empty() && !cluster.is_empty()).then_some((cluster, namespace, name))
    }

    /// The same for whatever is there now.
    pub(crate) fn inconsistent(mut self) -> Self {
        self.rv = -1;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_bound_to_their_list() {
        let token = Token::after(7, "root/configmaps/a", "root", "a", "x");
        let text = token.encode();
        assert_eq!(Token::decode(&text, "root/configmaps/a").unwrap(), token);
        assert_eq!(token.parts(), Some(("root", "a", "x")));
        assert_eq!(Token::decode(&text, "root/secrets/a").unwrap_err().code, 400);
    }

    #[test]
    fn bad_tokens_are_refused_l12() {
        let encode = |json: &str| URL_SAFE_NO_PAD.encode(json);
        for bad in [
            "bm90IGpzb24".to_owned(),
            "!!".to_owned(),
            encode("{}"),
            encode(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a/b/c\u0000","scope":"s"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":3,"start":"../../x\u0000","scope":"t"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":3,"start":"a/b/../c\u0000","scope":"s"}"#),
            encode(r#"{"v":"x","rv":3,"start":"a/b/c\u0000","scope":"s"}"#),
        ] {
            let error = Token::decode(&bad, "s").unwrap_err();
            assert_eq!(error.code, 400);
            assert!(error.message.starts_with("invalid continue token: continue key is not valid: "), "{error}");
        }
        let error = Token::decode("bm90IGpzb24", "s").unwrap_err();
        assert!(error.message.ends_with("invalid character 'o' in literal null (expecting 'u')"));
    }
}
