//! A run to test with: what was asked, with nothing remarkable about it.

use jiff::Timestamp;

use super::{Hooks, Leftovers, Oid, RunId, RunSpec, Strategy, TaskSpec};

/// The object id that is all zeros.
pub fn null_oid() -> Oid {
    "0".repeat(40).try_into().unwrap()
}

/// A run of tasks of these names, one agent at a time.
pub fn spec(names: &[&str]) -> RunSpec {
    let task = |name: &&str| TaskSpec {
        name: (*name).into(),
        branch: format!("feature/{name}").into(),
        worktree: format!("/w/{name}").into(),
        prompt: None,
        literal_from: None,
        reuse: false,
        reuse_worktree: false,
        depends_on: Vec::new(),
        agent: None,
        fallback: Vec::new(),
        group: None,
        stage: None,
        touches: Vec::new(),
        setup: None,
        base: None,
        timeout_ms: None,
        retries: None,
        env: Vec::new(),
        overwrite: None,
        runner: None,
        skip: false,
    };
    RunSpec {
        version: RunSpec::VERSION,
        id: RunId("20261120-143201-k3f9".to_owned()),
        started_at: Timestamp::UNIX_EPOCH,
        target: "main".into(),
        base: null_oid(),
        root: "/r".into(),
        agent: vec!["agent".into()],
        agent_name: None,
        agent_shell: false,
        jobs: 1,
        strategy: Strategy::Merge,
        no_ff: false,
        land: true,
        keep: false,
        leftovers: Leftovers::Commit,
        timeout_ms: None,
        retries: 0,
        verify: None,
        on_conflict: None,
        atomic: false,
        keep_going: false,
        gates: Default::default(),
        regenerate: Vec::new(),
        include: Vec::new(),
        usage_patterns: Vec::new(),
        pacing: Default::default(),
        hooks: Hooks::default(),
        runners: Vec::new(),
        tasks: names.iter().map(task).collect(),
    }
}
