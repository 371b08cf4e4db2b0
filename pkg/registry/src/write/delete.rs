//! DELETE of objects and collections.

use std::sync::Arc;

use bytes::Bytes;
use kcp_admission::Operation;
use kcp_apimachinery::{GroupResource, Status, StatusDetails, object};
use kcp_storage::{Entry, Expect, Key, Op, Snapshot};
use serde_json::Value;

use super::{ATTEMPTS, Call, Refusal};
use crate::{
    encode,
    list::{Found, Items, List},
    options::{Delete, Policy, Write},
    read::{find, key_of},
    registry::Registry,
    request::{DeleteOptions, Deleted, ListOptions, Request},
};

/// Finalizers of the garbage collector.
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// How many objects of a collection are deleted in one batch.
const BATCH: usize = 128;

impl Registry {
    pub(crate) async fn remove_one(&self, request: &Request, options: &DeleteOptions) -> Result<Deleted, Status> {
        let options = options.check()?;
        let call = Call::new(self, request, Write { dry_run: options.dry_run, ..Write::default() })?;
        call.delete(&options).await
    }

    pub(crate) async fn remove_many(
        &self,
        request: &Request,
        options: &DeleteOptions,
        list: &ListOptions,
    ) -> Result<List, Status> {
        let options = options.check()?;
        let call = Call::new(self, request, Write { dry_run: options.dry_run, ..Write::default() })?;
        let shown = |items: &Items, found: &Found| (found.key.clone(), items.render(found));
        let (meta, mut found) = self.read_items(request, list, shown).await?;
        let mut gone: Vec<Bytes> = Vec::new();
        loop {
            let (keys, some): (Vec<Key>, Vec<Bytes>) = found.by_ref().take(BATCH).unzip();
            if keys.is_empty() {
                break;
            }
            call.delete_some(keys, &options).await?;
            gone.extend(some);
        }
        Ok(List::new(Arc::clone(&request.info), meta, Box::new(gone.into_iter())))
    }
}

/// What is to be done to one object.
enum Fate {
    /// Nothing: it is on its way already.
    Leave,
    /// It is marked, and waits for its finalizers.
    Mark(Value),
    /// It goes.
    Remove,
}

