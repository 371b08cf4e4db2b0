//! The set of types that are synced: found out, followed on both sides, and reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kcp_apimachinery::{GroupResource, object};
use kcp_apis::workload::reason;
use kcp_client::Error;
use kcp_controller::{Change, Reflector, ReflectorOptions};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    names,
    registration::{Health, Report},
    resources::{self, Missing, Served},
    sync::{Sync, Synced, Work, deployments, secrets},
};

#[derive(Default)]
struct State {
    missing: BTreeMap<GroupResource, Missing>,
    report: Report,
}

/// A type's two reflectors, running.
struct Following {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The types that are synced.
pub(crate) struct Types {
    sync: Arc<Sync>,
    requested: BTreeSet<GroupResource>,
    selector: String,
    following: Mutex<BTreeMap<GroupResource, Following>>,
    state: Mutex<State>,
}

impl Types {
    pub(crate) fn new(sync: Arc<Sync>, requested: BTreeSet<GroupResource>, selector: String) -> Self {
        Self { sync, requested, selector, following: Mutex::default(), state: Mutex::default() }
    }

    pub(crate) fn sync(&self) -> &Sync {
        &self.sync
    }

    pub(crate) fn requested(&self) -> &BTreeSet<GroupResource> {
        &self.requested
    }

    /// Whether every requested type is synced.
    pub(crate) fn is_complete(&self) -> bool {
        self.state.lock().missing.is_empty()
    }

    pub(crate) fn report(&self) -> Report {
        self.state.lock().report.clone()
    }

    /// Looks at what both sides serve; starts to follow what is new and stops what is gone.
    pub(crate) async fn resolve(&self, stop: &CancellationToken) -> Result<BTreeMap<GroupResource, Missing>, Error> {
        let mut missing = BTreeMap::new();
        for resource in &self.requested {
            let up = self.sync.up_gate.pass(resources::discover(&self.sync.up, resource)).await?;
            let down = self.sync.down_gate.pass(resources::discover(&self.sync.down, resource)).await?;
            match resources::common(&up, &down) {
                Ok((up, down)) => self.follow(resource, up, down, stop),
                Err(why) => {
                    self.unfollow(resource);
                    missing.insert(resource.clone(), why);
                }
            }
        }
        Ok(missing)
    }

    /// Takes down how importing and resolving went, for the next report.
    pub(crate) fn note(&self, imported: Result<(), String>, resolved: Result<BTreeMap<GroupResource, Missing>, Error>) {
        let importer = match imported {
            Ok(()) => Health::default(),
            Err(e) => {
                tracing::warn!(error = e, "importing the physical cluster's APIs failed, will be tried again");
                Health { trouble: Some((reason::ERROR_IMPORTING.into(), e)) }
            }
        };
        let mut state = self.state.lock();
        match resolved {
            Ok(missing) => {
                let list: Vec<String> = missing.iter().map(|(r, why)| format!("{r} ({})", why.describe())).collect();
                let trouble = (!list.is_empty()).then(|| {
                    (
                        reason::RESOURCES_MISSING.to_owned(),
                        format!("These requested resource types are not synced: {}", list.join(", ")),
                    )
                });
                if missing != state.missing && !list.is_empty() {
                    tracing::warn!(
                        missing = list.join(", "),
                        "some requested resource types are not synced; the others are"
                    );
                }
                state.missing = missing;
                state.report.syncer = Health { trouble };
            }
            Err(e) => {
                tracing::warn!(error = %e, "finding out which types both sides serve failed, will be tried again");
                state.report.syncer = Health { trouble: Some((reason::RESOURCES_MISSING.into(), e.to_string())) };
            }
        }
        state.report.importer = importer;
        state.report.synced_resources = self.following.lock().keys().map(ToString::to_string).collect();
    }

