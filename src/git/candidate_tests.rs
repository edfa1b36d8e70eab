use super::*;
use crate::git::testing::Sandbox;

struct Fork {
    sandbox: Sandbox,
    repo: Repository,
    left: Oid,
    right: Oid,
}

fn fork(base: &str, left: &str, right: &str) -> Fork {
    let sandbox = Sandbox::new();
    let base = sandbox.commit_aside(&sandbox.oid("HEAD"), base);
    let (left, right) = (sandbox.commit_aside(&base, left), sandbox.commit_aside(&base, right));
    Fork { repo: sandbox.repository(), sandbox, left, right }
}

impl Fork {
    fn make(&self, strategy: Strategy, onto: &Oid, tip: &Oid, no_ff: bool, landed: &[Oid]) -> Result<Merged> {
        let (branch, target) = (&"feature/a".into(), &"main".into());
        candidate(&self.repo, &Wish { onto, tip, strategy, no_ff, landed: landed.to_vec(), branch, target })
    }

    fn merge(&self, onto: &Oid, tip: &Oid, no_ff: bool) -> Merged {
        self.make(Strategy::Merge, onto, tip, no_ff, &[]).unwrap()
    }

    fn by(&self, strategy: Strategy, onto: &Oid, tip: &Oid) -> Merged {
        self.make(strategy, onto, tip, false, &[]).unwrap()
    }

    fn show(&self, format: &str, commit: &Oid) -> String {
        self.sandbox.git(&["show", "-s", &format!("--format={format}"), commit.as_str()])
    }

    /// A commit on top of `parent` by somebody, at a time of its own.
    fn commit_by(&self, parent: &Oid, script: &str, author: &str, message: &str) -> Oid {
        let made = self.sandbox.commit_aside(parent, script);
        let tree = format!("{made}^{{tree}}");
        let (name, email) = author.split_once(" <").unwrap();
        let settings = [
            format!("author.name={name}"),
            format!("author.email={}", email.trim_end_matches('>')),
            "i18n.commitEncoding=UTF-8".to_owned(),
        ];
        let mut args: Vec<&str> = settings.iter().flat_map(|setting| ["-c", setting]).collect();
        args.extend(["commit-tree", &tree, "-p", parent.as_str(), "-m", message]);
        self.sandbox.git(&args).try_into().unwrap()
    }
}

