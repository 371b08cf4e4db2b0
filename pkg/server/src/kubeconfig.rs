//! The admin's kubeconfig.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What goes into the file.
pub(crate) struct Admin<'a> {
    /// `https://host:port`.
    pub(crate) base_url: &'a str,
    /// PEM of the CA that issued the serving certificate; `None` when it is not ours, then the system's trust is asked.
    pub(crate) ca_pem: Option<&'a [u8]>,
    /// The admin's bearer token.
    pub(crate) token: &'a str,
}

/// A context's name and the path behind the base URL.
const WORKSPACES: [(&str, &str); 6] = [
    ("default", "/clusters/root:default"),
    ("root", "/clusters/root"),
    ("base", ""),
    ("cross-cluster", "/clusters/*"),
    ("system:admin", ""),
    ("shard-base", ""),
];
/// A physical cluster has no workspaces.
const PHYSICAL: [(&str, &str); 1] = [("default", "")];

impl Admin<'_> {
    /// The file's text; `default` is the current context.
    pub(crate) fn render(&self, workspaces: bool) -> String {
        let contexts: &[_] = if workspaces { &WORKSPACES } else { &PHYSICAL };
        let ca = self
            .ca_pem
            .map(|pem| format!("    certificate-authority-data: {}\n", STANDARD.encode(pem)))
            .unwrap_or_default();
        let mut text =
            String::from("apiVersion: v1\nkind: Config\ncurrent-context: default\npreferences: {}\nclusters:\n");
        let cluster_of = |context: &str| {
            if context == "default" && workspaces { "root:default".to_owned() } else { context.to_owned() }
        };
        for (name, path) in contexts {
            text.push_str(&format!(
                "- cluster:\n{ca}    server: \"{}{path}\"\n  name: \"{}\"\n",
                self.base_url,
                cluster_of(name)
            ));
        }
        text.push_str("contexts:\n");
        for (name, _) in contexts {
            text.push_str(&format!(
                "- context:\n    cluster: \"{}\"\n    user: admin\n  name: \"{name}\"\n",
                cluster_of(name)
            ));
        }
        text.push_str(&format!("users:\n- name: admin\n  user:\n    token: \"{}\"\n", self.token));
        text
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kcp_client::Config;

    use super::*;

    #[test]
    fn every_context_can_be_used() {
        let text = Admin { base_url: "https://h:6443", ca_pem: Some(b"pem"), token: "t" }.render(true);
        for (context, path) in WORKSPACES {
            let config = Config::from_kubeconfig_text(&text, context, Path::new("x"))
                .unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(config.server, format!("https://h:6443{path}"));
            assert_eq!((config.token.as_deref(), config.ca.as_deref()), (Some("t"), Some(&b"pem"[..])));
        }
        assert_eq!(
            Config::from_kubeconfig_text(&text, "", Path::new("x")).map(|c| c.server).ok().as_deref(),
            Some("https://h:6443/clusters/root:default")
        );
    }
}
