//! `git parallel demo`.
use crate::cli::DemoArgs;
pub fn demo(_args: &DemoArgs) -> anyhow::Result<u8> {
    anyhow::bail!("not yet")
}