    fn follow(&self, resource: &GroupResource, up: Served, down: Served, stop: &CancellationToken) {
        let same = self.sync.types.read().get(resource).is_some_and(|s| s.up == up && s.down == down);
        if same {
            return;
        }
        self.unfollow(resource);
        tracing::info!(%resource, version = up.gvr.version, "syncing");
        let options = ReflectorOptions { label_selector: Some(self.selector.clone()), ..ReflectorOptions::default() };
        let (up_reflector, upstream) = Reflector::new(self.sync.up.clone(), up.gvr.clone(), options.clone());
        let (down_reflector, downstream) = Reflector::new(self.sync.down.clone(), down.gvr.clone(), options);
        let synced = Arc::new(Synced { up, down, upstream, downstream });
        self.sync.types.write().insert(resource.clone(), synced.clone());
        let stop = stop.child_token();
        let task = tokio::spawn(follow(
            self.sync.clone(),
            resource.clone(),
            synced,
            up_reflector,
            down_reflector,
            stop.clone(),
        ));
        self.following.lock().insert(resource.clone(), Following { stop, task });
    }

    fn unfollow(&self, resource: &GroupResource) {
        if let Some(f) = self.following.lock().remove(resource) {
            tracing::info!(%resource, "not syncing any more");
            f.stop.cancel();
            self.sync.types.write().remove(resource);
        }
    }

    /// Queues every object of every type.
    pub(crate) fn queue_everything(&self) {
        let types: Vec<(GroupResource, Arc<Synced>)> =
            self.sync.types.read().iter().map(|(r, s)| (r.clone(), s.clone())).collect();
        for (resource, synced) in types {
            self.sync.queue_type(&resource, &synced);
        }
    }

    /// Waits for all reflectors to end.
    pub(crate) async fn join(&self) {
        let tasks: Vec<JoinHandle<()>> =
            std::mem::take(&mut *self.following.lock()).into_values().map(|f| f.task).collect();
        for task in tasks {
            let _ = task.await;
        }
    }
}

/// Keeps the two caches of a type, and queues what changes in them.
async fn follow(
    sync: Arc<Sync>,
    resource: GroupResource,
    synced: Arc<Synced>,
    up: Reflector,
    down: Reflector,
    stop: CancellationToken,
) {
    let are_secrets = resource == secrets();
    let on_up = |c: &Change| {
        sync.queue.add(Work::Object(resource.clone(), c.namespace.clone(), c.name.clone()));
        if are_secrets {
            sync.queue_users(c);
        }
    };
    let on_down = |c: &Change| sync.queue_physical(&resource, &c.namespace, &c.name);
    let complain = |side: &'static str| {
        let resource = &resource;
        move |e: &Error| tracing::warn!(%resource, side, error = %e, "watching failed, will be tried again")
    };
    let once_complete = async {
        if synced.upstream.synced().await && synced.downstream.synced().await {
            sync.queue_type(&resource, &synced);
            let waiting = sync.types.read().get(&deployments()).cloned().filter(|_| are_secrets);
            if let Some(waiting) = waiting {
                sync.queue_type(&deployments(), &waiting);
            }
        }
    };
    tokio::join!(
        up.run(&stop, on_up, complain("workspace")),
        down.run(&stop, on_down, complain("physical")),
        crate::until(&stop, once_complete),
    );
}

impl Sync {
    /// Queues every object of a type, whichever side has it.
    fn queue_type(&self, resource: &GroupResource, synced: &Synced) {
        self.queue.add_all(
            synced
                .upstream
                .all()
                .iter()
                .map(|o| Work::Object(resource.clone(), object::namespace(o).to_owned(), object::name(o).to_owned())),
        );
        for o in synced.downstream.all() {
            self.queue_physical(resource, object::namespace(&o), object::name(&o));
        }
    }

    /// Queues the object of the workspace that an object of the physical cluster stands for.
    fn queue_physical(&self, resource: &GroupResource, namespace: &str, name: &str) {
        let Some(physical) = self.down_namespaces.get("", namespace) else { return };
        if let Some(locator) = self.our_locator(&physical) {
            self.queue.add(Work::Object(resource.clone(), locator.namespace, names::up(resource, name)));
        }
    }

    /// Queues every namespace, whichever side has it.
    pub(crate) fn queue_all_namespaces(&self) {
        self.queue.add_all(self.up_namespaces.all().iter().map(|n| Work::Namespace(object::name(n).to_owned())));
        let down = self.down_namespaces.all();
        self.queue.add_all(down.iter().filter_map(|n| self.our_locator(n)).map(|l| Work::Namespace(l.namespace)));
    }
}
