//! The store's contract, run over every engine, and what only an engine with a disk can show.

mod contract;
mod support;
mod watches;
