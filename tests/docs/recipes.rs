//! The console blocks of doc/recipes.md are run, in their order, and print what they say.

use crate::console::run_all;
use crate::sandbox::{Sandbox, root};

#[test]
fn its_commands_print_what_it_says() {
    let sandbox = Sandbox::new();
    if !sandbox.has("make") {
        return;
    }
    let text = std::fs::read_to_string(root().join("doc/recipes.md")).unwrap();
    run_all(&sandbox, &text, "");
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
