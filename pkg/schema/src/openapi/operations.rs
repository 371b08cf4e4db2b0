//! The paths of a custom resource and their operations (O-05, O-06, O-10).

use kcp_apimachinery::GroupVersionKind;
use serde_json::{Map, Value, json};

use super::{
    GVK, ResourceDoc,
    definition::{DELETE_OPTIONS, PATCH, SCALE, STATUS, component_name, list_gvk},
    document_key, gvk_value, reference,
};

/// The query parameters that operations share: name, type, text.
type Parameter = (&'static str, &'static str, &'static str);

const PRETTY: Parameter = ("pretty", "string", "If 'true', then the output is pretty printed.");
const DRY_RUN: Parameter =
    ("dryRun", "string", "When present, indicates that modifications should not be persisted. Valid values are: All");
const FIELD_MANAGER: Parameter =
    ("fieldManager", "string", "The name of the actor or entity that is making these changes.");
const FIELD_VALIDATION: Parameter =
    ("fieldValidation", "string", "What to do with unknown or duplicate fields: Ignore, Warn (the default) or Strict.");
const FORCE: Parameter =
    ("force", "boolean", "Forces apply requests: conflicting fields of other managers are taken over.");

const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "Asks for watch events of type BOOKMARK."),
    ("continue", "string", "The token of the previous page, to get the next."),
    ("fieldSelector", "string", "Restricts the objects by their fields."),
    ("labelSelector", "string", "Restricts the objects by their labels."),
    ("limit", "integer", "The largest number of objects in one page."),
    ("resourceVersion", "string", "Which state of the data may be served."),
    ("resourceVersionMatch", "string", "How resourceVersion is applied to lists."),
    ("sendInitialEvents", "boolean", "Asks for the objects that exist as the first events of a watch."),
    ("timeoutSeconds", "integer", "How long the call may take."),
    ("watch", "boolean", "Asks for a stream of changes."),
];
const DELETE: &[Parameter] = &[
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "After how many seconds the object is deleted."),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    ("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
];
const WRITE: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
/// All that O-06 names is repeated at the operation: clients look for it there, not at the path.
const PATCH_PARAMETERS: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE, PRETTY];

const BODY_TYPES: &[&str] = &["application/json", "application/yaml"];

/// Adds the paths of `resource`.
pub(super) fn add_paths(resource: &ResourceDoc<'_>, paths: &mut Map<String, Value>) {
    let root = format!("/{}", document_key(&resource.gvk.group_version()));
    let base = match resource.namespaced {
        true => format!("{root}/namespaces/{{namespace}}/{}", resource.plural),
        false => format!("{root}/{}", resource.plural),
    };
    let op = Operations { resource };
    let namespaced = if resource.namespaced { "Namespaced" } else { "" };

    if resource.namespaced && op.serves("list") {
        let item = json!({
            "get": op.list("ForAllNamespaces", ""),
            "parameters": [query(PRETTY)],
        });
        paths.insert(format!("{root}/{}", resource.plural), item);
    }
    let mut collection = op.item(false);
    if op.serves("list") {
        collection.insert("get".into(), op.list("", namespaced));
    }
    if op.serves("create") {
        collection.insert("post".into(), op.write("post", "create", namespaced, "", &["200", "201", "202"]));
    }
    if op.serves("deletecollection") {
        collection.insert("delete".into(), op.delete("deletecollection", &format!("Collection{namespaced}")));
    }
    paths.insert(base.clone(), collection.into());

    let mut item = op.item(true);
    if op.serves("get") {
        item.insert("get".into(), op.read(namespaced, ""));
    }
    if op.serves("update") {
        item.insert("put".into(), op.write("put", "replace", namespaced, "", &["200", "201"]));
    }
    if op.serves("patch") {
        item.insert("patch".into(), op.patch(namespaced, ""));
    }
    if op.serves("delete") {
        item.insert("delete".into(), op.delete("delete", namespaced));
    }
    paths.insert(format!("{base}/{{name}}"), item.into());

    for (wanted, name, title) in [(resource.status, "status", "Status"), (resource.scale, "scale", "Scale")] {
        if !wanted {
            continue;
        }
        let mut item = op.item(true);
        item.insert("get".into(), op.read(namespaced, title));
        if op.serves("update") {
            item.insert("put".into(), op.write("put", "replace", namespaced, title, &["200", "201"]));
        }
        if op.serves("patch") {
            item.insert("patch".into(), op.patch(namespaced, title));
        }
        paths.insert(format!("{base}/{{name}}/{name}"), item.into());
    }
}

struct Operations<'a> {
    resource: &'a ResourceDoc<'a>,
}

