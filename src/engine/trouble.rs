//! Errors of workers in the words that a record keeps.

use std::path::Path;

use super::Context;

/// With less than this left, a write that failed most likely failed for it.
const NOTHING_LEFT: u64 = 1 << 20;

/// The error with its causes; where a file system is full, it is named.
pub(super) fn words(context: &Context, error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    match full_place(context) {
        Some(place) => format!("{text}; the file system of {} is full", place.display()),
        None => text,
    }
}

/// Whether one of the file systems that a run works on is full.
pub(super) fn is_full(context: &Context) -> bool {
    full_place(context).is_some()
}

fn full_place(context: &Context) -> Option<&Path> {
    let places = [Some(context.repo.common_dir.as_path()), context.worktree_dir()];
    places.into_iter().flatten().filter_map(existing).find(|place| has_no_room(place))
}

fn existing(path: &Path) -> Option<&Path> {
    path.ancestors().find(|path| path.exists())
}

fn has_no_room(place: &Path) -> bool {
    crate::sys::free_space(place)
        .is_ok_and(|free| free.bytes < NOTHING_LEFT || free.inodes.is_some_and(|inodes| inodes == 0))
}
