//! Who is asking: certificates, tokens, impersonation, and the secrets behind them.
//!
//! Everything here is local and quick: a request is authenticated by one or two hash look-ups and, for a token seen for
//! the first time, one signature. What must be known about live objects (is that service account still there?) comes
//! through [`ServiceAccountLookup`]. This is the only crate that names `rcgen` and `rustls_pemfile`.
//!
//! Secrets are held as [`Secret`], which does not print itself.

pub mod admin_token;
pub mod files;
pub mod identity;
pub mod impersonation;
pub mod pem;
pub mod pki;
mod secret;
pub mod service_account;
pub mod token_file;
mod tokens;
pub mod x509;

pub use secret::Secret;
pub use service_account::{LiveObject, LiveSecret, ServiceAccountIssuer, ServiceAccountLookup};
pub use tokens::{Authenticated, TokenAuthenticator, TokenError};
