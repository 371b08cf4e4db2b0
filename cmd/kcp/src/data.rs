//! `kcp snapshot` and `kcp doctor`.
