//! Everything git: reading a repository, and changing it so that nothing of the user's gets lost.
//!
//! Two ways lead in. gix reads refs, history and indexes in this process, and writes the refs that are ours
//! alone. What decides over somebody's files, or must come out exactly as git would do it (checkouts,
//! merges, commits, the move of the target), is done by git itself through [`command`], the one place that
//! spawns it; so is whatever gix can't do just as git would. Everything here is synchronous, and takes
//! the repository by explicit paths: no function looks at the current directory or at `GIT_DIR`.

mod abandoned;
mod changed;
mod command;
mod config;
mod durable;
mod foretell;
mod guard;
mod here;
mod hooks;
mod identity;
mod index;
mod index_lock;
mod leash;
mod merge;
mod obstacles;
mod publish;
mod recover;
mod ref_edit;
mod refs;
mod removal;
mod repository;
mod snapshot;
mod stale_locks;
mod status;
#[cfg(test)]
mod testing;
mod tree;
mod worktree;

pub use abandoned::abandoned;
pub use command::{Git, LOCAL_ENV_VARS};
pub use config::Config;
pub use durable::make_durable;
pub use foretell::{Foresight, Foretold, Outlook};
pub use guard::SharedGuard;
pub use here::{MergeHere, conclude_merge, merge_here};
pub use identity::check_identity;
pub use leash::Leash;
pub use merge::{Merged, changed_paths, diff_stat, merge, merge_message};
pub use publish::{Published, publish};
pub use recover::recover;
pub use refs::{
    Expect, Head, branch_tip, check_branch_name, commits_of_reflog_head, count_commits, delete_ref, head,
    is_ancestor, list, local_branch, merge_bases, resolve, set_ref,
};
pub use removal::{finish_removal, prune_parents, remove, why_kept, why_never};
pub use repository::{Repository, git_version};
pub use snapshot::snapshot;
pub use stale_locks::{clear_own_locks, clear_stale_locks};
pub use status::{
    changes, changes_in, commit_leftovers, has_conflict_markers, index_locked, operation_in_progress,
};
pub use tree::{tree_has, tree_size};
pub use worktree::{
    NewBranch, Sight, Worktree, add, admin_dir, checkout, inspect, take_back, worktree_at, worktrees,
};
