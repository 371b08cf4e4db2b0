//! Teaches the workspace the physical cluster's APIs: one APIResourceImport for each requested type.

use std::collections::BTreeSet;

use kcp_apimachinery::GroupResource;
use kcp_client::Error;

use crate::sync::Sync;

/// PLACEHOLDER
pub(crate) async fn import(_sync: &Sync, _requested: &BTreeSet<GroupResource>) -> Result<(), Error> {
    Ok(())
}
