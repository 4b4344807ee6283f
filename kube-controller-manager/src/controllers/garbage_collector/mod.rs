//! garbage-collector-controller: deletes objects whose owners are gone: background, foreground and orphaning.
//!
//! One metadata watch per deletable resource feeds a graph; every verdict is checked against the live objects first.
//! Upstream: pkg/controller/garbagecollector.

mod graph;
mod live;
mod plan;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use component_base::informer::{Event, Object as _, Partial};
use component_base::{Chain, Queue};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::StartError;
use crate::context::{Context, Shared};
use crate::discovery::{self, Resource};
use crate::runner::{Doing as _, ReconcileError};
use graph::{FOREGROUND, Graph, Identity, ORPHAN, Work};
use live::Live;
use plan::{OwnerState, Verdict};

const DISCOVERY_INTERVAL: Duration = Duration::from_secs(30);
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);
const ABSENT_MAX: usize = 500;
const ABSENT_TTL: Duration = Duration::from_secs(300);

/// Resources whose objects come and go too often to be worth watching, and own nothing.
const IGNORED: [(&str, &str); 2] = [("", "events"), ("events.k8s.io", "events")];

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    if !shared.flags.bool("enable-garbage-collector") {
        return Ok(false);
    }
    let context = shared.context("generic-garbage-collector", "garbage-collector-controller")?;
    let workers = shared.flags.int("concurrent-gc-syncs");
    let collector = Arc::new(Collector::new(&context));
    component_base::task::spawn("garbage-collector", run(collector, context, workers));
    Ok(true)
}

/// A UID to look at.
type Uid = String;

struct Collector {
    context: Context,
    live: Live,
    graph: Mutex<Graph>,
    delete: Queue<Uid>,
    orphan: Queue<Uid>,
    resources: RwLock<Arc<BTreeMap<String, Resource>>>,
    absent: Mutex<HashMap<Uid, Instant>>,
}

async fn run(collector: Arc<Collector>, context: Context, workers: i64) {
    let monitor = Arc::clone(&collector);
    let stop = context.stop.clone();
    tokio::select! {
        () = stop.wait() => return,
        () = monitor.first_sync() => {}
    }
    info!(controller = "garbage-collector-controller", objects = collector.graph.lock().len(), "Started controller");
    for _ in 0..workers.max(1) {
        component_base::task::spawn("gc-delete", Arc::clone(&collector).delete_worker());
    }
    component_base::task::spawn("gc-orphan", Arc::clone(&collector).orphan_worker());
    tokio::select! {
        () = stop.wait() => {}
        () = collector.follow_discovery() => {}
    }
    collector.delete.shut_down();
    collector.orphan.shut_down();
}

impl Collector {
    fn new(context: &Context) -> Self {
        Self {
            live: Live::new(context.client.clone()),
            context: context.clone(),
            graph: Mutex::default(),
            delete: Queue::new("garbage_collector_attempt_to_delete"),
            orphan: Queue::new("garbage_collector_attempt_to_orphan"),
            resources: RwLock::default(),
            absent: Mutex::default(),
        }
    }

