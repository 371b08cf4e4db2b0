//! The workloads, one module each, as the performance targets define them.

mod crud;
mod definitions;
mod fanout;
mod idle;
mod lists;
mod restart;
mod start;
mod sync;
mod tenancy;

use kcp_client::Config;

use crate::{
    args::{Args, Workload},
    report::Figure,
    target::Target,
};

/// Runs one workload against one server.
///
/// # Errors
/// [`crate::report::Absent`] when the server cannot do it; anything else means that it was not carried out as it must be.
pub(crate) async fn run(
    workload: Workload,
    server: &str,
    config: Option<&Config>,
    args: &Args,
) -> anyhow::Result<Vec<Figure>> {
    if workload == Workload::W1 {
        return start::w1(config.is_none(), args).await;
    }
    let mut target = Target::open(server, config, args).await?;
    match workload {
        Workload::W1 => Ok(Vec::new()),
        Workload::W2 => idle::w2(&target, args).await,
        Workload::W3 => tenancy::w3(&target, args).await,
        Workload::W4 => tenancy::w4(&target, args).await,
        Workload::W5 => fanout::w5(&target, args).await,
        Workload::W6 => crud::w6(&target, args).await,
        Workload::W7 => lists::w7(&target, args).await,
        Workload::W9 => definitions::w9(&target, args).await,
        Workload::W11 => sync::w11(&mut target, args).await,
        Workload::W14 => sync::w14(&mut target, args).await,
        Workload::W17 => restart::w17(&mut target, args).await,
        Workload::W19 => tenancy::w19(&target, args).await,
    }
}

/// Bytes as the tables show them.
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Growth in bytes, per one of `count`, in KB.
fn kb_each(before: u64, after: u64, count: usize) -> f64 {
    after.saturating_sub(before) as f64 / 1e3 / count.max(1) as f64
}
