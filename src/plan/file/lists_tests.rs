use std::fmt::Write as _;

use proptest::prelude::{ProptestConfig, prop, prop_assert, proptest};
use proptest::strategy::Strategy as _;

use super::*;

/// As nothing is known but what the plan says.
fn read(text: &str, format: Format) -> Result<Plan, Vec<Problem>> {
    super::read(text, format, |_| Vec::new())
}

/// A plan as a person would note it down.
fn shown(text: &str, format: Format) -> String {
    let plan = read(text, format).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut shown = format!("agents are advice: {}\n", plan.advises_agents);
    for task in plan.tasks {
        write!(shown, "\n== {} (line {})", task.name, task.line).unwrap();
        if let Some(stage) = task.stage {
            write!(shown, ", stage {stage}").unwrap();
        }
        if let Some(group) = &task.group {
            write!(shown, ", group {group}").unwrap();
        }
        if let Some(Agent::Name(agent)) = &task.agent {
            write!(shown, ", by {agent}").unwrap();
        }
        if !task.fallback.is_empty() {
            write!(shown, " or {}", task.fallback.join(", ")).unwrap();
        }
        if !task.labels.is_empty() {
            write!(shown, ", labels {}", task.labels.join(", ")).unwrap();
        }
        let needs: Vec<&str> = task.depends_on.iter().map(|name| name.0.as_str()).collect();
        if !needs.is_empty() {
            write!(shown, ", after {}", needs.join(", ")).unwrap();
        }
        let prompt = match task.prompt {
            Some(Prompt::Text(text)) => Some(text),
            Some(Prompt::File(path)) => Some(format!("({})", path.display())),
            None => None,
        };
        writeln!(shown, "\n{}", task.appendix.after(prompt).unwrap_or_else(|| "(no prompt)".to_owned()))
            .unwrap();
    }
    shown
}

fn told(text: &str, format: Format) -> String {
    let problems = read(text, format).expect_err("it is refused");
    let mut told = String::new();
    for Problem { line, what } in problems {
        let line = line.map_or("-".to_owned(), |line| line.to_string());
        writeln!(told, "{line}: {what}").unwrap();
    }
    told
}

const ISSUES: &str = include_str!("../../../examples/issues.json");
const TASKS: &str = include_str!("../../../examples/tasks.md");
const ROADMAP: &str = include_str!("../../../examples/roadmap.md");
const PHASES: &str = include_str!("../../../examples/phases.yaml");
const EXECUTION: &str = include_str!("../../../examples/parallel-execution.yaml");

#[test]
fn issues_become_tasks() {
    insta::assert_snapshot!(shown(ISSUES, Format::Json));
}

#[test]
fn a_task_list_becomes_tasks() {
    insta::assert_snapshot!(shown(TASKS, Format::Markdown));
}

#[test]
fn headings_with_priorities_become_tasks() {
    insta::assert_snapshot!(shown(ROADMAP, Format::Markdown));
}

#[test]
fn phases_become_stages() {
    insta::assert_snapshot!(shown(PHASES, Format::Yaml));
    let toml = "[[phase_10]]\nname = 'c'\n[[phase-2]]\nname = 'b'\n[[phase_2]]\nname = 'a'\n";
    let plan = read(toml, Format::Toml).unwrap();
    let stages: Vec<_> = plan.tasks.iter().map(|task| (task.name.0.as_str(), task.stage)).collect();
    assert_eq!(stages, [("b", Some(0)), ("a", Some(0)), ("c", Some(1))]);
}

#[test]
fn a_parallel_execution_becomes_tasks() {
    insta::assert_snapshot!(shown(EXECUTION, Format::Yaml));
}

#[test]
fn mistakes_in_issues_are_told() {
    insta::assert_snapshot!(told(
        r#"[
  {"id": "a", "title": "A", "dependencies": ["b", {"depends_on_id": "gone"}, {"id": "later"}, 5.5, {"type": "blocks"}]},
  {"id": "b", "title": "B", "dependencies": [{"id": "a", "dependency_type": "blocks"}, {"id": "x", "type": "related"}]},
  {"id": "later", "title": "L", "status": "deferred"},
  {"id": "a", "title": "A again"},
  {"title": "No id"},
  {"name": "own", "prompt": "x"},
  {"id": "e", "status": "open"},
  {"id": ["f"], "title": 5},
  {"id": "g", "title": "G", "priority": "soon", "metadata": {"subagent_type": 3, "fallback_agents": {}}},
  {"id": "h", "title": "H", "metadata": []},
  "i"
]"#,
        Format::Json
    ));
    assert_eq!(
        told(r#"[{"id": "a", "title": "A", "status": "closed"}]"#, Format::Json),
        "-: nothing is left to do: no issue of the list is open or in_progress\n"
    );
}

