//! The administrator's token. The token itself is only in the kubeconfig that is written at the first start; the server
//! keeps its SHA-256, raw, in a file of mode 0600.

use std::path::{Path, PathBuf};

use crate::{
    Secret,
    files::{self, FileError},
};

/// Why there is no valid administrator's token.
#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The kubeconfig has a token that this server does not accept: it is from another life of the root directory.
    #[error("admin token in file {0} is not valid anymore. Remove file {0} and restart KCP", kubeconfig.display())]
    Stale {
        /// The kubeconfig.
        kubeconfig: PathBuf,
    },
    /// The store does not hold a hash.
    #[error("{} is damaged: it must hold the 32 bytes of a hash. Remove it and {}, and restart KCP", store.display(), kubeconfig.display())]
    Damaged {
        /// The store.
        store: PathBuf,
        /// The kubeconfig.
        kubeconfig: PathBuf,
    },
}

/// The administrator's token as the server knows it.
#[derive(Debug, Clone)]
pub struct AdminToken {
    /// The SHA-256 of the token.
    pub hash: [u8; 32],
    /// The token itself, when it was made just now and the kubeconfig must be written.
    pub new: Option<Secret>,
}

impl AdminToken {
    /// Reads the token's hash from `store`. `known` is the token in the kubeconfig, `None` when there is no kubeconfig: a
    /// new token is made then, and the old one is no longer valid.
    ///
    /// # Errors
    /// When the kubeconfig's token is not the one that the store knows, or a file cannot be read or written.
    pub fn load_or_create(store: &Path, kubeconfig: &Path, known: Option<&Secret>) -> Result<Self, AdminTokenError> {
        let Some(known) = known else {
            let token = Secret::generate();
            let hash = token.sha256();
            files::write_private(store, &hash)?;
            return Ok(Self { hash, new: Some(token) });
        };
        let stale = || AdminTokenError::Stale { kubeconfig: kubeconfig.to_owned() };
        let stored = files::read_optional(store)?.ok_or_else(stale)?;
        let hash: [u8; 32] = stored
            .try_into()
            .map_err(|_| AdminTokenError::Damaged { store: store.to_owned(), kubeconfig: kubeconfig.to_owned() })?;
        if hash == known.sha256() { Ok(Self { hash, new: None }) } else { Err(stale()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_live_as_long_as_kubeconfig_and_store_agree() {
        let dir = tempfile::tempdir().unwrap();
        let (store, config) = (dir.path().join(".admin-token-store"), dir.path().join("admin.kubeconfig"));
        let first = AdminToken::load_or_create(&store, &config, None).unwrap();
        let token = first.new.unwrap();
        assert_eq!(std::fs::read(&store).unwrap(), token.sha256());
        let again = AdminToken::load_or_create(&store, &config, Some(&token)).unwrap();
        assert!(again.new.is_none() && again.hash == first.hash);
        let foreign = Secret::new("foreign");
        let text = AdminToken::load_or_create(&store, &config, Some(&foreign)).unwrap_err().to_string();
        let path = config.display();
        assert_eq!(
            text,
            format!("admin token in file {path} is not valid anymore. Remove file {path} and restart KCP")
        );
        std::fs::write(&store, b"short").unwrap();
        let text = AdminToken::load_or_create(&store, &config, Some(&token)).unwrap_err().to_string();
        assert!(text.contains("is damaged"), "{text}");
        std::fs::remove_file(&store).unwrap();
        assert!(matches!(
            AdminToken::load_or_create(&store, &config, Some(&token)),
            Err(AdminTokenError::Stale { .. })
        ));
    }
}
