//! Where a server is and how to prove who we are: read from a kubeconfig or from the files in a pod.

use std::path::{Component, Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not a kubeconfig.
    #[error("{path} is not a kubeconfig: {detail}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// A name is not defined in the kubeconfig.
    #[error("the kubeconfig has no {kind} {name:?}")]
    Missing {
        /// `context`, `cluster` or `user`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A certificate, key or address is malformed.
    #[error("{what}: {detail}")]
    Invalid {
        /// Which.
        what: &'static str,
        /// Why.
        detail: String,
    },
}

/// How to reach a server. Holds secrets, so it has no `Debug`.
#[derive(Clone, Default)]
pub struct Config {
    /// `https://host:port`, with a path where there is one.
    pub server: String,
    /// PEM of the CAs to trust; `None` trusts those of the system.
    pub ca: Option<Vec<u8>>,
    /// Do not check the server's certificate.
    pub insecure: bool,
    /// The name to expect in the server's certificate, if not the host's.
    pub tls_server_name: Option<String>,
    /// PEM of the client certificate chain and its key.
    pub client_cert: Option<(Vec<u8>, Vec<u8>)>,
    /// A bearer token.
    pub token: Option<String>,
    /// A file that holds the bearer token and may change; wins over `token`.
    pub token_file: Option<PathBuf>,
    /// The namespace of the context, empty for none.
    pub namespace: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Kubeconfig {
    current_context: String,
    contexts: Vec<Named<Context>>,
    clusters: Vec<Named<Cluster>>,
    users: Vec<Named<User>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster", alias = "user")]
    value: Option<T>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
    namespace: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: bool,
    tls_server_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
}

/// Where a pod finds its service account.
const POD_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

impl Config {
    /// Reads a kubeconfig file; `context` empty means its current context.
    ///
    /// # Errors
    /// When the file or one it names cannot be read, is malformed, or lacks what the context names.
    pub fn from_kubeconfig(path: &Path, context: &str) -> Result<Self, ConfigError> {
        Self::from_kubeconfig_text(&text(path)?, context, path)
    }

    /// As [`Config::from_kubeconfig`], for a file from somebody to whom this machine's files are closed: it may name only
    /// those in its own folder.
    ///
    /// # Errors
    /// As [`Config::from_kubeconfig`], and when it names others.
    pub fn from_confined_kubeconfig(path: &Path, context: &str) -> Result<Self, ConfigError> {
        Self::resolve(&text(path)?, context, path, true)
    }

    /// As [`Config::from_kubeconfig`], for a text; relative file names in it count from the folder of `path`.
    ///
    /// # Errors
    /// As [`Config::from_kubeconfig`].
    pub fn from_kubeconfig_text(text: &str, context: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::resolve(text, context, path, false)
    }

    fn resolve(text: &str, context: &str, path: &Path, confined: bool) -> Result<Self, ConfigError> {
        let file: Kubeconfig = serde_saphyr::from_str(text)
            .map_err(|e| ConfigError::Parse { path: path.into(), detail: e.to_string() })?;
        let name = if context.is_empty() { file.current_context.clone() } else { context.to_owned() };
        let context = pick(file.contexts, "context", &name)?;
        let cluster = pick(file.clusters, "cluster", &context.cluster)?;
        let user = if context.user.is_empty() { User::default() } else { pick(file.users, "user", &context.user)? };
        if user.exec.is_some() || user.auth_provider.is_some() {
            return Err(ConfigError::Invalid {
                what: "user",
                detail: format!(
                    "{:?} logs in through a plug-in, which is not supported; use a token or a client certificate",
                    context.user
                ),
            });
        }
        let named = [&cluster.certificate_authority, &user.client_certificate, &user.client_key, &user.token_file];
        let is_beside = |f: &PathBuf| f.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if let Some(file) = named.into_iter().flatten().find(|f| confined && !is_beside(f)) {
            return Err(ConfigError::Invalid {
                what: "kubeconfig",
                detail: format!("{} is not in its folder, and no other files may be named here", file.display()),
            });
        }
        let dir = path.parent().unwrap_or_else(|| Path::new("."));
        let ca = material(
            dir,
            cluster.certificate_authority.as_deref(),
            cluster.certificate_authority_data.as_deref(),
            "certificate-authority-data",
        )?;
        let cert = material(
            dir,
            user.client_certificate.as_deref(),
            user.client_certificate_data.as_deref(),
            "client-certificate-data",
        )?;
        let key = material(dir, user.client_key.as_deref(), user.client_key_data.as_deref(), "client-key-data")?;
        let client_cert = match (cert, key) {
            (Some(c), Some(k)) => Some((c, k)),
            (None, None) => None,
            _ => {
                return Err(ConfigError::Invalid {
                    what: "user",
                    detail: "a client certificate needs its key, and a key its certificate".into(),
                });
            }
        };
        Ok(Self {
            server: cluster.server,
            ca,
            insecure: cluster.insecure_skip_tls_verify,
            tls_server_name: cluster.tls_server_name,
            client_cert,
            token: user.token.filter(|t| !t.is_empty()),
            token_file: user.token_file.map(|f| dir.join(f)),
            namespace: context.namespace,
        })
    }

    /// The configuration of a pod: its service account's token and CA, and the server named by the environment.
    ///
    /// # Errors
    /// When this process does not run in a pod.
    pub fn in_cluster() -> Result<Self, ConfigError> {
        Self::from_pod(Path::new(POD_DIR), |k| std::env::var(k).ok())
    }

    /// As [`Config::in_cluster`], with the folder and the environment given.
    ///
    /// # Errors
    /// When the folder or the environment lacks something.
    pub fn from_pod(dir: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let var = |name: &'static str| {
            env(name).filter(|v| !v.is_empty()).ok_or_else(|| ConfigError::Invalid {
                what: name,
                detail: "is not set: this process does not run in a pod; name a kubeconfig instead".into(),
            })
        };
        let (host, port) = (var("KUBERNETES_SERVICE_HOST")?, var("KUBERNETES_SERVICE_PORT")?);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let token_file = dir.join("token");
        read(&token_file)?;
        Ok(Self {
            server: format!("https://{host}:{port}"),
            ca: Some(read(&dir.join("ca.crt"))?),
            token_file: Some(token_file),
            namespace: read(&dir.join("namespace"))
                .ok()
                .and_then(|b| String::from_utf8(b).ok())
                .unwrap_or_default()
                .trim()
                .to_owned(),
            ..Self::default()
        })
    }

    /// The bearer token to send now.
    ///
    /// # Errors
    /// When the token file cannot be read.
    pub fn bearer(&self) -> Result<Option<String>, ConfigError> {
        match &self.token_file {
            None => Ok(self.token.clone()),
            Some(path) => Ok(Some(String::from_utf8_lossy(&read(path)?).trim().to_owned())),
        }
    }
}

fn pick<T>(list: Vec<Named<T>>, kind: &'static str, name: &str) -> Result<T, ConfigError> {
    list.into_iter()
        .find(|n| n.name == name)
        .and_then(|n| n.value)
        .ok_or_else(|| ConfigError::Missing { kind, name: name.to_owned() })
}

fn text(path: &Path) -> Result<String, ConfigError> {
    String::from_utf8(read(path)?).map_err(|e| ConfigError::Parse { path: path.into(), detail: e.to_string() })
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|source| ConfigError::Read { path: path.into(), source })
}

