//! W2: a server that nobody uses.

use crate::{
    args::Args,
    report::{Figure, Goal, absent},
    target::Target,
    workloads::mb,
};

pub(crate) async fn w2(target: &Target, args: &Args) -> anyhow::Result<Vec<Figure>> {
    if !target.probe.sees() {
        return absent("no process is known of this server: see --pid and --peer-pid");
    }
    tokio::time::sleep(args.settle()).await;
    let probe = &target.probe;
    let (cpu, switches, written) = (probe.cpu(), probe.context_switches(), probe.written());
    tokio::time::sleep(args.idle()).await;
    let seconds = args.idle().as_secs_f64();
    let busy = (probe.cpu() - cpu).as_secs_f64() / seconds * 100.0;
    let per_second = probe.context_switches().saturating_sub(switches) as f64 / seconds;
    Ok(vec![
        Figure::new("RSS", mb(probe.rss()), "MB").most(30.0, 18.0),
        Figure::new("CPU", busy, "%").most(0.1, 0.05),
        Figure::new("context switches", per_second, "/s").target(Goal::AtMost(20.0)),
        Figure::new("written to the disk", (probe.written() - written) as f64, "B").target(Goal::AtMost(0.0)),
        Figure::new("threads", probe.threads() as f64, ""),
    ])
}
