//! Where the programs are.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context as _, bail};

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Looks for the programs in `folder` from now on, unless it was said before.
pub fn look_in(folder: &Path) {
    let _ = FOLDER.set(folder.to_owned());
}

/// The folder with our binaries.
fn folder() -> anyhow::Result<PathBuf> {
    if let Some(dir) = FOLDER.get() {
        return Ok(dir.clone());
    }
    if let Some(dir) = std::env::var_os("KCP_BIN_DIR") {
        return Path::new(&dir).canonicalize().with_context(|| format!("KCP_BIN_DIR {}", dir.display()));
    }
    let here = std::env::current_exe().context("cannot find this program")?;
    let mut dir = here.parent().context("this program lies nowhere")?;
    // A test's program lies in target/<profile>/deps.
    if dir.file_name().is_some_and(|n| n == "deps") {
        dir = dir.parent().context("target/<profile> is missing")?;
    }
    Ok(dir.to_owned())
}

/// The path of one of our programs.
///
/// # Errors
/// When it has not been built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let path = folder()?.join(name);
    if !path.exists() {
        bail!("{} is missing: run `./test/run`, or `cargo build` first", path.display());
    }
    Ok(path)
}

/// Fills `dir` with the kubectl plug-ins under the names that kubectl looks for.
///
/// # Errors
/// When they have not been built, or the folder cannot be written.
pub fn plugins(dir: &Path) -> anyhow::Result<()> {
    let target = binary("kubectl-kcp")?;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for name in ["kubectl-kcp", "kubectl-ws", "kubectl-workspaces", "kubectl-create-workspace"] {
        symlink(&target, dir.join(name)).with_context(|| format!("cannot link {name}"))?;
    }
    Ok(())
}
