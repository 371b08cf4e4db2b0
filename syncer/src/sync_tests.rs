//! Whose a physical namespace is, and what is therefore deleted or left alone.

use bytes::Bytes;
use kcp_client::{BodyStream, BoxFuture, Transport, TransportError};
use kcp_controller::{Reflector, ReflectorOptions};

use super::*;

/// Notes what is asked of it and knows nothing.
#[derive(Default)]
struct Ledger(Mutex<Vec<String>>);

impl Transport for Ledger {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<BodyStream>, TransportError>> {
        self.0.lock().push(format!("{} {}", request.method(), request.uri().path()));
        Box::pin(async { Err(TransportError::not_sent("nobody is there")) })
    }
}

fn sync() -> (Sync, Arc<Ledger>) {
    let down = Arc::new(Ledger::default());
    let client = Client::over(down.clone(), "");
    let cache = || Reflector::new(client.clone(), namespaces(), ReflectorOptions::default()).1;
    let sides = Sides {
        up: client.clone(),
        down: client.clone(),
        path: "root:a".into(),
        cluster: "id1".into(),
        workload_cluster: "east".into(),
        host: "h".into(),
        port: "1".into(),
        up_namespaces: cache(),
        down_namespaces: cache(),
    };
    (Sync::new(sides), down)
}

fn locator(path: &str, cluster: &str, workload_cluster: &str) -> Locator {
    Locator {
        path: path.into(),
        namespace: "n".into(),
        cluster: cluster.into(),
        uid: "u".into(),
        workload_cluster: workload_cluster.into(),
    }
}

fn physical(name: &str, locator: &Locator) -> Value {
    json!({"metadata": {"name": name, "uid": "p", "annotations": {
        workload::NAMESPACE_LOCATOR_ANNOTATION: locator.to_annotation(),
    }}})
}

/// Another life of the path, another server with the same path, another WorkloadCluster, a forged annotation: not ours.
#[test]
fn only_this_life_of_this_workspace_is_ours() {
    let (sync, _) = sync();
    let own = physical_namespace("root:a", "n");
    for (why, name, locator, ours) in [
        ("ours", own.as_str(), locator("root:a", "id1", "east"), true),
        ("another life", &own, locator("root:a", "id2", "east"), false),
        ("of unknown life", &own, locator("root:a", "", "east"), false),
        ("another cluster's", &own, locator("root:a", "id1", "west"), false),
        ("another workspace's", &physical_namespace("root:b", "n"), locator("root:b", "id1", "east"), false),
        ("somebody's with our annotation", "precious", locator("root:a", "id1", "east"), false),
    ] {
        assert_eq!(sync.our_locator(&physical(name, &locator)).is_some(), ours, "{why}");
    }
    assert!(sync.our_locator(&json!({"metadata": {"name": own}})).is_none());
}

/// Before complete lists of both sides are held, nothing is asked of the physical cluster at all.
#[tokio::test]
async fn nothing_happens_before_the_lists_are_complete() {
    let (sync, down) = sync();
    sync.leaving.store(true, Ordering::Relaxed);
    for work in [Work::Namespace("n".into()), Work::Object(GroupResource::new("", "secrets"), "n".into(), "s".into())] {
        assert!(matches!(sync.reconcile(work).await, Ok(Action::Done)));
    }
    assert!(down.0.lock().is_empty());
}

/// A namespace of an earlier life is cleaned before its name is used, by its uid; one that is not ours at all is an error.
#[tokio::test]
async fn names_of_earlier_lives_are_cleaned_and_never_adopted() {
    let (sync, down) = sync();
    let namespace = json!({"metadata": {"name": "n", "uid": "u"}});
    // Nothing is known of the name yet, so it is made; that fails here, and is tried again.
    assert!(sync.ensure_namespace(&namespace).await.is_err());
    assert_eq!(*down.0.lock(), ["POST /api/v1/namespaces"]);
}
