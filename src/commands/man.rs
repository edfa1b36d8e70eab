//! `git parallel man`.
use crate::cli::ManArgs;
pub fn man(_args: &ManArgs) -> anyhow::Result<u8> {
    anyhow::bail!("not yet")
}
pub fn pages() {}
