//! kube-rs, as an operator uses it: typed and dynamic objects, every way of writing, informers with streaming lists (W-10).

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::{
    api::core::v1::ConfigMap, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kcp_test_framework::{Kcp, PATIENCE};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher::{self, Event},
};
use serde_json::json;

use crate::support::Result;

async fn client(kcp: &Kcp) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kcp.kubeconfig())?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn config_map(name: &str, value: &str) -> Result<ConfigMap> {
    Ok(serde_json::from_value(json!({"metadata": {"name": name}, "data": {"key": value}}))?)
}

fn value(object: &ConfigMap) -> &str {
    object.data.as_ref().and_then(|d| d.get("key")).map_or("", String::as_str)
}

#[tokio::test]
async fn config_maps_in_every_way() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let api: Api<ConfigMap> = Api::namespaced(client(&kcp).await?, "default");
    let made = api.create(&PostParams::default(), &config_map("c", "1")?).await?;
    ensure!(made.uid().is_some() && made.creation_timestamp().is_some());
    let again = api.create(&PostParams::default(), &config_map("c", "1")?).await;
    ensure!(matches!(&again, Err(kube::Error::Api(s)) if s.code == 409 && s.reason == "AlreadyExists"), "{again:?}");

    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let mut changed = made.clone();
    changed.data.get_or_insert_default().insert("key".into(), "2".into());
    ensure!(value(&api.replace("c", &dry, &changed).await?) == "2");
    ensure!(value(&api.get("c").await?) == "1", "a dry run has written");
    let replaced = api.replace("c", &PostParams::default(), &changed).await?;
    ensure!(replaced.resource_version() != made.resource_version());
    // U-03
    let stale = api.replace("c", &PostParams::default(), &changed).await;
    ensure!(matches!(&stale, Err(kube::Error::Api(s)) if s.code == 409 && s.reason == "Conflict"), "{stale:?}");

    let merge = json!({"data": {"key": "3"}});
    ensure!(value(&api.patch("c", &PatchParams::default(), &Patch::Merge(&merge)).await?) == "3");
    let strategic = json!({"data": {"key": "4"}});
    ensure!(value(&api.patch("c", &PatchParams::default(), &Patch::Strategic(&strategic)).await?) == "4");

    // F-04, F-10: a field has one owner until somebody takes it.
    let apply = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": {"key": value}});
    let one = PatchParams::apply("one");
    ensure!(value(&api.patch("s", &one, &Patch::Apply(&apply("1"))).await?) == "1");
    let conflict = api.patch("s", &PatchParams::apply("two"), &Patch::Apply(&apply("2"))).await;
    ensure!(
        matches!(&conflict, Err(kube::Error::Api(s)) if s.code == 409 && s.message.contains("conflict with \"one\"")),
        "{conflict:?}"
    );
    let taken = api.patch("s", &PatchParams::apply("two").force(), &Patch::Apply(&apply("2"))).await?;
    ensure!(value(&taken) == "2");
    // U-08, F-17: what changes nothing writes nothing.
    let same = api.patch("s", &PatchParams::apply("two").force(), &Patch::Apply(&apply("2"))).await?;
    ensure!(same.resource_version() == taken.resource_version());

    let metadata = api.list_metadata(&ListParams::default().fields("metadata.name=c")).await?;
    ensure!(metadata.items.len() == 1 && metadata.items[0].name_any() == "c");
    let page = api.list(&ListParams::default().limit(1)).await?;
    ensure!(page.items.len() == 1 && page.metadata.continue_.as_ref().is_some_and(|t| !t.is_empty()));
    api.delete("c", &DeleteParams::default()).await?;
    ensure!(api.get_opt("c").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn informers_start_with_a_streaming_list() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let api: Api<ConfigMap> = Api::namespaced(client(&kcp).await?, "default");
    for name in ["a", "b"] {
        api.create(&PostParams::default(), &config_map(name, "1")?).await?;
    }
    for config in [watcher::Config::default().streaming_lists(), watcher::Config::default()] {
        let mut events = Box::pin(watcher::watcher(api.clone(), config));
        let mut next = async || {
            tokio::time::timeout(PATIENCE, events.next())
                .await
                .context("nothing came")?
                .context("the watch ended")?
                .map_err(anyhow::Error::from)
        };
        ensure!(matches!(next().await?, Event::Init));
        let mut seen = Vec::new();
        loop {
            match next().await? {
                Event::InitApply(object) => seen.push(object.name_any()),
                Event::InitDone => break,
                other => anyhow::bail!("{other:?} before the end of the list"),
            }
        }
        ensure!(seen == ["a", "b", "kube-root-ca.crt"], "{seen:?}");
        api.create(&PostParams::default(), &config_map("new", "1")?).await?;
        ensure!(matches!(next().await?, Event::Apply(o) if o.name_any() == "new" && value(&o) == "1"));
        api.patch("new", &PatchParams::default(), &Patch::Merge(&json!({"data": {"key": "2"}}))).await?;
        ensure!(matches!(next().await?, Event::Apply(o) if value(&o) == "2"));
        api.delete("new", &DeleteParams::default()).await?;
        ensure!(matches!(next().await?, Event::Delete(o) if o.name_any() == "new"));
    }
    Ok(())
}

