//! Sets of field paths, as trees whose levels are sorted.
//!
//! Invariant: at every level elements are unique and in canonical order, and a node without children is a member.
//! All operations are merges of sorted lists, so they take time linear in their inputs.

use super::element::Element;

/// A set of field paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet<'a> {
    nodes: Vec<FieldNode<'a>>,
}

/// One element of a level: whether the path that ends here is in the set, and the paths that go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldNode<'a> {
    pub(crate) element: Element<'a>,
    pub(crate) member: bool,
    pub(crate) children: FieldSet<'a>,
}

impl FieldNode<'_> {
    fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl<'a> FieldSet<'a> {
    /// The empty set.
    pub const fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The nodes of this level, sorted.
    pub(crate) fn nodes(&self) -> &[FieldNode<'a>] {
        &self.nodes
    }

    pub(crate) fn nodes_mut(&mut self) -> &mut Vec<FieldNode<'a>> {
        &mut self.nodes
    }

    /// A level made of nodes in any order; empty ones are left out, equal ones united.
    pub(crate) fn from_nodes(mut nodes: Vec<FieldNode<'a>>) -> Self {
        nodes.retain(|n| !n.is_empty());
        if !nodes.is_sorted_by(|a, b| a.element < b.element) {
            nodes.sort_by(|a, b| a.element.cmp(&b.element));
            nodes.dedup_by(|later, first| {
                let same = later.element == first.element;
                if same {
                    first.member |= later.member;
                    first.children.unite(std::mem::take(&mut later.children));
                }
                same
            });
        }
        Self { nodes }
    }

    /// The node of `element`.
    pub(crate) fn node(&self, element: &Element<'_>) -> Option<&FieldNode<'a>> {
        let at = self.nodes.binary_search_by(|n| n.element.cmp(element)).ok()?;
        self.nodes.get(at)
    }

    /// Adds a path; the empty path is ignored, because nobody owns the whole object.
    pub fn insert(&mut self, path: impl IntoIterator<Item = Element<'a>>) {
        let mut path = path.into_iter().peekable();
        let mut level = self;
        while let Some(element) = path.next() {
            let at = match level.nodes.binary_search_by(|n| n.element.cmp(&element)) {
                Ok(at) => at,
                Err(at) => {
                    level.nodes.insert(at, FieldNode { element, member: false, children: Self::new() });
                    at
                }
            };
            let Some(node) = level.nodes.get_mut(at) else { return };
            if path.peek().is_none() {
                node.member = true;
                return;
            }
            level = &mut node.children;
        }
    }

    /// Whether the path is in the set.
    pub fn has<'e>(&self, path: impl IntoIterator<Item = &'e Element<'e>>) -> bool {
        let mut level = self;
        let mut member = false;
        for element in path {
            let Some(node) = level.node(element) else { return false };
            member = node.member;
            level = &node.children;
        }
        member
    }

    /// Adds all paths of `other`.
    pub fn unite(&mut self, other: FieldSet<'a>) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = other;
            return;
        }
        let mut united = Vec::with_capacity(self.nodes.len() + other.nodes.len());
        let mut mine = std::mem::take(&mut self.nodes).into_iter().peekable();
        let mut theirs = other.nodes.into_iter().peekable();
        loop {
            match (mine.peek(), theirs.peek()) {
                (Some(a), Some(b)) => match a.element.cmp(&b.element) {
                    std::cmp::Ordering::Less => united.extend(mine.next()),
                    std::cmp::Ordering::Greater => united.extend(theirs.next()),
                    std::cmp::Ordering::Equal => {
                        let (Some(mut a), Some(b)) = (mine.next(), theirs.next()) else { break };
                        a.member |= b.member;
                        a.children.unite(b.children);
                        united.push(a);
                    }
                },
                (Some(_), None) => united.extend(mine.by_ref()),
                (None, Some(_)) => united.extend(theirs.by_ref()),
                (None, None) => break,
            }
        }
        self.nodes = united;
    }

    /// Takes away the paths of `other`, but not what is below them.
    pub fn subtract(&mut self, other: &FieldSet<'_>) {
        self.retain_against(other, |node, theirs| {
            node.member &= !theirs.member;
            node.children.subtract(&theirs.children);
        });
    }

    /// Takes away the paths of `other` and everything below them.
    pub fn subtract_trees(&mut self, other: &FieldSet<'_>) {
        self.retain_against(other, |node, theirs| {
            if theirs.member {
                node.member = false;
                node.children.nodes.clear();
            } else {
                node.children.subtract_trees(&theirs.children);
            }
        });
    }

    fn retain_against(&mut self, other: &FieldSet<'_>, change: impl Fn(&mut FieldNode<'a>, &FieldNode<'_>)) {
        if other.is_empty() {
            return;
        }
        let mut theirs = other.nodes.iter().peekable();
        self.nodes.retain_mut(|node| {
            while theirs.next_if(|t| t.element < node.element).is_some() {}
            if let Some(same) = theirs.peek().filter(|t| t.element == node.element) {
                change(node, same);
            }
            !node.is_empty()
        });
    }

    /// The paths that are in both.
    #[must_use]
    pub fn intersection(&self, other: &FieldSet<'_>) -> FieldSet<'a> {
        let mut theirs = other.nodes.iter().peekable();
        let mut nodes = Vec::new();
        for node in &self.nodes {
            while theirs.next_if(|t| t.element < node.element).is_some() {}
            let Some(same) = theirs.peek().filter(|t| t.element == node.element) else { continue };
            let member = node.member && same.member;
            let children = node.children.intersection(&same.children);
            if member || !children.is_empty() {
                nodes.push(FieldNode { element: node.element.clone(), member, children });
            }
        }
        FieldSet { nodes }
    }

    /// Whether some path is in both.
    pub fn intersects(&self, other: &FieldSet<'_>) -> bool {
        let mut theirs = other.nodes.iter().peekable();
        self.nodes.iter().any(|node| {
            while theirs.next_if(|t| t.element < node.element).is_some() {}
            theirs
                .peek()
                .filter(|t| t.element == node.element)
                .is_some_and(|same| (node.member && same.member) || node.children.intersects(&same.children))
        })
    }

    /// The set on its own, borrowing nothing.
    pub fn into_owned(self) -> FieldSet<'static> {
        let own = |n: FieldNode<'a>| FieldNode {
            element: n.element.into_owned(),
            member: n.member,
            children: n.children.into_owned(),
        };
        FieldSet { nodes: self.nodes.into_iter().map(own).collect() }
    }

    /// All paths as people see them: the members of a level first, then what is below them.
    pub fn paths(&self) -> Vec<String> {
        let mut all = Vec::new();
        self.collect_paths(&mut String::new(), &mut all);
        all
    }

    fn collect_paths(&self, prefix: &mut String, all: &mut Vec<String>) {
        let length = prefix.len();
        for node in self.nodes.iter().filter(|n| n.member) {
            node.element.write_path(prefix);
            all.push(prefix.clone());
            prefix.truncate(length);
        }
        for node in self.nodes.iter().filter(|n| !n.children.is_empty()) {
            node.element.write_path(prefix);
            node.children.collect_paths(prefix, all);
            prefix.truncate(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields_v1;
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn set(v: &Value) -> FieldSet<'_> {
        fields_v1::decode(v).unwrap()
    }

    #[test]
    fn difference_keeps_what_is_below() {
        let (a, b) = (json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}), json!({"f:a": {}}));
        let mut kept = set(&a);
        kept.subtract(&set(&b));
        assert_eq!(kept.paths(), [".c", ".a.b"]);
        let mut gone = set(&a);
        gone.subtract_trees(&set(&b));
        assert_eq!(gone.paths(), [".c"]);
    }

    #[test]
    fn paths_list_members_before_children() {
        let v = json!({"f:a": {"f:z": {}}, "f:b": {}});
        assert_eq!(set(&v).paths(), [".b", ".a.z"]);
    }

    #[test]
    fn insert_and_has() {
        let mut s = FieldSet::new();
        s.insert([Element::field("spec"), Element::field("x")]);
        s.insert([]);
        assert!(s.has(&[Element::field("spec"), Element::field("x")]));
        assert!(!s.has(&[Element::field("spec")]));
        assert!(!s.has(&[]));
    }

    proptest! {
        #[test]
        fn algebra(a in super::super::tests::any_fields(), b in super::super::tests::any_fields()) {
            let (a, b) = (set(&a), set(&b));
            let mut both = a.clone();
            both.unite(b.clone());
            let mut other = b.clone();
            other.unite(a.clone());
            prop_assert_eq!(&both, &other, "union commutes");
            let common = a.intersection(&b);
            prop_assert_eq!(&common, &b.intersection(&a), "intersection commutes");
            prop_assert_eq!(common.is_empty(), !a.intersects(&b));
            let mut only = a.clone();
            only.subtract(&b);
            prop_assert!(!only.intersects(&b));
            only.unite(common);
            prop_assert_eq!(&only, &a, "(a - b) + (a * b) = a");
            let mut trees = a.clone();
            trees.subtract_trees(&b);
            let mut rest = a;
            rest.subtract(&b);
            let mut without = trees.clone();
            without.subtract(&rest);
            prop_assert!(without.is_empty(), "taking trees takes at least the paths");
        }
    }
}
