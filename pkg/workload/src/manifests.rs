//! What `kubectl kcp workload sync` prints: the six objects that run a syncer in a physical cluster.
//!
//! The text is the same byte for byte for the same input, so that it can be kept under version control.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use kcp_apimachinery::{GroupResource, field::go_quote};
use kcp_apis::{
    identity::{hash, syncer_id},
    workload::{
        ALWAYS_SYNCED, KUBECONFIG_HASH_ANNOTATION, LOGICAL_CLUSTER_LABEL, SYNCER_DOWNSTREAM_NAME, SYNCER_NAME_PREFIX,
        WORKLOAD_CLUSTER_LABEL,
    },
};

/// The longest name of the syncer's objects in the workspace.
const MAX_NAME: usize = 254;
/// The longest value of a label.
const MAX_LABEL: usize = 63;

/// The arguments of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncOptions {
    /// The WorkloadCluster's name.
    pub workload_cluster: String,
    /// `--syncer-image`.
    pub syncer_image: String,
    /// `--resources`, as `<plural>[.<group>]`.
    pub resources: Vec<String>,
    /// `--replicas`.
    pub replicas: i64,
    /// `--kcp-namespace`.
    pub kcp_namespace: String,
}

/// Why the arguments cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// There is no image.
    #[error("a value must be specified for --syncer-image")]
    NoImage,
    /// There is no namespace.
    #[error("a value must be specified for --kcp-namespace")]
    NoNamespace,
    /// There are fewer than no replicas.
    #[error("a non-negative value must be specified for --replicas")]
    NegativeReplicas,
    /// There are several replicas, which would work against each other.
    #[error("only 0 and 1 are allowed as --replicas values")]
    TooManyReplicas,
    /// The name is too long.
    #[error("the maximum length of the workload-cluster-name is {MAX_NAME}")]
    NameTooLong,
}

impl SyncOptions {
    /// Checks the arguments.
    ///
    /// # Errors
    /// What is wrong with the first that is.
    pub fn validate(&self) -> Result<(), ArgumentError> {
        if self.syncer_image.is_empty() {
            return Err(ArgumentError::NoImage);
        }
        if self.kcp_namespace.is_empty() {
            return Err(ArgumentError::NoNamespace);
        }
        if self.replicas < 0 {
            return Err(ArgumentError::NegativeReplicas);
        }
        if self.replicas > 1 {
            return Err(ArgumentError::TooManyReplicas);
        }
        if SYNCER_NAME_PREFIX.len() + self.workload_cluster.len() > MAX_NAME {
            return Err(ArgumentError::NameTooLong);
        }
        Ok(())
    }

    /// All that is synced: what was asked for and what always is, sorted.
    pub fn synced(&self) -> BTreeSet<String> {
        let asked = self.resources.iter().flat_map(|r| r.split(',')).map(str::trim).filter(|r| !r.is_empty());
        asked.chain(ALWAYS_SYNCED).map(str::to_owned).collect()
    }

    /// What is synced, by group.
    pub(crate) fn by_group(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for resource in self.synced() {
            let of = parse_resource(&resource);
            groups.entry(of.group).or_default().insert(of.resource);
        }
        groups
    }
}

/// `deployments.apps`, or `configmaps` for core; `pods.core` is understood as well.
pub fn parse_resource(text: &str) -> GroupResource {
    match text.split_once('.') {
        None | Some((_, "core")) => GroupResource::new("", text.strip_suffix(".core").unwrap_or(text)),
        Some((resource, group)) => GroupResource::new(group, resource),
    }
}

/// How the syncer reaches the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The workspace's path.
    pub path: String,
    /// `scheme://host:port`, without a path.
    pub server: String,
    /// The server's CA as base64 of PEM; empty when a public one is used.
    pub ca_data: String,
    /// The token of the syncer's service account.
    pub token: String,
}

