//! Starting and ending a server.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use kcp_apimachinery::{UserInfo, user};
use kcp_apiserver::{ApiServer, ConnectionOptions, IssuerDocuments, LimitOptions, Listener, Parts};
use kcp_authentication::{ServiceAccountIssuer, service_account};
use kcp_client::Client;
use kcp_controller::Kinds;
use kcp_core_controllers::TokenIssuer;
use kcp_logicalcluster::ClusterName;
use kcp_registry::{Registry, builtin};
use kcp_storage::{EngineError, Store, Window};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    address, admission,
    authenticator::{ServerAuthenticator, StoreLookup},
    authority::ServerAuthority,
    authorizer::ServerAuthorizer,
    bootstrap,
    credentials::{self, Credentials},
    error::StartError,
    kinds::RegistryKinds,
    options::{Options, Profile},
    transport::InProcess,
    tree::{ServerResolver, WorkspaceTree},
};

/// A server that runs. It goes on until [`Running::shutdown`].
pub struct Running {
    url: String,
    kubeconfig: PathBuf,
    pub(crate) ca_pem: String,
    pub(crate) store: Store,
    pub(crate) client: Client,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: JoinSet<()>,
    failed: watch::Receiver<Option<String>>,
}

impl Running {
    /// `https://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the admin's kubeconfig is.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client in this process with the rights of the server itself.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits until the server can go on no more, such as when the disk fails, and says why.
    pub async fn failed(&self) -> String {
        match self.failed.clone().wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Ends watches, lets requests and controllers finish for up to `grace`, and closes the store.
    pub async fn shutdown(mut self, grace: Duration) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!("some work did not end in time and is cut off");
            self.tasks.abort_all();
        }
        let store = self.store.clone();
        drop(self);
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }
}

/// Starts a server. When this returns, it is ready.
///
/// # Errors
/// When a flag makes no sense, the port is taken, the folder cannot be written, or its content cannot be used.
pub async fn start(options: Options) -> Result<Running, StartError> {
    let begun = std::time::Instant::now();
    options.validate()?;
    let listener =
        Listener::bind((options.bind_address, options.secure_port).into()).await.map_err(StartError::Listen)?;
    let host = address::external_host(&options);
    let host_port = address::host_port(&host, listener.address().port());
    let url = format!("https://{host_port}");
    make_root(&options.root_directory)?;
    let (fail, failed) = watch::channel(None);
    let store = open(&options, fail)?;
    let Credentials { tls, ca_pem, issuer, tokens } = credentials::prepare(&options, &host, &url)?;

    let workspaces = options.profile == Profile::Workspaces;
    let profile = if workspaces { builtin::Profile::Workspace } else { builtin::Profile::Physical };
    let registry = Registry::new(kcp_registry::Config {
        store: store.clone(),
        base: builtin::base_table(profile, &kcp_registry::strategies()),
        external_url: url.clone(),
        ca_pem: ca_pem.clone(),
        admission: if workspaces { admission::chain(&store) } else { kcp_admission::Chain::default() },
    });
    let rbac = registry.rbac().clone();
    let tree = Arc::new(WorkspaceTree(registry.clone()));
    let authorizer = Arc::new(ServerAuthorizer::new(rbac, tree, workspaces));
    let tokens = Arc::new(tokens.with_service_accounts(issuer.clone(), Arc::new(StoreLookup(store.clone()))));
    registry.set_authority(Arc::new(ServerAuthority {
        authorizer: authorizer.clone(),
        tokens: tokens.clone(),
        issuer: issuer.clone(),
        tenancy: registry.tenancy().clone(),
    }));
    let json = |v: serde_json::Value| Bytes::from(v.to_string());
    let api = ApiServer::new(Parts {
        registry: registry.clone(),
        authenticator: Arc::new(ServerAuthenticator { tokens }),
        authorizer,
        resolver: Arc::new(ServerResolver { registry: registry.clone(), workspaces }),
        issuer: Some(IssuerDocuments {
            configuration: json(service_account::discovery_document(&issuer, &format!("{url}/openid/v1/jwks"))),
            keys: json(service_account::jwks(&issuer)),
        }),
        options: kcp_apiserver::Options {
            limits: LimitOptions {
                read_only: options.max_requests_inflight,
                mutating: options.max_mutating_requests_inflight,
                ..LimitOptions::default()
            },
            external_address: host_port,
            ..kcp_apiserver::Options::default()
        },
    });
    registry.recover().await;
    bootstrap::run(&registry, workspaces, &url, &ca_pem).await?;
    let client = in_process(&api, "system:kcp-controllers");
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let connections = ConnectionOptions { drain: options.shutdown_grace_period, ..ConnectionOptions::default() };
    tasks.spawn(listener.serve(tls, api.clone(), connections, stop.clone()));
    spawn_controllers(&mut tasks, &options, &api, &registry, &store, &client, &ca_pem, issuer, &stop);
    tracing::info!(%url, took = ?begun.elapsed(), "ready");
    Ok(Running {
        url,
        kubeconfig: options.below_root(&options.kubeconfig_path),
        ca_pem,
        store,
        client,
        stop,
        tasks,
        failed,
    })
}

