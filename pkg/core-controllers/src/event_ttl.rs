//! Deletes Events when they are old (Y-04).

use std::{sync::Arc, time::Duration};

use kcp_apimachinery::{
    GroupVersionResource,
    time::{Timestamp, parse_rfc3339},
};
use kcp_client::{DeleteParams, Error, gone_or_changed_is_fine};
use kcp_controller::{Action, Queue, run};
use kcp_logicalcluster::ClusterName;
use kcp_storage::Key;
use tokio_util::sync::CancellationToken;

use crate::{
    CONCURRENCY,
    context::Context,
    meta::{Envelope, Seen},
};

pub(crate) struct Controller {
    context: Arc<Context>,
    queue: Queue<Key>,
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default() }
    }

    pub(crate) fn observe(&self, seen: &Seen<'_>) {
        if seen.is("", "events") && !seen.deleted {
            // Looked at again when it would expire had it been made just now; an event that is counted on lives longer.
            self.queue.add_after(seen.key.clone(), self.remaining(seen.envelope()));
        }
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run("event-ttl", &self.queue, CONCURRENCY, stop, |key| self.reconcile(key)).await;
    }

    /// How long an event has left: its age counts from its last write.
    fn remaining(&self, envelope: &Envelope<'_>) -> Duration {
        let written = envelope
            .metadata
            .managed_fields
            .iter()
            .filter_map(|m| parse_rfc3339(&m.time))
            .map(|t| t.unix_seconds())
            .max();
        let created = envelope.metadata.creation_timestamp.as_deref().and_then(parse_rfc3339).map(|t| t.unix_seconds());
        let Some(last) = written.max(created) else { return self.context.event_ttl };
        let age = Duration::from_secs(u64::try_from(Timestamp::now().unix_seconds() - last).unwrap_or(0));
        self.context.event_ttl.saturating_sub(age)
    }

    async fn reconcile(&self, key: Key) -> Result<Action, Error> {
        let Some(entry) = self.context.store.get(&key) else { return Ok(Action::Done) };
        let envelope = Envelope::read(&entry.value);
        let remaining = self.remaining(&envelope);
        if !remaining.is_zero() {
            return Ok(Action::After(remaining));
        }
        let parts = key.parts();
        let Ok(cluster) = ClusterName::new(parts.cluster) else { return Ok(Action::Done) };
        let params = DeleteParams {
            resource_version: Some(envelope.metadata.resource_version.to_string()),
            ..DeleteParams::default()
        };
        let (client, events) = (self.context.client(&cluster), GroupVersionResource::new("", "v1", "events"));
        gone_or_changed_is_fine(client.delete(&events, parts.namespace, parts.name, &params).await)?;
        Ok(Action::Done)
    }
}
