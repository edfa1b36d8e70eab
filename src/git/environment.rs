//! What every call of git finds in its environment and configuration, and what it must not find there.

pub use crate::plan::LOCAL_ENV_VARS;

/// Of [`LOCAL_ENV_VARS`], those that carry the user's own `git -c key=value`: our git obeys them.
pub(super) const USERS_CONFIG: [&str; 2] = ["GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"];

/// What git must not stop to ask. `LANGUAGE` alone switches the translation of messages off; `LC_ALL`
/// would also change the character set under which the user's filters and hooks run.
pub(super) const QUIET_ENV: [(&str, &str); 10] = [
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_EDITOR", ":"),
    ("GIT_SEQUENCE_EDITOR", ":"),
    ("GIT_PAGER", "cat"),
    ("GIT_MERGE_AUTOEDIT", "no"),
    ("GIT_ASKPASS", "true"),
    ("SSH_ASKPASS", "true"),
    ("SSH_ASKPASS_REQUIRE", "force"),
    ("GCM_INTERACTIVE", "never"),
    ("LANGUAGE", "C"),
];

/// Configuration of every call. `core.fsync=all` because a landing rests on objects, refs and indexes
/// alike, and git's default syncs no ref.
pub(super) const CONFIG: [&str; 3] = ["gc.auto=0", "maintenance.auto=false", "core.fsync=all"];
