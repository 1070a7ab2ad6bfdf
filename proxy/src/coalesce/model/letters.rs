//! What happens beside the requests: letters between workers, writes, and changes of the settings.

use std::rc::Rc;

use super::executor::{Role, yield_now};
use super::plan::{Client, Reader, Write};
use super::world::World;
use super::{checks, client};
use crate::coalesce::board::Letters;

/// One letter at a time, so that anything may happen between two.
pub async fn deliver(world: Rc<World>, worker: usize, mut inbox: Letters) {
    while let Some(letter) = inbox.recv().await {
        world.trace(|| format!("worker {worker} reads a letter"));
        checks::asks(&world, |opened| opened.worker == worker);
        world.boards[worker].deliver(letter);
        yield_now().await;
    }
}

/// A client that writes, and then reads.
pub async fn write(world: Rc<World>, plan: Write) {
    world.executor.sleep_until(plan.begins).await;
    let writing = world.begin_write(plan.worker, plan.uri);
    world.trace(|| format!("a write to {} goes up", plan.uri));
    world.executor.sleep(plan.answered_after).await;
    world.bump(plan.uri);
    writing.answered();
    world.trace(|| format!("a write to {} is answered", plan.uri));
    if let Some((worker, shape)) = plan.reads {
        let arrives = world.now();
        let reader = Client {
            worker,
            shape,
            arrives,
            twins: Vec::new(),
            leaves: None,
            leaves_after_bytes: None,
            reader: Reader::Fast,
            request_ms: None,
            queue_ms: None,
        };
        world.spawn(Role::Connection(1000), worker, client::connection(world.clone(), reader));
    }
    if plan.ends_after == 0 {
        // All of its answer had come.
        return writing.was_over();
    }
    world.executor.sleep(plan.ends_after).await;
    world.bump(plan.uri);
    drop(writing);
}

/// Drains, or takes another policy.
pub async fn settings(world: Rc<World>) {
    let mut times: Vec<u64> = world.plan.drains_at.into_iter().chain(world.plan.reloads_at).collect();
    times.sort_unstable();
    for at in times {
        world.executor.sleep_until(at).await;
        if Some(at) == world.plan.reloads_at {
            world.trace(|| "another policy".to_owned());
            world.reload();
        }
        if Some(at) == world.plan.drains_at {
            world.trace(|| "drains".to_owned());
            world.is_draining.set(true);
        }
    }
}