    /// Starts the monitors; ones that cannot sync (an API that does not answer) are not waited for long.
    async fn first_sync(self: &Arc<Self>) {
        while !self.discover().await {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if !self.context.informers.synced_within(SYNC_TIMEOUT).await {
            warn!(
                "Some monitors of the garbage collector are not synced; their objects are not collected until they are"
            );
        }
    }

    async fn follow_discovery(self: &Arc<Self>) {
        loop {
            tokio::time::sleep(DISCOVERY_INTERVAL).await;
            self.discover().await;
        }
    }

    async fn discover(self: &Arc<Self>) -> bool {
        let found = match discovery::discover(&self.context.client).await {
            Ok(found) => found,
            Err(error) => {
                warn!(err = %Chain(&error), "Failed to discover resources");
                return false;
            }
        };
        let wanted: BTreeMap<String, Resource> = found
            .resources
            .into_iter()
            .filter(|resource| resource.has_verbs(&["list", "watch", "delete"]))
            .filter(|resource| !IGNORED.contains(&(resource.group.as_str(), resource.plural.as_str())))
            .map(|resource| (resource.path(None), resource))
            .collect();
        let known = Arc::clone(&self.resources.read());
        // A group that could not be discovered is not a group that is gone.
        if found.failed.is_empty() {
            let gone: BTreeSet<_> = known.keys().filter(|path| !wanted.contains_key(*path)).collect();
            gone.into_iter().for_each(|path| self.context.informers.stop_metadata_reader(path));
        }
        let fresh: Vec<Resource> = wanted
            .iter()
            .filter(|(path, _)| !known.contains_key(*path))
            .map(|(_, resource)| resource.clone())
            .collect();
        *self.resources.write() = Arc::new(wanted);
        for resource in fresh {
            self.monitor(resource);
        }
        true
    }

    fn monitor(self: &Arc<Self>, resource: Resource) {
        let reader = self.context.informers.metadata_reader(&resource.path(None));
        let collector = Arc::clone(self);
        reader.on_event(move |event| collector.note(&resource, event));
    }

    fn note(&self, resource: &Resource, event: &Event<Partial>) {
        let object = event.object();
        let work = match event {
            Event::Deleted(_) => {
                self.absent_insert(object.uid());
                self.graph.lock().forget(object.uid())
            }
            Event::Added(new) | Event::Updated { new, .. } => {
                let identity = Identity {
                    api_version: resource.api_version(),
                    kind: resource.kind.clone(),
                    namespace: new.namespace().to_owned(),
                    name: new.name().to_owned(),
                };
                self.graph.lock().observe(identity, &new.metadata)
            }
        };
        self.queue(work);
    }

    fn queue(&self, work: Work) {
        work.delete.into_iter().for_each(|uid| self.delete.add(uid));
        work.orphan.into_iter().for_each(|uid| self.orphan.add(uid));
    }

    fn absent_insert(&self, uid: &str) {
        let mut absent = self.absent.lock();
        let now = Instant::now();
        if absent.len() >= ABSENT_MAX {
            absent.retain(|_, until| *until > now);
        }
        if absent.len() < ABSENT_MAX {
            absent.insert(uid.to_owned(), now + ABSENT_TTL);
        }
    }

    fn is_known_absent(&self, uid: &str) -> bool {
        self.absent.lock().get(uid).is_some_and(|until| *until > Instant::now())
    }

    async fn delete_worker(self: Arc<Self>) {
        while let Some(uid) = self.delete.get().await {
            let result = self.attempt_delete(&uid).await;
            finish(&self.delete, &uid, result);
        }
    }

    async fn orphan_worker(self: Arc<Self>) {
        while let Some(uid) = self.orphan.get().await {
            let result = self.attempt_orphan(&uid).await;
            finish(&self.orphan, &uid, result);
        }
    }

    /// The resource of a kind, and the namespace to look in; None if the kind is not served.
    fn locate(&self, api_version: &str, kind: &str, namespace: &str) -> Option<(Resource, Option<String>)> {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let resources = Arc::clone(&self.resources.read());
        let resource = resources.values().find(|resource| resource.group == group && resource.kind == kind)?.clone();
        let namespace = resource.namespaced.then(|| namespace.to_owned());
        Some((resource, namespace))
    }

    async fn attempt_delete(&self, uid: &str) -> Result<(), ReconcileError> {
        let Some(node) = self.graph.lock().get(uid).cloned() else { return Ok(()) };
        if node.is_deleting && !node.is_deleting_dependents() {
            return Ok(());
        }
        let at = &node.identity;
        let Some((resource, namespace)) = self.locate(&at.api_version, &at.kind, &at.namespace) else {
            return Err(ReconcileError::Invalid(format!("kind {} of {} is not served", at.kind, at.api_version)));
        };
        if resource.namespaced && at.namespace.is_empty() {
            // A cluster-scoped object that names a namespaced owner: such a reference can never be resolved.
            debug!(kind = at.kind, name = at.name, "Owner of a cluster-scoped object is namespaced");
            return Ok(());
        }
        let live = self
            .live
            .get(&resource, namespace.as_deref(), &at.name)
            .await
            .doing(|| format!("cannot get {} {:?}", at.kind, at.name))?;
        let Some(live) = live.filter(|live| live.uid() == uid) else {
            self.absent_insert(uid);
            let work = self.graph.lock().forget(uid);
            self.queue(work);
            return Ok(());
        };
        if node.is_virtual {
            // It exists; its monitor will say so.
            return Ok(());
        }
        if node.is_deleting_dependents() {
            return self.wait_for_dependents(uid, &resource, &live).await;
        }
        let owners = self.owner_states(&live).await?;
        let dependents = self.graph.lock().dependents(uid);
        let waits = dependents.iter().any(|(_, node)| node.is_deleting_dependents());
        match plan::judge(&live.metadata, &owners, !dependents.is_empty(), waits) {
            Verdict::Keep => Ok(()),
            Verdict::DropOwners(uids) => {
                let patched = self.live.keep_owners(&resource, &live, |owner| !uids.contains(&owner.uid)).await;
                patched.doing(|| format!("cannot drop owners of {} {:?}", at.kind, at.name))
            }
            Verdict::Delete { policy, unblock } => {
                if unblock {
                    self.live
                        .unblock(&resource, &live)
                        .await
                        .doing(|| format!("cannot unblock owners of {} {:?}", at.kind, at.name))?;
                }
                debug!(
                    kind = at.kind,
                    namespace = at.namespace,
                    name = at.name,
                    policy = policy.as_str(),
                    "Deleting item"
                );
                self.live
                    .delete(&resource, &live, policy.as_str())
                    .await
                    .doing(|| format!("cannot delete {} {:?}", at.kind, at.name))
            }
        }
    }

    async fn wait_for_dependents(&self, uid: &str, resource: &Resource, live: &Partial) -> Result<(), ReconcileError> {
        let blocking = self.graph.lock().blocking_dependents(uid);
        if blocking.is_empty() {
            let removed = self.live.remove_finalizer(resource, live, FOREGROUND).await;
            return removed.doing(|| "cannot remove the foreground finalizer".to_owned());
        }
        blocking.into_iter().filter(|(_, waits)| !waits).for_each(|(dependent, _)| self.delete.add(dependent));
        Ok(())
    }

    async fn owner_states(&self, live: &Partial) -> Result<Vec<(OwnerReference, OwnerState)>, ReconcileError> {
        let mut states = Vec::new();
        for owner in live.metadata.owner_references.clone().unwrap_or_default() {
            let state = self.owner_state(&owner, live.namespace()).await?;
            states.push((owner, state));
        }
        Ok(states)
    }

    async fn owner_state(&self, owner: &OwnerReference, namespace: &str) -> Result<OwnerState, ReconcileError> {
        if self.is_known_absent(&owner.uid) {
            return Ok(OwnerState::Absent);
        }
        let Some((resource, at)) = self.locate(&owner.api_version, &owner.kind, namespace) else {
            return Err(ReconcileError::Invalid(format!(
                "owner kind {} of {} is not served",
                owner.kind, owner.api_version
            )));
        };
        if resource.namespaced && namespace.is_empty() {
            return Err(ReconcileError::Invalid(format!(
                "owner {} {:?} of a cluster-scoped object is namespaced",
                owner.kind, owner.name
            )));
        }
        let live = self
            .live
            .get(&resource, at.as_deref(), &owner.name)
            .await
            .doing(|| format!("cannot get owner {:?}", owner.name))?;
        let Some(live) = live.filter(|live| live.uid() == owner.uid) else {
            self.absent_insert(&owner.uid);
            return Ok(OwnerState::Absent);
        };
        let waits =
            live.is_deleting() && live.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FOREGROUND);
        Ok(if waits { OwnerState::Waiting } else { OwnerState::Solid })
    }

