//! git-parallel-protocol(7): git parallel for other programs.

use clap_mangen::roff::{Roff, bold, roman};
use serde_json::Value as Json;

use super::sections::{EXIT_STATUS, Section};
use super::{commands, head, see_also, tagged};
use crate::commands::schema::EVENT;
use crate::run::TaskState;

/// The page's name.
pub const NAME: &str = "git-parallel-protocol";

const DESCRIPTION: [&str; 5] = [
    "Another program (an editor, a bot, a script) uses git parallel as a person does: it starts the process, reads \
     lines from its standard output, and asks for something by starting another. There is no library, no server and \
     no port.",
    "'git parallel run --json -y' prints events, one JSON object a line, each as it happens and none in part. The plan \
     may come on standard input (-f -). Standard error is for people. The exit code says how the run came out.",
    "Every event has at, a time, and event, a name; those of a task have task. Later versions may add events, keys and \
     states: pass over what is not known. What is there today keeps its name and meaning. 'git parallel schema event' \
     prints the JSON Schema of a line, and 'schema status' and 'schema report' those of the objects that 'status \
     --json' and 'report --json' print, which have a version, too.",
    "A reader that goes away stops nothing: the run goes on to its end. One that comes later asks 'git parallel status \
     --json' how things stand, and finds what has happened in parallel/runs/RUN/journal.jsonl of the common git \
     directory: the same lines, but for conflict-foreseen, and without the counts of run-finished. A run that was \
     interrupted is picked up by 'resume --json', which prints what happens from then on.",
    "A name or path that is not UTF-8 is {\"bytes\": [...]} wherever one stands.",
];

const REQUESTS: Section = Section {
    title: "REQUESTS",
    intro: "Each is a command, in any directory of the repository. While a run goes on, abort and land ask its supervisor, \
            and come back once it has happened; what can't be done meanwhile exits with 4.",
    entries: &[
        (
            "status --json [RUN]",
            "How things stand, at any time. Without RUN, of the latest run; its id is in run.id.",
        ),
        ("abort [TASK]...", "Stop these tasks, or the run. At any time."),
        ("land [TASK]...", "Land what waits. At any time."),
        ("wait [RUN] --timeout TIME", "Wait for the end; exits as the run did, or with 124."),
        ("logs [-f] [--raw] TASK", "An agent's output, as it comes with -f. At any time."),
        ("conflicts --json", "What would conflict. At any time; exits with 1 if something does."),
        ("report --json [RUN]", "All of a run, at any time."),
        ("list --json", "All runs."),
        ("resume --json", "Pick an interrupted run up."),
        (
            "resolve TASK --with CMD",
            "Have a command settle a conflict, in the task's worktree; then land. At any time.",
        ),
        ("retry TASK...", "Run tasks again. After the run."),
        ("undo, cleanup", "Take a run's landings back; remove what is done with. After the run."),
    ],
};

/// Commands to try, under what they are for. The first is in the directory of examples.
const EXAMPLES: [(&str, &[&str]); 3] = [
    (
        "A client of less than thirty lines of shell and jq, which has three agents do the same and stops the others once \
         one has landed (see examples/first-wins of the source):",
        &["./first-wins sh -c 'echo \"$GIT_PARALLEL_TASK\" >result.txt'"],
    ),
    (
        "What lands, as it lands:",
        &["git parallel run -y --json -f plan.toml | jq -r 'select(.event == \"landed\").task'"],
    ),
    (
        "What needs a person:",
        &["git parallel status --json | jq -r '.tasks[] | select(.state == \"conflicted\").name'"],
    ),
];

/// The page.
pub fn page() -> String {
    let mut roff = head(NAME, "7", "how other programs start runs, follow them, and ask something of them");
    roff.control("SH", ["DESCRIPTION"]);
    for (number, paragraph) in DESCRIPTION.into_iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(paragraph)]);
    }
    tagged(&mut roff, &REQUESTS);
    events(&mut roff);
    roff.control("SH", ["STATES"]);
    let states: Vec<&str> = TaskState::ALL.iter().map(|state| state.name()).collect();
    roff.text([roman(format!("A task is {}.", states.join(", ")))]);
    tagged(&mut roff, &EXIT_STATUS);
    roff.control("SH", ["EXAMPLES"]);
    commands(&mut roff, &EXAMPLES);
    let others = ["git-parallel-run(1)", "git-parallel-status(1)", "git-parallel-schema(1)"];
    see_also(&mut roff, &others.map(str::to_owned));
    roff.render()
}

/// Each event with its keys, as the schema has them.
fn events(roff: &mut Roff) {
    roff.control("SH", ["EVENTS"]);
    roff.text([roman(
        "Behind each event stand its keys, beside at, event and task; those in brackets may be missing.",
    )]);
    let schema: Json = serde_json::from_str(EVENT).unwrap_or_default();
    for event in schema["oneOf"].as_array().into_iter().flatten() {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let required: Vec<&str> =
            event["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        let keys = event["properties"].as_object().into_iter().flat_map(|table| table.keys());
        let keys = keys.filter(|key| !["at", "event", "task"].contains(&key.as_str()));
        let keys = keys.map(|key| match required.contains(&key.as_str()) {
            true => key.clone(),
            false => format!("[{key}]"),
        });
        let keys = keys.collect::<Vec<_>>().join(", ");
        roff.control("TP", []);
        roff.text([bold(text("title")), roman(if keys.is_empty() { keys } else { format!(": {keys}") })]);
        roff.text([roman(text("description"))]);
    }
}
