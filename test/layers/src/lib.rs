//! Checks that the crates keep to their layers (docs/architecture.md): a crate uses only crates of a lower layer, or of its own
//! layer further up in the table, and a library behind one of our modules is named by that module's crate alone.
//!
//! The rule is checked over what `cargo metadata` says, in `cargo test -p kcp-test-layers`. A new crate has to be put
//! into the table, which is the moment to think about where it belongs.

use std::collections::BTreeMap;

use serde_json::Value;

/// The layers from the bottom, and in each the crates in the order in which they may use each other: a crate uses none that
/// stands below it in its own list.
pub const LAYERS: &[(&str, &[&str])] = &[
    ("memory", &["kcp-allocator"]),
    ("words", &["kcp-logicalcluster", "kcp-apimachinery", "kcp-apis"]),
    ("meaning", &["kcp-schema", "kcp-merge", "kcp-protobuf", "kcp-authorization"]),
    ("state", &["kcp-storage"]),
    ("serving", &["kcp-authentication", "kcp-admission", "kcp-registry", "kcp-apiserver"]),
    ("control", &["kcp-client", "kcp-controller", "kcp-core-controllers", "kcp-tenancy", "kcp-workload", "kcp-sim"]),
    // The syncer is a program of the physical cluster; the server knows it only as such.
    ("edge", &["kcp-syncer"]),
    ("whole", &["kcp-server", "kcp-cli"]),
    ("commands", &["kcp", "kubectl-kcp"]),
    ("tests", &["kcp-test-layers", "kcp-test-crash", "kcp-test-framework", "kcp-test-e2e", "kcp-test-bench"]),
];

/// Whole layers that a layer must not use although they are lower: a controller talks through the client, so that the same code
/// runs in the server and in the syncer; the syncer knows nothing of the server.
pub const FORBIDDEN: &[(&str, &[&str])] = &[("control", &["serving"]), ("edge", &["state", "serving"])];

/// What the syncer may use of the layer below it.
pub const EDGE_MAY_USE: &[&str] = &["kcp-client", "kcp-controller"];

/// Libraries that only one crate may name.
pub const ONLY: &[(&str, &str)] = &[
    ("libmimalloc-sys", "kcp-allocator"),
    ("sled", "kcp-storage"),
    ("axum", "kcp-apiserver"),
    ("rcgen", "kcp-authentication"),
    ("rustls-pemfile", "kcp-authentication"),
    ("kube", "kcp-test-e2e"),
    ("k8s-openapi", "kcp-test-e2e"),
];

fn place(name: &str) -> Option<(usize, usize)> {
    LAYERS
        .iter()
        .enumerate()
        .find_map(|(layer, (_, crates))| crates.iter().position(|c| *c == name).map(|at| (layer, at)))
}

fn forbidden(user: usize, used: usize, name: &str) -> bool {
    let (user, used) = (LAYERS[user].0, LAYERS[used].0);
    let whole = FORBIDDEN.iter().any(|(layer, banned)| *layer == user && banned.contains(&used));
    whole || user == "edge" && used == "control" && !EDGE_MAY_USE.contains(&name)
}

/// Everything in a workspace's metadata that breaks the rules, a line each. `dev-dependencies` may reach further inside
/// the workspace, for a test is no part of its crate, but never to a library that is another's.
pub fn violations(metadata: &Value) -> Vec<String> {
    let packages: BTreeMap<&str, &Value> =
        metadata["packages"].as_array().into_iter().flatten().filter_map(|p| Some((p["name"].as_str()?, p))).collect();
    let mut found = Vec::new();
    for (name, package) in &packages {
        let Some(own) = place(name) else {
            found.push(format!("{name} has no layer: put it into the table of test/layers"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(used) = dependency["name"].as_str() else { continue };
            for (library, user) in ONLY.iter().filter(|(library, _)| *library == used) {
                if user != name {
                    found.push(format!("{name} names {library}, which only {user} may"));
                }
            }
            if dependency["kind"] == "dev" || !packages.contains_key(used) {
                continue;
            }
            match place(used) {
                Some(theirs) if theirs >= own => {
                    found.push(format!("{name} uses {used}, which is not below it"));
                }
                Some(theirs) if forbidden(own.0, theirs.0, used) => {
                    found.push(format!("{name} ({}) uses {used} ({})", LAYERS[own.0].0, LAYERS[theirs.0].0));
                }
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::json;

    use super::*;

    #[test]
    fn the_workspace_keeps_to_its_layers() {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(metadata["packages"].as_array().is_some_and(|p| p.len() > 20), "cargo metadata said nothing");
        assert_eq!(violations(&metadata), Vec::<String>::new());
    }

    #[test]
    fn violations_are_found() {
        let package = |name: &str, dependencies: &[(&str, &str)]| {
            let dependencies: Vec<Value> = dependencies
                .iter()
                .map(|(name, kind)| json!({"name": name, "kind": if kind.is_empty() { Value::Null } else { json!(kind) }}))
                .collect();
            json!({"name": name, "dependencies": dependencies})
        };
        let all = |list: &[Value]| violations(&json!({"packages": list}));
        let (storage, registry, tenancy, client, workload, syncer) = (
            package("kcp-storage", &[("sled", "")]),
            package("kcp-registry", &[("kcp-storage", "")]),
            package("kcp-tenancy", &[("kcp-storage", ""), ("kcp-registry", "dev")]),
            package("kcp-client", &[]),
            package("kcp-workload", &[("kcp-client", "")]),
            package("kcp-syncer", &[("kcp-client", "")]),
        );
        assert_eq!(all(&[storage, registry.clone(), tenancy, client, workload.clone(), syncer]), Vec::<String>::new());
        for (broken, want) in [
            (package("kcp-storage", &[("kcp-registry", "")]), "kcp-storage uses kcp-registry, which is not below it"),
            (package("kcp-client", &[("kcp-workload", "")]), "kcp-client uses kcp-workload, which is not below it"),
            (package("kcp-tenancy", &[("kcp-registry", "")]), "kcp-tenancy (control) uses kcp-registry (serving)"),
            (package("kcp-syncer", &[("kcp-workload", "")]), "kcp-syncer (edge) uses kcp-workload (control)"),
            (package("kcp-apis", &[("axum", "")]), "kcp-apis names axum, which only kcp-apiserver may"),
            (package("kcp-schema", &[("kube", "dev")]), "kcp-schema names kube, which only kcp-test-e2e may"),
            (package("kcp-new", &[]), "kcp-new has no layer: put it into the table of test/layers"),
        ] {
            let mut packages = vec![registry.clone(), workload.clone()];
            packages.push(broken);
            assert!(all(&packages).contains(&want.to_owned()), "{want}: {:?}", all(&packages));
        }
    }
}
