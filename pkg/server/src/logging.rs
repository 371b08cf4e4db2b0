//! Log lines to standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::{
    error::StartError,
    options::{LogFormat, LogOptions},
};

/// Installs the process's logger. A second call in one process keeps the first logger.
///
/// # Errors
/// When the level is not one.
pub fn init_logging(options: &LogOptions) -> Result<(), StartError> {
    let filter = EnvFilter::try_new(&options.log_level)
        .map_err(|e| StartError::Flag { flag: "--log-level", detail: e.to_string() })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let _ = match options.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(())
}
