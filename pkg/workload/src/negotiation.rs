//! Makes one type out of what the physical clusters of a workspace have, and serves it.
//!
//! All APIResourceImports of a type and version give one NegotiatedAPIResource with the schema that every one of them
//! takes; those that are to be published give one CustomResourceDefinition, which goes when the last import goes. A
//! definition that people made themselves is obeyed instead: the imports are only checked against it.

mod definition;
mod plan;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kcp_apimachinery::{
    GroupResource, GroupVersionResource,
    object::{self, child_mut},
    time::Timestamp,
};
use kcp_apis::{
    Kind,
    apiresource::{
        API_RESOURCE_IMPORT, API_VERSION_ANNOTATION, NEGOTIATED_API_RESOURCE, crd_name, group_in_name,
        import_condition, negotiated_condition, negotiated_name, reason,
    },
    conditions::{self, Condition, ConditionStatus},
};
use kcp_client::{Client, DeleteParams, Error, Patch, WriteParams, gone_is_fine};
use kcp_controller::{Action, Queue, run};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Prefix, Store};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    CONCURRENCY, Context,
    read::{Seen, get, parse, text},
};
use definition::Existing;
use plan::Negotiation;

const MANAGER: &str = "api-negotiation";
/// After how long a definition that was refused is offered again although nothing changed.
const OFFER_AGAIN: Duration = Duration::from_secs(60);

/// A type in a workspace, with all its versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Type {
    cluster: ClusterName,
    resource: GroupResource,
}

pub(crate) struct Controller {
    context: Arc<Context>,
    queue: Queue<Type>,
}

