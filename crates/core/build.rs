//! Refuses a system that the core cannot run on, with one sentence instead of a page of missing names.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |what: &str| env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    let (system, bits) = (target("OS"), target("POINTER_WIDTH"));
    if system != "linux" || bits != "64" {
        println!(
            "cargo::error=procession runs on 64-bit Linux only, and this build is for {system} with {bits} bits: \
             its locks are futexes, its memory is memfd, and its words are of 64 bits"
        );
    }
}