/// The bytes of a field that exists as a file name and as base64; the latter wins, as in kubectl.
fn material(
    dir: &Path,
    file: Option<&Path>,
    data: Option<&str>,
    what: &'static str,
) -> Result<Option<Vec<u8>>, ConfigError> {
    match (data.filter(|d| !d.is_empty()), file) {
        (Some(d), _) => {
            STANDARD.decode(d.trim()).map(Some).map_err(|e| ConfigError::Invalid { what, detail: e.to_string() })
        }
        (None, Some(f)) => read(&dir.join(f)).map(Some),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
apiVersion: v1
kind: Config
current-context: a
preferences: {}
contexts:
- name: a
  context: {cluster: c, user: u, namespace: n}
clusters:
- name: c
  cluster: {server: "https://h:1/clusters/root", certificate-authority-data: Y2E=}
users:
- name: u
  user: {token: t}
"#;

    #[test]
    fn contexts_are_resolved() {
        let c = Config::from_kubeconfig_text(TEXT, "", Path::new("x")).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            (c.server.as_str(), c.namespace.as_str(), c.token.as_deref()),
            ("https://h:1/clusters/root", "n", Some("t"))
        );
        assert_eq!(c.ca.as_deref(), Some(&b"ca"[..]));
    }

    /// Whoever wrote it could have a file of this machine sent to a server of theirs.
    #[test]
    fn a_confined_kubeconfig_names_nothing_outside_of_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        std::fs::write(dir.path().join("beside"), "x").unwrap();
        for (line, file, allowed) in [
            ("{token: t}", "tokenFile: /etc/hostname", false),
            ("{token: t}", "tokenFile: ../x", false),
            ("{token: t}", "tokenFile: ./beside", true),
            ("{token: t}", "client-certificate: /etc/hostname, client-key: /etc/hostname", false),
            ("certificate-authority-data: Y2E=", "certificate-authority: /etc/hostname", false),
            ("certificate-authority-data: Y2E=", "certificate-authority: beside", true),
        ] {
            let file_in = if line.starts_with('{') { format!("{{{file}}}") } else { file.to_owned() };
            std::fs::write(&path, TEXT.replace(line, &file_in)).unwrap();
            let read = Config::from_confined_kubeconfig(&path, "").map(drop).map_err(|e| e.to_string());
            assert_eq!(read.is_ok(), allowed, "{file}: {read:?}");
            if !allowed {
                assert!(read.is_err_and(|e| e.starts_with("kubeconfig: ")), "{file}");
            }
        }
    }

    #[test]
    fn a_missing_context_is_named() {
        let e = Config::from_kubeconfig_text(TEXT, "nope", Path::new("x")).err().map(|e| e.to_string());
        assert_eq!(e.as_deref(), Some("the kubeconfig has no context \"nope\""));
    }
}
