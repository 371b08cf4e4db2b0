//! The one path parser.
//!
//! Everything that acts on a request (authorisation, storage, metrics) uses what this module returns and never looks
//! at the URL again, so that the path that was authorised is the path that is served (CVE-2022-3162, CVE-2026-73499).
//!
//! Invariants:
//! - a path has one meaning or none: doubled slashes, `.` and `..`, encoded slashes, double encoding, control
//!   characters and text that is not UTF-8 are refused, they are never cleaned away;
//! - a segment is percent-decoded exactly once, after the path was split;
//! - one slash at the very end is allowed and means nothing (D-03);
//! - the parser never panics and allocates only for segments that were encoded.

use std::borrow::Cow;

use kcp_logicalcluster::ClusterRef;

/// The longest meaningful path has this many segments:
/// `clusters/<ref>/apis/<g>/<v>/watch/namespaces/<ns>/<resource>/<name>/<subresource>`, and one more to notice excess.
const MAX_SEGMENTS: usize = 12;

/// Why a path has no meaning. Always answered with 404: a caller learns nothing from the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path does not start with a slash.
    #[error("the path is not absolute")]
    NotAbsolute,
    /// A segment is empty, `.`, `..`, or holds a character that no identifier can hold.
    #[error("a segment of the path is not canonical")]
    NotCanonical,
    /// There are more segments than any route has.
    #[error("the path has too many segments")]
    TooLong,
    /// What follows `/clusters/` is not a reference to a logical cluster.
    #[error("the path does not name a logical cluster")]
    BadCluster,
}

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The logical cluster that the prefix names; `None` without a prefix.
    pub cluster: Option<ClusterRef>,
    /// What is asked for in it.
    pub target: Target<'a>,
}

/// What a path asks for, below the cluster prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// Something that is not a resource: the canonical path, without a slash at the end, `/` for the root.
    Path(Cow<'a, str>),
    /// A resource, a collection or a subresource.
    Resource(ResourcePath<'a>),
}

/// The parts of a resource's path (T-04).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourcePath<'a> {
    /// The group, empty for core.
    pub group: Cow<'a, str>,
    /// The version.
    pub version: Cow<'a, str>,
    /// The namespace, empty when the path names none. For the resource `namespaces` itself it is the name, as in
    /// Kubernetes, so that a Role in a namespace can be about that namespace.
    pub namespace: Cow<'a, str>,
    /// The plural.
    pub resource: Cow<'a, str>,
    /// The name, empty for a collection.
    pub name: Cow<'a, str>,
    /// The subresource, empty for the object itself.
    pub subresource: Cow<'a, str>,
    /// The path goes through `namespaces/<ns>/`, so what it names must live in namespaces. Not set for the resource
    /// `namespaces` itself, but set for `namespaces/a/namespaces/b`, which names nothing: it must not be taken for the
    /// namespace `b` with the rights that somebody has in `a`.
    pub through_namespace: bool,
    /// The path has the old `/watch/` in it (W-17).
    pub legacy_watch: bool,
    /// There are segments after the subresource; no route of ours has any.
    pub excess: bool,
}

/// Parses the path of a request.
///
/// # Errors
/// When the path has no meaning; see [`PathError`].
pub fn parse(path: &str) -> Result<Parsed<'_>, PathError> {
    let rest = path.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() && path != "/" {
        return Err(PathError::NotCanonical);
    }
    let mut segments: [Cow<'_, str>; MAX_SEGMENTS] = [const { Cow::Borrowed("") }; MAX_SEGMENTS];
    let mut count = 0;
    let mut changed = false;
    if !rest.is_empty() {
        for raw in rest.split('/') {
            let slot = segments.get_mut(count).ok_or(PathError::TooLong)?;
            *slot = segment(raw)?;
            changed |= matches!(slot, Cow::Owned(_));
            count += 1;
        }
    }
    let mut parts = segments.get_mut(..count).unwrap_or_default();
    let mut cluster = None;
    let mut below = rest;
    if parts.first().is_some_and(|s| s == "clusters") {
        let reference = parts.get(1).ok_or(PathError::BadCluster)?;
        cluster = Some(ClusterRef::parse(reference).map_err(|_| PathError::BadCluster)?);
        parts = parts.get_mut(2..).unwrap_or_default();
        below = nth_slash(rest, 2);
    }
    if let Some(resource) = resource(parts) {
        return Ok(Parsed { cluster, target: Target::Resource(resource) });
    }
    let target = if parts.is_empty() {
        Cow::Borrowed("/")
    } else if changed {
        Cow::Owned(parts.iter().fold(String::new(), |mut all, part| {
            all.push('/');
            all.push_str(part);
            all
        }))
    } else {
        // `below` is the end of `rest`, which starts after the first slash of `path`: take it with its slash.
        let slash = rest.len() - below.len();
        Cow::Borrowed(path.get(slash..=rest.len()).unwrap_or("/"))
    };
    Ok(Parsed { cluster, target: Target::Path(target) })
}

/// What follows the `n`-th slash of `text`, or nothing.
fn nth_slash(text: &str, n: usize) -> &str {
    let mut rest = text;
    for _ in 0..n {
        match rest.split_once('/') {
            Some((_, after)) => rest = after,
            None => return "",
        }
    }
    rest
}

/// Decodes one segment and refuses what is not canonical.
fn segment(raw: &str) -> Result<Cow<'_, str>, PathError> {
    let decoded = if raw.contains('%') {
        // The decoder leaves a `%` that starts no valid escape as it is; the check below refuses it.
        percent_encoding::percent_decode_str(raw).decode_utf8().map_err(|_| PathError::NotCanonical)?
    } else {
        Cow::Borrowed(raw)
    };
    let bad = |c: char| c.is_control() || matches!(c, '/' | '%');
    if decoded.is_empty() || decoded == "." || decoded == ".." || decoded.contains(bad) {
        return Err(PathError::NotCanonical);
    }
    Ok(decoded)
}

/// Reads a resource's path, or says that this is none. Takes the segments it keeps.
fn resource<'a>(parts: &mut [Cow<'a, str>]) -> Option<ResourcePath<'a>> {
    let count = parts.len();
    let grouped = match parts.first().map(|s| s.as_ref()) {
        Some("api") if count >= 3 => false,
        Some("apis") if count >= 4 => true,
        _ => return None,
    };
    let mut take = parts.iter_mut().map(std::mem::take);
    take.next();
    let mut out = ResourcePath::default();
    if grouped {
        out.group = take.next()?;
    }
    out.version = take.next()?;
    let mut first = take.next()?;
    if first == "watch" && take.len() > 0 {
        out.legacy_watch = true;
        first = take.next()?;
    }
    out.resource = first;
    if out.resource == "namespaces"
        && let Some(namespace) = take.next()
    {
        match take.next() {
            // `namespaces/<name>` and its two subresources are about the namespace itself.
            None => out.name = namespace.clone(),
            Some(sub) if sub == "status" || sub == "finalize" => {
                out.name = namespace.clone();
                out.subresource = sub;
                out.excess = take.next().is_some();
                out.namespace = namespace;
                return Some(out);
            }
            Some(resource) => {
                out.resource = resource;
                out.through_namespace = true;
            }
        }
        out.namespace = namespace;
        if !out.name.is_empty() {
            return Some(out);
        }
    }
    out.name = take.next().unwrap_or_default();
    out.subresource = take.next().unwrap_or_default();
    out.excess = take.next().is_some();
    Some(out)
}

#[cfg(test)]
mod tests;