/// Ids that are no names, and what is odd but does no harm.
#[test]
fn issues_of_other_houses_are_taken() {
    let text = r##"[
  {"id": 7, "title": "Seven", "priority": "P0", "metadata": null, "dependencies": null, "labels": [1, null]},
  {"id": "#12 (old)", "title": "Twelve", "dependencies": [7, 7, {"id": 7}], "x": {"y": []}},
  {"id": "#13", "description": "Only described", "status": "In Progress", "dependencies": ["#12 (old)"]}
]"##;
    insta::assert_snapshot!(shown(text, Format::Json));
}

#[test]
fn mistakes_in_markdown_are_told() {
    let none =
        "-: the plan has no task; write '- [ ] what to do' for each, or '### PRIORITY 50: what to do'\n";
    for text in
        ["", "# Only\n\n- a heading\n", "## Priority 50-69 (medium)\n", "## Priority 1: \n", "## Planned\n"]
    {
        assert_eq!(told(text, Format::Markdown), none, "{text:?}");
    }
    for text in [
        "- [x] a\n- [X] b\n",
        "### PRIORITY 1: a (done)\n",
        "### [x] a\n",
        "## PRIORITY 5 - a \u{2714}\u{fe0f}\n",
    ] {
        assert_eq!(
            told(text, Format::Markdown),
            "-: nothing is left to do: every item of the list is done\n",
            "{text:?}"
        );
    }
    insta::assert_snapshot!(told(
        "- [ ] a\n- [ ]\n- [ ] [P:Group-] b\n- [ ] ...\n\n- [ ] c\0\n",
        Format::Markdown
    ));
}

#[test]
fn markdown_as_people_write_it() {
    let text = "\
* [ ] **Bold** and `code` with a [link](http://x)
  goes on here

  and here
    - [ ] a step
- Backend
  - [ ] [P:Group-b] Inner
1. [ ] Numbered [P:Group-b]
2. [x] Done

Prose between.

- [ ] Same title
- [ ] Same title
- not a task

```
- [ ] in code
```

#### [ ] By heading [P:Z]
Body of it
- [ ] with a step
##### deeper
more
## Another section
### Priority 3 \u{2014} Ends what is planned
### Priority 30 - **Higher** \u{2013} Completed!
### Priority 7: Last of all - to do
";
    insta::assert_snapshot!(shown(text, Format::Markdown));
    assert_eq!(shown(&text.replace('\n', "\r\n"), Format::Markdown), shown(text, Format::Markdown));
}

#[test]
fn markdown_on_standard_input_is_known() {
    let of = |text: &str| Format::of(Path::new("-"), text.as_bytes());
    for text in
        [TASKS, ROADMAP, "- [ ] a\n", "Do:\n\n1. [x] a\n2. [ ] b\n", "# T\n* [X] a\n", "## PRIORITY 5: x\n"]
    {
        assert_eq!(of(text), Format::Markdown, "{text}");
    }
    for text in [PHASES, EXECUTION, "tasks:\n- name: a\n  prompt: |\n    - [ ] x\n", "- name: a\n", "- [a]\n"]
    {
        assert_eq!(of(text), Format::Yaml, "{text}");
    }
    for text in ["a = '''\n- [ ] x\n'''\n", "# PRIORITY 5: a\n[[task]]\n"] {
        assert_eq!(of(text), Format::Toml, "{text}");
    }
    for path in ["todo.md", "x/TODO.MD", "a.markdown"] {
        assert_eq!(Format::of(Path::new(path), b"{"), Format::Markdown);
    }
}

#[test]
fn mistakes_in_phases_are_told() {
    insta::assert_snapshot!(told(
        "
phase_1: []
phase_2:
  - a
  - ''
  - 5
  - name: b
    phase: 3
  - name: c
    depends_on: [d]
  - prompt: nameless
phase_3:
  d: x
phase_4: [{name: d}, a]
phases: [x]
",
        Format::Yaml
    ));
}

