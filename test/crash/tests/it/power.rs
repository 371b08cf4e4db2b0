//! Power cuts: the disk keeps what it was given, the machine forgets the rest.
//!
//! The store lies on an ext4 file system in an image. At a random moment the writer is stopped and the image is copied:
//! what only the page cache of that file system has is not in the copy, as after a cut. The copy is mounted and checked;
//! then the writer goes on, on the copy.

use std::{process::Command, thread::sleep, time::Duration};

use kcp_test_crash::Random;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    mounts::{Mount, run},
    verify::{Crash, Ledger, seed, setting},
};

#[test]
fn every_acknowledged_write_survives_a_power_cut() {
    let cuts = setting("KCP_CRASH_CUTS", 4);
    let seed = seed();
    let mut random = Random(seed);
    let other = tempfile::tempdir().unwrap();
    let image = |number: u64| other.path().join(format!("image-{number}"));
    if let Err(reason) = Mount::make_image(&image(0), 768).and_then(|()| Mount::image(&image(0)).map(drop)) {
        eprintln!("power cuts: SKIPPED, there is no way to mount an image here: {reason}");
        return;
    }
    let crash = Crash { notes: other.path().join("notes") };
    let mut ledger = Ledger::default();
    for cut in 0..cuts {
        let mount = Mount::image(&image(cut)).unwrap();
        let mut child = crash.start(&mount.path.join("data"), &ledger);
        sleep(Duration::from_millis(150 + random.below(1200)));
        kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
        run(Command::new("cp").arg("--sparse=always").arg(image(cut)).arg(image(cut + 1))).unwrap();
        let notes = crash.read();
        child.kill().unwrap();
        child.wait().unwrap();
        drop(mount);
        std::fs::remove_file(image(cut)).unwrap();
        let mount = Mount::image(&image(cut + 1)).unwrap();
        if mount.path.join("data/FORMAT").exists() {
            ledger.verify(&mount.path.join("data"), &notes, cut % 4 == 3);
        } else {
            assert_eq!(notes, [], "cut {cut}: the store is gone");
        }
        drop(mount);
    }
    eprintln!(
        "power cuts: {cuts} cuts, {} acknowledged writes, 0 lost, slowest open {:?} (seed {seed})",
        ledger.acknowledged, ledger.slowest_open
    );
}
