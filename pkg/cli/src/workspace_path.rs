//! What people type to name a workspace, and where a server URL points.
//!
//! Segments are joined by `:` (or `/`). A leading `:`, or `root` or `system` as first segment, makes a path absolute;
//! otherwise it counts from the current workspace. `.`, `..`, `-`, `~` mean what they mean in a shell.

use std::fmt;

use kcp_logicalcluster::{ClusterName, ClusterPath};

/// Why there is no such workspace path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The text does not follow the grammar.
    #[error("invalid workspace path: {0}")]
    Invalid(String),
    /// There is nothing above.
    #[error("current workspace is {0:?}")]
    AtRoot(String),
    /// The current workspace is not part of a tree.
    #[error("current workspace {0:?} has no parent")]
    NoParent(String),
    /// The current context points somewhere else.
    #[error("current URL {0:?} does not point to cluster workspace")]
    NotAWorkspace(String),
}

/// What an argument of `kubectl ws` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `-`: where we were before.
    Previous,
    /// `.` or nothing: where we are.
    Current,
    /// `~`, and what may follow it: the user's own workspace, or one below.
    Home(Vec<String>),
    /// A path from the root.
    Absolute(Place),
    /// Steps from where we are; `..` is a step up.
    Relative(Vec<String>),
}

impl Target {
    /// Parses an argument.
    ///
    /// # Errors
    /// When a segment is not the name of a workspace.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let invalid = || PathError::Invalid(text.to_owned());
        match text {
            "" | "." => return Ok(Self::Current),
            "-" => return Ok(Self::Previous),
            _ => {}
        }
        let normal = text.replace('/', ":");
        let trimmed = normal.strip_suffix(':').unwrap_or(&normal);
        if trimmed.is_empty() {
            return Ok(Self::Absolute(Place::Path(ClusterPath::root())));
        }
        if let Some(absolute) = trimmed.strip_prefix(':') {
            return Place::parse(absolute).map(Self::Absolute).ok_or_else(invalid);
        }
        let segments: Vec<&str> = trimmed.split(':').collect();
        match segments[0] {
            "root" | "system" => Place::parse(trimmed).map(Self::Absolute).ok_or_else(invalid),
            "~" => names(&segments[1..]).map(Self::Home).ok_or_else(invalid),
            _ => {
                let steps = segments.into_iter().filter(|s| *s != ".");
                let checked = steps.map(|s| (s == ".." || ClusterPath::root().join(s).is_ok()).then(|| s.to_owned()));
                checked.collect::<Option<Vec<_>>>().map(Self::Relative).ok_or_else(invalid)
            }
        }
    }
}

fn names(segments: &[&str]) -> Option<Vec<String>> {
    segments.iter().map(|s| ClusterPath::root().join(s).ok().map(|_| (*s).to_owned())).collect()
}

/// A logical cluster as `/clusters/` names it: a workspace, or one of the system's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A path of workspaces.
    Path(ClusterPath),
    /// A `system:` or `user:` cluster, or anything else that has no parent.
    Other(String),
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        if text.starts_with("system:") {
            return ClusterName::new(text).ok().map(|n| Self::Other(n.to_string()));
        }
        ClusterPath::new(text).ok().map(Self::Path)
    }

    /// Takes `steps` from here.
    ///
    /// # Errors
    /// When a step leads above the root, or up from a place without parent.
    pub fn walk(&self, steps: &[String]) -> Result<Self, PathError> {
        let mut at = self.clone();
        for step in steps {
            at = match (&at, step.as_str()) {
                (Self::Path(path), "..") => {
                    let shown = path.to_string();
                    let root = *path == ClusterPath::root();
                    Self::Path(path.parent().ok_or(if root {
                        PathError::AtRoot(shown)
                    } else {
                        PathError::NoParent(shown)
                    })?)
                }
                (Self::Other(name), "..") => return Err(PathError::NoParent(name.clone())),
                (Self::Path(path), name) => Self::Path(path.join(name).map_err(|e| PathError::Invalid(e.0))?),
                (Self::Other(parent), name) => Self::Other(format!("{parent}:{name}")),
            };
        }
        Ok(at)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.fmt(f),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// A server URL, split at its logical cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// Scheme, host, port, and a path before `/clusters/` if there is one.
    pub base: String,
    /// The logical cluster; `None` when the URL names none, or all of them.
    pub place: Option<Place>,
    whole: String,
}

impl ServerUrl {
    /// Splits `url`.
    pub fn parse(url: &str) -> Self {
        let whole = url.trim_end_matches('/').to_owned();
        let Some((base, rest)) = whole.split_once("/clusters/") else {
            return Self { base: whole.clone(), place: None, whole };
        };
        let name = rest.split('/').next().unwrap_or_default().replace("%3A", ":").replace("%3a", ":");
        let place = match name.as_str() {
            "" | "*" => None,
            name if name.starts_with("system:") || name.starts_with("user:") => Some(Place::Other(name.to_owned())),
            name => ClusterPath::new(name).ok().map(Place::Path),
        };
        Self { base: base.to_owned(), place, whole }
    }

