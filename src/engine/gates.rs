//! What holds finished work for a person though it could be landed: a file too large, a path that is
//! protected, refs of others that moved while its agent ran.
//!
//! A gate asks for a look, it is no wall: whoever names the task to `git parallel land` has looked.

mod others;
mod refs;

use anyhow::Result;

use super::Context;
use crate::git;
use crate::run::{Oid, Task, Text, name_some};

pub(super) use others::{Asked, Others};
pub(super) use refs::{moved, remember};

/// Why the change from `from` to `tip` is held; empty if it is not.
///
/// # Errors
/// If git can't tell what is changed.
pub(super) fn look_at_change(context: &Context, task: &Task, from: &Oid, tip: &Oid) -> Result<Vec<String>> {
    let mut reasons = Vec::new();
    if task.land_named {
        return Ok(reasons);
    }
    let gates = &context.spec.gates;
    if let Some(limit) = gates.max_file_size {
        let large = git::larger_files(&context.repo, from, tip, limit)?;
        if !large.is_empty() {
            let told: Vec<Text> =
                large.iter().map(|(path, bytes)| format!("{path} ({})", size(*bytes)).into()).collect();
            let limit = size(limit);
            reasons.push(format!("larger than parallel.maxFileSize ({limit}): {}", name_some(&told)));
        }
    }
    let protected = git::changed_matching(&context.repo, from, tip, &gates.protected)?;
    if !protected.is_empty() {
        reasons.push(format!("changes what parallel.protected names: {}", name_some(&protected)));
    }
    Ok(reasons)
}

/// An amount of data in the units of the configuration.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes >= 1 << shift) {
        Some((shift, unit)) if bytes.trailing_zeros() >= *shift => format!("{} {unit}", bytes >> shift),
        Some((shift, unit)) => format!("{:.1} {unit}", bytes as f64 / f64::from(1u32 << shift)),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_they_are_configured() {
        let told = [0, 1023, 1024, 1536, 5 << 20, (5 << 20) + 100_000, 3 << 30].map(size);
        assert_eq!(told, ["0 bytes", "1023 bytes", "1 KiB", "1.5 KiB", "5 MiB", "5.1 MiB", "3 GiB"]);
    }
}
