use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};
use proptest::strategy::Strategy as _;

use super::*;

/// As nothing is known but what the plan says.
fn read(text: &str, format: Format) -> Result<Plan, Vec<Problem>> {
    super::read(text, format, |_| Vec::new())
}

const GOOD: [(Format, &str); 3] = [
    (Format::Toml, include_str!("../../../tests/plans/good.toml")),
    (Format::Yaml, include_str!("../../../tests/plans/good.yaml")),
    (Format::Json, include_str!("../../../tests/plans/good.json")),
];
const BAD: [(Format, &str); 3] = [
    (Format::Toml, include_str!("../../../tests/plans/bad.toml")),
    (Format::Yaml, include_str!("../../../tests/plans/bad.yaml")),
    (Format::Json, include_str!("../../../tests/plans/bad.json")),
];
const ALL: [Format; 3] = [Format::Toml, Format::Yaml, Format::Json];

/// The problems as a caller may print them.
fn told(text: &str, format: Format) -> String {
    let problems = read(text, format).expect_err("it is refused");
    let mut told = String::new();
    for Problem { line, what } in problems {
        let line = line.map_or("-".to_owned(), |line| line.to_string());
        writeln!(told, "{line}: {what}").unwrap();
    }
    told
}

fn toml(text: &str) -> String {
    told(text, Format::Toml)
}

fn yaml(text: &str) -> String {
    told(text, Format::Yaml)
}

fn json(text: &str) -> String {
    told(text, Format::Json)
}

fn without_lines(mut plan: Plan) -> Plan {
    plan.tasks.iter_mut().for_each(|task| task.line = 0);
    plan
}

#[test]
fn a_good_plan_is_the_same_in_each_format() {
    let plans = GOOD.map(|(format, text)| read(text, format).unwrap());
    let lines = plans.each_ref().map(|plan| plan.tasks.iter().map(|task| task.line).collect::<Vec<_>>());
    assert_eq!(lines, [vec![35, 42, 60], vec![37, 41, 56], vec![37, 38, 55]]);
    let [toml, yaml, json] = plans.map(without_lines);
    assert_eq!(toml, yaml);
    assert_eq!(toml, json);
    insta::assert_debug_snapshot!(toml);
}

#[test]
fn all_mistakes_are_told_at_once_in_toml() {
    insta::assert_snapshot!(told(BAD[0].1, BAD[0].0));
}

#[test]
fn all_mistakes_are_told_at_once_in_yaml() {
    insta::assert_snapshot!(told(BAD[1].1, BAD[1].0));
}

#[test]
fn all_mistakes_are_told_at_once_in_json() {
    insta::assert_snapshot!(told(BAD[2].1, BAD[2].0));
}

/// But for what the formats can't say alike: TOML has no null.
#[test]
fn the_formats_tell_the_same() {
    let [toml, yaml, json] = BAD.map(|(format, text)| {
        let problems = read(text, format).unwrap_err();
        let mut what: Vec<String> = problems.into_iter().map(|problem| problem.what).collect();
        what.retain(|what| !what.contains("base: "));
        what.sort();
        what
    });
    assert!(toml.len() >= 20, "{}", toml.len());
    assert_eq!(toml, yaml);
    assert_eq!(toml, json);
}

#[test]
fn the_example_is_a_plan() {
    let plan = read(include_str!("../../../examples/full-stack.toml"), Format::Toml).unwrap();
    let needs: Vec<String> = plan
        .tasks
        .iter()
        .map(|task| {
            let needs: Vec<&str> = task.depends_on.iter().map(|name| name.0.as_str()).collect();
            format!("{} <- {}", task.name, needs.join(" "))
        })
        .collect();
    insta::assert_snapshot!(needs.join("\n"));
    assert!(plan.tasks.iter().all(|task| matches!(&task.agent, Some(Agent::Command(Command::Arguments(_))))));
}

