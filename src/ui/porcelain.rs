//! Lines for scripts, which stay as they are: `--porcelain`. The manual's PORCELAIN sections tell of them.

use super::conflicts::Conflicts;
use super::status::Supervisor;
use crate::run::{Run, Task, TaskState, Text};

/// How lines end, and whether what stands in them is quoted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lines {
    /// With a line feed; names and paths with unusual characters are quoted as git quotes them.
    Quoted,
    /// With NUL; names and paths are as they are (`-z`).
    Nul,
}

impl Lines {
    fn end(self, line: &mut Vec<u8>) {
        line.push(if self == Lines::Nul { 0 } else { b'\n' });
    }

    fn name(self, line: &mut Vec<u8>, name: &Text) {
        match self {
            Lines::Nul => line.extend_from_slice(name.as_bstr()),
            Lines::Quoted => line.extend_from_slice(quoted(name.as_bstr()).as_bytes()),
        }
    }

    fn line(self, fixed: &str, names: &[&Text]) -> Vec<u8> {
        let mut line = fixed.as_bytes().to_vec();
        for (i, name) in names.iter().enumerate() {
            if i > 0 {
                line.push(b'\t');
            }
            self.name(&mut line, name);
        }
        self.end(&mut line);
        line
    }
}

/// As git does it where `core.quotePath` is true: in double quotes, with C's escapes, if it has to be.
fn quoted(bytes: &[u8]) -> String {
    let plain = |b: &u8| (0x20..0x7f).contains(b) && *b != b'"' && *b != b'\\';
    if bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let escaped = |b: &u8| match b {
        b'"' => "\\\"".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\t' => "\\t".to_owned(),
        b'\r' => "\\r".to_owned(),
        b if plain(b) => char::from(*b).to_string(),
        b => format!("\\{b:03o}"),
    };
    format!("\"{}\"", bytes.iter().map(escaped).collect::<String>())
}

/// `status --porcelain`: the run's headers, its tasks, and where they collide.
pub fn status_porcelain(run: &Run, supervisor: Supervisor, lines: Lines) -> Vec<u8> {
    let spec = &run.spec;
    let finished = run.finished_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let pid = supervisor.pid.filter(|_| supervisor.alive).map_or_else(|| "-".to_owned(), |p| p.to_string());
    let mut out = [
        lines.line(&format!("# run.id {}", spec.id), &[]),
        lines.line(&format!("# run.state {}", run.state(supervisor.alive).name()), &[]),
        lines.line("# run.target ", &[&spec.target]),
        lines.line(&format!("# run.base {}", spec.base), &[]),
        lines.line(&format!("# run.tip {}", run.tip), &[]),
        lines.line(&format!("# run.started {}", spec.started_at), &[]),
        lines.line(&format!("# run.finished {finished}"), &[]),
        lines.line(&format!("# run.pid {pid}"), &[]),
    ]
    .concat();
    for task in &run.tasks {
        out.extend(task_line(task, lines));
    }
    for task in &run.tasks {
        for conflict in &task.conflicts {
            out.extend(lines.line("u ", &[&name_of(task), &conflict.path]));
        }
    }
    out
}

fn name_of(task: &Task) -> Text {
    Text::from(task.name().0.as_str())
}

fn task_line(task: &Task, lines: Lines) -> Vec<u8> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let exit = or_none(task.exit.as_ref().and_then(|exit| exit.code).map(|code| code.to_string()));
    let tip = or_none(task.work.as_ref().and_then(|work| work.tip.as_ref()).map(ToString::to_string));
    let landed = or_none(task.landed().map(|landing| landing.commit.to_string()));
    let commits = task.work.as_ref().map_or(0, |work| work.commits);
    let fixed = format!("t {} {} {exit} {commits} {tip} {landed} ", task.state.name(), task.attempt);
    lines.line(&fixed, &[&name_of(task), &task.spec.branch, &task.spec.worktree])
}

/// `list --porcelain`; `alive` belongs to the run whose supervisor lives.
pub fn list_porcelain(runs: &[(&Run, bool)], lines: Lines) -> Vec<u8> {
    let line = |(run, alive): &(&Run, bool)| {
        let spec = &run.spec;
        let landed = run.tasks.iter().filter(|task| task.state == TaskState::Landed).count();
        let undone = run.tasks.iter().filter(|task| task.undone.is_some()).count();
        let (state, all) = (run.state(*alive).name(), run.tasks.len());
        let fixed = format!("{} {state} {} {all} {landed} {undone} ", spec.id, spec.started_at);
        lines.line(&fixed, &[&spec.target])
    };
    runs.iter().flat_map(line).collect()
}

/// `conflicts --porcelain`: a line for each path of each pair.
pub fn conflicts_porcelain(found: &Conflicts, lines: Lines) -> Vec<u8> {
    let mut out = Vec::new();
    let nowhere = [Text::default()];
    for collision in &found.collisions {
        let [one, other] = &collision.between;
        let paths = if collision.paths.is_empty() { &nowhere[..] } else { &collision.paths };
        for path in paths {
            out.extend(lines.line("", &[one, other, path]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn names_are_quoted_as_git_does_it() {
        assert_eq!(quoted(b"src/a b.rs"), "src/a b.rs");
        assert_eq!(quoted(b"a\tb\"c\\\n\x01\xff"), "\"a\\tb\\\"c\\\\\\n\\001\\377\"");
    }

    #[test]
    fn with_nul_nothing_is_quoted() {
        let sample = fixture::sample();
        let text = |lines| String::from_utf8(list_porcelain(&[(&sample.run, false)], lines)).unwrap();
        assert_eq!(text(Lines::Nul).trim_end_matches('\0'), text(Lines::Quoted).trim_end());
        let odd = Text::from(&b"\xff\n"[..]);
        assert_eq!(Lines::Nul.line("t ", &[&odd, &odd]), b"t \xff\n\t\xff\n\0");
        assert_eq!(Lines::Quoted.line("t ", &[&odd]), b"t \"\\377\\n\"\n");
    }
}