/// Renders the objects as YAML, each preceded by `---`.
pub fn render(options: &SyncOptions, upstream: &Upstream) -> String {
    let id = syncer_id(&upstream.path, &options.workload_cluster);
    let name = SYNCER_DOWNSTREAM_NAME;
    let mut out = format!(
        "---
apiVersion: v1
kind: Namespace
metadata:
  name: {id}
  labels:
    {LOGICAL_CLUSTER_LABEL}: {logical_cluster}
    {WORKLOAD_CLUSTER_LABEL}: {workload_cluster}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {name}
  namespace: {id}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {id}
rules:
- apiGroups:
  - \"\"
  resources:
  - namespaces
  verbs:
  - create
  - delete
  - get
  - list
  - patch
  - watch
- apiGroups:
  - apiextensions.k8s.io
  resources:
  - customresourcedefinitions
  verbs:
  - get
  - watch
  - list
",
        logical_cluster = scalar(&label_value(&upstream.path)),
        workload_cluster = scalar(&options.workload_cluster),
    );
    for (group, resources) in options.by_group() {
        let _ = writeln!(
            out,
            "- apiGroups:\n  - {}\n  resources:",
            if group.is_empty() { "\"\"".into() } else { scalar(&group) }
        );
        for resource in resources {
            let _ = writeln!(out, "  - {}", scalar(&resource));
        }
        out.push_str("  verbs:\n  - \"*\"\n");
    }
    let _ = write!(
        out,
        "---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {id}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {id}
subjects:
- kind: ServiceAccount
  name: {name}
  namespace: {id}
---
apiVersion: v1
kind: Secret
metadata:
  name: {name}-config
  namespace: {id}
stringData:
  kubeconfig: |
"
    );
    let kubeconfig = kubeconfig(options, upstream);
    for line in kubeconfig.lines() {
        let _ = writeln!(out, "    {line}");
    }
    let _ = write!(
        out,
        "---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {id}
spec:
  replicas: {replicas}
  strategy:
    type: Recreate
  selector:
    matchLabels:
      app: {id}
  template:
    metadata:
      labels:
        app: {id}
      annotations:
        {KUBECONFIG_HASH_ANNOTATION}: {hash}
    spec:
      containers:
      - name: {name}
        command:
        - /ko-app/syncer
        args:
        - --from-kubeconfig=/kcp/kubeconfig
        - {workload_cluster}
        - {path}
",
        replicas = options.replicas,
        hash = scalar(&hash(&kubeconfig)),
        workload_cluster = scalar(&format!("--workload-cluster-name={}", options.workload_cluster)),
        path = scalar(&format!("--from-cluster={}", upstream.path)),
    );
    for resource in options.synced() {
        let _ = writeln!(out, "        - {}", scalar(&format!("--resources={resource}")));
    }
    let _ = write!(
        out,
        "        image: {image}
        imagePullPolicy: IfNotPresent
        terminationMessagePolicy: FallbackToLogsOnError
        volumeMounts:
        - name: kcp-config
          mountPath: /kcp/
          readOnly: true
      serviceAccountName: {name}
      volumes:
      - name: kcp-config
        secret:
          secretName: {name}-config
          optional: false
",
        image = scalar(&options.syncer_image),
    );
    out
}

/// The kubeconfig by which the syncer reaches the workspace.
fn kubeconfig(options: &SyncOptions, upstream: &Upstream) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: default-cluster
  cluster:
{ca}    server: {server}
contexts:
- name: default-context
  context:
    cluster: default-cluster
    namespace: {namespace}
    user: default-user
current-context: default-context
users:
- name: default-user
  user:
    token: {token}
",
        ca = match upstream.ca_data.as_str() {
            "" => String::new(),
            data => format!("    certificate-authority-data: {}\n", scalar(data)),
        },
        server = scalar(&upstream.server),
        namespace = scalar(&options.kcp_namespace),
        token = scalar(&upstream.token),
    )
}