#[test]
fn the_format_is_that_of_the_name_or_else_of_the_text() {
    let of = |path: &str, text: &str| Format::of(Path::new(path), text.as_bytes());
    for (path, format) in [
        ("p.toml", Format::Toml),
        ("p.TOML", Format::Toml),
        ("x/p.yaml", Format::Yaml),
        ("p.yml", Format::Yaml),
        ("p.toml.json", Format::Json),
    ] {
        assert_eq!(of(path, "{"), format, "{path}");
    }
    for (text, format) in [
        ("", Format::Toml),
        ("# only\n\n", Format::Toml),
        ("[[task]]\nname = 'a'\n", Format::Toml),
        ("\u{feff}# x\n[defaults]\nbroken", Format::Toml),
        ("target = 'main'\njobs = = 3\n", Format::Toml),
        ("\"target\" = 'main'\njobs = = 3\n", Format::Toml),
        ("\u{feff}\n {\"tasks\": []}", Format::Json),
        ("[{\"name\": \"a\"}]", Format::Json),
        ("[\n]", Format::Json),
        ("tasks:\n- name: a\n", Format::Yaml),
        ("---\ntasks: []\n", Format::Yaml),
        ("verify: a = b\n", Format::Yaml),
    ] {
        assert_eq!(of("-", text), format, "{text:?}");
    }
    assert_eq!(Format::of(Path::new("-"), b"\xff"), Format::Yaml);
}

#[test]
fn what_has_no_task_is_no_plan() {
    let mut all = String::new();
    for format in ALL {
        for text in ["", "\u{feff}", "# x", "{}", "tasks: []", "{\"task\": []}", "---\n", "null", "[]", "5"] {
            writeln!(all, "{format:?} {text:?}\n{}", told(text, format)).unwrap();
        }
    }
    insta::assert_snapshot!(all);
}

