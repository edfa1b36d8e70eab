use super::*;
use crate::git::index_lock::Note;
use crate::git::publish;
use crate::git::publish::tests::{Case, MAIN};
use std::time::Duration;

fn recover_all(case: &Case) -> Vec<crate::git::recover::Recovered> {
    crate::git::recover(&case.sandbox.repository()).unwrap()
}

/// Leaves behind what a crash would after the given steps.
fn crash(case: &Case, moving: bool, commands: &[&[&str]]) {
    let repo = case.sandbox.repository();
    let note = Note { target: MAIN.into(), old: case.old.clone(), new: case.new.clone() };
    let mut lock = IndexLock::take(&case.sandbox.repo, &repo.common_dir, note).unwrap().unwrap();
    if moving {
        lock.begin_moving().unwrap();
    }
    for args in commands {
        lock.git().unwrap().args(*args).ok().unwrap();
    }
    lock.leave_behind();
}

#[test]
fn a_crash_at_any_step_is_recovered() {
    let script = "echo new >a; rm b; echo c >c; rm -r dir; echo file >dir; mkdir n; echo n >n/n";
    let (old, new) = (|case: &Case| case.old.to_string(), |case: &Case| case.new.to_string());
    // Before anything was touched, an edit that looks like the incoming one stays.
    let case = Case::new(script);
    case.sandbox.write("a", "new\n");
    crash(&case, false, &[]);
    assert!(!recover_all(&case)[0].completed);
    assert_eq!(case.sandbox.status(), " M a");
    case.tidy();
    // After the files were written.
    let case = Case::new(script);
    let before = case.listing();
    crash(&case, true, &[&["read-tree", "-m", "-u", &old(&case), &new(&case)]]);
    assert_ne!(case.listing(), before);
    assert_eq!(recover_all(&case)[0].left, []);
    assert_eq!((case.sandbox.status(), case.listing()), (String::new(), before));
    assert_eq!(recover_all(&case), []);
    case.tidy();
    // After the target moved.
    let case = Case::new(script);
    let update = ["update-ref", MAIN, &new(&case), &old(&case)];
    crash(&case, true, &[&["read-tree", "-m", "-u", &old(&case), &new(&case)], &update]);
    assert!(recover_all(&case)[0].completed);
    assert_eq!((case.sandbox.status(), case.sandbox.oid(MAIN)), (String::new(), case.new.clone()));
    case.tidy();
}

#[test]
fn a_crash_in_the_middle_of_a_file_is_recovered_and_later_edits_stay() {
    let case = Case::new("echo new >a; echo long enough >b; rm dir/x; echo c >c; echo d >d; echo q >dir/y");
    crash(&case, true, &[]);
    fs::write(case.sandbox.repo.join(".git/parallel-index.lock"), "half").unwrap();
    fs::create_dir(case.sandbox.repo.join(".git/parallel-snapshot-5EOrh2")).unwrap();
    fs::write(case.sandbox.repo.join(".git/parallel-snapshot-5EOrh2/index.lock"), "half").unwrap();
    case.sandbox.write("a", "new\n");
    case.sandbox.write("b", "long en");
    fs::remove_file(case.sandbox.repo.join("dir/x")).unwrap();
    case.sandbox.write("c", "");
    case.sandbox.write("d", "somebody else's\n");
    case.sandbox.write("dir/y", "edited since\n");
    let recovered = recover_all(&case);
    assert_eq!(recovered[0].left, ["d".into(), "dir/y".into()]);
    assert_eq!(case.sandbox.status(), " M dir/y\n?? d");
    assert_eq!(case.sandbox.read("dir/y"), "edited since\n");
    case.tidy();
}

#[test]
fn a_lock_whose_owner_lives_is_not_taken_over() {
    let case = Case::new("echo new >a");
    let repo = case.sandbox.repository();
    let note = Note { target: MAIN.into(), old: case.old.clone(), new: case.new.clone() };
    let mut lock = IndexLock::take(&case.sandbox.repo, &repo.common_dir, note).unwrap().unwrap();
    let child = lock.git().unwrap().args(["-c", "alias.w=!sleep 1", "w"]);
    let (begun, worker) = (std::time::Instant::now(), std::thread::spawn(move || child.ok()));
    std::thread::sleep(Duration::from_millis(200));
    lock.leave_behind();
    drop(lock);
    assert_eq!(recover_all(&case).len(), 1);
    assert!(begun.elapsed() > Duration::from_millis(800), "the lock is held by a child of the dead");
    worker.join().unwrap().unwrap();
}

/// Publishes for [`killed_at_any_moment`], in a process that gets killed.
#[test]
#[ignore = "started by another test"]
fn victim() {
    let Some(spec) = std::env::var_os("PUBLISH_VICTIM") else { return };
    let spec = spec.into_string().unwrap();
    let [repo, old, new] = spec.split('|').collect::<Vec<_>>()[..] else { panic!() };
    let repo = Repository::discover(Path::new(repo)).unwrap();
    publish(&repo, &MAIN.into(), &old.try_into().unwrap(), &new.try_into().unwrap(), "m").unwrap();
}

#[test]
fn killed_at_any_moment() {
    for round in 0..VICTIMS {
        let many = "for i in 1 2 3 4 5 6 7 8 9; do echo x >dir/n$i; done; echo new >a; rm b; rm dir/x";
        let case = Case::new(many);
        let before = case.listing();
        let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "git::recover::tests::victim"])
            .env("PUBLISH_VICTIM", format!("{}|{}|{}", case.sandbox.repo.display(), case.old, case.new))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(8 + 45 * round / VICTIMS));
        let children = if round % 2 == 0 { Vec::new() } else { children_of(victim.id()) };
        victim.kill().unwrap();
        for child in children {
            let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
        }
        victim.wait().unwrap();
        // The git that it had started may still be at work: that must be waited for.
        recover_all(&case);
        let tip = case.sandbox.oid(MAIN);
        assert_eq!(case.sandbox.status(), "", "round {round}");
        if tip == case.old {
            assert_eq!(case.listing(), before);
        } else {
            assert_eq!(tip, case.new);
        }
        case.tidy();
    }
}

/// The children of all threads of a process.
fn children_of(pid: u32) -> Vec<rustix::process::Pid> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids: Vec<i32> =
        lists.flat_map(|list| list.split(' ').flat_map(str::parse).collect::<Vec<_>>()).collect();
    pids.into_iter().filter_map(rustix::process::Pid::from_raw).collect()
}

/// How many kills, spread over the time that a landing takes.
const VICTIMS: u64 = 30;
