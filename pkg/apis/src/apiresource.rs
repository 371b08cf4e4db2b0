//! `apiresource.kcp.dev/v1alpha1`: types learned from physical clusters, and what they have in common.

use kcp_apimachinery::GroupVersionResource;
use serde_json::Value;

use crate::Kind;

/// The API group.
pub const GROUP: &str = "apiresource.kcp.dev";
/// Its version.
pub const VERSION: &str = "v1alpha1";

/// A type as one physical cluster has it.
pub const API_RESOURCE_IMPORT: Kind = Kind {
    group: GROUP,
    version: VERSION,
    resource: "apiresourceimports",
    singular: "apiresourceimport",
    kind: "APIResourceImport",
};
/// A type with the schema that all physical clusters that have it can take.
pub const NEGOTIATED_API_RESOURCE: Kind = Kind {
    group: GROUP,
    version: VERSION,
    resource: "negotiatedapiresources",
    singular: "negotiatedapiresource",
    kind: "NegotiatedAPIResource",
};

/// Annotation of imports and negotiated types: the `apiVersion` of the type that they describe.
pub const API_VERSION_ANNOTATION: &str = "apiresource.kcp.dev/apiVersion";
/// The value of [`API_APPROVED_ANNOTATION`] on the CRD of a learned type in a group of Kubernetes itself.
pub const API_APPROVED_VALUE: &str = "https://github.com/kcp-dev/kubernetes/pull/4";
/// The user as whom the definitions of learned types are written. Nobody else may create one in a group of Kubernetes
/// itself, the core group included.
pub const NEGOTIATION_USER: &str = "system:kcp:api-negotiation";
/// Annotation that Kubernetes demands of CRDs in its own groups.
pub const API_APPROVED_ANNOTATION: &str = "api-approved.kubernetes.io";

/// The condition types of an APIResourceImport.
pub mod import_condition {
    /// The schema fits the negotiated one.
    pub const COMPATIBLE: &str = "Compatible";
    /// The type can be used in the workspace.
    pub const AVAILABLE: &str = "Available";
}

/// The condition types of a NegotiatedAPIResource.
pub mod negotiated_condition {
    /// A CRD was written.
    pub const SUBMITTED: &str = "Submitted";
    /// The CRD is served.
    pub const PUBLISHED: &str = "Published";
    /// A CRD made by people has the type; it is obeyed, not overwritten.
    pub const ENFORCED: &str = "Enforced";
}

/// The reasons in those conditions.
pub mod reason {
    /// The schemas have no common denominator.
    pub const INCOMPATIBLE_SCHEMA: &str = "IncompatibleSchema";
    /// The CRD could not be written.
    pub const CRD_REFUSED: &str = "CRDRefused";
    /// The CRD's names are taken by another.
    pub const NAMES_NOT_ACCEPTED: &str = "NamesNotAccepted";
}

/// What `spec.schemaUpdateStrategy` of an import can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SchemaUpdateStrategy {
    /// The negotiated schema is never altered.
    Never,
    /// It is altered as long as it is not published.
    #[default]
    Unpublished,
    /// It is altered in any case.
    Published,
}

impl SchemaUpdateStrategy {
    /// Reads the field; anything unknown is the default.
    pub fn parse(text: &str) -> Self {
        match text {
            "UpdateNever" => Self::Never,
            "UpdatePublished" => Self::Published,
            _ => Self::Unpublished,
        }
    }
    /// The field's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "UpdateNever",
            Self::Unpublished => "UpdateUnpublished",
            Self::Published => "UpdatePublished",
        }
    }
    /// Whether a negotiated schema may be altered.
    pub fn may_update(self, published: bool) -> bool {
        match self {
            Self::Never => false,
            Self::Unpublished => !published,
            Self::Published => true,
        }
    }
}

/// The group as it stands in names: `core` for the empty one.
pub fn group_in_name(group: &str) -> &str {
    if group.is_empty() { "core" } else { group }
}

/// `<plural>.<workload cluster>.<version>.<group|core>`.
pub fn import_name(gvr: &GroupVersionResource, location: &str) -> String {
    format!("{}.{location}.{}.{}", gvr.resource, gvr.version, group_in_name(&gvr.group))
}

/// `<plural>.<version>.<group|core>`.
pub fn negotiated_name(gvr: &GroupVersionResource) -> String {
    format!("{}.{}.{}", gvr.resource, gvr.version, group_in_name(&gvr.group))
}

/// `<plural>.<group|core>`: the name of the CRD of a learned type.
pub fn crd_name(group: &str, plural: &str) -> String {
    format!("{plural}.{}", group_in_name(group))
}

/// Whether a CRD defines a type that was learned: it belongs to a NegotiatedAPIResource.
pub fn is_learned(definition: &Value) -> bool {
    let owners = definition.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        text("kind") == NEGOTIATED_API_RESOURCE.kind
            && text("apiVersion").strip_prefix(GROUP).is_some_and(|rest| rest.starts_with('/'))
    })
}

/// Whether Kubernetes keeps the group to itself, so that a CRD in it must carry [`API_APPROVED_ANNOTATION`].
pub fn is_protected_group(group: &str) -> bool {
    group == "k8s.io" || group == "kubernetes.io" || group.ends_with(".k8s.io") || group.ends_with(".kubernetes.io")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let deployments = GroupVersionResource::new("apps", "v1", "deployments");
        let pods = GroupVersionResource::new("", "v1", "pods");
        assert_eq!(import_name(&deployments, "ocp-sno"), "deployments.ocp-sno.v1.apps");
        assert_eq!(negotiated_name(&deployments), "deployments.v1.apps");
        assert_eq!(import_name(&pods, "c"), "pods.c.v1.core");
        assert_eq!(negotiated_name(&pods), "pods.v1.core");
        assert_eq!(crd_name("", "pods"), "pods.core");
        assert_eq!(crd_name("apps", "deployments"), "deployments.apps");
    }

    #[test]
    fn protected_groups() {
        for yes in ["networking.k8s.io", "k8s.io", "a.kubernetes.io"] {
            assert!(is_protected_group(yes), "{yes}");
        }
        for no in ["apps", "", "mk8s.io", "example.io"] {
            assert!(!is_protected_group(no), "{no}");
        }
    }

    #[test]
    fn strategies_round_trip() {
        use SchemaUpdateStrategy as S;
        for s in [S::Never, S::Unpublished, S::Published] {
            assert_eq!(S::parse(s.as_str()), s);
        }
        assert_eq!(S::parse(""), S::Unpublished);
        assert!(S::Unpublished.may_update(false) && !S::Unpublished.may_update(true) && S::Published.may_update(true));
    }
}
