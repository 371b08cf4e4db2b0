//! L and S rows.

use kcp_storage::Window;
use serde_json::{Value, json};

use crate::{
    ListOptions,
    testing::{Fixture, THINGS},
};

async fn numbered(f: &Fixture, count: usize) {
    for i in 1..=count {
        let tier = if i % 2 == 1 { "odd" } else { "even" };
        let color = if i < 3 { "red" } else { "blue" };
        let made = json!({"metadata": {"name": format!("n{i}"), "labels": {"tier": tier}}, "spec": {"size": i, "color": color}});
        f.make(THINGS, "a", made).await.unwrap();
    }
}

fn page(limit: i64, token: &str) -> ListOptions {
    ListOptions { limit, continue_token: token.into(), ..ListOptions::default() }
}

#[tokio::test]
async fn pages_show_one_state() {
    // L-09, L-10, L-14
    let f = Fixture::new().await;
    f.define_things().await;
    numbered(&f, 5).await;
    let request = f.request(THINGS, "a");
    let first = f.registry.list(&request, &page(2, "")).await.unwrap();
    assert_eq!(first.meta.remaining, Some(3));
    let (token, revision) = (first.meta.continue_token.clone(), first.meta.resource_version);
    f.make(THINGS, "a", json!({"metadata": {"name": "n2a"}})).await.unwrap();
    f.make(THINGS, "a", json!({"metadata": {"name": "n9"}})).await.unwrap();
    let second = f.registry.list(&request, &page(2, &token)).await.unwrap();
    assert_eq!((second.meta.resource_version, second.meta.remaining), (revision, Some(1)));
    assert_eq!(f.names(THINGS, "a", page(2, &token)).await.unwrap(), ["n3", "n4"]);
    let last = f.registry.list(&request, &page(2, &second.meta.continue_token)).await.unwrap();
    assert_eq!((last.meta.continue_token.as_str(), last.meta.remaining), ("", None));
    assert_eq!(f.names(THINGS, "a", page(0, &token)).await.unwrap(), ["n3", "n4", "n5"]);
    // The token is bound to its list (4.6).
    let other = f.request("v1/configmaps", "a");
    assert_eq!(f.registry.list(&other, &page(2, &token)).await.err().unwrap().code, 400);
    let everywhere = f.request(THINGS, "");
    assert_eq!(f.registry.list(&everywhere, &page(2, &token)).await.err().unwrap().code, 400);
}

#[tokio::test]
async fn an_expired_token_comes_with_a_fresh_one() {
    // L-07, L-13
    let f = Fixture::with_window(Window { max_events: 4, ..Window::default() }).await;
    f.define_things().await;
    numbered(&f, 3).await;
    let request = f.request(THINGS, "a");
    let first = f.registry.list(&request, &page(1, "")).await.unwrap();
    for i in 0..12 {
        f.make("v1/configmaps", "a", json!({"metadata": {"name": format!("c{i}")}})).await.unwrap();
    }
    let error = f.registry.list(&request, &page(1, &first.meta.continue_token)).await.err().unwrap();
    assert_eq!((error.code, error.reason.as_str()), (410, "Expired"));
    assert_eq!(f.names(THINGS, "a", page(9, error.continue_token.as_deref().unwrap())).await.unwrap(), ["n2", "n3"]);
    let exact = ListOptions {
        resource_version: first.meta.resource_version.to_string(),
        resource_version_match: "Exact".into(),
        ..ListOptions::default()
    };
    assert_eq!(f.registry.list(&request, &exact).await.err().unwrap().code, 410);
}

#[tokio::test]
async fn states_are_shown_as_asked() {
    // L-02 … L-07, L-16, L-19
    let f = Fixture::new().await;
    f.define_things().await;
    numbered(&f, 3).await;
    let then = f.registry.store().revision();
    numbered_more(&f).await;
    let at = |rv: u64, matching: &str| ListOptions {
        resource_version: rv.to_string(),
        resource_version_match: matching.into(),
        ..ListOptions::default()
    };
    assert_eq!(f.names(THINGS, "a", at(then, "Exact")).await.unwrap(), ["n1", "n2", "n3"]);
    assert_eq!(f.names(THINGS, "a", at(then, "NotOlderThan")).await.unwrap().len(), 4);
    assert_eq!(f.names(THINGS, "a", at(0, "")).await.unwrap().len(), 4);
    let limited = ListOptions { limit: 2, ..at(then, "") };
    let list = f.registry.list(&f.request(THINGS, "a"), &limited).await.unwrap();
    assert_eq!((list.meta.resource_version, list.meta.remaining), (then, Some(1)));
    let error = f.registry.list(&f.request(THINGS, "a"), &at(999_999, "Exact")).await.err().unwrap();
    assert_eq!((error.code, error.reason.as_str()), (504, "Timeout"));
    let empty = f.registry.list(&f.request(THINGS, "nowhere"), &ListOptions::default()).await.unwrap();
    assert!(empty.meta.resource_version > 0);
}