/// CRD-05, D-16, 26: a definition is served when its creation is answered; no retry, no sleep.
#[tokio::test]
async fn a_definition_is_served_at_once() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let client = client(&kcp).await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for i in 0..20 {
        let (plural, kind) = (format!("things{i}"), format!("Thing{i}"));
        let definition: CustomResourceDefinition = serde_json::from_value(json!({
            "metadata": {"name": format!("{plural}.example.org")},
            "spec": {
                "group": "example.org", "scope": "Namespaced",
                "names": {"plural": plural, "kind": kind, "singular": kind.to_lowercase()},
                "versions": [{
                    "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 7}}},
                        "status": {"type": "object", "properties": {"seen": {"type": "boolean"}}},
                    }}},
                }],
            },
        }))?;
        definitions.create(&PostParams::default(), &definition).await?;
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.org", "v1", &kind), &plural);
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource);
        let made = api
            .create(
                &PostParams::default(),
                &DynamicObject::new("one", &resource).data(json!({"spec": {}, "status": {"seen": true}})),
            )
            .await
            .with_context(|| format!("the first {kind} was refused"))?;
        ensure!(made.data["spec"]["size"] == 7, "{:?}", made.data);
        // B-01: status is written through its subresource only.
        ensure!(made.data.get("status").is_none(), "{:?}", made.data);
        let status = json!({"status": {"seen": true}, "spec": {"size": 9}});
        let patched = api.patch_status("one", &PatchParams::default(), &Patch::Merge(&status)).await?;
        ensure!(patched.data["status"]["seen"] == true && patched.data["spec"]["size"] == 7, "{:?}", patched.data);
        ensure!(patched.metadata.generation == Some(1));
        // strategic merge is for built-in kinds.
        let refused = api.patch("one", &PatchParams::default(), &Patch::Strategic(&status)).await;
        ensure!(matches!(&refused, Err(kube::Error::Api(s)) if s.code == 415), "{refused:?}");
    }
    let groups: Vec<String> = client.list_api_groups().await?.groups.into_iter().map(|g| g.name).collect();
    ensure!(groups.iter().any(|g| g == "example.org"), "{groups:?}");
    let listed = client.list_api_group_resources("example.org/v1").await?;
    ensure!(listed.resources.iter().filter(|r| !r.name.contains('/')).count() == 20);
    Ok(())
}

/// W-01, W-04, W-09: a raw watch from a revision gives what came after it, in order and once.
#[tokio::test]
async fn a_watch_resumes_where_it_was() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let api: Api<ConfigMap> = Api::namespaced(client(&kcp).await?, "default");
    let first = api.create(&PostParams::default(), &config_map("a", "1")?).await?;
    for name in ["b", "c"] {
        api.create(&PostParams::default(), &config_map(name, "1")?).await?;
    }
    api.delete("b", &DeleteParams::default()).await?;
    let version = first.resource_version().context("no version")?;
    let params = kube::api::WatchParams::default().timeout(30);
    let events: Vec<_> = api.watch(&params, &version).await?.take(3).try_collect().await?;
    let seen: Vec<String> = events
        .iter()
        .map(|e| match e {
            kube::api::WatchEvent::Added(o) => format!("+{}", o.name_any()),
            kube::api::WatchEvent::Deleted(o) => format!("-{}", o.name_any()),
            other => format!("{other:?}"),
        })
        .collect();
    ensure!(seen == ["+b", "+c", "-b"], "{seen:?}");
    Ok(())
}
