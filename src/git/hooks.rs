//! Which hooks git would run, so that it need not be started only to find out that there is none.

use std::path::Path;

use bstr::ByteSlice;
use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::Repository;
use crate::run::Text;

/// Whether git, at work in the directory `place`, would run this hook, by the rules of `find_hook` (hook.c).
/// When in doubt it would.
pub(super) fn may_run(repo: &Repository, hook: &str, place: &Path) -> bool {
    let Some(config) = repo.config() else { return true };
    // `hook.NAME.command` and its kin: newer versions of git take hooks from the configuration too.
    if config.has_section("hook") {
        return true;
    }
    let dir = match config.string("core.hookspath") {
        None => repo.common_dir.join("hooks"),
        Some(dir) => match expand(&dir) {
            Some(dir) => place.join(dir.as_path()),
            None => return true,
        },
    };
    match access(dir.join(hook), Access::EXEC_OK) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => false,
        Ok(()) | Err(_) => true,
    }
}

/// A path as it stands in the configuration; `None` for the forms that only git can resolve.
fn expand(path: &Text) -> Option<Text> {
    let bytes: &[u8] = path.as_bstr();
    if let Some(rest) = bytes.strip_prefix(b"~/") {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
        return Some(Path::new(&home).join(Text::from(rest).as_path()).into());
    }
    let plain = !bytes.is_empty() && !bytes.starts_with(b"~") && !bytes.starts_with(b"%(");
    // `:(optional)` goes before a path that need not be there.
    (plain && !bytes.starts_with_str(":(")).then(|| path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn install(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_hook_is_one_that_git_would_execute() {
        let sandbox = Sandbox::new();
        let hook = sandbox.repo.join(".git/hooks/post-checkout");
        let seen = |sandbox: &Sandbox| may_run(&sandbox.repository(), "post-checkout", &sandbox.repo);
        let _ = fs::remove_file(&hook);
        assert!(!seen(&sandbox));
        install(&hook, 0o644);
        assert!(!seen(&sandbox), "not executable");
        install(&hook, 0o755);
        assert!(seen(&sandbox));
        sandbox.git(&["config", "core.hooksPath", ".githooks"]);
        assert!(!seen(&sandbox), "hooks are elsewhere");
        install(&sandbox.repo.join(".githooks/post-checkout"), 0o755);
        assert!(seen(&sandbox));
        assert!(!may_run(&sandbox.repository(), "post-checkout", sandbox.root()), "relative to the worktree");
    }

    #[test]
    fn what_only_git_can_tell_is_left_to_it() {
        let sandbox = Sandbox::new();
        for (key, value) in
            [("core.hooksPath", "%(prefix)/hooks"), ("core.hooksPath", ""), ("hook.check.command", "true")]
        {
            sandbox.git(&["config", key, value]);
            assert!(may_run(&sandbox.repository(), "post-checkout", &sandbox.repo), "{key}={value}");
            sandbox.git(&["config", "--unset", key]);
        }
    }
}
