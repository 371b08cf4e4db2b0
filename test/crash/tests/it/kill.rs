//! kill -9, again and again, on one directory.

use std::{thread::sleep, time::Duration};

use kcp_test_crash::Random;

use crate::verify::{Crash, Ledger, seed, setting};

#[test]
fn every_acknowledged_write_survives_kill_9() {
    let cycles = setting("KCP_CRASH_CYCLES", 15);
    let seed = seed();
    let mut random = Random(seed);
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let directory = data.path().join("data");
    let crash = Crash { notes: other.path().join("notes") };
    let mut ledger = Ledger::default();
    for cycle in 0..cycles {
        let mut child = crash.start(&directory, &ledger);
        // Some kills hit the opening, most the writing.
        sleep(Duration::from_millis(if random.below(5) == 0 { random.below(40) } else { 60 + random.below(440) }));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "cycle {cycle}: the writer ended by itself");
        if !directory.join("FORMAT").exists() {
            assert_eq!(crash.read(), [], "nothing is acknowledged before the directory is complete");
            continue;
        }
        ledger.verify(&directory, &crash.read(), cycle % 10 == 9);
    }
    eprintln!(
        "kill -9: {cycles} cycles, {} acknowledged writes, 0 lost, slowest open {:?} (seed {seed})",
        ledger.acknowledged, ledger.slowest_open
    );
    assert!(cycles < 5 || ledger.acknowledged > 0);
}
