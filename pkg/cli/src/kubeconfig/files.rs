//! Finding, reading and writing the files.

use std::{
    fs,
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::KubeconfigError;

/// How long to wait for another program that is changing the same file.
const PATIENCE: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(2) };

/// Which files count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(Vec<PathBuf>);

impl Source {
    /// One file, said on the command line.
    pub fn explicit(path: impl Into<PathBuf>) -> Self {
        Self(vec![path.into()])
    }

    /// What the environment says: the list in `KUBECONFIG`, else `~/.kube/config`.
    pub fn from_environment(env: impl Fn(&str) -> Option<std::ffi::OsString>) -> Self {
        let list = env("KUBECONFIG").unwrap_or_default();
        let mut paths: Vec<PathBuf> = Vec::new();
        for path in std::env::split_paths(&list).filter(|p| !p.as_os_str().is_empty()) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            paths.push(PathBuf::from(env("HOME").unwrap_or_default()).join(".kube/config"));
        }
        Self(paths)
    }

    /// The files, the most important first.
    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }
}

/// Reads one file; `None` when there is none.
///
/// # Errors
/// When it cannot be read or is no kubeconfig.
pub fn read(path: &Path) -> Result<Option<Value>, KubeconfigError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(KubeconfigError::Read { path: path.to_owned(), source }),
    };
    let malformed = |detail: String| KubeconfigError::Malformed { path: path.to_owned(), detail };
    if text.trim().is_empty() {
        return Ok(Some(json!({})));
    }
    let tree: Value = serde_saphyr::from_str(&text).map_err(|e| malformed(e.to_string()))?;
    match tree {
        Value::Null => Ok(Some(json!({}))),
        Value::Object(_) => Ok(Some(tree)),
        _ => Err(malformed("it must be a map".to_owned())),
    }
}

/// Changes one file, made when it is missing, so that whoever reads it sees the old content or the new: into a new file of
/// mode 0600 beside it, synced, then renamed. What a symbolic link points to is written, not the link. Holds the lock that
/// kubectl uses from reading to writing. Gives the new content.
///
/// # Errors
/// When it cannot be read or written, is no kubeconfig, or is locked; it is then as it was.
pub fn update(path: &Path, change: impl FnOnce(&mut Value)) -> Result<Value, KubeconfigError> {
    let fail = |source: io::Error| KubeconfigError::Write { path: path.to_owned(), source };
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let dir = match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    fs::create_dir_all(dir).map_err(fail)?;
    let _lock = Lock::take(&target)?;
    let mut tree = read(path)?.unwrap_or_else(|| json!({}));
    change(&mut tree);
    if let Some(map) = tree.as_object_mut() {
        map.entry("apiVersion").or_insert_with(|| "v1".into());
        map.entry("kind").or_insert_with(|| "Config".into());
    }
    let text = serde_saphyr::to_string(&tree).map_err(|e| fail(io::Error::other(e.to_string())))?;
    let written = (|| {
        // Made with mode 0600 by the library, and removed again when anything fails.
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&target)?;
        fs::File::open(dir)?.sync_all()
    })();
    written.map_err(fail)?;
    Ok(tree)
}

/// The list `field` of `tree`, made when it is missing.
pub(super) fn list_mut<'a>(tree: &'a mut Value, field: &str) -> &'a mut Vec<Value> {
    if !tree.get(field).is_some_and(Value::is_array) {
        tree[field] = json!([]);
    }
    match &mut tree[field] {
        Value::Array(list) => list,
        _ => unreachable!("made a list above"),
    }
}

/// The lock file beside a kubeconfig that kubectl and other programs respect.
struct Lock(PathBuf);

impl Lock {
    fn take(path: &Path) -> Result<Self, KubeconfigError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let lock = path.with_file_name(name);
        let start = Instant::now();
        loop {
            match fs::OpenOptions::new().write(true).create_new(true).open(&lock) {
                Ok(_) => return Ok(Self(lock)),
                Err(e) if e.kind() == ErrorKind::AlreadyExists && start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    return Err(KubeconfigError::Locked { path: path.to_owned(), lock });
                }
                Err(source) => return Err(KubeconfigError::Write { path: path.to_owned(), source }),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // It was made by us; when it cannot be removed, the next program says so.
        let _ = fs::remove_file(&self.0);
    }
}
