//! What is added to the prompts of tasks: contracts, criteria and whatever else a list says of them.

use std::fmt::Write as _;

/// An interface that tasks agree on before any of them makes or uses it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contract {
    /// What it is called.
    pub name: String,
    /// The task that makes it.
    pub provider: String,
    /// The tasks that use it.
    pub consumers: Vec<String>,
    /// The interface itself.
    pub interface: String,
    /// What it is for.
    pub purpose: Option<String>,
}

/// Something more that a task is told: a heading, and what stands below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// Markdown.
    pub body: String,
}

/// What the prompt of a task goes on with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Appendix {
    /// Markdown; empty, if there is nothing to add.
    text: String,
    /// It is a prompt by itself. Criteria of the whole run are none: they say nothing of the task.
    alone: bool,
}

impl Appendix {
    /// What `task` is told: by the notes and criteria of its own, by the contracts that it has a part in, and by
    /// the criteria of the run.
    pub fn of(
        task: &str,
        notes: &[Section],
        contracts: &[Contract],
        own_criteria: &[String],
        criteria: &[String],
    ) -> Appendix {
        let mut text = String::new();
        for note in notes {
            section(&mut text, &format!("## {}", note.title), &note.body);
        }
        let mut first = true;
        for contract in contracts {
            let provides = contract.provider == task;
            if !provides && !contract.consumers.iter().any(|consumer| consumer == task) {
                continue;
            }
            if first {
                section(&mut text, "## Contracts", AGREED);
                first = false;
            }
            let role = if provides { "you provide it" } else { "you use it" };
            section(&mut text, &format!("### {} ({role})", contract.name), &told(contract, task));
        }
        let alone = !text.is_empty() || !own_criteria.is_empty();
        let run = criteria.iter().filter(|criterion| !own_criteria.contains(criterion));
        let all: String = own_criteria.iter().chain(run).map(|criterion| point(criterion)).collect();
        if !all.is_empty() {
            section(&mut text, "## Completion criteria", &all);
        }
        Appendix { text, alone }
    }

    /// The prompt with this added. With nothing to add it stays as it is, byte for byte.
    pub fn after(&self, prompt: Option<String>) -> Option<String> {
        match prompt {
            _ if self.text.is_empty() => prompt,
            None => self.alone.then(|| self.text.clone()),
            Some(prompt) => {
                let between = if prompt.ends_with('\n') { "\n" } else { "\n\n" };
                Some([prompt.as_str(), between, &self.text].concat())
            }
        }
    }
}

const AGREED: &str =
    "These interfaces are agreed with other tasks, which are worked on elsewhere. Keep to them exactly.";

fn told(contract: &Contract, task: &str) -> String {
    let mut text = String::new();
    if let Some(purpose) = &contract.purpose {
        let _ = writeln!(text, "- For: {}", purpose.trim());
    }
    if contract.provider != task {
        let _ = writeln!(text, "- Provided by: {}", contract.provider);
    }
    let others: Vec<&str> = contract.consumers.iter().map(String::as_str).filter(|c| *c != task).collect();
    if !others.is_empty() {
        let _ = writeln!(text, "- Used by: {}", others.join(", "));
    }
    format!("{}\n\n{}", text.trim_end(), contract.interface.trim_matches('\n'))
}

/// A point of a list; its further lines are indented, so that they stay in it.
fn point(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    format!("- {}\n", lines.join("\n  "))
}

fn section(text: &mut String, heading: &str, body: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "{heading}\n\n{}", body.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(name: &str, provider: &str, consumers: &[&str]) -> Contract {
        Contract {
            name: name.to_owned(),
            provider: provider.to_owned(),
            consumers: consumers.iter().map(|c| (*c).to_owned()).collect(),
            interface: "GET /invoices -> 200 [Invoice]\n  404 if there is none\n".to_owned(),
            purpose: (name == "invoices").then(|| "the page that lists them".to_owned()),
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn each_is_told_its_part() {
        let contracts =
            [contract("invoices", "api", &["client", "page"]), contract("types", "client", &["api"])];
        let own = texts(&["The guide is up to date,\nwith a sample.", "make test passes"]);
        let run = texts(&["make test passes", "No warning is left."]);
        let notes = [Section { title: "Design".to_owned(), body: "One table.\n".to_owned() }];
        let told = |task, notes: &[Section], own: &[String]| {
            let appendix = Appendix::of(task, notes, &contracts, own, &run);
            format!("==== {task}\n{}", appendix.after(Some("Do it.".to_owned())).unwrap())
        };
        insta::assert_snapshot!(
            [told("api", &notes, &own), told("client", &[], &[]), told("docs", &[], &own)].concat()
        );
    }

    #[test]
    fn a_task_without_a_prompt_gets_what_is_meant_for_it_alone() {
        let contracts = [contract("invoices", "api", &["client"])];
        let run = texts(&["make test passes"]);
        let of = |task, own: &[String]| Appendix::of(task, &[], &contracts, own, &run).after(None);
        assert_eq!(of("docs", &[]), None);
        assert!(of("api", &[]).unwrap().contains("make test passes"));
        assert!(of("docs", &texts(&["x"])).unwrap().starts_with("## Completion criteria\n\n- x\n- make"));
    }

    #[test]
    fn a_prompt_with_nothing_to_add_stays_as_it_is() {
        for prompt in ["", "x", "x\n", "\r\n\t\u{1b}$(no)"] {
            assert_eq!(Appendix::default().after(Some(prompt.to_owned())).as_deref(), Some(prompt));
        }
        let done = Appendix::of("a", &[], &[], &texts(&["y"]), &[]);
        assert_eq!(done.after(Some("x\n".to_owned())).unwrap(), "x\n\n## Completion criteria\n\n- y\n");
    }
}
