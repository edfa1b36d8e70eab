//! Everything git: reading a repository, and changing it so that nothing of the user's gets lost.
//!
//! Two ways lead in. gix reads refs, history and indexes in this process, and writes the refs that are ours
//! alone; merges that need no engine ([`trivial`]) and the commits of merges ([`objects`]) are made here as well.
//! What decides over somebody's files, or must come out exactly as git would do it (checkouts, all other merges,
//! the move of the target), is done by git itself through [`command`], the one place that spawns it; so is
//! whatever gix can't do just as git would. Everything here is synchronous, and takes the repository by explicit
//! paths: no function looks at the current directory or at `GIT_DIR`.

mod abandoned;
mod candidate;
mod changed;
mod command;
mod config;
mod counted;
mod durable;
mod environment;
mod exact;
mod fan_out;
mod foretell;
mod guard;
mod here;
mod history;
mod hooks;
mod identity;
mod include;
mod index;
mod index_lock;
mod leash;
mod listed;
mod merge;
mod moves;
mod objects;
mod obstacles;
mod parcel;
mod pathspec;
mod publish;
mod rebase;
mod recover;
mod ref_edit;
mod refs;
mod removal;
mod repository;
mod revert;
mod scratch;
mod settle;
mod snapshot;
mod squash;
mod stale_locks;
mod standing;
mod status;
#[cfg(test)]
mod testing;
mod threads;
mod tree;
mod trivial;
mod trunk;
mod unseen;
mod worktree;

pub use abandoned::abandoned;
pub use candidate::{Merged, Wish, candidate, settled_candidate};
pub use command::Git;
pub use config::Config;
pub use durable::make_durable;
pub use environment::LOCAL_ENV_VARS;
pub use exact::is_exactly_head;
pub use fan_out::{Blank, FanOut, Filled, Known, Spare};
pub use foretell::{Foresight, Foretold, Outlook};
pub use guard::SharedGuard;
pub use here::{
    MergeHere, Staged, changed_beside, conclude_merge, continue_rebase, merge_commit_here, merge_here,
    rebase_here, record_resolution, reset_branch_here, stage_tracked, staged, write_index_tree,
};
pub use identity::{check_identity, identity};
pub use include::{INCLUDE_FILE, include_file, included};
pub use leash::Leash;
pub use merge::{changed_paths, diff_stat, tree_of};
pub use moves::{
    branches_and_tags, commit_of, has_object, head_was_on, history_of_head, is_on_a_ref, was_fetched,
    was_transferred,
};
pub use parcel::{Wanted, attributed, check_whole, excluded, known, pack, shallow, unpack};
pub use pathspec::{changed_matching, check_pathspecs, larger_files, tree_matching};
pub use publish::{Published, publish};
pub use rebase::OLDEST_GIT_FOR_REBASE;
pub use recover::recover;
pub use refs::{
    Expect, Head, branch_tip, check_branch_name, commits_of_reflog_head, count_commits, delete_ref, head,
    is_ancestor, is_merge_of, list, local_branch, log, merge_bases, new_commits, resolve, set_ref,
};
pub use removal::{delete_retired, finish_removal, prune_parents, remove, retire, why_kept, why_never};
pub use repository::{Repository, git_version};
pub use revert::{Named, Reversal, Reverted, commits_that_change, has_merges, last_landing, revert};
pub use scratch::{Scratch, discard_scratch, is_scratch};
pub use settle::{has_recorded_resolutions, merge_in, stage_matching, staged_tree, take_from};
pub use snapshot::snapshot;
pub use stale_locks::{clear_locks_of_the_dead, clear_own_locks, clear_stale_locks};
pub use standing::{Standing, add_reflog, put, standing};
pub use status::{
    changes, changes_in, commit_leftovers, has_conflict_markers, ignored_files, index_locked,
    operation_in_progress,
};
pub use threads::waiting_in_parallel;
pub use tree::{tree_has, tree_size};
pub use unseen::{Unseen, clear_nursery, only_git_can_add};
pub use worktree::{
    NewBranch, Sight, Worktree, add, admin_dir, checkout, inspect, post_checkout, take_back, worktree_at,
    worktrees,
};
