//! Admission: what may be said about a write after it was authorised and before it is stored.
//!
//! A [`Plugin`] looks at one write; a [`Chain`] asks its plug-ins in order, the mutating half of all of them first and
//! the validating half after the object has its final form. Plug-ins are pure: what they need to know of the
//! state they were given when they were made.

pub mod namespace;

use std::{fmt, sync::Arc};

use kcp_apimachinery::{GroupVersionKind, Status, UserInfo};
use kcp_logicalcluster::ClusterName;
use serde_json::Value;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// An object is made.
    Create,
    /// An object, or a part of it, is changed.
    Update,
    /// An object is deleted.
    Delete,
}

/// The write that is decided on.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// What is being done.
    pub operation: Operation,
    /// In which logical cluster.
    pub cluster: &'a ClusterName,
    /// To an object of which kind.
    pub kind: &'a GroupVersionKind,
    /// Its plural.
    pub resource: &'a str,
    /// The subresource, empty for the object itself.
    pub subresource: &'a str,
    /// The namespace, empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// The name in the URL, empty for a create.
    pub name: &'a str,
    /// By whom.
    pub user: &'a UserInfo,
    /// Nothing will be stored.
    pub dry_run: bool,
}

/// One opinion on writes.
pub trait Plugin: Send + Sync {
    /// Its name, for messages.
    fn name(&self) -> &'static str;

    /// Whether it has an opinion on `operation`.
    fn handles(&self, operation: Operation) -> bool;

    /// May change the object before it is validated.
    ///
    /// # Errors
    /// Why the write must not be.
    fn admit(&self, attributes: &Attributes<'_>, object: &mut Value, old: Option<&Value>) -> Result<(), Status> {
        let _ = (attributes, object, old);
        Ok(())
    }

    /// Looks at the final object; for a delete there is only the old one.
    ///
    /// # Errors
    /// Why the write must not be.
    fn validate(&self, attributes: &Attributes<'_>, object: Option<&Value>, old: Option<&Value>) -> Result<(), Status> {
        let _ = (attributes, object, old);
        Ok(())
    }
}

/// Plug-ins in order.
#[derive(Clone, Default)]
pub struct Chain(Vec<Arc<dyn Plugin>>);

impl Chain {
    /// The plug-ins, first things first.
    pub fn new(plugins: Vec<Arc<dyn Plugin>>) -> Self {
        Self(plugins)
    }

    /// Whether nobody is asked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets every plug-in change the object.
    ///
    /// # Errors
    /// Those of the first plug-in that refuses.
    pub fn admit(&self, attributes: &Attributes<'_>, object: &mut Value, old: Option<&Value>) -> Result<(), Status> {
        let asked = self.0.iter().filter(|p| p.handles(attributes.operation));
        asked.into_iter().try_for_each(|p| p.admit(attributes, object, old))
    }

    /// Asks every plug-in about the final object.
    ///
    /// # Errors
    /// Those of the first plug-in that refuses.
    pub fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let asked = self.0.iter().filter(|p| p.handles(attributes.operation));
        asked.into_iter().try_for_each(|p| p.validate(attributes, object, old))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|p| p.name())).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Label;

    impl Plugin for Label {
        fn name(&self) -> &'static str {
            "Label"
        }
        fn handles(&self, operation: Operation) -> bool {
            operation == Operation::Create
        }
        fn admit(&self, _: &Attributes<'_>, object: &mut Value, _: Option<&Value>) -> Result<(), Status> {
            kcp_apimachinery::object::set_label(object, "seen", "yes");
            Ok(())
        }
        fn validate(&self, _: &Attributes<'_>, object: Option<&Value>, _: Option<&Value>) -> Result<(), Status> {
            match object.and_then(|o| kcp_apimachinery::object::label(o, "seen")) {
                Some(_) => Ok(()),
                None => Err(Status::bad_request("not seen")),
            }
        }
    }

    #[test]
    fn plugins_see_what_they_handle() {
        let chain = Chain::new(vec![Arc::new(Label)]);
        let (cluster, kind, user) =
            (ClusterName::root(), GroupVersionKind::new("", "v1", "ConfigMap"), UserInfo::default());
        let mut attributes = Attributes {
            operation: Operation::Create,
            cluster: &cluster,
            kind: &kind,
            resource: "configmaps",
            subresource: "",
            namespace: "a",
            name: "",
            user: &user,
            dry_run: false,
        };
        let mut object = json!({});
        assert_eq!(chain.validate(&attributes, Some(&object), None).unwrap_err().code, 400);
        chain.admit(&attributes, &mut object, None).unwrap();
        assert_eq!(object, json!({"metadata": {"labels": {"seen": "yes"}}}));
        assert!(chain.validate(&attributes, Some(&object), None).is_ok());
        attributes.operation = Operation::Update;
        assert!(chain.validate(&attributes, Some(&json!({})), None).is_ok());
        assert_eq!(format!("{chain:?}"), "[\"Label\"]");
    }
}
