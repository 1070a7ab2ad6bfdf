//! A simulation of the room with a seed: workers, clients, the app and the clock on one thread, in an order that the seed decides.
//!
//! In: a seed. Out: nothing, or the first rule that was broken, with the seed that breaks it again. Actors do what `serve::ride`, `serve::carry` and
//! `serve::share` do, on scripts instead of sockets; they are polled only when woken, so a wake that is forgotten is found. What must hold is said
//! in `checks`, from the rules and a record of its own, not from the room's state. The bounds of the room are small under `cfg(test)`.
//!
//! `COALESCE_MODEL_SCHEDULES`: how many; `COALESCE_MODEL_SEED`: the first one's seed, alone it is one schedule, told step by step with `--nocapture`.

mod app;
mod carry;
mod checks;
mod client;
mod executor;
mod heads;
mod ledger;
mod letters;
mod plan;
mod records;
mod ride;
mod rng;
mod share;
mod world;

use std::cell::Cell;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use plan::Plan;
use rng::Rng;
use world::World;

/// What takes twenty seconds of an unoptimised build.
const SCHEDULES: u64 = 20_000;

fn asked(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

fn play(seed: u64, traces: bool) {
    let plan = Plan::draw(&mut Rng::of_seed(seed));
    if traces {
        println!("{plan:#?}");
    }
    // Where a rule is broken, what is left is not given back: that would break more.
    let world = ManuallyDrop::new(World::new(plan, seed, traces));
    world.run();
    world.executor.clear();
    drop(ManuallyDrop::into_inner(world));
}

thread_local! {
    /// The schedule that is played on this thread.
    static PLAYED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Names the seed with the first word of a panic: what unwinds after it may panic too, which ends the process, and what the harness holds back is lost.
fn name_seeds() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            usual(panic);
            if let Some(seed) = PLAYED.take() {
                let again = "cargo test -p slipstream-proxy --lib coalesce::model -- --nocapture";
                let told = format!("seed {seed} breaks a rule. Step by step: COALESCE_MODEL_SEED={seed} {again}\n");
                let _ = std::io::stderr().write_all(told.as_bytes());
            }
        }));
    });
}

/// True: no rule was broken.
fn holds(seed: u64, traces: bool) -> bool {
    PLAYED.set(Some(seed));
    let played = catch_unwind(AssertUnwindSafe(|| play(seed, traces)));
    PLAYED.set(None);
    played.is_ok()
}

#[test]
fn rules_hold_in_whatever_order_things_happen() {
    let (seed, schedules) = (asked("COALESCE_MODEL_SEED"), asked("COALESCE_MODEL_SCHEDULES"));
    let is_replay = seed.is_some() && schedules.is_none();
    let first = seed.unwrap_or(1);
    let schedules = schedules.unwrap_or(if is_replay { 1 } else { SCHEDULES });
    let goes_on = asked("COALESCE_MODEL_GO_ON").is_some();
    name_seeds();
    let mut broken = 0;
    for seed in first..first + schedules {
        if !holds(seed, is_replay) {
            broken += 1;
            assert!(goes_on, "seed {seed}");
        }
    }
    assert_eq!(broken, 0, "of {schedules} schedules");
}
