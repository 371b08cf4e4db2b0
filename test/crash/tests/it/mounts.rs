//! File systems for tests, where root can make them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A mounted file system; unmounted when dropped.
pub(crate) struct Mount {
    pub(crate) path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Mount {
    /// Mounts, or says why it cannot.
    pub(crate) fn new(args: &[&str]) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = directory.path().to_owned();
        let mut command = Command::new("mount");
        run(command.args(args).arg(&path))?;
        Ok(Self { path, _directory: directory })
    }

    /// Mounts an image of an ext4 file system.
    pub(crate) fn image(image: &Path) -> Result<Self, String> {
        // The journal must not be committed by itself while the image is being copied.
        Self::new(&["-t", "ext4", "-o", "loop,commit=60", &image.display().to_string()])
    }

    /// Makes such an image.
    pub(crate) fn make_image(image: &Path, megabytes: u64) -> Result<(), String> {
        let file = std::fs::File::create(image).map_err(|error| error.to_string())?;
        file.set_len(megabytes << 20).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("umount").arg(&self.path)) {
            eprintln!("{error}");
        }
    }
}

/// Runs a command; its error is what it printed.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