impl Call<'_> {
    async fn delete(&self, options: &Delete) -> Result<Deleted, Status> {
        let key = key_of(&self.info, self.cluster, self.namespace(), &self.request.name)?;
        for _ in 0..ATTEMPTS {
            let snapshot = self.registry.store().snapshot();
            let existing = find(&self.info, &snapshot, self.cluster, &key);
            let (old, entry) = match existing {
                Some(existing) => (serde_json::from_slice(&existing.value).unwrap_or(Value::Null), existing.entry),
                None => {
                    // A name may be protected whether the object exists or not (G-06).
                    let mut named = Value::Null;
                    object::meta_mut(&mut named).insert("name".into(), self.request.name.as_str().into());
                    self.info.strategy.before_delete(&named, &self.context(&snapshot))?;
                    return Err(self.not_found());
                }
            };
            let Some(entry) = entry else {
                let detail = "it is provided by the server and cannot be deleted";
                return Err(Status::forbidden(&self.resource(), &self.request.name, detail));
            };
            let fate = self.fate(&old, &entry, options, &snapshot)?;
            let op = self.op(&key, &fate, &entry)?;
            let (shown, marked) = match (&fate, &op) {
                (Fate::Leave, _) => (entry.value.clone(), true),
                (Fate::Mark(value), _) => (encode::encode_at(value, entry.revision), true),
                (Fate::Remove, _) => (entry.value.clone(), false),
            };
            let mut shown = shown;
            if let Some(op) = op.filter(|_| !self.options.dry_run) {
                let stored = match &op {
                    Op::Put { value, .. } => Some(value.clone()),
                    _ => None,
                };
                let mut ops = vec![op];
                if let Fate::Mark(new) = &fate {
                    self.info.strategy.extra_ops(new, Some(&old), &self.context(&snapshot), &mut ops)?;
                }
                match self.commit(ops).await {
                    Ok(revision) => {
                        if let Some(stored) = stored {
                            shown = stored.render(revision);
                        }
                    }
                    Err(Refusal::Stale(_)) => continue,
                    Err(Refusal::Failed(status)) => return Err(status),
                }
            }
            if marked || self.info.strategy.returns_object_on_delete() {
                return Ok(Deleted::Object(self.answer(&shown)));
            }
            return Ok(Deleted::Status(Box::new(self.success(&old))));
        }
        Err(Status::modified(&self.resource(), &self.request.name))
    }

    /// Deletes objects of a collection, those that can go at once in one batch. Objects that have gone meanwhile are
    /// ignored.
    async fn delete_some(&self, keys: Vec<Key>, options: &Delete) -> Result<(), Status> {
        let mut single = Vec::new();
        let mut ops = Vec::new();
        let mut at_once = Vec::new();
        let snapshot = self.registry.store().snapshot();
        for key in keys {
            let Some(entry) = snapshot.get(&key) else { continue };
            let old: Value = serde_json::from_slice(&entry.value).unwrap_or(Value::Null);
            match self.fate(&old, entry, options, &snapshot)? {
                Fate::Remove => {
                    ops.push(Op::Delete { key: key.clone(), expect: Expect::Revision(entry.revision) });
                    at_once.push(key);
                }
                Fate::Leave => {}
                Fate::Mark(_) => single.push(key),
            }
        }
        if self.options.dry_run {
            return Ok(());
        }
        if !ops.is_empty() {
            match self.commit(ops).await {
                Ok(_) => {}
                Err(Refusal::Failed(status)) => return Err(status),
                // One of them has changed: each for itself.
                Err(Refusal::Stale(_)) => single.append(&mut at_once),
            }
        }
        for key in single {
            let parts = key.parts();
            let request = self.request.clone().in_namespace(parts.namespace).named(parts.name);
            let call = Call::new(self.registry, &request, self.options.clone())?;
            match call.delete(options).await {
                Err(status) if status.code != 404 => return Err(status),
                _ => {}
            }
        }
        Ok(())
    }

    /// Decides what happens to an object.
    fn fate(&self, old: &Value, entry: &Entry, options: &Delete, snapshot: &Snapshot) -> Result<Fate, Status> {
        let strategy = &self.info.strategy;
        strategy.before_delete(old, &self.context(snapshot))?;
        self.check_preconditions(old, entry, options)?;
        self.admit_valid(Operation::Delete, None, Some(old))?;
        let finalizers = self.finalizers(old, options.policy);
        let deleting = object::is_deleting(old);
        let held = strategy.is_held(old);
        let current = old.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
        let mut grace = strategy.grace_seconds(old, options.grace);
        if deleting && let Some(current) = current {
            // A period only gets shorter.
            grace = grace.min(current);
        }
        if finalizers.is_empty() && !held && grace == 0 {
            return Ok(Fate::Remove);
        }
        let mut new = old.clone();
        let list = if finalizers.is_empty() { None } else { Some(finalizers.into()) };
        let map = object::meta_mut(&mut new);
        match list {
            Some(list) => map.insert("finalizers".into(), list),
            None => map.remove("finalizers"),
        };
        let shorter = current.is_some_and(|c| grace < c);
        if !deleting || shorter {
            map.insert("deletionTimestamp".into(), self.now.plus_seconds(grace).rfc3339().into());
            if !held {
                map.insert("deletionGracePeriodSeconds".into(), grace.into());
            }
        }
        if !deleting {
            if object::generation(old) > 0 {
                object::meta_mut(&mut new).insert("generation".into(), (object::generation(old) + 1).into());
            }
            strategy.mark_deleting(&mut new, &self.context(snapshot));
        }
        Ok(if new == *old { Fate::Leave } else { Fate::Mark(new) })
    }

    fn op(&self, key: &Key, fate: &Fate, entry: &Entry) -> Result<Option<Op>, Status> {
        let expect = Expect::Revision(entry.revision);
        Ok(match fate {
            Fate::Leave => None,
            Fate::Remove => Some(Op::Delete { key: key.clone(), expect }),
            Fate::Mark(value) => Some(Op::Put { key: key.clone(), value: encode::encode(value), expect }),
        })
    }

    fn check_preconditions(&self, old: &Value, entry: &Entry, options: &Delete) -> Result<(), Status> {
        let name = object::name(old);
        // Kubernetes names the kind here; namespaces check for themselves and name the resource.
        let namespaces = self.info.storage.group_resource == GroupResource::new("", "namespaces");
        let what =
            if namespaces { self.resource() } else { GroupResource::new(&self.info.gvk.group, &self.info.gvk.kind) };
        let uid = object::uid(old);
        if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
            let detail = if namespaces {
                format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}")
            } else {
                format!(
                    "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been \
                     deleted and then recreated"
                )
            };
            return Err(Status::conflict(&what, name, &detail));
        }
        let revision = entry.revision.to_string();
        if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| *wanted != revision) {
            let detail = format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({revision}). \
                 The object might have been modified"
            );
            return Err(Status::conflict(&what, name, &detail));
        }
        Ok(())
    }

    /// The finalizers that an object has once it is being deleted.
    fn finalizers(&self, old: &Value, policy: Option<Policy>) -> Vec<String> {
        let has = |name: &str| object::finalizers(old).any(|f| f == name);
        let (orphan, foreground) = match policy {
            Some(Policy::Orphan) => (true, false),
            Some(Policy::Foreground) => (false, true),
            Some(Policy::Background) => (false, false),
            None => (has(ORPHAN), has(FOREGROUND)),
        };
        let mut list: Vec<String> = object::finalizers(old)
            .filter(|f| (*f != ORPHAN || orphan) && (*f != FOREGROUND || foreground))
            .map(str::to_owned)
            .collect();
        for (wanted, name) in [(orphan, ORPHAN), (foreground, FOREGROUND)] {
            if wanted && !list.iter().any(|f| f == name) {
                list.push(name.to_owned());
            }
        }
        list
    }

    /// What is said of an object that is gone.
    fn success(&self, old: &Value) -> Status {
        let resource = self.resource();
        let mut status = Status::success().with_details(StatusDetails {
            name: object::name(old).to_owned(),
            group: resource.group,
            kind: resource.resource,
            uid: object::uid(old).to_owned(),
            ..StatusDetails::default()
        });
        // Not an error: no code in the body.
        status.code = 0;
        status
    }
}
