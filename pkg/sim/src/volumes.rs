//! The volumes of a pod as folders of files.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::Context;

/// The files of one volume, by relative path.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What a volume must have that is not there (yet); its text goes into the pod's status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Missing(String);

/// The files of every volume of a pod that has files: secrets, config maps, projections, the downward API.
pub(crate) fn contents(context: &Context, pod: &Value) -> Result<BTreeMap<String, Files>, Missing> {
    let namespace = kcp_apimachinery::object::namespace(pod);
    let mut all = BTreeMap::new();
    for volume in pod.pointer("/spec/volumes").and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = volume["name"].as_str() else { continue };
        let mut files = Files::new();
        match volume.pointer("/projected/sources").and_then(Value::as_array) {
            Some(sources) => {
                for source in sources {
                    add(context, pod, namespace, source, &mut files)?;
                }
            }
            None => add(context, pod, namespace, volume, &mut files)?,
        }
        all.insert(name.to_owned(), files);
    }
    Ok(all)
}

fn add(context: &Context, pod: &Value, namespace: &str, source: &Value, files: &mut Files) -> Result<(), Missing> {
    if let Some(secret) = source.get("secret") {
        let name = secret.get("secretName").or_else(|| secret.get("name"));
        let decode = |v: &Value| v.as_str().and_then(|s| STANDARD.decode(s).ok());
        from_object(context, namespace, "secrets", name, secret, &["data"], &decode, files)?;
    }
    if let Some(map) = source.get("configMap") {
        let plain = |v: &Value| v.as_str().map(|s| s.as_bytes().to_vec());
        from_object(context, namespace, "configmaps", map.get("name"), map, &["data"], &plain, files)?;
    }
    if let Some(items) = source.pointer("/downwardAPI/items").and_then(Value::as_array) {
        for item in items {
            let field = item.pointer("/fieldRef/fieldPath").and_then(Value::as_str).unwrap_or_default();
            if let (Some(path), Some(value)) = (item["path"].as_str(), field_of(pod, field)) {
                files.insert(path.to_owned(), value.into_bytes());
            }
        }
    }
    Ok(())
}

#[expect(
    clippy::too_many_arguments,
    reason = "one caller for each kind of source; a struct would only name the arguments again"
)]
fn from_object(
    context: &Context,
    namespace: &str,
    resource: &str,
    name: Option<&Value>,
    source: &Value,
    fields: &[&str],
    decode: &dyn Fn(&Value) -> Option<Vec<u8>>,
    files: &mut Files,
) -> Result<(), Missing> {
    let name = name.and_then(Value::as_str).unwrap_or_default();
    let Some(object) = context.get("", resource, namespace, name) else {
        return if source["optional"] == true {
            Ok(())
        } else {
            Err(Missing(format!("{} {name:?} not found", resource.trim_end_matches('s'))))
        };
    };
    let entries = fields.iter().filter_map(|f| object[*f].as_object()).flatten();
    let data: BTreeMap<&String, Vec<u8>> = entries.filter_map(|(k, v)| Some((k, decode(v)?))).collect();
    match source["items"].as_array() {
        None => files.extend(data.into_iter().map(|(k, v)| (k.clone(), v))),
        Some(items) => {
            for item in items {
                let (Some(key), Some(path)) = (item["key"].as_str(), item["path"].as_str()) else { continue };
                match data.get(&key.to_owned()) {
                    Some(v) => drop(files.insert(path.to_owned(), v.clone())),
                    None if source["optional"] == true => {}
                    None => {
                        return Err(Missing(format!(
                            "references non-existent {} key: {key}",
                            resource.trim_end_matches('s')
                        )));
                    }
                }
            }
        }
    }
    Ok(())
}

/// A field of the pod as the downward API names it.
pub(crate) fn field_of(pod: &Value, path: &str) -> Option<String> {
    let pointer = match path {
        "metadata.name"
        | "metadata.namespace"
        | "metadata.uid"
        | "spec.nodeName"
        | "spec.serviceAccountName"
        | "status.podIP"
        | "status.hostIP" => format!("/{}", path.replace('.', "/")),
        _ => return None,
    };
    pod.pointer(&pointer)?.as_str().map(str::to_owned)
}

/// Writes the files of a volume below `dir`; a path cannot leave it.
pub(crate) fn write(dir: &Path, files: &Files) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (name, content) in files {
        let relative: PathBuf =
            Path::new(name).components().filter(|c| matches!(c, std::path::Component::Normal(_))).collect();
        let path = dir.join(relative);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        if std::fs::read(&path).is_ok_and(|old| old == *content) {
            continue;
        }
        // Replaced as a whole: a reader sees the old content or the new one.
        let fresh = path.with_extension("new");
        write_private(&fresh, content)?;
        std::fs::rename(&fresh, &path)?;
    }
    Ok(())
}

fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)
}
