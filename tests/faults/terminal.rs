//! A real pseudo-terminal of 24 rows and 80 columns, with the program in it.

#![allow(dead_code)]

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::common::{PROGRAM, Sandbox, wait_until};

/// The program at a terminal.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    text: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts `git-parallel run ARGS -- AGENT` in it.
    pub fn run(sandbox: &Sandbox, args: &[&str], agent: &Path) -> Terminal {
        Terminal::start(sandbox, &[PROGRAM], args, agent)
    }

    /// The same by `git parallel`, with git in between.
    pub fn run_by_git(sandbox: &Sandbox, args: &[&str], agent: &Path) -> Terminal {
        Terminal::start(sandbox, &["git", "parallel"], args, agent)
    }

    fn start(sandbox: &Sandbox, program: &[&str], args: &[&str], agent: &Path) -> Terminal {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(program[0]);
        command.args(&program[1..]);
        command.env_clear();
        for (key, value) in &sandbox.env {
            command.env(key, value);
        }
        command.env("TERM", "xterm-256color");
        command.cwd(&sandbox.repo);
        command.arg("run");
        command.args(args);
        command.arg("--");
        command.arg(agent);
        let child = pair.slave.spawn_command(command).expect("it starts");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&text);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut chunk) {
                sink.lock().unwrap().extend_from_slice(&chunk[..count]);
            }
        });
        let writer = pair.master.take_writer().expect("a writer");
        Terminal { child, master: Some(pair.master), writer: Some(writer), text }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &[u8]) {
        let writer = self.writer.as_mut().expect("it is there");
        writer.write_all(keys).and_then(|()| writer.flush()).expect("the terminal takes it");
    }

    /// Gives it another size.
    pub fn resize(&self, rows: u16, cols: u16) {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        self.master.as_ref().expect("it is there").resize(size).expect("it takes it");
    }

    /// Whether it shows what is typed and waits for whole lines, as shells expect it.
    pub fn is_as_shells_want(&self) -> bool {
        use rustix::termios::LocalModes;
        let master = self.master.as_ref().expect("it is there");
        let modes = master.get_termios().expect("its modes").local_flags.bits();
        let wanted = (LocalModes::ICANON | LocalModes::ECHO).bits();
        modes & wanted == wanted
    }

    /// The process id of what runs in it.
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it was started")
    }

    /// All that was printed so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    /// Waits until this was printed.
    #[track_caller]
    pub fn wait_for(&self, needle: &str) {
        wait_until(&format!("{needle:?} is printed"), || self.text().contains(needle));
    }

    /// Waits for its end: the exit code and all that was printed.
    #[track_caller]
    pub fn wait(mut self, limit: Duration) -> (u32, String) {
        let code = self.code(limit);
        // The last words may still be on their way.
        std::thread::sleep(Duration::from_millis(50));
        (code, self.text())
    }

    #[track_caller]
    fn code(&mut self, limit: Duration) -> u32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.exit_code();
            }
            if begun.elapsed() > limit {
                let _ = self.child.kill();
                panic!("it goes on: {}", self.text());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes the terminal away.
    #[track_caller]
    pub fn hang_up(mut self) -> u32 {
        // The reading thread holds a copy: only when all are gone does the terminal hang up. The kernel
        // sends HUP then; we do as it does, for both the reader and a session leader that is us.
        drop(self.writer.take());
        drop(self.master.take());
        if let Some(id) = self.child.process_id() {
            let _ = rustix::process::kill_process(crate::common::pid(id), rustix::process::Signal::HUP);
        }
        self.code(Duration::from_secs(15))
    }
}

/// What a screen of this width shows at the end, and above: a small terminal for what the live view uses.
pub fn screen(text: &str, width: usize) -> String {
    let mut rows = vec![Vec::<char>::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                let mut number = String::new();
                let last = characters.find(|c| {
                    number.push(*c);
                    c.is_ascii_alphabetic()
                });
                let count = number.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(1);
                match last {
                    Some('A') => row = row.saturating_sub(count),
                    Some('K') => rows[row].truncate(column),
                    Some('J') => {
                        rows.truncate(row + 1);
                        rows[row].truncate(column);
                    }
                    _ => {}
                }
            }
            _ => {
                if column >= width {
                    (row, column) = (row + 1, 0);
                }
                if rows.len() <= row {
                    rows.resize(row + 1, Vec::new());
                }
                let line = &mut rows[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        if rows.len() <= row {
            rows.resize(row + 1, Vec::new());
        }
    }
    let lines: Vec<String> = rows.iter().map(|line| line.iter().collect::<String>()).collect();
    lines.join("\n")
}
