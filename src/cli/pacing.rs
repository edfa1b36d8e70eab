//! When agents are started, as the command line says it.

use clap::Args;

use crate::plan::{parse_cost, parse_load, parse_size};

/// What holds new starts back.
#[derive(Debug, Args)]
pub struct PacingArgs {
    /// Start no agent while the load average is N or more [default: no limit, parallel.maxLoad]
    #[arg(long, value_name = "N", value_parser = parse_load)]
    pub max_load: Option<f64>,
    /// Start no agent while less memory is available, such as 2g [default: no limit, parallel.minFreeMemory]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub min_free_memory: Option<u64>,
    /// Start no more agents once they told that they cost so many US dollars [default: no limit, parallel.maxCost]
    #[arg(long, value_name = "USD", value_parser = parse_cost)]
    pub max_cost: Option<u64>,
}