    /// The URL of another place on the same server.
    pub fn at(&self, place: &Place) -> String {
        format!("{}/clusters/{place}", self.base)
    }

    /// The place, or an error that says that there is none.
    ///
    /// # Errors
    /// When the URL names no workspace.
    pub fn workspace(&self) -> Result<&Place, PathError> {
        self.place.as_ref().ok_or_else(|| PathError::NotAWorkspace(self.whole.clone()))
    }

    /// The URL as it was.
    pub fn as_str(&self) -> &str {
        &self.whole
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(text: &str) -> Place {
        Place::parse(text).unwrap()
    }

    fn from(here: &str, text: &str) -> Result<String, String> {
        match Target::parse(text).map_err(|e| e.to_string())? {
            Target::Absolute(place) => Ok(place.to_string()),
            Target::Relative(steps) => place(here).walk(&steps).map(|p| p.to_string()).map_err(|e| e.to_string()),
            other => Ok(format!("{other:?}")),
        }
    }

    #[test]
    fn arguments_name_workspaces() {
        let cases = [
            ("root", "root"),
            (":root", "root"),
            (":", "root"),
            ("/", "root"),
            ("root:a:b", "root:a:b"),
            (":root:a", "root:a"),
            ("/root/a/", "root:a"),
            ("root/a", "root:a"),
            ("c", "root:a:b:c"),
            ("c:d", "root:a:b:c:d"),
            ("c/d", "root:a:b:c:d"),
            ("./c", "root:a:b:c"),
            ("..", "root:a"),
            ("../..", "root"),
            ("..:..", "root"),
            ("../x", "root:a:x"),
            ("x:..:y", "root:a:b:y"),
            ("system:admin", "system:admin"),
            (":system:admin", "system:admin"),
            (":2abc34def", "2abc34def"),
            ("", "Current"),
            (".", "Current"),
            ("-", "Previous"),
            ("~", "Home([])"),
            ("~:x", "Home([\"x\"])"),
            ("~/x", "Home([\"x\"])"),
        ];
        for (text, want) in cases {
            assert_eq!(from("root:a:b", text).as_deref(), Ok(want), "{text}");
        }
        for bad in ["A", "a b", "a::b", "::", "root:", "..a", "~a", "*", "root:*", "a:-"] {
            let got = from("root", bad);
            let fine = bad == "root:";
            assert_eq!(got.is_ok(), fine, "{bad}: {got:?}");
            if !fine {
                assert_eq!(got, Err(format!("invalid workspace path: {bad}")));
            }
        }
    }

    #[test]
    fn there_is_nothing_above_the_root() {
        assert_eq!(from("root", ".."), Err("current workspace is \"root\"".into()));
        assert_eq!(from("root:a", "../.."), Err("current workspace is \"root\"".into()));
        assert_eq!(from("system:admin", ".."), Err("current workspace \"system:admin\" has no parent".into()));
        assert_eq!(from("2abc34def", ".."), Err("current workspace \"2abc34def\" has no parent".into()));
    }

    #[test]
    fn urls_are_split() {
        let cases = [
            ("https://h:6443/clusters/root:a", "https://h:6443", Some("root:a")),
            ("https://h:6443/clusters/root:a/", "https://h:6443", Some("root:a")),
            ("https://h/proxy/clusters/root%3Aa/x", "https://h/proxy", Some("root:a")),
            ("https://h:6443/clusters/system:admin", "https://h:6443", Some("system:admin")),
            ("https://h:6443/clusters/*", "https://h:6443", None),
            ("https://h:6443", "https://h:6443", None),
        ];
        for (url, base, name) in cases {
            let parsed = ServerUrl::parse(url);
            assert_eq!(parsed.base, base, "{url}");
            assert_eq!(parsed.place.as_ref().map(ToString::to_string).as_deref(), name, "{url}");
        }
        let url = ServerUrl::parse("https://h:6443/clusters/root");
        assert_eq!(url.at(&place("root:a")), "https://h:6443/clusters/root:a");
        let none = ServerUrl::parse("https://h:6443").workspace().unwrap_err().to_string();
        assert_eq!(none, "current URL \"https://h:6443\" does not point to cluster workspace");
    }

    proptest! {
        #[test]
        fn no_argument_panics(text in "[-a-z:/.~* ]{0,12}") {
            let _ = from("root:a", &text);
        }

        #[test]
        fn going_down_and_up_again_is_nothing(names in proptest::collection::vec("[a-z][a-z0-9]{0,5}", 1..4)) {
            let mut steps = names.clone();
            steps.extend(names.iter().map(|_| "..".to_owned()));
            let here = place("root:here");
            prop_assert_eq!(here.walk(&steps).unwrap(), here);
        }
    }
}