/// The path as a label's value: `_` for `:`, and a hash in place of what is too long.
fn label_value(path: &str) -> String {
    let value = path.replace(':', "_");
    if value.len() <= MAX_LABEL {
        return value;
    }
    let hash = &syncer_id(path, "")["kcpsync".len()..][..16];
    let kept: String = value.chars().take(MAX_LABEL - hash.len() - 1).collect();
    format!("{kept}_{hash}")
}

/// `text` as a YAML scalar: plain where that cannot be misread, else quoted.
fn scalar(text: &str) -> String {
    let body = text.strip_prefix("--").unwrap_or(text);
    let plain = !body.is_empty()
        && body.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && body.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@+".contains(c))
        && !body.ends_with(':')
        && !looks_like_another_type(body);
    if plain { text.to_owned() } else { go_quote(text) }
}

/// Whether a plain scalar would be read as a number, a boolean or nothing.
fn looks_like_another_type(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    text.chars().all(|c| c.is_ascii_digit() || "+-._:eExXoO".contains(c))
        || text.parse::<f64>().is_ok()
        || text.starts_with("0x")
        || matches!(lower.as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n" | "~")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn options() -> SyncOptions {
        SyncOptions {
            workload_cluster: "ocp-sno".into(),
            syncer_image: "quay.io/mavazque/kcp-syncer:latest".into(),
            resources: Vec::new(),
            replicas: 1,
            kcp_namespace: "default".into(),
        }
    }

    fn upstream() -> Upstream {
        Upstream {
            path: "root:telcops:team-a".into(),
            server: "https://10.19.3.4:6443".into(),
            ca_data: "Q0E=".into(),
            token: "eyJ.eyJ-_.abc".into(),
        }
    }

    #[test]
    fn arguments_are_checked() {
        type Spoil = fn(&mut SyncOptions);
        let cases: [(Spoil, &str); 5] = [
            (|o| o.syncer_image.clear(), "a value must be specified for --syncer-image"),
            (|o| o.kcp_namespace.clear(), "a value must be specified for --kcp-namespace"),
            (|o| o.replicas = -1, "a non-negative value must be specified for --replicas"),
            (|o| o.replicas = 2, "only 0 and 1 are allowed as --replicas values"),
            (|o| o.workload_cluster = "a".repeat(248), "the maximum length of the workload-cluster-name is 254"),
        ];
        for (spoil, want) in cases {
            let mut o = options();
            spoil(&mut o);
            assert_eq!(o.validate().unwrap_err().to_string(), want);
        }
        assert_eq!(options().validate(), Ok(()));
        assert_eq!(SyncOptions { workload_cluster: "a".repeat(247), replicas: 0, ..options() }.validate(), Ok(()));
    }

    #[test]
    fn resources_are_united_and_sorted() {
        let o = SyncOptions {
            resources: vec!["services,configmaps".into(), "ingresses.networking.k8s.io".into()],
            ..options()
        };
        let all: Vec<String> = o.synced().into_iter().collect();
        assert_eq!(
            all,
            ["configmaps", "deployments.apps", "ingresses.networking.k8s.io", "secrets", "serviceaccounts", "services"]
        );
        assert_eq!(parse_resource("pods.core"), GroupResource::new("", "pods"));
        assert_eq!(parse_resource("pods"), GroupResource::new("", "pods"));
        assert_eq!(parse_resource("a.b.c"), GroupResource::new("b.c", "a"));
    }

    /// Step 12 of the story.
    #[test]
    fn the_story_finds_its_lines() {
        let text = render(&options(), &upstream());
        let lines: Vec<&str> = text.lines().filter(|l| l.contains("--resource")).map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "- --resources=configmaps",
                "- --resources=deployments.apps",
                "- --resources=secrets",
                "- --resources=serviceaccounts"
            ]
        );
        assert_eq!(text, render(&options(), &upstream()));
    }

    #[test]
    fn the_objects_are_what_they_should_be() {
        let text = render(&options(), &upstream());
        let objects: Vec<Value> = text
            .split("---\n")
            .filter(|t| !t.is_empty())
            .map(|t| serde_saphyr::from_str(t).unwrap_or_else(|e| panic!("{e}\n{t}")))
            .collect();
        let id = "kcpsync62b8b0fe1b9a34d30a44cfca0fe9178e76aaf6458e281621e40ed36d";
        let kinds: Vec<(&str, &str)> =
            objects.iter().map(|o| (o["kind"].as_str().unwrap(), o["metadata"]["name"].as_str().unwrap())).collect();
        assert_eq!(
            kinds,
            [
                ("Namespace", id),
                ("ServiceAccount", "kcp-syncer"),
                ("ClusterRole", id),
                ("ClusterRoleBinding", id),
                ("Secret", "kcp-syncer-config"),
                ("Deployment", "kcp-syncer"),
            ]
        );
        assert_eq!(
            objects[0]["metadata"]["labels"],
            json!({"workload.kcp.io/logical-cluster": "root_telcops_team-a", "workload.kcp.io/workload-cluster": "ocp-sno"})
        );
        let rules = objects[2]["rules"].as_array().unwrap();
        assert_eq!(
            rules[2],
            json!({"apiGroups": [""], "resources": ["configmaps", "secrets", "serviceaccounts"], "verbs": ["*"]})
        );
        assert_eq!(rules[3], json!({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]}));
        let kubeconfig: Value =
            serde_saphyr::from_str(objects[4]["stringData"]["kubeconfig"].as_str().unwrap()).unwrap();
        assert_eq!(kubeconfig["clusters"][0]["cluster"]["server"], "https://10.19.3.4:6443");
        assert_eq!(kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"], "Q0E=");
        assert_eq!(kubeconfig["users"][0]["user"]["token"], "eyJ.eyJ-_.abc");
        assert_eq!(kubeconfig["contexts"][0]["context"]["namespace"], "default");
        let container = &objects[5]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["command"], json!(["/ko-app/syncer"]));
        assert_eq!(
            container["args"].as_array().unwrap()[..3],
            [
                json!("--from-kubeconfig=/kcp/kubeconfig"),
                json!("--workload-cluster-name=ocp-sno"),
                json!("--from-cluster=root:telcops:team-a")
            ]
        );
        assert_eq!(container["image"], "quay.io/mavazque/kcp-syncer:latest");
        assert_eq!(objects[5]["spec"]["template"]["spec"]["volumes"][0]["secret"]["optional"], false);
    }

    /// A syncer that runs reads its kubeconfig once: another one must be another pod.
    #[test]
    fn a_new_registration_starts_the_syncer_anew() {
        let pod = |options: &SyncOptions, upstream: &Upstream| {
            let text = render(options, upstream);
            let deployment = text.split("---\n").last().unwrap_or_default();
            let deployment: Value = serde_saphyr::from_str(deployment).unwrap();
            deployment["spec"]["template"].clone()
        };
        let first = pod(&options(), &upstream());
        assert_eq!(pod(&options(), &upstream()), first);
        for other in [
            Upstream { token: "eyJ.eyK-_.abc".into(), ..upstream() },
            Upstream { ca_data: String::new(), ..upstream() },
            Upstream { server: "https://10.19.3.5:6443".into(), ..upstream() },
        ] {
            assert_ne!(pod(&options(), &other), first, "{other:?}");
        }
    }

    /// Whatever is given, what is read back is what was given.
    #[test]
    fn scalars_survive() {
        for text in [
            "a", "true", "12", "1.5", "0x1f", "a: b", "x:", "# c", "", "a\nb", "\"q\"", "root:a", "--x=y z", "é",
            "1e3", "12:30", "null", "*",
        ] {
            let back: Value = serde_saphyr::from_str(&format!("k: {}\n", scalar(text))).unwrap();
            assert_eq!(back["k"], text, "{}", scalar(text));
        }
    }

    #[test]
    fn long_paths_make_valid_labels() {
        let value = label_value(&format!("root:{}", "a".repeat(80)));
        assert!(kcp_apimachinery::validation::label_value(&value).is_empty(), "{value}");
        assert_eq!(value.len(), MAX_LABEL);
    }
}
