//! What columns say of themselves (P-02). The texts are part of the interface: they are those that Kubernetes gives for
//! the fields behind the columns, as far as they were recorded.

/// Of every column of names.
pub(super) const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources \
    may allow a client to request the generation of an appropriate name automatically. Name is primarily \
    intended for creation idempotence and configuration definition. Cannot be updated. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

/// Of every column of ages.
pub(super) const AGE: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is \
    not guaranteed to be set in happens-before order across separate operations. Clients may not set \
    this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. \
    Null for lists. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The description of a column of a built-in kind, empty when there is none.
pub(super) fn of(kind: &str, column: &str) -> &'static str {
    match (kind, column) {
        (_, "Name") => NAME,
        (_, "Age" | "Created At") => AGE,
        ("Namespace", "Status") => "The status of the namespace",
        ("ConfigMap", "Data") => {
            "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or \
             '.'. Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data \
             must not overlap with the keys in the BinaryData field, this is enforced during validation process."
        }
        ("Event", "Last Seen") => "The time at which the most recent occurrence of this event was recorded.",
        ("Event", "Type") => "Type of this event (Normal, Warning), new types could be added in the future",
        ("Event", "Reason") => {
            "This should be a short, machine understandable string that gives the reason for the transition into \
             the object's current status."
        }
        ("Event", "Object") => "The object that this event is about.",
        ("Event", "Subobject") => {
            "If referring to a piece of an object instead of an entire object, this string should contain a valid \
             JSON/Go field access statement, such as desiredState.manifest.containers[2]. For example, if the \
             object reference is to a container within a pod, this would take on a value like: \
             \"spec.containers{name}\" (where \"name\" refers to the name of the container that triggered the \
             event) or if no container name is specified \"spec.containers[2]\" (container with index 2 in this \
             pod). This syntax is chosen only to have some well-defined way of referencing a part of an object."
        }
        ("Event", "Source") => "The component reporting this event. Should be a short machine understandable string.",
        ("Event", "Message") => "A human-readable description of the status of this operation.",
        ("Event", "First Seen") => {
            "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)"
        }
        ("Event", "Count") => "The number of times this event has occurred.",
        _ => "",
    }
}