impl Operations<'_> {
    fn serves(&self, verb: &str) -> bool {
        self.resource.verbs.iter().any(|v| v == verb)
    }

    /// A path item with the parameters that stand in the path.
    fn item(&self, named: bool) -> Map<String, Value> {
        let mut parameters = Vec::new();
        let mut add = |name: &str, text: String| {
            parameters.push(json!({
                "name": name, "in": "path", "required": true, "description": text,
                "schema": {"type": "string", "uniqueItems": true},
            }));
        };
        if named {
            add("name", format!("name of the {}", self.resource.gvk.kind));
        }
        if self.resource.namespaced {
            add("namespace", "object name and auth scope, such as for teams and projects".to_owned());
        }
        parameters.push(query(PRETTY));
        let mut item = Map::new();
        item.insert("parameters".into(), parameters.into());
        item
    }

    /// The kind and the component that an operation is about: the object's own or, for `/scale`, a Scale.
    fn subject(&self, sub: &str) -> (GroupVersionKind, String) {
        match sub {
            "Scale" => (GroupVersionKind::new("autoscaling", "v1", "Scale"), SCALE.to_owned()),
            _ => (self.resource.gvk.clone(), component_name(&self.resource.gvk)),
        }
    }

    fn operation(
        &self,
        action: &str,
        verb: &str,
        middle: &str,
        suffix: &str,
        gvk: &GroupVersionKind,
    ) -> Map<String, Value> {
        let own = &self.resource.gvk;
        let group: String = own.group.split(['.', '-']).map(capitalised).collect();
        let group = if group.is_empty() { "Core".to_owned() } else { group };
        let version = capitalised(&own.version);
        let mut tag = group.clone();
        if let Some(first) = tag.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        let mut op = Map::new();
        op.insert("operationId".into(), format!("{verb}{group}{version}{middle}{}{suffix}", own.kind).into());
        op.insert("tags".into(), json!([format!("{tag}_{}", own.version)]));
        op.insert("x-kubernetes-action".into(), action.into());
        op.insert(GVK.into(), gvk_value(gvk));
        op
    }

    fn list(&self, suffix: &str, middle: &str) -> Value {
        let mut op = self.operation("list", "list", middle, suffix, &self.resource.gvk);
        op.insert("description".into(), format!("list objects of kind {}", self.resource.gvk.kind).into());
        op.insert("parameters".into(), queries(LIST));
        op.insert("responses".into(), responses(&["200"], &component_name(&list_gvk(self.resource))));
        op.into()
    }

    fn read(&self, middle: &str, sub: &str) -> Value {
        let (gvk, component) = self.subject(sub);
        let mut op = self.operation("get", "read", middle, sub, &gvk);
        op.insert("description".into(), self.text("read", sub).into());
        op.insert(
            "parameters".into(),
            queries(&[("resourceVersion", "string", "Which state of the data may be served.")]),
        );
        op.insert("responses".into(), responses(&["200"], &component));
        op.into()
    }

    fn write(&self, action: &str, verb: &str, middle: &str, sub: &str, codes: &[&str]) -> Value {
        let (gvk, component) = self.subject(sub);
        let mut op = self.operation(action, verb, middle, sub, &gvk);
        op.insert("description".into(), self.text(verb, sub).into());
        op.insert("parameters".into(), queries(WRITE));
        op.insert("requestBody".into(), body(BODY_TYPES, &component, true));
        op.insert("responses".into(), responses(codes, &component));
        op.into()
    }

    fn patch(&self, middle: &str, sub: &str) -> Value {
        let (gvk, component) = self.subject(sub);
        let mut types =
            vec!["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"];
        if self.resource.strategic_merge {
            types.push("application/strategic-merge-patch+json");
        }
        let mut op = self.operation("patch", "patch", middle, sub, &gvk);
        op.insert("description".into(), self.text("partially update", sub).into());
        op.insert("parameters".into(), queries(PATCH_PARAMETERS));
        op.insert("requestBody".into(), body(&types, PATCH, true));
        op.insert("responses".into(), responses(&["200", "201"], &component));
        op.into()
    }

    fn delete(&self, action: &str, middle: &str) -> Value {
        let mut op = self.operation(action, "delete", middle, "", &self.resource.gvk);
        let (what, codes): (_, &[&str]) = match action {
            "delete" => (format!("delete a {}", self.resource.gvk.kind), &["200", "202"]),
            _ => (format!("delete collection of {}", self.resource.gvk.kind), &["200"]),
        };
        op.insert("description".into(), what.into());
        let mut parameters: Vec<Parameter> = DELETE.to_vec();
        if action == "deletecollection" {
            parameters.extend(LIST.iter().filter(|(name, ..)| !matches!(*name, "watch" | "allowWatchBookmarks")));
        }
        op.insert("parameters".into(), queries(&parameters));
        op.insert("requestBody".into(), body(BODY_TYPES, DELETE_OPTIONS, false));
        op.insert("responses".into(), responses(codes, STATUS));
        op.into()
    }

    fn text(&self, verb: &str, sub: &str) -> String {
        match sub {
            "" => format!("{verb} the specified {}", self.resource.gvk.kind),
            sub => format!("{verb} {} of the specified {}", sub.to_ascii_lowercase(), self.resource.gvk.kind),
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

fn query((name, kind, text): Parameter) -> Value {
    json!({"name": name, "in": "query", "description": text, "schema": {"type": kind, "uniqueItems": true}})
}

fn queries(parameters: &[Parameter]) -> Value {
    parameters.iter().copied().map(query).collect()
}

fn content(types: &[&str], component: &str) -> Value {
    types.iter().map(|t| ((*t).to_owned(), json!({"schema": reference(component)}))).collect::<Map<_, _>>().into()
}

fn body(types: &[&str], component: &str, required: bool) -> Value {
    let mut body = json!({"content": content(types, component)});
    if required && let Value::Object(map) = &mut body {
        map.insert("required".into(), true.into());
    }
    body
}

fn responses(codes: &[&str], component: &str) -> Value {
    let mut all: Map<String, Value> = codes
        .iter()
        .map(|code| {
            let text = match *code {
                "201" => "Created",
                "202" => "Accepted",
                _ => "OK",
            };
            ((*code).to_owned(), json!({"description": text, "content": content(BODY_TYPES, component)}))
        })
        .collect();
    all.insert("401".into(), json!({"description": "Unauthorized"}));
    all.into()
}
