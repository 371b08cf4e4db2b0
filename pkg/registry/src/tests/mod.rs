//! The verbs together, over a store in memory.

mod creates;
mod definitions;
mod deletes;
mod hot_path;
mod lists;
mod updates;
mod watches;
mod workspaces;
