//! `git parallel completions`.
use crate::cli::CompletionsArgs;
pub fn completions(_args: &CompletionsArgs) -> anyhow::Result<u8> {
    anyhow::bail!("not yet")
}
pub fn script() {}
