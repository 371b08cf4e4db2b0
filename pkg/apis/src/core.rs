//! `core.kcp.io/v1alpha1`: the logical cluster behind a workspace.

use crate::Kind;

/// The API group.
pub const GROUP: &str = "core.kcp.io";
/// Its version.
pub const VERSION: &str = "v1alpha1";

/// The logical cluster seen from inside.
pub const LOGICAL_CLUSTER: Kind = Kind {
    group: GROUP,
    version: VERSION,
    resource: "logicalclusters",
    singular: "logicalcluster",
    kind: "LogicalCluster",
};

/// The name of the one LogicalCluster in each logical cluster.
pub const LOGICAL_CLUSTER_NAME: &str = "cluster";

/// Annotation: the id of the logical cluster that holds the object (wildcard lists tell objects apart by it).
pub const CLUSTER_ANNOTATION: &str = "kcp.io/cluster";
/// Annotation: the path of the workspace of a LogicalCluster.
pub const PATH_ANNOTATION: &str = "kcp.io/path";
/// Annotation: `true` makes a logical cluster refuse requests.
pub const INACTIVE_ANNOTATION: &str = "core.kcp.io/inactive";

/// Finalizer of a Workspace: its LogicalCluster still exists.
pub const LOGICAL_CLUSTER_FINALIZER: &str = "core.kcp.io/logicalcluster";
/// Finalizer of a LogicalCluster: its content still exists.
pub const CONTENT_FINALIZER: &str = "core.kcp.io/logicalcluster-deletion";

/// Label prefix of a LogicalCluster, followed by a hash of an initializer that it waits for.
pub const INITIALIZER_LABEL_PREFIX: &str = "initializer.internal.kcp.io/";

/// What `status.phase` of a Workspace and a LogicalCluster can be.
pub mod phase {
    /// It has no place yet.
    pub const SCHEDULING: &str = "Scheduling";
    /// Initializers are still at work.
    pub const INITIALIZING: &str = "Initializing";
    /// It can be used.
    pub const READY: &str = "Ready";
    /// It cannot be reached.
    pub const UNAVAILABLE: &str = "Unavailable";
    /// It is switched off.
    pub const INACTIVE: &str = "Inactive";
    /// Terminators are still at work.
    pub const TERMINATING: &str = "Terminating";
    /// Its content is being deleted.
    pub const DELETING: &str = "Deleting";
}
