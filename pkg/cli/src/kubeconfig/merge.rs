//! From several files to one, for connecting.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{KubeconfigError, Overrides, Section, entry};

/// Fields that name files, relative to the file they stand in.
const FILES: [&str; 4] = ["certificate-authority", "client-certificate", "client-key", "tokenFile"];

/// The folder that a file's relative names start from.
pub(super) fn folder(file: &Path) -> PathBuf {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    file.parent().unwrap_or_else(|| Path::new("/")).to_owned()
}

/// Makes the file names in an entry, which start from `folder`, absolute.
pub(super) fn make_absolute(entry: &mut Map<String, Value>, folder: &Path) {
    for field in FILES {
        if let Some(file) = entry.get(field).and_then(Value::as_str).filter(|f| !f.is_empty()) {
            let file = folder.join(file).to_string_lossy().into_owned();
            entry.insert(field.to_owned(), file.into());
        }
    }
}

/// One tree of all files: the first to define a name wins; file names in it are absolute.
pub(super) fn absolute<'a>(files: impl Iterator<Item = (&'a Path, &'a Value)>) -> Value {
    let mut merged = json!({"current-context": ""});
    for (path, tree) in files {
        let folder = folder(path);
        for section in [Section::Contexts, Section::Clusters, Section::Users] {
            for found in tree.get(section.list()).and_then(Value::as_array).into_iter().flatten() {
                let name = found.get("name").and_then(Value::as_str).unwrap_or_default();
                if entry(&merged, section, name).is_some() {
                    continue;
                }
                let mut found = found.clone();
                if let Some(map) = found.get_mut(section.entry()).and_then(Value::as_object_mut) {
                    map.retain(|_, value| !value.is_null());
                    make_absolute(map, &folder);
                }
                super::files::list_mut(&mut merged, section.list()).push(found);
            }
        }
    }
    merged
}

/// Puts what the command line says into the context `name`.
pub(super) fn apply(tree: &mut Value, name: &str, overrides: &Overrides) -> Result<(), KubeconfigError> {
    let missing = |kind, name: &str| KubeconfigError::Missing { kind, name: name.to_owned() };
    let context = match entry(tree, Section::Contexts, name) {
        Some(found) => found.get("context").cloned().unwrap_or_default(),
        None if name.is_empty() => json!({}),
        None => return Err(missing("context", name)),
    };
    let of = |field: &str| context.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let cluster_name = overrides.cluster.clone().unwrap_or_else(|| of("cluster"));
    let user_name = overrides.user.clone().unwrap_or_else(|| of("user"));
    let part =
        |section: Section, name: &str| entry(tree, section, name).and_then(|e| e.get(section.entry())?.as_object());
    let mut cluster: Map<String, Value> = match part(Section::Clusters, &cluster_name) {
        Some(found) => found.clone(),
        None if overrides.server.is_some() => Map::new(),
        None => return Err(missing("cluster", &cluster_name)),
    };
    let mut user: Map<String, Value> = match part(Section::Users, &user_name) {
        Some(found) => found.clone(),
        None if user_name.is_empty() || overrides.token.is_some() => Map::new(),
        None => return Err(missing("user", &user_name)),
    };
    if let Some(server) = &overrides.server {
        cluster.insert("server".into(), server.as_str().into());
    }
    if overrides.insecure {
        cluster.insert("insecure-skip-tls-verify".into(), true.into());
        cluster.retain(|field, _| !field.starts_with("certificate-authority"));
    }
    if let Some(token) = &overrides.token {
        user = Map::new();
        user.insert("token".into(), token.as_str().into());
    }
    let namespace = context.get("namespace").cloned().unwrap_or_else(|| "".into());
    *tree = json!({
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "current-context": name,
    });
    Ok(())
}
