//! Operations on an arena whose headers, rings and blocks are written over meanwhile: errors, never a wild access.
#![no_main]

#[path = "../../crates/core/tests/support/damage.rs"]
mod damage;

use libfuzzer_sys::fuzz_target;

thread_local! {
    static SCENE: damage::Scene = damage::Scene::new();
}

fuzz_target!(|input: &[u8]| SCENE.with(|scene| scene.run(input)));
