//! Links the program at a fixed address on Linux. A shim sits beside each agent for hours; moved to an address of
//! its own, each would have 400 KiB of pages of its own in which nothing but addresses differ.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