fn definitions() -> GroupVersionResource {
    GroupVersionResource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

/// The objects of `kind` that are about `resource`: their names start with its plural and end with its group.
fn about(store: &Store, kind: &Kind, of: &Type) -> Vec<Value> {
    let Ok(prefix) = Prefix::cluster(&kind.group_resource(), &of.cluster) else { return Vec::new() };
    let start = format!("{}.", of.resource.resource);
    let end = format!(".{}", group_in_name(&of.resource.group));
    let mut found: Vec<Value> = store
        .snapshot()
        .range(&prefix, None)
        .filter(|(key, _)| {
            let name = key.parts().name;
            name.starts_with(&start) && name.ends_with(&end)
        })
        .map(|(_, entry)| parse(&entry.value))
        .filter(|o| {
            text(o, "/spec/plural") == of.resource.resource && text(o, "/spec/groupVersion/group") == of.resource.group
        })
        .collect();
    found.sort_by_cached_key(|o| (object::meta_str(o, "creationTimestamp").to_owned(), object::name(o).to_owned()));
    found
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default() }
    }

    pub(crate) fn observe(&self, seen: &Seen<'_>) {
        let ours = [API_RESOURCE_IMPORT, NEGOTIATED_API_RESOURCE].iter().any(|k| seen.is(&k.group_resource()));
        let resource = if ours {
            let object = seen.object();
            GroupResource::new(text(&object, "/spec/groupVersion/group"), text(&object, "/spec/plural"))
        } else if seen.is(&definitions().group_resource()) {
            match seen.parts.name.split_once('.') {
                Some((plural, "core")) => GroupResource::new("", plural),
                Some((plural, group)) => GroupResource::new(group, plural),
                None => return,
            }
        } else {
            return;
        };
        if let Some(cluster) = seen.cluster() {
            self.queue.add(Type { cluster, resource });
        }
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run(MANAGER, &self.queue, CONCURRENCY, stop, |of| self.reconcile(of)).await;
    }

    async fn reconcile(&self, of: Type) -> Result<Action, Error> {
        let store = &self.context.store;
        let imports: Vec<Value> =
            about(store, &API_RESOURCE_IMPORT, &of).into_iter().filter(|i| !object::is_deleting(i)).collect();
        let known = about(store, &NEGOTIATED_API_RESOURCE, &of);
        if imports.is_empty() && known.is_empty() {
            return Ok(Action::Done);
        }
        let name = crd_name(&of.resource.group, &of.resource.resource);
        let crd = get(store, &definitions().group_resource(), &of.cluster, "", &name);
        let existing = Existing::of(crd.as_ref());
        let client = self.context.client.cluster(of.cluster.as_str());

        let versions: BTreeSet<String> =
            imports.iter().chain(&known).map(|o| text(o, "/spec/groupVersion/version").to_owned()).collect();
        let mut negotiated = Vec::new();
        let mut verdicts = Vec::new();
        for version in &versions {
            let gvr = GroupVersionResource::new(&of.resource.group, version, &of.resource.resource);
            let current = known.iter().find(|n| object::name(n) == negotiated_name(&gvr));
            let imports: Vec<&Value> =
                imports.iter().filter(|i| text(i, "/spec/groupVersion/version") == version).collect();
            let plan = plan::negotiate(&imports, current, &existing, version);
            verdicts.extend(imports.iter().map(|i| (*i).clone()).zip(plan.verdicts.clone()));
            if let Some(object) = self.write_negotiated(&client, &gvr, current, &plan).await? {
                negotiated.push(object);
            }
        }

        let refused = match self.write_definition(&of, &negotiated, crd.as_ref(), &existing).await {
            Ok(()) => None,
            Err(e) if e.is_transient() || e.is_conflict() || e.is_not_found() => return Err(e),
            Err(e) => Some(e.to_string()),
        };
        let crd = get(store, &definitions().group_resource(), &of.cluster, "", &name);
        let existing = Existing::of(crd.as_ref());
        let now = Timestamp::now().rfc3339();
        for object in &negotiated {
            let status = negotiated_status(object, &existing, refused.as_deref(), &now);
            write_status(&client, &NEGOTIATED_API_RESOURCE, object, &status).await?;
        }
        for (import, verdict) in &verdicts {
            let served = existing.serves(text(import, "/spec/groupVersion/version"));
            let status = import_status(import, verdict, served, &now);
            write_status(&client, &API_RESOURCE_IMPORT, import, &status).await?;
        }
        Ok(if refused.is_some() { Action::After(OFFER_AGAIN) } else { Action::Done })
    }

    /// Writes the NegotiatedAPIResource as planned and gives it as it then is.
    async fn write_negotiated(
        &self,
        client: &Client,
        of: &GroupVersionResource,
        current: Option<&Value>,
        plan: &Negotiation,
    ) -> Result<Option<Value>, Error> {
        let gvr = NEGOTIATED_API_RESOURCE.gvr();
        let params = WriteParams::manager(MANAGER);
        match (&plan.spec, current) {
            (None, None) => Ok(None),
            (None, Some(old)) => {
                let only = DeleteParams { uid: Some(object::uid(old).to_owned()), ..DeleteParams::default() };
                gone_is_fine(client.delete(&gvr, "", object::name(old), &only).await)?;
                Ok(None)
            }
            (Some(spec), None) => {
                let mut spec = spec.clone();
                object::as_map(&mut spec).insert("publish".into(), self.context.auto_publish.into());
                let object = json!({
                    "apiVersion": NEGOTIATED_API_RESOURCE.api_version(),
                    "kind": NEGOTIATED_API_RESOURCE.kind,
                    "metadata": {
                        "name": negotiated_name(of),
                        "annotations": {API_VERSION_ANNOTATION: of.group_version().to_string()},
                    },
                    "spec": spec,
                });
                client.create(&gvr, "", &object, &params).await.map(Some)
            }
            (Some(spec), Some(old)) => {
                let mut wanted = spec.clone();
                if let Some(publish) = old.pointer("/spec/publish") {
                    object::as_map(&mut wanted).insert("publish".into(), publish.clone());
                }
                if old.get("spec") == Some(&wanted) {
                    return Ok(Some(old.clone()));
                }
                let mut changed = old.clone();
                object::as_map(&mut changed).insert("spec".into(), wanted);
                client.update(&gvr, "", object::name(old), "", &changed, &params).await.map(Some)
            }
        }
    }

    /// Creates, changes or deletes the CustomResourceDefinition.
    async fn write_definition(
        &self,
        of: &Type,
        negotiated: &[Value],
        current: Option<&Value>,
        existing: &Existing<'_>,
    ) -> Result<(), Error> {
        if existing.is_by_hand() || current.is_some_and(object::is_deleting) {
            return Ok(());
        }
        let client = self.context.negotiator.cluster(of.cluster.as_str());
        let (gvr, params) = (definitions(), WriteParams::manager(MANAGER));
        match (definition::wanted(&of.resource, negotiated), current) {
            (None, None) => Ok(()),
            (None, Some(old)) => {
                tracing::info!(cluster = %of.cluster, resource = %of.resource, "no physical cluster has the type any more");
                let only = DeleteParams { uid: Some(object::uid(old).to_owned()), ..DeleteParams::default() };
                gone_is_fine(client.delete(&gvr, "", object::name(old), &only).await)
            }
            (Some(wanted), None) => {
                tracing::info!(cluster = %of.cluster, resource = %of.resource, "publishing a learned type");
                client.create(&gvr, "", &wanted, &params).await.map(drop)
            }
            (Some(wanted), Some(old)) => {
                if definition::covers(old, &wanted) {
                    return Ok(());
                }
                let mut patch = json!({"metadata": wanted["metadata"], "spec": wanted["spec"]});
                child_mut(&mut patch, "metadata")
                    .insert("resourceVersion".into(), object::resource_version(old).into());
                client.patch(&gvr, "", object::name(old), "", &Patch::Merge(&patch), &params).await.map(drop)
            }
        }
    }
}

