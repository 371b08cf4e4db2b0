//! `tenancy.kcp.io/v1alpha1`: workspaces and their types.

use serde_json::{Value, json};

use crate::{Kind, workload};

/// The API group.
pub const GROUP: &str = "tenancy.kcp.io";
/// Its version.
pub const VERSION: &str = "v1alpha1";

/// A child workspace.
pub const WORKSPACE: Kind =
    Kind { group: GROUP, version: VERSION, resource: "workspaces", singular: "workspace", kind: "Workspace" };
/// How the workspaces of a type behave.
pub const WORKSPACE_TYPE: Kind = Kind {
    group: GROUP,
    version: VERSION,
    resource: "workspacetypes",
    singular: "workspacetype",
    kind: "WorkspaceType",
};

/// Annotation of a Workspace: the user (a JSON user info) who made it and is its admin.
pub const OWNER_ANNOTATION: &str = "experimental.tenancy.kcp.io/owner";
/// Annotation of a LogicalCluster: `<path>:<name>` of its WorkspaceType.
pub const TYPE_ANNOTATION: &str = "internal.tenancy.kcp.io/type";
/// Annotation of a Workspace: the id of its logical cluster.
pub const CLUSTER_ANNOTATION: &str = "internal.tenancy.kcp.io/cluster";
/// Label of a Workspace: its phase, so that lists can select by it.
pub const PHASE_LABEL: &str = "tenancy.kcp.io/phase";
/// Prefix of an initializer that the system itself works on.
pub const SYSTEM_INITIALIZER_PREFIX: &str = "system:";

/// The verb on a WorkspaceType that lets a user make workspaces of it.
pub const USE_VERB: &str = "use";
/// The verb on a WorkspaceType that lets a user work as the initializer of that name: enter workspaces that wait for it, as
/// their administrator, and sign off.
pub const INITIALIZE_VERB: &str = "initialize";
/// The subresource of Workspaces whose verbs decide who may enter (`access`) and who administers (`admin`).
pub const CONTENT_SUBRESOURCE: &str = "workspaces/content";
/// The verb on `workspaces/content` that lets a user enter a workspace.
pub const ACCESS_VERB: &str = "access";
/// The verb on `workspaces/content` that makes a user its admin.
pub const ADMIN_VERB: &str = "admin";
/// The group that those who may enter a workspace have in it.
pub const ACCESS_GROUP: &str = "system:kcp:workspace:access";
/// The group that its admins have in it, bound to `cluster-admin`.
pub const ADMIN_GROUP: &str = "system:kcp:workspace:admin";

/// The name under which every user finds the own home workspace among the Workspaces of `root`.
pub const HOME_ALIAS: &str = "~";
/// The workspace in `root` that holds the home workspaces of all users.
pub const HOMES: &str = "users";
/// Names that no Workspace has: they would read like something else in a path.
pub const RESERVED_NAMES: [&str; 2] = ["root", "system"];

/// The condition types of Workspaces and LogicalClusters.
pub mod condition {
    /// The workspace has a place.
    pub const WORKSPACE_SCHEDULED: &str = "WorkspaceScheduled";
    /// All initializers are done.
    pub const WORKSPACE_INITIALIZED: &str = "WorkspaceInitialized";
    /// Deleting the content goes well.
    pub const WORKSPACE_DELETION_CONTENT_SUCCESS: &str = "WorkspaceDeletionContentSuccess";
    /// The content is gone.
    pub const WORKSPACE_CONTENT_DELETED: &str = "WorkspaceContentDeleted";
}

/// The reasons in those conditions.
pub mod reason {
    /// There is no place for the workspace.
    pub const UNSCHEDULABLE: &str = "Unschedulable";
    /// Initializers remain.
    pub const INITIALIZER_EXISTS: &str = "InitializerExists";
    /// The content could not be found out.
    pub const DISCOVERY_FAILED: &str = "DiscoveryFailed";
    /// Deleting failed for some of the content.
    pub const CONTENT_DELETION_FAILED: &str = "ContentDeletionFailed";
    /// Objects remain that are being deleted.
    pub const SOME_RESOURCES_REMAIN: &str = "SomeResourcesRemain";
    /// Objects remain that have finalizers.
    pub const SOME_FINALIZERS_REMAIN: &str = "SomeFinalizersRemain";
    /// Child workspaces remain.
    pub const CHILD_WORKSPACES_REMAIN: &str = "ChildWorkspacesRemain";
}

/// The names of the types that exist in the workspace `root` without being made.
pub mod types {
    /// The workspace `root` itself.
    pub const ROOT: &str = "root";
    /// An organisation below `root`.
    pub const ORGANIZATION: &str = "organization";
    /// A team below an organisation or a team.
    pub const TEAM: &str = "team";
    /// A workspace for any use; the type when none is said.
    pub const UNIVERSAL: &str = "universal";
    /// A user's own workspace.
    pub const HOME: &str = "home";
}

/// A reference to a type that `root` has.
pub fn root_type(name: &str) -> Value {
    json!({"name": name, "path": "root"})
}

/// The WorkspaceTypes that exist in `root` without being made, as objects without uid and timestamps, by name.
pub fn default_types() -> Vec<Value> {
    let object = |name: &str, spec: Value| {
        json!({
            "apiVersion": WORKSPACE_TYPE.api_version(),
            "kind": WORKSPACE_TYPE.kind,
            "metadata": {"name": name},
            "spec": spec,
        })
    };
    let universal = root_type(types::UNIVERSAL);
    vec![
        object(
            types::HOME,
            json!({
                "additionalWorkspaceLabels": {workload::SCHEDULABLE_LABEL: "true"},
                "defaultChildWorkspaceType": universal,
                "extend": {"with": [universal]},
                "limitAllowedParents": {"none": true},
            }),
        ),
        object(
            types::ORGANIZATION,
            json!({
                "defaultChildWorkspaceType": universal,
                "limitAllowedChildren": {"types": [root_type(types::TEAM), universal]},
                "limitAllowedParents": {"types": [root_type(types::ROOT)]},
            }),
        ),
        object(
            types::ROOT,
            json!({
                "defaultChildWorkspaceType": root_type(types::ORGANIZATION),
                "limitAllowedParents": {"none": true},
            }),
        ),
        object(
            types::TEAM,
            json!({
                "defaultChildWorkspaceType": universal,
                "limitAllowedChildren": {"types": [root_type(types::TEAM), universal]},
                "limitAllowedParents": {"types": [root_type(types::ORGANIZATION), root_type(types::TEAM)]},
            }),
        ),
        object(
            types::UNIVERSAL,
            json!({
                "additionalWorkspaceLabels": {workload::SCHEDULABLE_LABEL: "true"},
                "defaultChildWorkspaceType": universal,
            }),
        ),
    ]
}

/// A type's name as the story shows it: `organization` is printed as `Organization`.
pub fn display_type(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_sorted_and_refer_to_each_other() {
        let all = default_types();
        let names: Vec<_> = all.iter().map(|t| t["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(names, ["home", "organization", "root", "team", "universal"]);
        for t in &all {
            for (_, v) in t["spec"].as_object().unwrap() {
                for r in v["types"].as_array().into_iter().flatten() {
                    assert!(names.iter().any(|n| r["name"] == **n), "{t}");
                }
            }
        }
    }

    #[test]
    fn types_are_shown_capitalised() {
        assert_eq!(display_type("organization"), "Organization");
        assert_eq!(display_type("Universal"), "Universal");
        assert_eq!(display_type(""), "");
    }
}
