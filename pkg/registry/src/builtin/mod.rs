//! The built-in kinds.

mod codec;
pub mod data;
pub mod print;
pub mod table;
