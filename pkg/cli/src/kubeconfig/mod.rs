//! Kubeconfig files: which ones count, what they say together, and changing them without losing anything.
//!
//! A file is held as the tree that it is, so that what we do not know (other contexts, extensions, fields of tomorrow)
//! is written back as it was read. Comments do not survive, as with kubectl. Of several files (a `KUBECONFIG` list) the
//! first to define a name wins, and an entry is changed in the file it came from.

mod files;
mod merge;

use std::path::{Path, PathBuf};

use kcp_client::Config;
use serde_json::{Map, Value, json};

pub use files::{Source, read, update};

/// Why a kubeconfig cannot be read, used or written.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be written; it is as it was.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another program is changing the file, or has left its lock behind.
    #[error("{} is locked by another program; if none is running, remove {}", path.display(), lock.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// Its lock.
        lock: PathBuf,
    },
    /// The file is no kubeconfig.
    #[error("{} is not a kubeconfig: {detail}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// No context is chosen.
    #[error("the kubeconfig has no current context; set KUBECONFIG, or choose one with --context")]
    NoContext,
    /// A name is not defined.
    #[error("the kubeconfig has no {kind} {name:?}")]
    Missing {
        /// `context`, `cluster` or `user`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The configuration cannot be used to connect.
    #[error(transparent)]
    Config(#[from] kcp_client::ConfigError),
}

/// One of the lists of named entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Contexts.
    Contexts,
    /// Clusters: servers.
    Clusters,
    /// Users: credentials.
    Users,
}

impl Section {
    fn list(self) -> &'static str {
        match self {
            Self::Contexts => "contexts",
            Self::Clusters => "clusters",
            Self::Users => "users",
        }
    }
    fn entry(self) -> &'static str {
        match self {
            Self::Contexts => "context",
            Self::Clusters => "cluster",
            Self::Users => "user",
        }
    }
}

/// What the command line says over the files, for one command; never written.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Another context than the current one.
    pub context: Option<String>,
    /// Another cluster than the context's.
    pub cluster: Option<String>,
    /// Another user than the context's.
    pub user: Option<String>,
    /// Another server than the cluster's.
    pub server: Option<String>,
    /// Do not check the server's certificate.
    pub insecure: bool,
    /// A bearer token instead of the user's credentials.
    pub token: Option<String>,
}

/// One file.
#[derive(Debug, Clone)]
struct File {
    path: PathBuf,
    tree: Value,
    /// What has been done to `tree` since it was read. Done again to what is in the file when it is written, so that
    /// nothing is lost that another program wrote in between.
    edits: Vec<Edit>,
}

#[derive(Debug, Clone)]
enum Edit {
    Set(Section, String, Value),
    CurrentContext(String),
}

impl Edit {
    fn apply(&self, tree: &mut Value) {
        match self {
            Self::CurrentContext(name) => tree["current-context"] = name.as_str().into(),
            Self::Set(section, name, value) => {
                let list = files::list_mut(tree, section.list());
                match list.iter_mut().find(|e| e.get("name").and_then(Value::as_str) == Some(name)) {
                    Some(found) => found[section.entry()] = value.clone(),
                    None => list.push(json!({"name": name, section.entry(): value})),
                }
            }
        }
    }
}

impl File {
    fn edit(&mut self, edit: Edit) {
        edit.apply(&mut self.tree);
        self.edits.push(edit);
    }
}

/// The kubeconfig: all files that count, and what is to be changed in them.
#[derive(Debug, Clone)]
pub struct Kubeconfig {
    files: Vec<File>,
}

impl Kubeconfig {
    /// Reads the files of `source`. Files that do not exist are empty; one of them may come into being by writing.
    ///
    /// # Errors
    /// When a file cannot be read or is no kubeconfig.
    pub fn load(source: &Source) -> Result<Self, KubeconfigError> {
        let files = source.paths().iter().map(|path| {
            Ok(File { path: path.clone(), tree: files::read(path)?.unwrap_or_else(|| json!({})), edits: Vec::new() })
        });
        Ok(Self { files: files.collect::<Result<_, KubeconfigError>>()? })
    }

    /// The name of the current context, empty when there is none.
    pub fn current_context(&self) -> &str {
        self.files.iter().filter_map(|f| f.tree.get("current-context")?.as_str()).find(|c| !c.is_empty()).unwrap_or("")
    }

    /// The entry `name`, if it is defined.
    pub fn get(&self, section: Section, name: &str) -> Option<&Value> {
        self.files
            .get(self.defined_in(section, name)?)
            .and_then(|f| entry(&f.tree, section, name)?.get(section.entry()))
    }

    /// Which file defines an entry.
    fn defined_in(&self, section: Section, name: &str) -> Option<usize> {
        self.files.iter().position(|f| entry(&f.tree, section, name).is_some())
    }

