use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use crate::Case;
use crate::bench::{Bench, code, finish, started, until, within};
use crate::run::{Exit, Text};
use crate::shim::{Progress, Shim, exit_record, is_alive, next_attempt, outdate, wait_gone};

pub const CASES: &[Case] = &[
    ("basics::exit_codes_and_signals_are_told", exit_codes_and_signals_are_told),
    ("basics::both_streams_in_order_and_stdin_is_empty", both_streams_in_order_and_stdin_is_empty),
    ("basics::attempts_share_a_log", attempts_share_a_log),
    ("basics::environment_session_and_signals_are_clean", environment_session_and_signals_are_clean),
    ("basics::what_can_t_be_started_says_why", what_can_t_be_started_says_why),
    ("basics::a_replaced_directory_is_refused", a_replaced_directory_is_refused),
    ("basics::a_flood_is_cut_and_memory_stays_flat", a_flood_is_cut_and_memory_stays_flat),
    ("basics::progress_is_told_as_it_comes", progress_is_told_as_it_comes),
    ("basics::a_second_shim_is_refused", a_second_shim_is_refused),
    ("basics::an_attempt_that_is_out_of_date_is_refused", an_attempt_that_is_out_of_date_is_refused),
    ("basics::nobody_listens", nobody_listens),
    (
        "basics::a_supervisor_that_does_not_read_blocks_nothing",
        a_supervisor_that_does_not_read_blocks_nothing,
    ),
    ("basics::garbage_for_a_spec", garbage_for_a_spec),
    ("basics::a_file_size_limit_is_survived", a_file_size_limit_is_survived),
    ("basics::a_full_disk_still_tells", a_full_disk_still_tells),
];

fn exit_codes_and_signals_are_told() {
    let bench = Bench::new();
    assert_eq!(bench.run(&bench.sh("exit 0")), code(0));
    assert_eq!(bench.run(&bench.sh("exit 77")), code(77));
    let killed = Exit { signal: Some(9), ..Exit::default() };
    assert_eq!(bench.run(&bench.sh("kill -9 $$")), killed);
    assert_eq!(bench.run(&bench.sh("kill -15 $$")).signal, Some(15));
}

