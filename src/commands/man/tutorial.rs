//! git-parallel-tutorial(7): the first ten minutes. It is written in Markdown, whose console blocks the tests run.

use clap_mangen::roff::{Inline, Roff, bold, roman};
use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::{head, see_also};

/// The page's name.
pub const NAME: &str = "git-parallel-tutorial";

/// Headings, paragraphs and blocks of code; no more of Markdown is used.
const TEXT: &str = include_str!("tutorial.md");

/// The page.
pub fn page() -> String {
    let mut roff = head(NAME, "7", "from an empty directory to work of several agents on one branch");
    let mut inline: Vec<Inline> = Vec::new();
    let mut code = None;
    for event in Parser::new(TEXT) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => code = Some(String::new()),
            Event::End(TagEnd::CodeBlock) => block(&mut roff, &code.take().unwrap_or_default()),
            Event::Text(text) => match &mut code {
                Some(code) => code.push_str(&text),
                None => inline.push(roman(&*text)),
            },
            Event::Code(text) => inline.push(bold(&*text)),
            Event::SoftBreak => inline.push(roman(" ")),
            Event::End(TagEnd::Heading(_)) => {
                let title: Vec<String> = inline.drain(..).map(text_of).collect();
                roff.control("SH", [title.concat().as_str()]);
            }
            Event::End(TagEnd::Paragraph) => {
                roff.control("PP", []);
                roff.text(std::mem::take(&mut inline));
            }
            _ => {}
        }
    }
    let others = ["git-parallel(1)", "git-parallel-run(1)", "git-parallel-plan(5)", "git-parallel-config(5)"];
    see_also(&mut roff, &others.map(str::to_owned));
    roff.render()
}

fn text_of(inline: Inline) -> String {
    match inline {
        Inline::Roman(text) | Inline::Bold(text) | Inline::Italic(text) => text,
        Inline::LineBreak => " ".to_owned(),
    }
}

/// What is typed is bold, and lines stay as they are.
fn block(roff: &mut Roff, code: &str) {
    roff.control("PP", []).control("RS", ["4"]).control("nf", []);
    for line in code.lines() {
        let typed =
            line.starts_with("$ ") || line.starts_with("> ") || code.lines().all(|l| !l.starts_with("$ "));
        match (line, typed) {
            ("", _) => roff.control("sp", []),
            (line, true) => roff.text([bold(line)]),
            (line, false) => roff.text([roman(line)]),
        };
    }
    roff.control("fi", []).control("RE", []);
}