    /// The names in a section.
    pub fn names(&self, section: Section) -> Vec<&str> {
        let lists = self.files.iter().filter_map(|f| f.tree.get(section.list())?.as_array());
        let mut names: Vec<&str> = lists.flatten().filter_map(|e| e.get("name")?.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The context `name`, with its cluster and the name of its user.
    ///
    /// # Errors
    /// When the context or its cluster is not defined.
    pub fn resolve(&self, name: &str) -> Result<ResolvedContext, KubeconfigError> {
        if name.is_empty() {
            return Err(KubeconfigError::NoContext);
        }
        let missing = |kind, name: &str| KubeconfigError::Missing { kind, name: name.to_owned() };
        let context = self.get(Section::Contexts, name).ok_or_else(|| missing("context", name))?;
        let text = |field: &str| context.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let cluster_name = text("cluster");
        let cluster = self.get(Section::Clusters, &cluster_name).ok_or_else(|| missing("cluster", &cluster_name))?;
        let server = cluster.get("server").and_then(Value::as_str).unwrap_or_default().to_owned();
        let file = self.defined_in(Section::Clusters, &cluster_name).and_then(|at| self.files.get(at));
        Ok(ResolvedContext {
            name: name.to_owned(),
            context: context.clone(),
            cluster: cluster.clone(),
            server,
            folder: file.map(|f| merge::folder(&f.path)).unwrap_or_default(),
        })
    }

    /// Sets the entry `name`, in the file that defines it, or in the first one.
    pub fn set(&mut self, section: Section, name: &str, value: Value) {
        let at = self.target(self.defined_in(section, name));
        let Some(file) = self.files.get_mut(at) else { return };
        if entry(&file.tree, section, name).and_then(|e| e.get(section.entry())) != Some(&value) {
            file.edit(Edit::Set(section, name.to_owned(), value));
        }
    }

    /// Makes `name` the current context, in the file that says which one is, or in the first one.
    pub fn set_current_context(&mut self, name: &str) {
        if self.current_context() == name {
            return;
        }
        let chosen = |f: &File| f.tree.get("current-context").and_then(Value::as_str).is_some_and(|c| !c.is_empty());
        let at = self.files.iter().position(chosen);
        let at = self.target(at);
        if let Some(file) = self.files.get_mut(at) {
            file.edit(Edit::CurrentContext(name.to_owned()));
        }
    }

    /// The file at `at`, or the one where new entries go: the first that exists, else the last.
    fn target(&self, at: Option<usize>) -> usize {
        let existing = || self.files.iter().position(|f| f.path.exists());
        at.or_else(existing).unwrap_or_else(|| self.files.len().saturating_sub(1))
    }

    /// Writes the files that were changed.
    ///
    /// # Errors
    /// When one cannot be written; it is then as it was.
    pub fn save(&mut self) -> Result<(), KubeconfigError> {
        for file in self.files.iter_mut().filter(|f| !f.edits.is_empty()) {
            file.tree = files::update(&file.path, |tree| file.edits.iter().for_each(|e| e.apply(tree)))?;
            file.edits.clear();
        }
        Ok(())
    }

    /// How to connect, as the files and `overrides` say.
    ///
    /// # Errors
    /// When the context is not defined or something in it cannot be used.
    pub fn config(&self, overrides: &Overrides) -> Result<Config, KubeconfigError> {
        let name = overrides.context.as_deref().unwrap_or_else(|| self.current_context());
        if name.is_empty() && overrides.server.is_none() {
            return Err(KubeconfigError::NoContext);
        }
        let mut tree = merge::absolute(self.files.iter().map(|f| (f.path.as_path(), &f.tree)));
        merge::apply(&mut tree, name, overrides)?;
        let text = tree.to_string();
        Ok(Config::from_kubeconfig_text(&text, name, Path::new(""))?)
    }
}

/// A context and what it refers to.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedContext {
    /// The context's name.
    pub name: String,
    /// The context itself.
    pub context: Value,
    /// Its cluster.
    pub cluster: Value,
    /// The server of the cluster.
    pub server: String,
    /// The folder of the file that defines the cluster: names of files in it start from there.
    folder: PathBuf,
}

impl ResolvedContext {
    /// The same credentials at another server, under the name `name`, written as the context `name` with a cluster of the
    /// same name. The namespace is left behind: it belongs to the place it was chosen in.
    pub fn write_as(&self, kubeconfig: &mut Kubeconfig, name: &str, server: &str) {
        let mut context = self.context.as_object().cloned().unwrap_or_default();
        if server != self.server {
            context.remove("namespace");
        }
        context.insert("cluster".into(), name.into());
        let mut cluster: Map<String, Value> = self.cluster.as_object().cloned().unwrap_or_default();
        cluster.insert("server".into(), server.into());
        let target = kubeconfig.files.get(kubeconfig.target(kubeconfig.defined_in(Section::Clusters, name)));
        if target.is_some_and(|file| merge::folder(&file.path) != self.folder) {
            merge::make_absolute(&mut cluster, &self.folder);
        }
        kubeconfig.set(Section::Clusters, name, cluster.into());
        kubeconfig.set(Section::Contexts, name, context.into());
    }
}

fn entry<'a>(tree: &'a Value, section: Section, name: &str) -> Option<&'a Value> {
    let list = tree.get(section.list())?.as_array()?;
    list.iter().find(|e| e.get("name").and_then(Value::as_str) == Some(name))
}

#[cfg(test)]
mod tests;
