use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

const ADMIN: &str = r#"apiVersion: v1
kind: Config
clusters:
- name: root
  cluster: {server: "https://h:6443/clusters/root", insecure-skip-tls-verify: true, x-unknown: {deep: [1, two]}}
- name: other
  cluster: {server: "https://elsewhere"}
contexts:
- name: root
  context: {cluster: root, user: admin, namespace: ns, extensions: [{name: mine, extension: {a: "007"}}]}
- name: other
  context: {cluster: other, user: someone}
current-context: root
preferences: {colors: true}
future-field: "yes"
users:
- name: admin
  user: {token: "0123e4"}
- name: someone
  user: {exec: {command: login, apiVersion: client.authentication.k8s.io/v1}}
"#;

fn world() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    fs::write(&path, ADMIN).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    (dir, path)
}

#[test]
fn editing_keeps_all_else() {
    let (_dir, path) = world();
    let before = read(&path).unwrap().unwrap();
    let mut config = Kubeconfig::load(&Source::explicit(&path)).unwrap();
    let context = config.resolve("root").unwrap();
    context.write_as(&mut config, "workspace.kcp.io/current", "https://h:6443/clusters/root:a");
    config.set_current_context("workspace.kcp.io/current");
    config.save().unwrap();
    let after = read(&path).unwrap().unwrap();
    for (section, names) in
        [("contexts", ["root", "other"]), ("clusters", ["root", "other"]), ("users", ["admin", "someone"])]
    {
        for (i, name) in names.iter().enumerate() {
            assert_eq!(after[section][i], before[section][i], "{section} {name}");
        }
    }
    for field in ["preferences", "future-field", "apiVersion", "kind"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(after["current-context"], "workspace.kcp.io/current");
    let new = &after["contexts"][2];
    assert_eq!(new["context"]["cluster"], "workspace.kcp.io/current");
    assert_eq!((&new["context"]["user"], new["context"].get("namespace")), (&json!("admin"), None));
    assert_eq!(after["clusters"][2]["cluster"]["server"], "https://h:6443/clusters/root:a");
    assert_eq!(after["clusters"][2]["cluster"]["x-unknown"], json!({"deep": [1, "two"]}));
    assert_eq!(after["users"][0]["user"]["token"], "0123e4", "texts that look like numbers stay texts");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "neither lock nor temporary file stays");
}

#[test]
fn nothing_changed_is_nothing_written() {
    let (_dir, path) = world();
    let mut config = Kubeconfig::load(&Source::explicit(&path)).unwrap();
    config.set_current_context("root");
    let same = config.get(Section::Users, "admin").unwrap().clone();
    config.set(Section::Users, "admin", same);
    config.save().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), ADMIN);
}

#[test]
fn entries_are_changed_where_they_came_from() {
    let (dir, first) = world();
    let (second, missing) = (dir.path().join("second"), dir.path().join("none/config"));
    fs::write(&second, "contexts: [{name: root, context: {cluster: shadowed}}, {name: extra, context: {cluster: root, user: admin}}]\ncurrent-context: extra\n").unwrap();
    let list = std::env::join_paths([&missing, &first, &second, &first]).unwrap();
    let source = Source::from_environment(|name| (name == "KUBECONFIG").then(|| list.clone()));
    assert_eq!(source.paths(), [missing.clone(), first.clone(), second.clone()]);
    let mut config = Kubeconfig::load(&source).unwrap();
    assert_eq!(config.current_context(), "root");
    assert_eq!(config.names(Section::Contexts), ["extra", "other", "root"]);
    assert_eq!(config.resolve("root").unwrap().server, "https://h:6443/clusters/root", "the first to define it wins");
    config.set(Section::Contexts, "extra", json!({"cluster": "other"}));
    config.set(Section::Clusters, "new", json!({"server": "https://new"}));
    config.set_current_context("extra");
    config.save().unwrap();
    assert_eq!(read(&second).unwrap().unwrap()["contexts"][1]["context"], json!({"cluster": "other"}));
    let first = read(&first).unwrap().unwrap();
    assert_eq!((&first["current-context"], &first["clusters"][2]["name"]), (&json!("extra"), &json!("new")));
    assert!(!missing.exists());
}