/// Of a candidate that is a commit.
#[track_caller]
fn made(merged: Merged, how: How) -> Oid {
    match merged {
        Merged::Candidate(commit, found) if found == how => commit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_shape_of_history_decides() {
    let f = fork("echo b >b", "echo l >l", "echo r >r");
    let first = f.sandbox.oid("main");
    assert_eq!(f.merge(&f.left, &first, false), Merged::UpToDate);
    assert_eq!(f.merge(&f.left, &f.left, true), Merged::UpToDate);
    assert_eq!(made(f.merge(&first, &f.left, false), How::FastForward), f.left);
    let commit = made(f.merge(&first, &f.left, true), How::Merge);
    assert_eq!(f.show("%P", &commit), format!("{first} {}", f.left));
    assert_eq!(f.show("%T", &commit), f.show("%T", &f.left));
    let commit = made(f.merge(&f.left, &f.right, false), How::Merge);
    assert_eq!(f.show("%s", &commit), "Merge branch 'feature/a' into main");
    assert_eq!(f.show("%an <%ae>", &commit), "A U Thor <author@example.com>");
    let tree = f.sandbox.git(&["ls-tree", "--name-only", commit.as_str()]);
    assert_eq!(tree, "README\nb\nl\nr");
    let orphan = f.sandbox.git(&["commit-tree", "-m", "orphan", "HEAD^{tree}"]).try_into().unwrap();
    for strategy in Strategy::ALL {
        assert!(matches!(f.by(strategy, &f.left, &orphan), Merged::Refused(_)), "{strategy:?}");
        assert_eq!(f.by(strategy, &f.left, &first), Merged::UpToDate, "{strategy:?}");
    }
    f.sandbox.fsck();
}

#[test]
fn conflicts_are_named_once_each() {
    let f = fork("echo b >b; echo d >'d e'", "echo l >b; rm 'd e'; echo x >n", "echo r >b; echo e >'d e'");
    for strategy in [Strategy::Merge, Strategy::Squash, Strategy::Rebase] {
        let expected = vec!["b".into(), "d e".into()];
        assert_eq!(f.by(strategy, &f.left, &f.right), Merged::Conflicts(expected));
    }
}

#[test]
fn attributes_and_configuration_are_the_users() {
    let all = |attributes: &str| {
        let base = format!("echo '{attributes}' >.gitattributes; echo x >log");
        let f = fork(&base, "echo l >>log", "echo r >>log");
        f.sandbox.git(&["config", "merge.mine.driver", "echo merged >%A"]);
        [Strategy::Merge, Strategy::Squash, Strategy::Rebase].map(|strategy| {
            match f.by(strategy, &f.left, &f.right) {
                Merged::Candidate(commit, _) => f.sandbox.git(&["show", &format!("{commit}:log")]),
                other => format!("{other:?}"),
            }
        })
    };
    assert!(all("")[0].starts_with("Conflicts"));
    assert_eq!(all("log merge=union"), ["x\nl\nr"; 3]);
    assert_eq!(all("log merge=mine"), ["merged"; 3]);
}

#[test]
fn a_signer_that_fails_is_an_error_with_a_hint() {
    let f = fork("true", "echo l >l", "echo r >r");
    f.sandbox.git(&["config", "commit.gpgSign", "true"]);
    f.sandbox.git(&["config", "gpg.program", "false"]);
    for strategy in [Strategy::Merge, Strategy::Squash, Strategy::Rebase] {
        let error = f.make(strategy, &f.left, &f.right, false, &[]).unwrap_err();
        assert!(error.to_string().starts_with("cannot sign the commit"), "{error}");
    }
}

#[test]
fn ff_only_takes_what_is_on_top_and_nothing_else() {
    let f = fork("echo b >b", "echo l >l", "echo r >r");
    let first = f.sandbox.oid("main");
    assert_eq!(made(f.by(Strategy::FfOnly, &first, &f.left), How::FastForward), f.left);
    // Also what merged the target in: that is what the user asked for.
    let caught_up = f.sandbox.commit_aside(&f.right, &format!("git merge -q {}", f.left));
    assert_eq!(made(f.by(Strategy::FfOnly, &f.left, &caught_up), How::FastForward), caught_up);
    let why = "Not possible to fast-forward main to feature/a";
    assert_eq!(f.by(Strategy::FfOnly, &f.left, &f.right), Merged::RebaseFirst(why.to_owned()));
}

/// The message is what git prepares for a squash, below a subject.
#[test]
fn a_squash_lists_its_commits_as_git_does() {
    let f = fork("echo b >b", "echo l >l", "echo 1 >r");
    let tip = f.sandbox.commit_aside(
        &f.right,
        &format!("echo 2 >r; git commit -qam 'Two\n\nwords';git merge -q {}", f.left),
    );
    f.sandbox.git(&["config", "log.date", "iso"]);
    f.sandbox.git(&["config", "format.pretty", "oneline"]);
    let commit = made(f.by(Strategy::Squash, &f.left, &tip), How::Squash);
    f.sandbox.git(&["checkout", "-q", "--detach", f.left.as_str()]);
    f.sandbox.git(&["merge", "-q", "--squash", tip.as_str()]);
    let gits = f.sandbox.read(".git/SQUASH_MSG");
    let expected = format!("Squash branch 'feature/a' into main\n\n{}", gits.trim_end());
    assert_eq!(f.show("%B", &commit).trim_end(), expected);
    assert_eq!(f.show("%P", &commit), f.left.as_str());
    assert_eq!(f.show("%T", &commit), f.show("%T", &tip));
    f.sandbox.fsck();
}

#[test]
fn a_squash_names_all_who_had_a_part() {
    let f = fork("echo b >b", "echo l >l", "true");
    let base = f.sandbox.oid(&format!("{}^", f.left));
    let user = "A U Thor <author@example.com>";
    let (ann, bob) = ("Ann Ä. <ann@example.com>", "Bob <bob@example.com>");
    let trailer =
        "One\n\nBody.\n\nCo-authored-by: BOB <BOB@example.com>\nCo-Authored-By: Cleo <c@example.com>";
    let one = f.commit_by(&base, "echo 1 >r", ann, trailer);
    let trailers = |commit: &Oid| f.show("%(trailers:key=Co-authored-by,separator=%x2C)", commit);
    // All by one: it stays theirs.
    let two = f.commit_by(&one, "echo 2 >r", ann, "Two");
    let squashed = made(f.by(Strategy::Squash, &f.left, &two), How::Squash);
    assert_eq!(f.show("%an <%ae>, %cn <%ce>", &squashed), format!("{ann}, {user}"));
    assert_eq!(
        trailers(&squashed),
        "Co-authored-by: BOB <BOB@example.com>,Co-authored-by: Cleo <c@example.com>"
    );
    // By several: it is the user's.
    let three = f.commit_by(&f.commit_by(&two, "echo 3 >r", bob, "Three"), "echo 4 >r", user, "Four");
    let squashed = made(f.by(Strategy::Squash, &f.left, &three), How::Squash);
    assert_eq!(f.show("%an <%ae>, %cn <%ce>", &squashed), format!("{user}, {user}"));
    assert_eq!(
        trailers(&squashed),
        format!("Co-authored-by: {ann},Co-authored-by: {bob},Co-authored-by: Cleo <c@example.com>")
    );
    // A single commit lends its subject.
    let squashed = made(f.by(Strategy::Squash, &f.left, &one), How::Squash);
    assert_eq!(f.show("%s", &squashed), "One");
    assert!(f.show("%b", &squashed).contains("Squashed commit of the following:\n\ncommit "));
}

/// A branch that goes on after its squash collides with nothing, and brings only what is new.
#[test]
fn a_squash_after_a_squash() {
    let f = fork("printf '1\\n2\\n3\\n' >f", "echo l >l", "printf '1\\ntwo\\n3\\n' >f");
    let first = made(f.by(Strategy::Squash, &f.left, &f.right), How::Squash);
    assert_eq!(f.by(Strategy::Squash, &first, &f.right), Merged::UpToDate, "not twice, even unknown");
    let on = f.sandbox.commit_aside(&f.right, "printf '1\\nzwei\\n3\\n' >f");
    assert!(matches!(f.by(Strategy::Squash, &first, &on), Merged::Conflicts(_)), "with itself");
    let landed = std::slice::from_ref(&f.right);
    for (strategy, how) in [(Strategy::Squash, How::Squash), (Strategy::Rebase, How::Rebase)] {
        let second = made(f.make(strategy, &first, &on, false, landed).unwrap(), how);
        assert_eq!(f.show("%P", &second), first.as_str());
        assert_eq!(f.sandbox.git(&["show", &format!("{second}:f")]), "1\nzwei\n3");
        assert!(!f.show("%B", &second).contains(f.right.as_str()), "the first is told already");
        // What was taken back on the target stays so, as after a merge.
        f.sandbox.git(&["checkout", "-q", "--detach", first.as_str()]);
        f.sandbox.git(&["revert", "--no-edit", first.as_str()]);
        let reverted = f.sandbox.oid("HEAD");
        let third = f.sandbox.commit_aside(&f.right, "echo new >new");
        let third = made(f.make(strategy, &reverted, &third, false, landed).unwrap(), how);
        assert_eq!(f.sandbox.git(&["show", &format!("{third}:f")]), "1\n2\n3");
    }
    f.sandbox.fsck();
}

#[test]
fn a_rebase_keeps_each_commit() {
    let f = fork("printf '1\\n2\\n3\\n' >f", "echo l >l; sed -i s/1/one/ f", "true");
    let ann = "Ann Ä. <ann@example.com>";
    let one = f.commit_by(&f.right, "sed -i s/3/three/ f", ann, "One\n\nBody\n with a space.");
    let same = f.commit_by(&one, "sed -i s/1/one/ f", ann, "As on the target");
    let empty = f.commit_by(&same, "true", ann, "Empty from the start");
    let merged = f.sandbox.commit_aside(&empty, &format!("git merge -q {}", f.left));
    let two = f.commit_by(&merged, "echo x >x", "Bob <b@example.com>", "Two");
    let last = made(f.by(Strategy::Rebase, &f.left, &two), How::Rebase);
    let log = |range: &str, format: &str| {
        f.sandbox.git(&["log", "--topo-order", &format!("--format={format}"), range])
    };
    let picked = log(&format!("{}..{last}", f.left), "%an <%ae> %ai%n%B--%P--");
    f.sandbox.git(&["checkout", "-q", two.as_str()]);
    f.sandbox.git(&["rebase", "-q", f.left.as_str()]);
    let by_git = log(&format!("{}..HEAD", f.left), "%an <%ae> %ai%n%B--%P--");
    let without_ids = |text: &str| -> String {
        text.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(without_ids(&picked), without_ids(&by_git));
    assert!(picked.contains("Two") && picked.contains("Empty from") && !picked.contains("As on"), "{picked}");
    assert_eq!(f.show("%T", &last), f.sandbox.rev("HEAD^{tree}"));
    assert_eq!(f.show("%cn", &last), "A U Thor");
    assert_eq!(f.sandbox.git(&["rev-list", "--merges", &format!("{}..{last}", f.left)]), "");
    f.sandbox.fsck();
}

#[test]
fn a_rebase_takes_what_is_in_its_place() {
    let f = fork("echo b >b", "echo l >l", "echo r >r");
    let on = f.sandbox.commit_aside(&f.left, "echo m >m");
    assert_eq!(made(f.by(Strategy::Rebase, &f.left, &on), How::FastForward), on);
    // All of it is there already, by other commits.
    let other = f.sandbox.commit_aside(&f.left, "echo r >r");
    assert_eq!(f.by(Strategy::Rebase, &other, &f.right), Merged::UpToDate);
    assert_eq!(f.by(Strategy::Squash, &other, &f.right), Merged::UpToDate);
}

/// Whole, it merges; commit by commit it does not.
#[test]
fn a_rebase_that_gets_stuck_says_where() {
    let f = fork("echo 1 >f", "echo 2 >f", "echo 3 >f");
    let back = f.sandbox.commit_aside(&f.right, "echo 1 >f; echo x >x");
    let Merged::RebaseFirst(why) = f.by(Strategy::Rebase, &f.left, &back) else { panic!() };
    assert_eq!(why, format!("rebased by itself, {} (aside) has a conflict in f", f.right.short()));
    made(f.by(Strategy::Squash, &f.left, &back), How::Squash);
    // A merge whose own changes a rebase would leave out.
    let merge = f.sandbox.commit_aside(&f.right, &format!("git merge -q -s ours {}; echo evil >f", f.left));
    let Merged::RebaseFirst(why) = f.by(Strategy::Rebase, &f.left, &merge) else { panic!() };
    assert!(why.contains("has a conflict in f"), "{why}");
    let g = fork("echo 1 >f", "echo l >l", "echo r >r");
    let evil = format!("git merge -q --no-commit {}; echo evil >f", g.left);
    let merge = g.sandbox.commit_aside(&g.right, &evil);
    let Merged::RebaseFirst(why) = g.by(Strategy::Rebase, &g.left, &merge) else { panic!() };
    assert!(why.contains("does not come to what the merge comes to"), "{why}");
}

#[test]
fn odd_encodings_and_dates_are_kept() {
    let f = fork("echo b >b", "echo l >l", "true");
    let latin = f.sandbox.root().join("latin");
    std::fs::write(&latin, b"Gr\xf6\xdfe\n\nohne Ende").unwrap();
    let base = f.sandbox.oid(&format!("{}^", f.left));
    let args = ["-c", "i18n.commitEncoding=ISO-8859-1", "commit-tree", "-p", base.as_str(), "-F"];
    let tree = f.sandbox.commit_aside(&base, "echo r >r");
    let tree = format!("{tree}^{{tree}}");
    let odd = f.sandbox.git(&[&args[..], &[latin.to_str().unwrap(), &tree]].concat());
    let tip = odd.try_into().unwrap();
    let last = made(f.by(Strategy::Rebase, &f.left, &tip), How::Rebase);
    assert_eq!(f.show("%s|%e|%at", &last), "Größe||1700000000");
    let squashed = made(f.by(Strategy::Squash, &f.left, &last), How::Squash);
    assert_eq!(f.show("%s", &squashed), "Größe");
    // And where commits are made in another encoding, these are too.
    f.sandbox.git(&["config", "i18n.commitEncoding", "ISO-8859-1"]);
    f.sandbox.git(&["config", "i18n.logOutputEncoding", "UTF-8"]);
    let f = Fork { repo: f.sandbox.repository(), ..f };
    for (strategy, how) in [(Strategy::Squash, How::Squash), (Strategy::Rebase, How::Rebase)] {
        let commit = made(f.by(strategy, &f.left, &tip), how);
        assert_eq!(f.show("%s|%e", &commit), "Größe|ISO-8859-1");
        assert!(f.show("%B", &commit).contains("ohne Ende"));
    }
}
