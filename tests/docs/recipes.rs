//! The console blocks of doc/recipes.md are run, in their order, and print what they say.

use crate::console::{examples, scrubbed};
use crate::sandbox::{Sandbox, root};

#[test]
fn its_commands_print_what_it_says() {
    let sandbox = Sandbox::new();
    if !sandbox.has("make") {
        return;
    }
    let text = std::fs::read_to_string(root().join("doc/recipes.md")).unwrap();
    let examples = examples(&text);
    assert!(examples.len() > 20, "{}", examples.len());
    let home = sandbox.path("home");
    let mut dir = home.clone();
    for example in examples {
        if let Some(to) = example.command.strip_prefix("cd ") {
            dir = dir.join(to);
            continue;
        }
        let mut shell = sandbox.command("sh");
        shell.args(["-c", &format!("{{ {}\n}} 2>&1", example.command)]).current_dir(&dir);
        let output = shell.env("LC_ALL", "C").output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap().replace(home.to_str().unwrap(), "/home/ann");
        let expected = scrubbed(example.output.iter().map(String::as_str));
        assert_eq!(scrubbed(output.lines()), expected, "$ {}\n{output}", example.command);
    }
}

/// Every link between the documents, and from them into the sources, leads somewhere.
#[test]
fn links_lead_somewhere() {
    let doc = root().join("doc");
    let mut pages: Vec<_> = std::fs::read_dir(&doc).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    let mut seen = 0;
    for page in pages.iter().filter(|page| page.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(page).unwrap();
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(page.parent().unwrap().join(target).exists(), "{} -> {target}", page.display());
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen}");
}