#[expect(clippy::too_many_arguments, reason = "the parts of a server, named where it starts")]
fn spawn_controllers(
    tasks: &mut JoinSet<()>,
    options: &Options,
    api: &Arc<ApiServer>,
    registry: &Arc<Registry>,
    store: &Store,
    client: &Client,
    ca_pem: &str,
    issuer: Arc<ServiceAccountIssuer>,
    stop: &CancellationToken,
) {
    let kinds: Arc<dyn Kinds> = Arc::new(RegistryKinds(registry.clone()));
    let core = kcp_core_controllers::Context {
        store: store.clone(),
        client: client.clone(),
        kinds: kinds.clone(),
        root_ca: ca_pem.to_owned(),
        tokens: Arc::new(Legacy(issuer)),
        event_ttl: options.event_ttl,
    };
    tasks.spawn(kcp_core_controllers::run(core, stop.clone()));
    if options.profile == Profile::Workspaces {
        let tenancy = kcp_tenancy::Context { store: store.clone(), client: client.clone(), kinds };
        tasks.spawn(kcp_tenancy::run(tenancy, stop.clone()));
        let workload = kcp_workload::Context {
            store: store.clone(),
            client: client.clone(),
            negotiator: in_process(api, kcp_workload::NEGOTIATION_USER),
            heartbeat_threshold: options.workload_cluster_heartbeat_threshold,
            auto_publish: options.auto_publish_apis,
        };
        tasks.spawn(kcp_workload::run(workload, stop.clone()));
    }
}

/// Makes the tokens that are kept in Secrets.
struct Legacy(Arc<ServiceAccountIssuer>);

impl TokenIssuer for Legacy {
    fn mint(&self, cluster: &ClusterName, namespace: &str, account: &str, uid: &str, secret: &str) -> Option<String> {
        Some(self.0.mint_legacy(cluster, namespace, account, uid, secret)?.expose().to_owned())
    }
}

/// A client with the rights of the server itself, under a name of its own.
fn in_process(api: &Arc<ApiServer>, name: &str) -> Client {
    let user = UserInfo {
        username: name.into(),
        groups: vec![user::MASTERS.into(), user::AUTHENTICATED.into()],
        ..UserInfo::default()
    };
    Client::over(Arc::new(InProcess { server: api.clone(), user: Arc::new(user) }), "").with_user_agent(name)
}

fn make_root(dir: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let file = |what: &'static str| move |source| StartError::File { what, path: dir.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file("cannot make the folder"))?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).map_err(file("cannot protect the folder"))
}

/// Where a server with this root directory keeps its data.
pub fn data_directory(root: &Path) -> PathBuf {
    root.join("data")
}

fn open(options: &Options, fail: watch::Sender<Option<String>>) -> Result<Store, StartError> {
    let path = data_directory(&options.root_directory);
    let mut storage =
        if options.in_memory { kcp_storage::Options::memory() } else { kcp_storage::Options::sled(&path) };
    storage.window = Window {
        max_age: options.watch_window_age,
        max_events: options.watch_window_events,
        max_bytes: options.watch_window_mib << 20,
    };
    storage.reserve_bytes = options.disk_reserve_mib << 20;
    storage.on_failure = Some(Arc::new(move |error: &EngineError| {
        fail.send_replace(Some(format!("the storage engine has failed: {error}")));
    }));
    Store::open(storage).map_err(|source| StartError::Storage { path, source })
}