fn both_streams_in_order_and_stdin_is_empty() {
    let bench = Bench::new();
    let exit =
        bench.run(&bench.sh("cat; for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf tail"));
    assert_eq!(exit, code(0));
    assert_eq!(bench.log(), "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\ntail");
    let mode = fs::metadata(bench.dir().join("output.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

fn attempts_share_a_log() {
    let bench = Bench::new();
    bench.run(&bench.sh("echo first"));
    let mut second = bench.sh("echo second");
    second.attempt = 2;
    bench.run(&second);
    assert_eq!(bench.log(), "first\n--- attempt 2 ---\nsecond\n");
}

fn environment_session_and_signals_are_clean() {
    let bench = Bench::new();
    let script = "printf '%s\\n' \"${HOME-none}\" \"$EXTRA\" \"$GIT_PARALLEL_SHIM\" \"$PWD\" >vars
        printf %s \"$RAW\" >raw; grep -E 'SigBlk|SigIgn' /proc/self/status >signals
        ls -l /proc/self/fd >fds; cat /proc/$$/stat >stat; ulimit -c >/dev/null; yes | head -1";
    let mut spec = bench.sh(script);
    spec.scrub = vec!["HOME".to_owned()];
    let raw = &b"\xff\xfe=\n"[..];
    spec.env = vec![("EXTRA".to_owned(), "a b".into()), ("RAW".to_owned(), Text::from(raw))];
    assert_eq!(bench.run(&spec), code(0));
    let read = |name: &str| fs::read_to_string(bench.work().join(name)).unwrap();
    let expected = format!("none\na b\n{}\n{}\n", bench.dir().display(), bench.work().display());
    assert_eq!(read("vars"), expected);
    assert_eq!(fs::read(bench.work().join("raw")).unwrap(), raw);
    // Broken pipe: `yes` died of it, silently.
    assert_eq!(bench.log(), "y\n");
    for line in read("signals").lines() {
        let mask = line.split_whitespace().nth(1).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap();
        // glibc's posix_spawn ignores its two internal signals, 32 and 33, in whatever it starts.
        assert_eq!(mask & !(0b11 << 31), 0, "{line}");
    }
    assert!(!read("fds").contains("alive") && !read("fds").contains("control"), "{}", read("fds"));
    let stat = read("stat");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let pid = stat.split_whitespace().next().unwrap();
    assert_eq!((fields[2], fields[3]), (pid, pid), "group and session");
}

fn what_can_t_be_started_says_why() {
    let bench = Bench::new();
    let file = |name: &str, text: &str, mode: u32| {
        let path = bench.work().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    file("plain.sh", "#!/bin/sh\n", 0o644);
    file("bad.sh", "#! /no/such/sh -e\n", 0o755);
    fs::create_dir(bench.work().join("folder")).unwrap();
    let huge = "x".repeat(4 << 20);
    let why = |argv: &[&str]| bench.run(&bench.spec(argv)).not_started.unwrap();
    assert_eq!(why(&["./agent.sh"]), "cannot run './agent.sh': No such file or directory");
    assert_eq!(why(&["no-such-agent"]), "cannot run 'no-such-agent': not found in PATH");
    let told = "cannot run './plain.sh': it is not executable (chmod +x makes it so)";
    assert_eq!(why(&["./plain.sh"]), told);
    assert_eq!(why(&["./bad.sh"]), "cannot run './bad.sh': its interpreter '/no/such/sh' does not exist");
    assert_eq!(why(&["./folder"]), "cannot run './folder': it is a directory");
    let told = "cannot run 'echo': its arguments and environment are too long for the system";
    assert_eq!(why(&["echo", &huge]), told);
    assert_eq!(why(&[]), "no command was given");
    assert!(why(&["sh", "nul\0"]).contains("nul byte"));
}

fn a_replaced_directory_is_refused() {
    let bench = Bench::new();
    let mut spec = bench.sh("touch here");
    spec.cwd = bench.work().join("gone").into();
    assert!(bench.run(&spec).not_started.unwrap().ends_with("the directory does not exist"));
    symlink(bench.work(), bench.dir().join("link")).unwrap();
    spec.cwd = bench.dir().join("link").into();
    assert!(bench.run(&spec).not_started.unwrap().ends_with("replaced by a symbolic link"));
    assert!(!bench.work().join("here").exists());
}

fn a_flood_is_cut_and_memory_stays_flat() {
    let bench = Bench::new();
    let mut spec = bench.sh("head -c 104857600 /dev/zero; grep VmHWM /proc/$PPID/status >memory");
    spec.log_cap = 1000;
    let exit = bench.run(&spec);
    assert_eq!(exit, Exit { output_dropped: 104_857_600 - 1000, ..code(0) });
    assert!(bench.log().ends_with("\0\n[git-parallel: 104856600 more bytes dropped]\n"));
    let memory = fs::read_to_string(bench.work().join("memory")).unwrap();
    let kib: u64 = memory.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 32 << 10, "{memory}");
}

fn progress_is_told_as_it_comes() {
    let bench = Bench::new();
    let script = "echo one; until test -e go; do sleep 0.01; done; seq 20000; printf x; until test -e end; do sleep 0.01; done";
    within(async {
        let mut shim = Shim::spawn(&bench.sh(script)).unwrap();
        assert!(started(&mut shim).await > 1);
        assert!(is_alive(&bench.dir()).unwrap());
        assert_eq!(shim.next().await, Progress::Output { bytes: 4 });
        fs::write(bench.work().join("go"), "").unwrap();
        let (mut reports, mut last) = (0, 0);
        // The state at rest is told although nothing follows it.
        while last != 4 + 108_894 + 1 {
            match shim.next().await {
                Progress::Output { bytes } => (reports, last) = (reports + 1, bytes),
                other => panic!("{other:?}"),
            }
        }
        assert!(reports < 30, "{reports}");
        fs::write(bench.work().join("end"), "").unwrap();
        assert_eq!(finish(&mut shim).await, code(0));
        assert_eq!(finish(&mut shim).await, code(0));
    });
}

fn a_second_shim_is_refused() {
    let bench = Bench::new();
    within(async {
        let mut first = Shim::spawn(&bench.sh("echo 1 >up; until test -e end; do sleep 0.01; done")).unwrap();
        bench.made("up").await;
        let mut other = bench.sh("touch never");
        other.attempt = 2;
        let exit = finish(&mut Shim::spawn(&other).unwrap()).await;
        assert_eq!(exit.not_started.as_deref(), Some("an earlier agent of this task is still at work"));
        assert_eq!(exit_record(&bench.dir(), 2).unwrap(), None);
        let dir = bench.dir();
        let waiter = std::thread::spawn(move || wait_gone(&dir).unwrap());
        fs::write(bench.work().join("end"), "").unwrap();
        assert_eq!(finish(&mut first).await, code(0));
        waiter.join().unwrap();
    });
    assert!(!bench.work().join("never").exists() && bench.log().is_empty());
}

/// A supervisor that takes over can't see a shim that another one had only just started.
fn an_attempt_that_is_out_of_date_is_refused() {
    let bench = Bench::new();
    assert!(outdate(&bench.dir()).unwrap());
    let late = bench.sh("touch never");
    let mut next = bench.sh("until test -e end; do sleep 0.01; done");
    next.attempt = next_attempt(&bench.dir());
    within(async {
        assert!(finish(&mut Shim::spawn(&late).unwrap()).await.not_started.is_some());
        let mut shim = Shim::spawn(&next).unwrap();
        started(&mut shim).await;
        assert!(!outdate(&bench.dir()).unwrap(), "it lives");
        fs::write(bench.work().join("end"), "").unwrap();
        assert_eq!(finish(&mut shim).await, code(0));
    });
    assert!(!bench.work().join("never").exists());
}

/// Starts a shim without the client, as a supervisor that has other plans.
fn bare(spec: &[u8], stdout: Stdio) -> std::process::Child {
    let mut child =
        Command::new("/proc/self/exe").arg("shim").stdin(Stdio::piped()).stdout(stdout).spawn().unwrap();
    child.stdin.take().unwrap().write_all(spec).unwrap();
    child
}

fn nobody_listens() {
    let bench = Bench::new();
    let spec = bench.sh("until test -e go; do sleep 0.01; done; seq 100000; exit 5");
    let mut child = bare(&serde_json::to_vec(&spec).unwrap(), Stdio::piped());
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with(r#"{"started":{"pid":"#), "{line}");
    // The reader is closed now.
    fs::write(bench.work().join("go"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(exit_record(&bench.dir(), 1).unwrap(), Some(code(5)));
    assert!(bench.log().ends_with("\n100000\n"));
}

fn a_supervisor_that_does_not_read_blocks_nothing() {
    let bench = Bench::new();
    let (reader, writer) = std::io::pipe().unwrap();
    // The pipe is full from the start.
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
    while (&writer).write(&[b'\n'; 4096]).is_ok() {}
    let spec = serde_json::to_vec(&bench.sh("seq 100000")).unwrap();
    let mut child = bare(&spec, Stdio::from(writer));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(exit_record(&bench.dir(), 1).unwrap(), Some(code(0)));
    drop(reader);
}

fn garbage_for_a_spec() {
    for bad in [&b""[..], b"{}", b"\xff"] {
        assert_eq!(bare(bad, Stdio::null()).wait().unwrap().code(), Some(2));
    }
}

fn a_file_size_limit_is_survived() {
    let bench = Bench::new();
    let spec = bench.sh("head -c 100000 /dev/zero");
    // 8 blocks of 512 bytes, for the shim; the shell's unit may be 1024.
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -f 8; exec \"$0\" shim"])
        .arg(std::env::current_exe().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(&spec).unwrap()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let exit = exit_record(&bench.dir(), 1).unwrap().unwrap();
    let kept = fs::metadata(bench.dir().join("output.log")).unwrap().len();
    assert_eq!((exit.code, exit.output_dropped), (Some(0), 100_000 - kept));
}

fn a_full_disk_still_tells() {
    let bench = Bench::new();
    // Nothing can be made in the directory any more, as on a full disk.
    fs::create_dir(bench.dir().join("exit.json.new")).unwrap();
    within(async {
        let mut shim = Shim::spawn(&bench.sh("exit 4")).unwrap();
        assert_eq!(finish(&mut shim).await, code(4));
    });
    assert_eq!(exit_record(&bench.dir(), 1).unwrap(), None);
}