#[test]
fn mistakes_in_a_parallel_execution_are_told() {
    insta::assert_snapshot!(told(
        "
jobs: 0
parallel_execution:
  tasks:
    - id: a
      description: A
      depends_on: [b, nowhere]
    - id: b
      description: B
      dependencies: [a]
      worker: 5
    - id: a
      description: again
    - description: no id
    - id: c
    - d
  completion_criteria: 5
",
        Format::Yaml
    ));
    for text in [
        "parallel_execution:",
        "parallel_execution: []",
        "parallel_execution: {}",
        "parallel_execution: {tasks: []}",
        "parallel_execution: {tasks: x}",
    ] {
        assert!(
            told(text, Format::Yaml).starts_with("1: parallel_execution: "),
            "{}",
            told(text, Format::Yaml)
        );
    }
}

#[test]
fn dependencies_against_the_stages_are_told() {
    insta::assert_snapshot!(told(
        "
tasks:
  - name: early
    phase: 1
    depends_on: [late]
  - name: late
    phase: 2
    group: infra
  - name: free
    depends_on: [late]
  - name: freer
    depends_on: [free]
  - name: through
    phase: 1
    group: x
    depends_on: [freer]
  - name: same
    phase: 1
    depends_on: [through]
",
        Format::Yaml
    ));
    let groups = "[[task]]\nname='a'\ngroup='x'\ndepends_on=['b']\n[[task]]\nname='b'\ngroup='y'\n";
    insta::assert_snapshot!(told(groups, Format::Toml));
    // A long way around is found in no time.
    let mut tasks = vec![serde_json::json!({"name": "t0", "phase": 2})];
    let far = (1..50_000)
        .map(|n| serde_json::json!({"name": format!("t{n}"), "depends_on": [format!("t{}", n - 1)]}));
    tasks.extend(far);
    tasks.push(serde_json::json!({"name": "first", "phase": 1, "depends_on": ["t49999"]}));
    let text = serde_json::json!({"tasks": tasks}).to_string();
    assert!(told(&text, Format::Json).contains("'t49999' depends on 't0', which is in phase 2"));
}

#[test]
fn what_tasks_agree_on_is_in_their_prompts() {
    let text = include_str!("../../../examples/full-stack.toml");
    insta::assert_snapshot!(shown(text, Format::Toml));
}

#[test]
fn defaults_are_what_a_task_does_not_say_itself() {
    let text = "
[defaults]
prompt_file = 'all.md'
agent = 'auto'
fallback = ['a', 'b']
group = 'g'
touches = ['x']
setup = 's'
[[task]]
name = 'one'
[[task]]
name = 'two'
prompt = 'own'
command = 'c'
fallback = []
group = 'h'
touches = []
setup = 't'
";
    let plan = read(text, Format::Toml).unwrap();
    let [one, two] = &plan.tasks[..] else { panic!("{plan:?}") };
    assert_eq!(one.prompt, Some(Prompt::File("all.md".into())));
    assert_eq!(one.agent, Some(Agent::Name("auto".into())));
    assert_eq!((one.fallback.len(), one.touches.len()), (2, 1));
    assert_eq!((one.group.as_deref(), one.stage, one.setup.as_deref()), (Some("g"), Some(0), Some("s")));
    assert_eq!(two.prompt, Some(Prompt::Text("own".into())));
    assert!(matches!(two.agent, Some(Agent::Command(_))));
    assert_eq!((two.fallback.len(), two.touches.len()), (0, 0));
    assert_eq!((two.group.as_deref(), two.stage, two.setup.as_deref()), (Some("h"), Some(1), Some("t")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_made_of_markdown_is_answered(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "- [ ] ", "- [x] ", "* [ ]", "1. [ ] ", "- ", "\n", "\n\n", "  ", "    ", "### ", "## ", "PRIORITY 5: ",
            "Priority ", "7", " - ", "[P:Group-a]", "[P:", "]", "(done)", "Done", "\u{2705}", "```", "> ", "a", "é ",
            "\0", "\t", "\r\n", "**", "`", "<!--", "|", "[a]: b", "---", "title",
        ]), 0..40).prop_map(|pieces| pieces.concat())
    ) {
        let lines = pieces.lines().count() + 1;
        match read(&pieces, Format::Markdown) {
            Ok(plan) => prop_assert!(!plan.tasks.is_empty()),
            Err(problems) => for problem in problems {
                prop_assert!(problem.line.is_none_or(|line| line >= 1 && line <= lines), "{problem:?}");
            },
        }
    }
}
