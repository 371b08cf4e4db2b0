//! The end-to-end tests are in `tests/it`; this crate exists so that only tests depend on what they need.
