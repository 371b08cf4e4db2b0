//! A cache over the API of a whole server whose store is not what it was.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use kcp_apimachinery::{GroupVersionResource, object};
use kcp_client::{BodyStream, BoxFuture, Client, Config, HttpTransport, Transport, TransportError, WriteParams};
use kcp_controller::{Cache, Reflector, ReflectorOptions};
use kcp_server::{LogFormat, LogOptions, Options, Running, start};
use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Ends a test that waits for what does not come.
const PATIENCE: Duration = Duration::from_secs(30);

async fn server() -> (Running, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let log = LogOptions { log_level: "error".into(), log_format: LogFormat::Text };
    let options = Options { in_memory: true, ..Options::playground(dir.path().join("kcp"), 0, log) };
    (start(options).await.unwrap(), dir)
}

fn transport(server: &Running) -> HttpTransport {
    HttpTransport::new(&Config::from_kubeconfig(server.kubeconfig_path(), "").unwrap()).unwrap().0
}

/// The one address behind which servers take turns.
struct Address(RwLock<Arc<HttpTransport>>);

impl Transport for Address {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<BodyStream>, TransportError>> {
        let now = self.0.read().clone();
        Box::pin(async move { now.send(request).await })
    }
}

fn maps() -> GroupVersionResource {
    GroupVersionResource::new("", "v1", "configmaps")
}

async fn make(client: &Client, name: &str) -> Value {
    let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}});
    client.create(&maps(), "default", &map, &WriteParams::default()).await.unwrap()
}

async fn until(changes: &watch::Sender<()>, what: &str, wanted: impl Fn() -> bool) {
    let mut changes = changes.subscribe();
    let held = tokio::time::timeout(PATIENCE, changes.wait_for(|()| wanted())).await;
    held.unwrap_or_else(|_| panic!("{what} was never seen")).unwrap();
}

/// A store that was wiped, or set back by a restore, begins again at revisions that are long past for the cache.
#[tokio::test]
async fn a_server_that_was_set_back_is_listed_anew() {
    let ((first, _dir), (second, _other)) = tokio::join!(server(), server());
    let address = Arc::new(Address(RwLock::new(Arc::new(transport(&first)))));
    let client = Client::over(address.clone(), "").cluster("root");
    let (reflector, cache) = Reflector::new(client.clone(), maps(), ReflectorOptions::default());
    let (changes, stop) = (watch::Sender::new(()), CancellationToken::new());
    let follow = reflector.run(&stop, |_| changes.send_modify(|()| {}), |_| {});
    let story = async {
        assert!(cache.synced().await);
        let mut last = 0;
        for name in 0..100 {
            last = revision(&make(&client, &format!("old-{name}")).await);
        }
        let has = |cache: &Cache, name: &str| cache.get("default", name).is_some();
        until(&changes, "the last of the old", || has(&cache, "old-99")).await;

        *address.0.write() = Arc::new(transport(&second));
        assert!(revision(&make(&client, "new").await) < last, "the second server must be behind the first");
        first.shutdown(Duration::from_secs(1)).await;
        until(&changes, "what the server has now", || has(&cache, "new") && !has(&cache, "old-99")).await;
        make(&client, "newer").await;
        until(&changes, "what happens from then on", || has(&cache, "newer")).await;
        stop.cancel();
    };
    tokio::join!(follow, story);
    second.shutdown(Duration::from_secs(1)).await;
}

fn revision(object: &Value) -> u64 {
    object::resource_version(object).parse().unwrap()
}
