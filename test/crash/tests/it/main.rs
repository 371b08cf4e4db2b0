//! Crash tests: processes are killed, disks are cut off and filled, and everything that was acknowledged must be there.
//!
//! | variable | meaning |
//! |---|---|
//! | `KCP_CRASH_CYCLES` | kills, 15 by default |
//! | `KCP_CRASH_CUTS` | power cuts, 4 by default; they need root and loop devices |

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "in tests a panic is the report, and numbers are printed")]

mod full;
mod kill;
mod mounts;
mod power;
mod verify;