#[test]
fn text_that_cannot_be_parsed_is_told_with_its_line() {
    let mut all = String::new();
    for (format, text) in [
        (Format::Toml, "jobs = 3\ntarget main\n[[task]]\nname = auth\n[[task]\nname = \"x\n"),
        (Format::Toml, "[[task]]\nname = 'a'\n[task]\nname = 'b'\n"),
        (Format::Toml, "jobs = four\n[[task]]\nname = auth\nprompt = 'it's'\nlabels = [a]\n"),
        (Format::Yaml, "tasks:\n  - name: a\n   base: x\n"),
        (Format::Yaml, "tasks:\n\t- name: a\n"),
        (Format::Yaml, "tasks: [a, \"b\n"),
        (Format::Yaml, "tasks: []\n---\ntasks: []\n"),
        (Format::Yaml, "? [a]\n: b\n"),
        (Format::Yaml, "jobs: !odd 3\n"),
        (Format::Json, "{\n  \"tasks\": [\n    {\"name\": \"a\",}\n  ]\n}"),
        (Format::Json, "{\n  \"target\": \"\\ud800\"\n}"),
        (Format::Json, "{\"tasks\": []} x"),
    ] {
        writeln!(all, "{format:?} {text:?}\n{}", told(text, format)).unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn values_of_the_wrong_kind_are_told() {
    insta::assert_snapshot!(yaml(
        "
target: [main]
jobs: 1.5
strategy: 3
verify: {a: b}
atomic: 1
defaults: [x]
tasks:
  - auth
  - name: [a]
  - name: true
  - name: ''
  - name: 'a/../b'
  - name: a
    prompt: 5
    prompt_file: ' '
    command: 7
    depends_on: {b: c}
    base: ~
    timeout: soon
    retries: -1
    env: [A=b]
    labels: [x, x, 5, '']
  - name: b
    command: ['', x]
    timeout: 0s
    env: {1A: b, GIT_PARALLEL_RUN: x, OK: null}
  - name: c
    command: '  '
    retries: 99999999999999999999
"
    ));
    insta::assert_snapshot!(toml("[task]\nname = 'a'\nwhen = 2026-01-02\n"));
    insta::assert_snapshot!(json(r#"{"task": [{"name": "a"}], "tasks": [{"name": "b\u0000"}]}"#));
}

#[test]
fn names_clash_as_on_the_command_line() {
    insta::assert_snapshot!(toml("[[task]]\nname='a'\n[[task]]\nname='a'\n[[task]]\nname='a/b'\n"));
}

#[test]
fn every_cycle_is_shown() {
    let plan = |needs: &[(&str, &[&str])]| {
        let tasks: Vec<_> = needs
            .iter()
            .map(|(name, needs)| serde_json::json!({"name": name, "depends_on": needs}))
            .collect();
        serde_json::json!({"tasks": tasks}).to_string()
    };
    insta::assert_snapshot!(json(&plan(&[
        ("auth", &["docs"]),
        ("docs", &["x", "auth"]),
        ("x", &["auth"]),
        ("free", &["auth"]),
        ("self", &["self"]),
        ("b", &["c", "c"]),
        ("c", &["d"]),
        ("d", &["b"]),
    ])));
    let names: Vec<String> = (0..50_000).map(|n| format!("t{n}")).collect();
    let mut needs: Vec<[&str; 1]> = names.iter().skip(1).map(|name| [name.as_str()]).collect();
    needs.push(["t0"]);
    let long: Vec<(&str, &[&str])> =
        names.iter().zip(&needs).map(|(name, needs)| (name.as_str(), &needs[..])).collect();
    insta::assert_snapshot!(json(&plan(&long)));
    assert_eq!(read(&plan(&long[1..49_999]), Format::Json).unwrap_err().len(), 1);
}

#[test]
fn slips_are_guessed() {
    insta::assert_snapshot!(toml(
        "[defaults]\nTimeout = '1m'\nverify = 'x'\n[[task]]\nnam = 'a'\nneeds = []\ndepends-on = []\nzzz = 1\n"
    ));
    let long = format!("tasks:\n- name: a\n  {}: x\n", "é".repeat(500));
    insta::assert_snapshot!(yaml(&long));
}

#[test]
fn a_repeated_key_is_told_at_any_depth() {
    let text =
        "[defaults]\nbase = 'a'\n[defaults]\nbase = 'b'\n[[task]]\nname = 'x'\nenv.A = '1'\nenv.A = '2'\n";
    insta::assert_snapshot!(toml(text));
    insta::assert_snapshot!(json(r#"{"tasks": [{"name": "x", "env": {"A": "1", "A": "2"}}], "tasks": []}"#));
}

#[test]
fn line_ends_marks_and_tabs_do_not_matter() {
    for (format, text) in GOOD {
        let plan = read(text, format).unwrap();
        let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        assert_eq!(read(&windows, format).unwrap(), plan, "{format:?}");
    }
    for (format, text) in BAD {
        assert_eq!(told(&text.replace('\n', "\r\n"), format), told(text, format), "{format:?}");
    }
    let tabs = "[[task]]\n\tname\t=\t'a'\n\tprompt = 'x\ty'\n";
    let plan = read(tabs, Format::Toml).unwrap();
    assert_eq!(plan.tasks[0].prompt, Some(Prompt::Text("x\ty".into())));
}

#[test]
fn prompts_may_be_long_and_hold_anything_but_nul() {
    let prompt = "\u{1b}[31m\u{7f}\r\n\t\"'\\ \u{1f600} ${x} {task}\n".repeat(40_000);
    assert!(prompt.len() > 1_000_000);
    let text = serde_json::json!({"tasks": [{"name": "a", "prompt": prompt}]}).to_string();
    let start = Instant::now();
    let plan = read(&text, Format::Json).unwrap();
    assert!(plan.tasks[0].prompt == Some(Prompt::Text(prompt.clone())));
    // JSON escapes both halves of what is beyond 16 bits, as Python does by itself.
    let pair = read(r#"{"tasks": [{"name": "a", "prompt": "\ud83d\ude00"}]}"#, Format::Json).unwrap();
    assert_eq!(pair.tasks[0].prompt, Some(Prompt::Text("\u{1f600}".into())));

    let line = "All that is to be done, said in many words; see #12: 'x' & \"y\".\n";
    let prompt = line.repeat(20_000);
    let block = line.repeat(20_000).replace("All", "      All");
    let plan = read(&format!("tasks:\n  - name: a\n    prompt: |\n{block}"), Format::Yaml).unwrap();
    assert!(plan.tasks[0].prompt == Some(Prompt::Text(prompt.clone())));
    let plan = read(&format!("[[task]]\nname = 'a'\nprompt = '''\n{prompt}'''\n"), Format::Toml).unwrap();
    assert!(plan.tasks[0].prompt == Some(Prompt::Text(prompt)));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn anchors_are_followed() {
    let text = "
tasks:
  - name: a
    env: &env {A: '1'}
    command: &agent [sh, -c, 'x']
  - name: b
    env: *env
    command: *agent
";
    let plan = read(text, Format::Yaml).unwrap();
    assert_eq!(plan.tasks[0].env, plan.tasks[1].env);
    assert_eq!(plan.tasks[0].agent, plan.tasks[1].agent);
    insta::assert_snapshot!(yaml("tasks: &t\n  - name: a\n    labels: *t\n"));
    insta::assert_snapshot!(yaml("defaults: &d\n  base: x\ntasks:\n  - name: a\n    <<: *d\n"));
    insta::assert_snapshot!(yaml("tasks:\n  - name: *nowhere\n"));
}

#[test]
fn aliases_of_aliases_end_soon() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..30 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        writeln!(text, "a{n}: &a{n} [{aliases}]").unwrap();
    }
    let start = Instant::now();
    insta::assert_snapshot!(yaml(&text));

    // Deep is not wide, and wide not long.
    let deep =
        (1..60).fold("a0: &a0 [x]\n".to_owned(), |text, n| format!("{text}a{n}: &a{n} [*a{}]\n", n - 1));
    assert!(read(&deep, Format::Yaml).is_err());
    let wide = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(1000));
    insta::assert_snapshot!(yaml(&wide));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn deep_nesting_ends_with_a_problem() {
    let start = Instant::now();
    for depth in [20, 79, 100, 1000, 100_000] {
        let list = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let table = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let indented: String = (0..depth.min(1000)).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        let dashes = "- ".repeat(depth);
        let dotted = format!("a{} = 1", ".a".repeat(depth));
        for text in [&list, &table, &indented, &dashes, &dotted, &format!("a = {list}")] {
            for format in ALL {
                assert!(read(text, format).is_err());
            }
        }
        for text in [&list, &table] {
            assert!(json(text).contains("nested more than"), "{}", json(text));
            let told = yaml(text);
            // The parser looks ahead, and may find it first.
            assert!(["nested more than", "recursion limit"].iter().any(|what| told.contains(what)), "{told}");
        }
    }
    insta::assert_snapshot!(toml(&format!(
        "[[task]]\nname = 'a'\nlabels = {}{}\n",
        "[".repeat(30),
        "]".repeat(30)
    )));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn inputs_that_hung_parsers_end() {
    for text in [
        "{---",
        "{...",
        "[-",
        "- - -",
        "?",
        "? ?",
        ":",
        "{?",
        "%",
        "%TAG",
        "|",
        ">",
        "&",
        "*",
        "!",
        "\"\\",
        "\0",
        "\u{85}",
        "a: |\n\t",
        "{a: [}",
        "[[[",
        "[[a]]\n[a]",
        "\"\"\"",
        "a.\"b",
        "--- |\n\r",
    ] {
        for format in ALL {
            assert!(read(text, format).is_err(), "{text:?}");
        }
    }
}

/// The last place up to `at` where `text` may be cut.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Pieces that plans are made of, so that random texts get past the first character.
fn pieces() -> impl proptest::strategy::Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[[task]]",
        "[defaults]",
        "[",
        "]",
        "{",
        "}",
        ":",
        "=",
        "\n",
        "\r\n",
        " ",
        "  ",
        "\t",
        "-",
        "- ",
        ",",
        "name",
        "task",
        "tasks",
        "depends_on",
        "env",
        "command",
        "\"",
        "'",
        "\"\"\"",
        "'''",
        "|",
        ">",
        "#",
        "&a",
        "*a",
        "!!str",
        "!",
        "?",
        "%",
        "---",
        "...",
        "\\",
        "\\u",
        "0",
        "5",
        "1.5",
        "null",
        "true",
        "~",
        ".",
        "a",
        "é",
        "\u{feff}",
        "\0",
        "\u{85}",
        "\u{2028}",
        "<<",
        "1979-05-27",
        "inf",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        for format in ALL.into_iter().chain([Format::of(Path::new("-"), &bytes)]) {
            if let Err(problems) = read(&text, format) {
                prop_assert!(!problems.is_empty());
            }
        }
    }

    #[test]
    fn whatever_is_made_of_our_words_is_answered(text in pieces()) {
        let lines = text.lines().count() + text.matches(['\r', '\u{85}', '\u{2028}']).count() + 1;
        for format in ALL.into_iter().chain([Format::of(Path::new("-"), text.as_bytes())]) {
            for problem in read(&text, format).err().into_iter().flatten() {
                prop_assert!(problem.line.is_none_or(|line| line >= 1 && line <= lines), "{problem:?}");
                prop_assert!(!problem.what.contains(char::is_control), "{problem:?}");
            }
        }
    }

    /// A good plan with one piece put in anywhere.
    #[test]
    fn a_damaged_plan_is_answered(which in 0..3usize, at in 0..900usize, cut in 0..9usize, piece in pieces()) {
        let (format, text) = GOOD[which];
        let (start, end) = (boundary(text, at), boundary(text, at + cut));
        let damaged = [&text[..start], &piece, &text[end..]].concat();
        if let Err(problems) = read(&damaged, format) {
            prop_assert!(!problems.is_empty());
        }
    }
}
