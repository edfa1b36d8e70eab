//! The agent commands that are known, and how each is called where nobody can answer it.
//!
//! What they have in common: nobody is asked, so what would be asked for is denied, or fails. Each is given
//! the least with which it can change files in its worktree unattended. Whether it may also run commands
//! (tests, `git commit`) is told in [`Known::may`]; it need not commit, since what an agent leaves is
//! committed by the run. A prompt is any text: where it is an argument, it follows `--` or `=`, so that one
//! that begins with a dash is no option; where the agent reads a file, it is given as one.
//!
//! Each was looked up in the agent's own documentation ([`Known::docs`]), and in its source where that is
//! public, in November 2026.

/// A known agent command.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What it is called here.
    pub name: &'static str,
    /// What it calls itself.
    pub title: &'static str,
    /// Its executable.
    pub program: &'static str,
    /// The arguments that make it work unattended.
    pub options: &'static [&'static str],
    /// The arguments that hand it the prompt; they come last.
    pub prompt: &'static [&'static str],
    /// What it may do so, in a sentence.
    pub may: &'static str,
    /// Where that was looked up.
    pub docs: &'static str,
}

/// All of them, in the order in which they are told.
pub const KNOWN: &[Known] = &[
    // Print mode skips the question whether the directory is trusted. `--` ends options that take any number
    // of values, such as `--allowedTools` (https://github.com/anthropics/claude-code/issues/25978).
    Known {
        name: "claude",
        title: "Claude Code",
        program: "claude",
        options: &["-p", "--permission-mode", "acceptEdits"],
        prompt: &["--", "{prompt}"],
        may: "acceptEdits lets it edit files and use mkdir, mv and the like in its worktree; other commands \
              are denied unless your settings or --allowedTools allow them",
        docs: "https://code.claude.com/docs/en/permission-modes",
    },
    // `codex exec` never asks, and is read-only unless told otherwise.
    Known {
        name: "codex",
        title: "OpenAI Codex CLI",
        program: "codex",
        options: &["exec", "--sandbox", "workspace-write"],
        prompt: &["--", "{prompt}"],
        may: "workspace-write lets it edit files and run commands, in a sandbox that can write to its \
              worktree and has no network; the repository is outside of it, so it can't commit",
        docs: "https://developers.openai.com/codex/noninteractive",
    },
    // Where nobody can be asked, what is not allowed is denied (docs/reference/policy-engine.md).
    Known {
        name: "gemini",
        title: "Gemini CLI",
        program: "gemini",
        options: &["--approval-mode=auto_edit"],
        prompt: &["--prompt={prompt}"],
        may: "auto_edit lets it edit files in its worktree; commands are denied unless your policies allow \
              them. If you use trusted folders, trust the directory of the worktrees",
        docs: "https://geminicli.com/docs/reference/policy-engine",
    },
    // What asks for permission is rejected in `run`; by default, only what is outside of the directory does.
    Known {
        name: "opencode",
        title: "OpenCode",
        program: "opencode",
        options: &["run"],
        prompt: &["--", "{prompt}"],
        may: "it may do what its own configuration allows: by default, edit files and run commands; what would \
              be asked for, such as files outside of its worktree, is rejected",
        docs: "https://opencode.ai/docs/permissions",
    },
    // Says no to shell commands even with --yes-always, since these need an explicit yes (aider/io.py). A
    // question about an update would be answered yes, too.
    Known {
        name: "aider",
        title: "aider",
        program: "aider",
        options: &["--yes-always", "--no-check-update"],
        prompt: &["--message-file", "{prompt_file}"],
        may: "yes-always lets it edit and commit files; the shell commands that it suggests are not run",
        docs: "https://aider.chat/docs/scripting.html",
    },
    Known {
        name: "amp",
        title: "Amp",
        program: "amp",
        options: &[],
        prompt: &["--execute={prompt}"],
        may: "it may do what its own permission rules allow: by default, all that you can",
        docs: "https://ampcode.com/manual",
    },
    Known {
        name: "goose",
        title: "goose",
        program: "goose",
        options: &["run"],
        prompt: &["--instructions", "{prompt_file}"],
        may: "it may do what its permission mode (GOOSE_MODE) allows: by default, all that you can",
        docs: "https://block.github.io/goose/docs/guides/goose-permissions",
    },
    // Print mode applies no change without --force, which also says that the directory is trusted.
    Known {
        name: "cursor-agent",
        title: "Cursor CLI",
        program: "cursor-agent",
        options: &["--print", "--force"],
        prompt: &["--", "{prompt}"],
        may: "force lets it do all that you can, less what its permissions deny; without it, no file is changed",
        docs: "https://cursor.com/docs/cli/headless",
    },
    Known {
        name: "copilot",
        title: "GitHub Copilot CLI",
        program: "copilot",
        options: &["--allow-tool=write", "--no-ask-user"],
        prompt: &["--prompt={prompt}"],
        may: "allow-tool=write lets it edit files in its worktree; commands that change something are denied \
              unless another --allow-tool allows them",
        docs: "https://docs.github.com/en/copilot/reference/copilot-cli-reference/cli-programmatic-reference",
    },
    Known {
        name: "qwen",
        title: "Qwen Code",
        program: "qwen",
        options: &["--approval-mode=auto-edit"],
        prompt: &["--prompt={prompt}"],
        may: "auto-edit lets it edit files in its worktree; commands are denied unless your settings allow them",
        docs: "https://qwenlm.github.io/qwen-code-docs/en/users/features/approval-mode",
    },
    // `crush run` approves all that is asked for in its session (internal/app/app.go): it has no other mode.
    Known {
        name: "crush",
        title: "Crush",
        program: "crush",
        options: &["run", "--quiet"],
        prompt: &["--", "{prompt}"],
        may: "it may do all that you can: it has no other mode in which nobody is asked",
        docs: "https://github.com/charmbracelet/crush",
    },
    Known {
        name: "droid",
        title: "Factory Droid",
        program: "droid",
        options: &["exec", "--auto", "low"],
        prompt: &["--file", "{prompt_file}"],
        may: "auto low lets it edit files in its worktree; for builds, tests and packages: --auto medium",
        docs: "https://docs.factory.ai/cli/droid-exec/overview",
    },
    Known {
        name: "auggie",
        title: "Auggie CLI",
        program: "auggie",
        options: &["--print"],
        prompt: &["--instruction-file", "{prompt_file}"],
        may: "it may do what its tool permissions allow: without rules of yours, all that you can",
        docs: "https://docs.augmentcode.com/cli/permissions",
    },
    // Without --auto-approve, each tool is asked for, and nobody is there.
    Known {
        name: "cline",
        title: "Cline CLI",
        program: "cline",
        options: &["--auto-approve", "true"],
        prompt: &["--", "{prompt}"],
        may: "auto-approve lets it do all that you can: it has no other mode in which nobody is asked",
        docs: "https://docs.cline.bot/usage/cli-overview",
    },
    Known {
        name: "kiro",
        title: "Kiro CLI",
        program: "kiro-cli",
        options: &["chat", "--no-interactive", "--trust-tools=read,write"],
        prompt: &["--", "{prompt}"],
        may: "it may read and write files; commands are denied unless --trust-tools names shell as well",
        docs: "https://kiro.dev/docs/cli/headless",
    },
];