/// A name of a file means another file in another folder.
#[test]
fn names_of_files_follow_what_they_stand_in() {
    let (dir, first) = world();
    let cluster = "clusters: [{name: far, cluster: {server: 'https://far', certificate-authority: pki/ca.crt}}]\n\
                   contexts: [{name: far, context: {cluster: far, user: admin}}]\n";
    for (folder, want) in [("", "pki/ca.crt".to_owned()), ("sub", format!("{}/sub/pki/ca.crt", dir.path().display()))] {
        let second = dir.path().join(folder).join("second");
        fs::create_dir_all(dir.path().join(folder)).unwrap();
        fs::write(&second, cluster).unwrap();
        let list = std::env::join_paths([&first, &second]).unwrap();
        let source = Source::from_environment(|name| (name == "KUBECONFIG").then(|| list.clone()));
        let mut config = Kubeconfig::load(&source).unwrap();
        let far = config.resolve("far").unwrap();
        let name = format!("copy-{folder}");
        far.write_as(&mut config, &name, "https://far/clusters/root:a");
        far.write_as(&mut config, "far", "https://far/clusters/root:b");
        config.save().unwrap();
        let cluster = |path: &Path, name: &str| {
            let tree = read(path).unwrap().unwrap();
            entry(&tree, Section::Clusters, name).unwrap()["cluster"].clone()
        };
        assert_eq!(cluster(&first, &name)["certificate-authority"], want, "{folder:?}");
        assert_eq!(cluster(&second, "far")["certificate-authority"], "pki/ca.crt", "where it stands it stays");
        assert_eq!(cluster(&second, "far")["server"], "https://far/clusters/root:b");
    }
}

#[test]
fn what_others_write_meanwhile_is_kept() {
    let (_dir, path) = world();
    let (mut one, mut two) =
        (Kubeconfig::load(&Source::explicit(&path)).unwrap(), Kubeconfig::load(&Source::explicit(&path)).unwrap());
    one.set(Section::Contexts, "one", json!({"cluster": "root"}));
    two.set(Section::Contexts, "two", json!({"cluster": "root"}));
    one.save().unwrap();
    two.save().unwrap();
    let config = Kubeconfig::load(&Source::explicit(&path)).unwrap();
    assert_eq!(config.names(Section::Contexts), ["one", "other", "root", "two"]);
}

#[test]
fn a_missing_file_comes_into_being() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().as_os_str().to_owned();
    let source = Source::from_environment(|name| (name == "HOME").then(|| home.clone()));
    let mut config = Kubeconfig::load(&source).unwrap();
    assert!(matches!(config.resolve(config.current_context()), Err(KubeconfigError::NoContext)));
    config.set(Section::Clusters, "c", json!({"server": "https://h"}));
    config.save().unwrap();
    let tree = read(&dir.path().join(".kube/config")).unwrap().unwrap();
    assert_eq!((&tree["kind"], &tree["clusters"][0]["name"]), (&json!("Config"), &json!("c")));
}

#[test]
fn links_are_followed_and_locks_respected() {
    let (dir, path) = world();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut config = Kubeconfig::load(&Source::explicit(&link)).unwrap();
    config.set_current_context("other");
    config.save().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(read(&path).unwrap().unwrap()["current-context"], "other");
    fs::write(dir.path().join("config.lock"), "").unwrap();
    config.set_current_context("root");
    let error = config.save().unwrap_err().to_string();
    assert!(error.contains("is locked by another program"), "{error}");
    assert_eq!(read(&path).unwrap().unwrap()["current-context"], "other");
}

#[test]
fn malformed_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    for bad in ["- a list", "a: [", "just text"] {
        fs::write(&path, bad).unwrap();
        let error = Kubeconfig::load(&Source::explicit(&path)).unwrap_err().to_string();
        assert!(error.contains("config is not a kubeconfig"), "{bad}: {error}");
    }
}

#[test]
fn connections_follow_files_and_flags() {
    let (dir, path) = world();
    let config = Kubeconfig::load(&Source::explicit(&path)).unwrap();
    let plain = config.config(&Overrides::default()).unwrap();
    assert_eq!(
        (plain.server.as_str(), plain.token.as_deref(), plain.insecure),
        ("https://h:6443/clusters/root", Some("0123e4"), true)
    );
    let other = Overrides { cluster: Some("other".into()), token: Some("t".into()), ..Overrides::default() };
    let other = config.config(&other).unwrap();
    assert_eq!((other.server.as_str(), other.token.as_deref()), ("https://elsewhere", Some("t")));
    let text = |o: Overrides| config.config(&o).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        text(Overrides { context: Some("no".into()), ..Overrides::default() }),
        "the kubeconfig has no context \"no\""
    );
    assert!(text(Overrides { context: Some("other".into()), ..Overrides::default() }).contains("plug-in"));
    fs::write(dir.path().join("ca.crt"), "pem").unwrap();
    fs::write(&path, "current-context: x\ncontexts: [{name: x, context: {cluster: x}}]\nclusters: [{name: x, cluster: {server: 'https://h', certificate-authority: ca.crt}}]").unwrap();
    let config = Kubeconfig::load(&Source::explicit(&path)).unwrap();
    assert_eq!(config.config(&Overrides::default()).unwrap().ca.as_deref(), Some("pem".as_bytes()));
}