    async fn attempt_orphan(&self, uid: &str) -> Result<(), ReconcileError> {
        let Some(owner) = self.graph.lock().get(uid).cloned() else { return Ok(()) };
        let dependents = self.graph.lock().dependents(uid);
        for (dependent_uid, dependent) in dependents {
            let at = &dependent.identity;
            let Some((resource, namespace)) = self.locate(&at.api_version, &at.kind, &at.namespace) else { continue };
            let live = self
                .live
                .get(&resource, namespace.as_deref(), &at.name)
                .await
                .doing(|| format!("cannot get {:?}", at.name))?;
            if let Some(live) = live.filter(|live| live.uid() == dependent_uid) {
                let patched = self.live.keep_owners(&resource, &live, |owner| owner.uid != uid).await;
                patched.doing(|| format!("cannot orphan {} {:?}", at.kind, at.name))?;
            }
        }
        let at = &owner.identity;
        let Some((resource, namespace)) = self.locate(&at.api_version, &at.kind, &at.namespace) else { return Ok(()) };
        let live = self
            .live
            .get(&resource, namespace.as_deref(), &at.name)
            .await
            .doing(|| format!("cannot get {:?}", at.name))?;
        match live.filter(|live| live.uid() == uid) {
            Some(live) => self
                .live
                .remove_finalizer(&resource, &live, ORPHAN)
                .await
                .doing(|| "cannot remove the orphan finalizer".to_owned()),
            None => Ok(()),
        }
    }
}

fn finish(queue: &Queue<Uid>, uid: &Uid, result: Result<(), ReconcileError>) {
    match result {
        Ok(()) => queue.forget(uid),
        Err(error) => {
            if !error.is_overtaken() && queue.num_requeues(uid).is_power_of_two() {
                error!(controller = "garbage-collector-controller", uid, err = %Chain(&error), "Failed to collect");
            }
            queue.add_rate_limited(uid.clone());
        }
    }
    queue.done(uid);
}
