//! Output that floods, garbles or deceives.

use std::path::Path;

use crate::common::{PROGRAM, Sandbox, wait_until};
use crate::support::{agent_pid, descendants, hostile, peak_memory, record_of, scene};

/// 64 MiB, the most that is kept of a log.
const CAP: u64 = 64 << 20;

#[test]
fn a_flood_is_capped_and_memory_stays_flat() {
    // 22: 300 MB in lines, then one line of 50 MB, and a last word.
    let sandbox = scene();
    let bad = "echo x >x; commit; yes 'a line of output that means nothing' | head -c 300000000; \
               head -c 50000000 /dev/zero | tr '\\0' x; echo; echo last words; mark flooded; await go";
    let agent = hostile(&sandbox, bad);
    let before = sandbox.snapshot();
    let running = sandbox.spawn_run(&["bad", "good"], &agent);
    agent_pid(&sandbox, "bad");
    sandbox.await_mark("flooded");
    let peaks: Vec<u64> = [running.pid()]
        .into_iter()
        .chain(descendants(running.pid()))
        .filter(|id| {
            std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|c| c.starts_with("git-parallel"))
        })
        .map(peak_memory)
        .collect();
    sandbox.mark("go");
    let output = running.wait().expect(0).tells(&["its log is full"]);
    assert!(peaks.len() == 2 && peaks.iter().all(|kb| (1..60_000).contains(kb)), "{peaks:?} kB");
    let log = record_of(&sandbox, "bad").join("output.log");
    let length = log.metadata().unwrap().len();
    assert!((CAP / 2..=CAP + 4096).contains(&length), "{length}");
    sandbox.check_run(&before, &output);
}

/// What a program of ours said, byte by byte: whole UTF-8 without a control character but the line feed.
#[track_caller]
fn clean(sandbox: &Sandbox, dir: &Path, args: &[&str]) -> String {
    let output = sandbox.command(dir, PROGRAM).args(args).output().unwrap();
    let bytes = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(bytes).expect("whole UTF-8");
    let odd = text.chars().find(|c| {
        (c.is_control() && *c != '\n' && *c != '\t')
            || ('\u{202a}'..='\u{202e}').contains(c)
            || ('\u{2066}'..='\u{2069}').contains(c)
    });
    assert_eq!(odd, None, "{args:?} printed {text:?}");
    text
}

#[test]
fn nothing_raw_reaches_the_reader() {
    // list 22: escapes, C1 controls, half a character, carriage returns, a bell, a title, in output and names.
    let sandbox = scene();
    let noise = "printf '\\033[2J\\033]0;title\\007\\033[31mred\\033[0m \\233 31m \\302\\233 \\303 \\377\\376 a\\rb\\010 \\342\\200\\256rtl\\n\\n\\n'; \
                 printf '\\342\\202'; sleep 0.05; printf '\\254 euro\\n'; head -c 200000 /dev/zero | tr '\\0' '\\033'; printf '\\033]8;;http';";
    let bad = format!(
        "{noise} git init -q \"$(printf 'n\\033[31m\\342\\200\\256x')\"; echo 1 >\"$(printf 'n\\033[31m\\342\\200\\256x')/f\"; {noise} exit 0"
    );
    let agent = hostile(&sandbox, &bad);
    let agent = agent.to_str().unwrap();
    let told = clean(&sandbox, &sandbox.repo, &["run", "-y", "-v", "bad", "good", "--", agent]);
    assert!(told.contains("euro") && told.contains("bad | "), "{told:?}");
    assert_eq!(sandbox.state("bad"), "held");
    assert_eq!(sandbox.state("good"), "landed");
    clean(&sandbox, &sandbox.repo, &["status"]);
    clean(&sandbox, &sandbox.repo, &["list"]);
    clean(&sandbox, &sandbox.repo, &["cleanup", "-n"]);
    let log = clean(&sandbox, &sandbox.repo, &["logs", "bad"]);
    assert!(log.contains("red") && log.contains("€ euro"), "{log:?}");
    clean(&sandbox, &sandbox.repo, &["logs"]);
    clean(&sandbox, &sandbox.repo, &["land", "bad"]);
    let raw = sandbox.command(&sandbox.repo, PROGRAM).args(["logs", "--raw", "bad"]).output().unwrap().stdout;
    assert_eq!(raw, std::fs::read(record_of(&sandbox, "bad").join("output.log")).unwrap());
}

#[test]
fn a_branch_name_can_not_deceive() {
    // git takes names with bidirectional controls.
    let sandbox = scene();
    let agent = hostile(&sandbox, "git checkout -q -b \"$(printf 'x\\342\\200\\256y')\"; echo x >x; commit");
    let told = clean(&sandbox, &sandbox.repo, &["run", "-y", "bad", "good", "--", agent.to_str().unwrap()]);
    assert!(told.contains("held"), "{told}");
    clean(&sandbox, &sandbox.repo, &["status"]);
}

#[test]
fn output_without_an_end_does_not_delay_the_stop() {
    // 22, 29
    let sandbox = scene();
    let agent = hostile(&sandbox, "echo x >x; commit; exec yes");
    let before = sandbox.snapshot();
    let output = sandbox.run(&["--timeout", "700ms", "bad", "good"], &agent).expect(1);
    sandbox.expect_states(&[("bad", "timed-out"), ("good", "landed")]);
    sandbox.check_run(&before, &output);
}

#[test]
fn a_reader_that_goes_away_stops_nothing() {
    let sandbox = scene();
    let agent = hostile(&sandbox, "for i in 1 2 3 4 5 6; do echo $i; sleep 0.05; done; echo x >x; commit");
    let command = format!("'{PROGRAM}' run -y -v bad good -- '{}' | head -n1", agent.display());
    sandbox.run_in(&sandbox.repo, "sh", &["-c", &command]).expect(0);
    wait_until("the run is over", || sandbox.status()["run"]["state"] == "finished");
    sandbox.expect_states(&[("bad", "landed"), ("good", "landed")]);
}
