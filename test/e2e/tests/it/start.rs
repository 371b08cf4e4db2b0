//! Starts that must fail, each with one clear line, and what a start leaves behind.

use std::{net::TcpListener, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::ensure;
use kcp_test_framework::{Exit, Kcp};

use crate::support::Result;

async fn fails(args: &[&str], dir: &std::path::Path, want: &[&str]) -> Result {
    let exit: Exit = Kcp::run_to_end(&[&["start"], args].concat(), dir, &[], Duration::from_secs(30)).await?;
    ensure!(exit.code.is_some_and(|c| c != 0), "kcp start {args:?} ended with {:?}", exit.code);
    let lines: Vec<&str> = exit.stderr.lines().filter(|l| l.starts_with("error: ")).collect();
    ensure!(lines.len() == 1, "kcp start {args:?} should say one thing:\n{}", exit.stderr);
    for text in want {
        ensure!(lines[0].contains(text), "kcp start {args:?} does not say {text:?}: {}", lines[0]);
    }
    ensure!(!exit.stderr.contains("panicked"), "{}", exit.stderr);
    Ok(())
}

#[tokio::test]
async fn a_start_that_cannot_work_says_why() -> Result {
    let temporary = tempfile::tempdir()?;
    let dir = temporary.path();
    let at = |name: &str| dir.join(name).display().to_string();
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let free = ["--bind-address", "127.0.0.1", "--secure-port", "0"];

    fails(&["--bind-address", "127.0.0.1", "--secure-port", &port], dir, &[&port, "--secure-port"]).await?;
    ensure!(!dir.join(".kcp").exists(), "a port that is taken is found before anything is written");

    // A file where the folder should be: nobody, root included, can make a folder there.
    std::fs::write(dir.join("file"), "")?;
    fails(&[&free[..], &["--root-directory", &at("file/below")]].concat(), dir, &["file/below"]).await?;

    for (name, text, why) in [
        ("short.csv", "token,user\n", "line 1"),
        ("twice.csv", "t,a,1\nt,b,2\n", "twice"),
        ("quote.csv", "t,a,1,\"x\n", "quote"),
    ] {
        std::fs::write(dir.join(name), text)?;
        let flags = ["--root-directory", &at("r1"), "--token-auth-file", &at(name)];
        fails(&[&free[..], &flags].concat(), dir, &["--token-auth-file", name, why]).await?;
    }
    let flags = ["--root-directory", &at("r1"), "--token-auth-file", &at("missing.csv")];
    fails(&[&free[..], &flags].concat(), dir, &["missing.csv"]).await?;
    std::fs::write(dir.join("not.pem"), "nothing")?;
    let flags = ["--root-directory", &at("r1"), "--client-ca-file", &at("not.pem")];
    fails(&[&free[..], &flags].concat(), dir, &["--client-ca-file"]).await?;

    fails(&["--external-hostname", "https://x/y"], dir, &["--external-hostname"]).await?;
    fails(&["--workload-cluster-heartbeat-threshold", "soon"], dir, &["soon"]).await?;
    fails(&["--no-such-flag"], dir, &["--no-such-flag"]).await?;
    fails(&["--secure-port", "99999"], dir, &["99999"]).await?;
    Ok(())
}

/// A kubeconfig whose token is not the one that the server knows is never overwritten and never believed.
#[tokio::test]
async fn a_foreign_kubeconfig_is_refused() -> Result {
    let (mut one, mut two) = (Kcp::start(&[]).await?, Kcp::start(&[]).await?);
    one.stop().await?;
    two.stop().await?;
    std::fs::copy(two.kubeconfig(), one.kubeconfig())?;
    let root = one.root_directory().display().to_string();
    let flags = ["--bind-address", "127.0.0.1", "--secure-port", "0", "--root-directory", &root];
    fails(&flags, one.dir(), &["admin.kubeconfig", "not valid anymore"]).await
}

#[tokio::test]
async fn two_servers_cannot_share_a_folder() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let root = kcp.root_directory().display().to_string();
    let flags = ["--bind-address", "127.0.0.1", "--secure-port", "0", "--root-directory", &root];
    fails(&flags, kcp.dir(), &["data"]).await?;
    // The one that runs is none the worse for it.
    kcp.client("root")?.get_path("/api").await?;
    Ok(())
}

#[tokio::test]
async fn a_start_leaves_private_files_and_stops_cleanly() -> Result {
    let mut kcp = Kcp::start(&[]).await?;
    let root = kcp.root_directory();
    let mode = |name: &str| Ok::<_, std::io::Error>(std::fs::metadata(root.join(name))?.permissions().mode() & 0o777);
    ensure!(mode("")? == 0o700);
    for file in ["admin.kubeconfig", ".admin-token-store", "sa.key", "ca.key", "apiserver.key"] {
        ensure!(mode(file)? == 0o600, "{file}: {:o}", mode(file)?);
    }
    let kubeconfig = std::fs::read_to_string(kcp.kubeconfig())?;
    for context in ["default", "root", "base", "cross-cluster", "system:admin", "shard-base"] {
        ensure!(kubeconfig.contains(&format!("name: \"{context}\"")), "{context}");
    }
    let (kubectl, url) = (kcp.kubectl()?, kcp.url().to_owned());
    ensure!(kubectl.ok(&["config", "current-context"])?.trim() == "default");
    ensure!(kcp.stop().await? == Some(0), "SIGTERM must end it cleanly");
    // The second start writes none of it again.
    kcp.restart().await?;
    ensure!(std::fs::read_to_string(kcp.kubeconfig())? == kubeconfig);
    ensure!(kcp.url() == url);
    kubectl.ok(&["get", "namespaces"])?;
    Ok(())
}

/// W1 in spirit: `/readyz` and `/version` are for everybody, nothing else is (section 9 of the design).
#[tokio::test]
async fn anonymous_gets_health_and_version() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let nobody = crate::support::Raw::new(&kcp, "")?;
    for (path, code) in [
        ("/readyz", 200),
        ("/livez", 200),
        ("/healthz", 200),
        ("/version", 200),
        ("/clusters/root:default/version", 200),
        ("/", 403),
        ("/api", 403),
        ("/apis", 403),
        ("/openapi/v2", 403),
        ("/metrics", 403),
        ("/clusters/root/api", 403),
        ("/clusters/root:default/apis", 403),
        ("/clusters/root:nowhere/apis", 403),
    ] {
        let answer = nobody.get(path).await?;
        ensure!(answer.code == code, "{path}: {} {}", answer.code, answer.body);
    }
    Ok(())
}