fn negotiated_status(object: &Value, existing: &Existing<'_>, refused: Option<&str>, now: &str) -> Value {
    let version = text(object, "/spec/groupVersion/version");
    let mut changed = object.clone();
    let enforced = ConditionStatus::from(existing.is_by_hand());
    conditions::set_condition(&mut changed, negotiated_condition::ENFORCED, enforced, "", "", now);
    let missing;
    let submitted = match refused {
        Some(text) => Condition::fails(negotiated_condition::SUBMITTED, reason::CRD_REFUSED, text),
        None if existing.has(version) => Condition::holds(negotiated_condition::SUBMITTED),
        None if existing.is_by_hand() => {
            missing = format!("the CustomResourceDefinition was made by hand and has no version {version}");
            Condition::fails(negotiated_condition::SUBMITTED, reason::CRD_REFUSED, &missing)
        }
        None => Condition {
            status: ConditionStatus::False,
            severity: "",
            ..Condition::holds(negotiated_condition::SUBMITTED)
        },
    };
    conditions::set(&mut changed, &submitted, now);
    let trouble = existing.trouble();
    let published = match (existing.serves(version), &trouble) {
        (true, _) => Condition::holds(negotiated_condition::PUBLISHED),
        (false, Some(why)) => Condition::fails(negotiated_condition::PUBLISHED, reason::NAMES_NOT_ACCEPTED, why),
        (false, None) => Condition {
            status: ConditionStatus::False,
            severity: "",
            ..Condition::holds(negotiated_condition::PUBLISHED)
        },
    };
    conditions::set(&mut changed, &published, now);
    changed
}

fn import_status(import: &Value, verdict: &Result<(), String>, served: bool, now: &str) -> Value {
    let mut changed = import.clone();
    let compatible = match verdict {
        Ok(()) => Condition::holds(import_condition::COMPATIBLE),
        Err(why) => Condition::fails(import_condition::COMPATIBLE, reason::INCOMPATIBLE_SCHEMA, why),
    };
    conditions::set(&mut changed, &compatible, now);
    let available = ConditionStatus::from(served && verdict.is_ok());
    conditions::set_condition(&mut changed, import_condition::AVAILABLE, available, "", "", now);
    changed
}

async fn write_status(client: &Client, kind: &Kind, old: &Value, new: &Value) -> Result<(), Error> {
    if old.get("status") == new.get("status") {
        return Ok(());
    }
    let patch = json!({
        "metadata": {"resourceVersion": object::resource_version(old)},
        "status": {"conditions": new["status"]["conditions"]},
    });
    let params = WriteParams::manager(MANAGER);
    gone_is_fine(client.patch(&kind.gvr(), "", object::name(old), "status", &Patch::Merge(&patch), &params).await)
}
