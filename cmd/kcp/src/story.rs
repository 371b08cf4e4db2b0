//! The tour that `kcp playground --run-story` types: each command, and what must be seen.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// What must be seen after a command. Lines are compared with runs of blanks folded into one.
#[derive(Debug, Clone, Copy)]
enum Expect {
    /// A line that is exactly this.
    Line(&'static str),
    /// A line that starts with this.
    Starts(&'static str),
    /// No line contains this.
    Never(&'static str),
    /// Nothing at all is printed.
    Nothing,
}
use Expect::{Line, Never, Nothing, Starts};

/// One command of the tour.
struct Step {
    /// A headline before it, where a new part begins.
    part: &'static str,
    command: &'static str,
    expect: &'static [Expect],
    /// What is expected comes by itself a moment later: type the command again until it does.
    eventually: bool,
}

const fn step(command: &'static str, expect: &'static [Expect]) -> Step {
    Step { part: "", command, expect, eventually: false }
}
const fn soon(command: &'static str, expect: &'static [Expect]) -> Step {
    Step { part: "", command, expect, eventually: true }
}
const fn part(part: &'static str, command: &'static str, expect: &'static [Expect]) -> Step {
    Step { part, command, expect, eventually: false }
}

const NO_DEPLOYMENTS: &str = "error: the server doesn't have a resource type \"deployments\"";

const STEPS: &[Step] = &[
    part("A fresh server", "kubectl ws use root", &[Line("Current workspace is \"root\".")]),
    step(
        "kubectl get workspaces",
        &[Line("NAME TYPE PHASE URL"), Line("default Organization Ready $HOST/clusters/root:default")],
    ),
    step(
        "curl -sk $HOST/clusters/root:default/",
        &[
            Line(
                "\"message\": \"forbidden: User \\\"system:anonymous\\\" cannot get path \\\"/\\\": \\\"root:default\\\" workspace access not permitted\",",
            ),
            Line("\"code\": 403"),
        ],
    ),
    part(
        "An organisation and a team",
        "kubectl ws create telcops --type Organization",
        &[Starts("Workspace \"telcops\" (type \"Organization\") created.")],
    ),
    step(
        "kubectl get workspaces",
        &[
            Line("default Organization Ready $HOST/clusters/root:default"),
            Line("telcops Organization Ready $HOST/clusters/root:telcops"),
        ],
    ),
    step("kubectl ws use telcops", &[Line("Current workspace is \"root:telcops\" (type \"Organization\").")]),
    step("kubectl ws create team-a", &[Starts("Workspace \"team-a\" (type \"Universal\") created.")]),
    step("kubectl get workspaces", &[Line("team-a Universal Ready $HOST/clusters/root:telcops:team-a")]),
    step("kubectl ws use team-a", &[Line("Current workspace is \"root:telcops:team-a\" (type \"Universal\").")]),
    step(
        "kubectl api-resources",
        &[
            Line("configmaps cm v1 true ConfigMap"),
            Line("workloadclusters workload.kcp.dev/v1alpha1 false WorkloadCluster"),
            Never("deployments"),
        ],
    ),
    step("kubectl get deployments", &[Line(NO_DEPLOYMENTS)]),
    part(
        "Learning APIs from a physical cluster",
        "kubectl kcp workload sync ocp-sno --syncer-image quay.io/mavazque/kcp-syncer:latest > syncer-ocp-sno.yaml",
        &[],
    ),
    step(
        "cat syncer-ocp-sno.yaml | grep '\\--resource'",
        &[
            Line("- --resources=configmaps"),
            Line("- --resources=deployments.apps"),
            Line("- --resources=secrets"),
            Line("- --resources=serviceaccounts"),
        ],
    ),
    step("kubectl --kubeconfig $SNO apply -f syncer-ocp-sno.yaml", &[Never("rror")]),
    soon("kubectl api-resources | grep -i deployment", &[Line("deployments deploy apps/v1 true Deployment")]),
    soon("kubectl get workloadclusters", &[Starts("ocp-sno ocp-sno True")]),
    part("Deploying", "kubectl create namespace reverse-words", &[Line("namespace/reverse-words created")]),
    soon(
        "kubectl get namespace reverse-words -o jsonpath='{.metadata.labels.workloads\\.kcp\\.dev/cluster}'",
        &[Line("ocp-sno")],
    ),
    step(
        "kubectl -n reverse-words create deployment reversewords --image quay.io/mavazque/reversewords:latest",
        &[Line("deployment.apps/reversewords created")],
    ),
    step("kubectl get pods", &[Line("error: the server doesn't have a resource type \"pods\"")]),
    soon(
        "kubectl -n reverse-words describe deployment reversewords",
        &[
            Line("Name: reversewords"),
            Line("Labels: app=reversewords"),
            Line("workloads.kcp.dev/cluster=ocp-sno"),
            Line("Annotations: <none>"),
            Line("Replicas: 1 desired | 1 updated | 1 total | 1 available | 0 unavailable"),
            Line("StrategyType:"),
            Line("Available True MinimumReplicasAvailable"),
            Line("Progressing True NewReplicaSetAvailable"),
            Line("Events: <none>"),
        ],
    ),
    step(
        "kubectl --kubeconfig $SNO get pods -A -l app=reversewords",
        &[Starts("kcp3afd937aa61b43734af460119cd405930ccbdeade88b713fc804a0d6 reversewords-")],
    ),
    part("A second team", "kubectl ws ..", &[Line("Current workspace is \"root:telcops\".")]),
    step(
        "kubectl ws create team-b --enter",
        &[
            Starts("Workspace \"team-b\" (type \"Universal\") created."),
            Line("Current workspace is \"root:telcops:team-b\" (type \"Universal\")."),
        ],
    ),
    step("kubectl api-resources | grep -i deployment", &[Nothing]),
    step("kubectl get deployments", &[Line(NO_DEPLOYMENTS)]),
    step(
        "kubectl kcp workload sync ocp-ztp --syncer-image quay.io/mavazque/kcp-syncer:latest > syncer-ocp-ztp.yaml",
        &[],
    ),
    step("kubectl --kubeconfig $ZTP apply -f syncer-ocp-ztp.yaml", &[Never("rror")]),
    soon("kubectl api-resources | grep -i deployment", &[Line("deployments deploy apps/v1 true Deployment")]),
    soon("kubectl get workloadclusters", &[Starts("ocp-ztp ocp-ztp True")]),
    step("kubectl create namespace reverse-words", &[Line("namespace/reverse-words created")]),
    soon(
        "kubectl get namespace reverse-words -o jsonpath='{.metadata.labels.workloads\\.kcp\\.dev/cluster}'",
        &[Line("ocp-ztp")],
    ),
    step(
        "kubectl -n reverse-words create deployment reversewords --image quay.io/mavazque/reversewords:latest",
        &[Line("deployment.apps/reversewords created")],
    ),
    soon(
        "kubectl -n reverse-words describe deployment reversewords",
        &[
            Line("workloads.kcp.dev/cluster=ocp-ztp"),
            Line("Replicas: 1 desired | 1 updated | 1 total | 1 available | 0 unavailable"),
        ],
    ),
    step(
        "kubectl --kubeconfig $ZTP get pods -A -l app=reversewords",
        &[Starts("kcpeed022296263aa537060763c3934139fb84185e2a39a8dcf8695c89e reversewords-")],
    ),
    step(
        "kubectl --kubeconfig $SNO get namespaces",
        &[Never("kcpeed022296263aa537060763c3934139fb84185e2a39a8dcf8695c89e")],
    ),
    part("Cleaning up", "kubectl --kubeconfig $SNO delete -f syncer-ocp-sno.yaml", &[Never("rror")]),
    step("kubectl --kubeconfig $ZTP delete -f syncer-ocp-ztp.yaml", &[Never("rror")]),
    step(
        "kubectl --kubeconfig $SNO get pods -A -l app=reversewords",
        &[Starts("kcp3afd937aa61b43734af460119cd405930ccbdeade88b713fc804a0d6 reversewords-")],
    ),
    step(
        "kubectl --kubeconfig $SNO get ns -o name | grep namespace/kcp.* | xargs kubectl --kubeconfig $SNO delete",
        &[Line("namespace \"kcp3afd937aa61b43734af460119cd405930ccbdeade88b713fc804a0d6\" deleted")],
    ),
    step(
        "kubectl --kubeconfig $ZTP get ns -o name | grep namespace/kcp.* | xargs kubectl --kubeconfig $ZTP delete",
        &[Line("namespace \"kcpeed022296263aa537060763c3934139fb84185e2a39a8dcf8695c89e\" deleted")],
    ),
];

/// How long something that comes by itself may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before a command is typed again.
const RETRY: Duration = Duration::from_millis(100);

/// Where and with what the commands are typed.
pub(crate) struct Shell {
    /// The working directory.
    pub(crate) dir: PathBuf,
    /// Variables besides those of this process; `$NAME` in what is expected stands for their values.
    pub(crate) env: BTreeMap<String, String>,
    /// Whether to colour.
    pub(crate) colour: bool,
}

impl Shell {
    /// Types the whole tour, showing each command and its result.
    ///
    /// # Errors
    /// When a command cannot be run or does not show what it must.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let start = Instant::now();
        for (i, step) in STEPS.iter().enumerate() {
            if !step.part.is_empty() {
                println!("\n{}", self.paint("1", &format!("# {}", step.part)));
            }
            println!(
                "{} {}",
                self.paint("2", &format!("[{:>2}/{}]", i + 1, STEPS.len())),
                self.paint("36", &format!("$ {}", step.command))
            );
            let output = self.type_until_seen(step)?;
            print!("{output}");
            std::io::stdout().flush()?;
        }
        println!(
            "\n{} {} commands in {:.1} s, all as they should be.",
            self.paint("32", "Done:"),
            STEPS.len(),
            start.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn type_until_seen(&self, step: &Step) -> anyhow::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.type_once(step.command)?;
            match self.missing(&output, step.expect) {
                None => return Ok(output),
                Some(_) if step.eventually && Instant::now() < deadline => std::thread::sleep(RETRY),
                Some(missing) => {
                    print!("{output}");
                    bail!("`{}` did not show what it must: {missing}", step.command)
                }
            }
        }
    }

    /// Runs one line with a shell and gives what it prints.
    fn type_once(&self, command: &str) -> anyhow::Result<String> {
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(&self.dir)
            .envs(&self.env)
            .stdin(Stdio::null())
            .output()
            .context("cannot run a shell")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn missing(&self, output: &str, expect: &[Expect]) -> Option<String> {
        let fold = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = output.lines().map(fold).collect();
        let fill = |s: &str| self.env.iter().fold(s.to_owned(), |s, (k, v)| s.replace(&format!("${k}"), v));
        expect.iter().find_map(|e| match e {
            Line(text) => (!lines.contains(&fold(&fill(text)))).then(|| format!("the line {:?}", fill(text))),
            Starts(text) => (!lines.iter().any(|l| l.starts_with(&fill(text))))
                .then(|| format!("a line that starts with {:?}", fill(text))),
            Never(text) => lines.iter().find(|l| l.contains(text)).map(|l| format!("the line {l:?} must not be there")),
            Nothing => (!output.trim().is_empty()).then(|| "nothing must be printed".to_owned()),
        })
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_can_fail() {
        let shell = Shell { dir: ".".into(), env: [("HOST".to_owned(), "https://h".to_owned())].into(), colour: false };
        let out = "NAME   URL\na      https://h/x\n";
        assert_eq!(shell.missing(out, &[Line("a $HOST/x"), Starts("NAME"), Never("b")]), None);
        assert!(shell.missing(out, &[Line("a")]).is_some());
        assert!(shell.missing(out, &[Starts("URL")]).is_some());
        assert!(shell.missing(out, &[Never("https")]).is_some());
        assert!(shell.missing(out, &[Nothing]).is_some());
    }
}
