//! NamespaceLifecycle: what may be made in a namespace, and which namespaces stay (G-06, C-14).
//!
//! The rules only; that a namespace exists, and goes on existing until the write is stored, the registry finds out and
//! makes part of the write.

use kcp_apimachinery::{GroupResource, Status};

/// The namespaces that nobody deletes.
pub const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Whether an object `name` may be made in `namespace`, which exists.
///
/// # Errors
/// 403 when the namespace is going away.
pub fn may_create_in(resource: &GroupResource, name: &str, namespace: &str, terminating: bool) -> Result<(), Status> {
    if !terminating {
        return Ok(());
    }
    let detail = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let cause = format!("namespace {namespace} is being terminated");
    Err(Status::forbidden(resource, name, detail).with_cause("NamespaceTerminating", cause, "metadata.namespace"))
}

/// Whether the namespace `name` may be deleted.
///
/// # Errors
/// 403 for those that nobody deletes.
pub fn may_delete(name: &str) -> Result<(), Status> {
    if PROTECTED.contains(&name) {
        return Err(Status::forbidden(
            &GroupResource::new("", "namespaces"),
            name,
            "this namespace may not be deleted",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_kubernetes_words() {
        // C-14
        let s = may_create_in(&GroupResource::new("", "configmaps"), "x", "n", true).unwrap_err();
        assert_eq!(
            s.message,
            "configmaps \"x\" is forbidden: unable to create new content in namespace n because it is being terminated"
        );
        let cause = &s.details.unwrap().causes[0];
        assert_eq!((cause.reason.as_str(), cause.field.as_str()), ("NamespaceTerminating", "metadata.namespace"));
        assert!(may_create_in(&GroupResource::new("", "configmaps"), "x", "n", false).is_ok());
        // G-06
        assert_eq!(
            may_delete("default").unwrap_err().message,
            "namespaces \"default\" is forbidden: this namespace may not be deleted"
        );
        assert!(may_delete("other").is_ok());
    }
}