async fn numbered_more(f: &Fixture) {
    f.make(THINGS, "a", json!({"metadata": {"name": "n4"}})).await.unwrap();
}

#[tokio::test]
async fn selectors_select() {
    // S-01 … S-04, L-20
    let f = Fixture::new().await;
    f.define_things().await;
    numbered(&f, 5).await;
    let by = |labels: &str, fields: &str| ListOptions {
        label_selector: labels.into(),
        field_selector: fields.into(),
        ..ListOptions::default()
    };
    for (labels, fields, want) in [
        ("tier=odd", "", vec!["n1", "n3", "n5"]),
        ("tier notin (odd)", "", vec!["n2", "n4"]),
        ("!tier", "", vec![]),
        ("", "spec.color=red", vec!["n1", "n2"]),
        ("", "spec.color!=red,metadata.name!=n3", vec!["n4", "n5"]),
        ("", "metadata.name=n3", vec!["n3"]),
        ("", "metadata.namespace=a,metadata.name=n3", vec!["n3"]),
        ("", "metadata.namespace!=a", vec![]),
        ("tier=odd", "spec.color=blue", vec!["n3", "n5"]),
    ] {
        assert_eq!(f.names(THINGS, "a", by(labels, fields)).await.unwrap(), want, "{labels} {fields}");
        assert_eq!(f.names(THINGS, "", by(labels, fields)).await.unwrap(), want, "{labels} {fields}");
    }
    let limited = ListOptions { limit: 2, ..by("tier=odd", "") };
    let list = f.registry.list(&f.request(THINGS, "a"), &limited).await.unwrap();
    assert_eq!(list.meta.remaining, None);
    let rest = ListOptions { continue_token: list.meta.continue_token, ..limited };
    assert_eq!(f.names(THINGS, "a", rest).await.unwrap(), ["n5"]);
    for (what, fields, message) in [
        (THINGS, "spec.size=1", "field label not supported: spec.size"),
        (
            "v1/configmaps",
            "data.a=1",
            "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        ),
        (THINGS, "nonsense", "invalid selector: 'nonsense'; can't understand 'nonsense'"),
    ] {
        assert_eq!(f.names(what, "a", by("", fields)).await.unwrap_err().message, message);
    }
}

#[tokio::test]
async fn documents_have_the_form_of_their_kind() {
    // N-10
    let f = Fixture::new().await;
    f.define_things().await;
    numbered(&f, 2).await;
    f.make("v1/configmaps", "a", json!({"metadata": {"name": "c"}})).await.unwrap();
    for (what, kind, typed) in [(THINGS, "ThingList", true), ("v1/configmaps", "ConfigMapList", false)] {
        for chunk in [1, 64, 1 << 20] {
            let list = f.registry.list(&f.request(what, "a"), &ListOptions::default()).await.unwrap();
            let whole: Vec<u8> = list.into_chunks(chunk).flat_map(|c| c.unwrap().to_vec()).collect();
            let value: Value = serde_json::from_slice(&whole).unwrap();
            assert_eq!(value["kind"], kind);
            assert!(value["metadata"]["resourceVersion"].is_string());
            assert!(!value["items"].as_array().unwrap().is_empty());
            for item in value["items"].as_array().unwrap() {
                assert_eq!(item.get("kind").is_some() && item.get("apiVersion").is_some(), typed);
            }
        }
    }
    let empty = f.registry.list(&f.request("v1/secrets", "a"), &ListOptions::default()).await.unwrap();
    let whole: Vec<u8> = empty.into_chunks(99).flat_map(|c| c.unwrap().to_vec()).collect();
    assert_eq!(serde_json::from_slice::<Value>(&whole).unwrap()["items"], json!([]));
}

#[tokio::test]
async fn virtual_objects_are_merged_in() {
    let f = Fixture::new().await;
    let roles = "rbac.authorization.k8s.io/v1/clusterroles";
    let before = f.names(roles, "", ListOptions::default()).await.unwrap();
    assert!(before.iter().any(|n| n == "cluster-admin") && before.is_sorted());
    f.make(roles, "", json!({"metadata": {"name": "bbb"}, "rules": []})).await.unwrap();
    let after = f.names(roles, "", ListOptions::default()).await.unwrap();
    assert!(after.len() == before.len() + 1 && after.is_sorted());
    // In pages, each once.
    let mut all = Vec::new();
    let mut token = String::new();
    loop {
        let mut list = f.registry.list(&f.request(roles, ""), &page(7, &token)).await.unwrap();
        let names = list
            .items()
            .map(|i| serde_json::from_slice::<Value>(&i).unwrap()["metadata"]["name"].as_str().unwrap().to_owned());
        all.extend(names.collect::<Vec<_>>());
        if let Some(remaining) = list.meta.remaining {
            assert_eq!(all.len() as u64 + remaining, after.len() as u64);
        }
        token = list.meta.continue_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(all, after);
    assert_eq!(f.get(roles, "", "cluster-admin").await.unwrap()["metadata"]["name"], "cluster-admin");
}
