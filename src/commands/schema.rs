//! `git parallel schema`: what editors and other programs check JSON by.

use anyhow::Result;

use super::print;
use crate::cli::{SchemaArgs, SchemaName};
use crate::error::exit;
use crate::plan;

/// One line of `run --json`.
pub const EVENT: &str = include_str!("../../examples/event.schema.json");
const STATUS: &str = include_str!("../../examples/status.schema.json");
const REPORT: &str = include_str!("../../examples/report.schema.json");

/// Prints a schema.
pub fn schema(args: &SchemaArgs) -> Result<u8> {
    match args.name {
        SchemaName::Plan => print(&plan::file::schema())?,
        SchemaName::Event => print(EVENT)?,
        SchemaName::Status => print(STATUS)?,
        SchemaName::Report => print(REPORT)?,
    }
    Ok(exit::OK)
}
