//! One epoll set a worker, entered into monoio as a single descriptor: readiness, deadlines and fair yields of everything on the worker.
//!
//! Under the epoll driver every socket is in the set, edge-triggered. Under io_uring listeners and connects are, sockets at rest, and those of
//! clients for the news that they have left; there a socket's [`Slot`] carries its deadlines. A [`Slot`] outlives no stream: the slot is removed
//! before the descriptor is closed, so that a number that the kernel gives out again is never mistaken for the old socket (events carry the
//! slot's generation).

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::clock::Tick;
use super::sys;
use super::wheel::{EntryId, Wheel};
use crate::timeouts::Timer;

/// Events taken from the kernel at once. More than that are taken in the same turn, in the next round of the loop.
const EVENTS_PER_CALL: usize = 256;

/// A cancelled operation of the kernel's ends within a turn of the loop.
const SETTLE: Duration = Duration::from_millis(20);

const TOKEN_TIMER: u64 = u64::MAX;
const TOKEN_YIELD: u64 = u64::MAX - 1;

/// Until when a wait may last, and the name of the timer that then has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    pub at: Tick,
    pub timer: Timer,
}

impl Deadline {
    pub fn after(wait: Duration, timer: Timer) -> Deadline {
        Deadline { at: Tick::now().after(wait), timer }
    }

    /// Whichever comes first; of two at once, `self`.
    pub fn or(self, other: Option<Deadline>) -> Deadline {
        match other {
            Some(other) if other.at < self.at => other,
            _ => self,
        }
    }
}

/// Which half of a connection waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// What the reactor tells of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// Readable, writable, closed by the peer.
    All,
    /// Readable, closed by the peer: a socket at rest.
    Rest,
    /// Closed by the peer.
    Hangup,
    Nothing,
}

impl Watch {
    fn events(self) -> libc::c_int {
        libc::EPOLLET
            | match self {
                Watch::All => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP,
                Watch::Rest => libc::EPOLLIN | libc::EPOLLRDHUP,
                Watch::Hangup => libc::EPOLLRDHUP,
                Watch::Nothing => 0,
            }
    }
}

/// One direction of a slot.
pub(super) struct Half {
    /// The kernel said ready, and nothing since said otherwise.
    pub ready: Cell<bool>,
    waker: Cell<Option<Waker>>,
    due: Cell<Tick>,
    timer: Cell<Timer>,
    expired: Cell<Option<Timer>>,
    /// The wheel's entry, and when it fires. It may fire early, see [`Reactor::arm`].
    entry: Cell<Option<EntryId>>,
    fires_ms: Cell<u64>,
}

impl Half {
    fn new() -> Half {
        Half {
            ready: Cell::new(false),
            waker: Cell::new(None),
            due: Cell::new(Tick::NEVER),
            timer: Cell::new(Timer::StreamIdle),
            expired: Cell::new(None),
            entry: Cell::new(None),
            fires_ms: Cell::new(u64::MAX),
        }
    }

    /// As a new one. It is in no wheel.
    fn begin(&self, ready: bool) {
        self.ready.set(ready);
        self.waker.set(None);
        self.due.set(Tick::NEVER);
        self.expired.set(None);
        self.fires_ms.set(u64::MAX);
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The timer that ended the last armed wait, once.
    pub fn expired(&self) -> Option<Timer> {
        self.expired.take()
    }

    /// The wait ended: its deadline counts no more. The wheel's entry stays, see [`Reactor::arm`].
    pub fn disarm(&self) {
        self.due.set(Tick::NEVER);
    }

    pub fn wait(&self, cx: &Context<'_>) {
        self.wait_with(cx.waker());
    }

    pub fn wait_with(&self, waker: &Waker) {
        self.waker.set(Some(waker.clone()));
    }
}

/// What the reactor knows of one descriptor.
pub(super) struct Slot {
    key: Cell<u32>,
    generation: Cell<u32>,
    pub read: Half,
    pub write: Half,
    watch: Cell<Watch>,
    /// The peer has closed its side, or the connection is broken: a short read does not mean drained any more.
    pub hung_up: Cell<bool>,
    /// The connection is broken: a reset, or both sides have closed.
    pub broken: Cell<bool>,
    /// The kernel's write operation owns its buffer (io_uring): a deadline ends it by breaking off this descriptor. Elsewhere a wake is enough.
    pub break_writes: Cell<Option<RawFd>>,
    /// Who has parked the stream is told by this number what happened to it, and nobody else is.
    parked: Cell<Option<u32>>,
    /// The read that waits is for a beginning: nothing is lost when it ends.
    pub idle: Cell<bool>,
}

impl Slot {
    pub fn half(&self, direction: Direction) -> &Half {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    fn token(&self) -> u64 {
        u64::from(self.generation.get()) << 32 | u64::from(self.key.get())
    }

    fn new() -> Slot {
        Slot {
            key: Cell::new(0),
            generation: Cell::new(0),
            read: Half::new(),
            write: Half::new(),
            watch: Cell::new(Watch::Nothing),
            hung_up: Cell::new(false),
            broken: Cell::new(false),
            break_writes: Cell::new(None),
            parked: Cell::new(None),
            idle: Cell::new(false),
        }
    }

    /// As a new one, whatever it was used for.
    fn begin(&self, key: u32, generation: u32, writable: bool) {
        self.key.set(key);
        self.generation.set(generation);
        self.read.begin(false);
        self.write.begin(writable);
        self.watch.set(Watch::Nothing);
        self.hung_up.set(false);
        self.broken.set(false);
        self.break_writes.set(None);
        self.parked.set(None);
        self.idle.set(false);
    }
}

/// The slot of one stream, taken out of the reactor by drop.
pub(super) struct SlotGuard {
    pub reactor: Rc<Reactor>,
    pub slot: Rc<Slot>,
}

impl std::ops::Deref for SlotGuard {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        &self.slot
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        self.reactor.remove(&self.slot);
    }
}

/// Slots are made so many at a time: they are all that a parked connection leaves on the heap, and beside each other they fill a page, where
/// one by one each would hold a page that a task has left.
const SLOTS_AT_ONCE: usize = 28;

/// The worker's one place of waiting.
pub struct Reactor {
    epoll: OwnedFd,
    timer: OwnedFd,
    turn: OwnedFd,
    slots: RefCell<slab::Slab<Rc<Slot>>>,
    /// Slots of nobody.
    spare: RefCell<Vec<Rc<Slot>>>,
    generation: Cell<u32>,
    wheel: RefCell<Wheel<(Rc<Slot>, Direction)>>,
    /// When the timerfd fires, in milliseconds; `u64::MAX`: it is not set.
    timer_ms: Cell<u64>,
    yielded: RefCell<Vec<Waker>>,
    /// Parked streams that something has come to, or whose time is over.
    stirred: RefCell<Vec<u32>>,
    stir_waiter: Cell<Option<Waker>>,
    ring: bool,
    short_read_drains: bool,
}

impl Reactor {
    /// `ring`: sockets are read and written by io_uring, and are blocking. `short_read_drains`: false where a socket stack is preloaded.
    pub(super) fn new(ring: bool, short_read_drains: bool) -> io::Result<Rc<Reactor>> {
        let (epoll, timer, turn) = (sys::epoll_create()?, sys::timer_create()?, sys::event_create()?);
        sys::epoll_add(&epoll, timer.as_raw_fd(), libc::EPOLLIN, TOKEN_TIMER)?;
        sys::epoll_add(&epoll, turn.as_raw_fd(), libc::EPOLLIN, TOKEN_YIELD)?;
        Ok(Rc::new(Reactor {
            epoll,
            timer,
            turn,
            slots: RefCell::default(),
            spare: RefCell::default(),
            generation: Cell::new(0),
            wheel: RefCell::new(Wheel::new(sys::clock_ns() / 1_000_000)),
            timer_ms: Cell::new(u64::MAX),
            yielded: RefCell::default(),
            stirred: RefCell::default(),
            stir_waiter: Cell::default(),
            ring,
            short_read_drains,
        }))
    }

    /// Sockets are read and written by io_uring.
    pub fn is_ring(&self) -> bool {
        self.ring
    }

    /// Whether a read that fills less than it could has emptied the socket. So it is on the kernel's TCP; preloaded stacks cap reads.
    pub fn short_read_drains(&self) -> bool {
        self.short_read_drains
    }

    /// The descriptor that monoio watches in the place of all others.
    pub(super) fn epoll(&self) -> &OwnedFd {
        &self.epoll
    }

    /// A slot that is in no set yet: it can only carry deadlines.
    pub(super) fn slot(self: &Rc<Self>, writable: bool) -> SlotGuard {
        let generation = self.generation.get().wrapping_add(1);
        self.generation.set(generation);
        let mut slots = self.slots.borrow_mut();
        let entry = slots.vacant_entry();
        let mut spare = self.spare.borrow_mut();
        let slot = spare.pop().unwrap_or_else(|| {
            spare.extend((1..SLOTS_AT_ONCE).map(|_| Rc::new(Slot::new())));
            Rc::new(Slot::new())
        });
        slot.begin(entry.key() as u32, generation, writable);
        entry.insert(slot.clone());
        SlotGuard { reactor: self.clone(), slot }
    }

    /// These events of `fd` reach `slot` from now on, those that are there already too. Closing the descriptor takes it out of the set.
    pub(super) fn watch(&self, slot: &Slot, fd: RawFd, watch: Watch) -> io::Result<()> {
        match (slot.watch.replace(watch), watch) {
            (before, now) if before == now => Ok(()),
            (Watch::Nothing, _) => sys::epoll_add(&self.epoll, fd, watch.events(), slot.token()),
            (_, Watch::Nothing) => {
                sys::epoll_remove(&self.epoll, fd);
                Ok(())
            }
            _ => sys::epoll_modify(&self.epoll, fd, watch.events(), slot.token()),
        }
    }

    /// Nobody waits for the stream of `slot`: what comes, or the end of its time, is told by [`Reactor::stirred`] as `key`.
    pub(super) fn park(&self, slot: &Rc<Slot>, key: u32, until: Deadline) {
        slot.read.waker.set(None);
        slot.write.waker.set(None);
        self.leave_wheel(slot);
        self.arm(slot, Direction::Read, until);
        slot.parked.set(Some(key));
        if slot.read.ready.get() || slot.hung_up.get() {
            self.stir(slot);
        }
    }

    /// The stream of `slot` is somebody's again. The timer, if that was what ended its rest.
    pub(super) fn unpark(&self, slot: &Slot) -> Option<Timer> {
        slot.parked.set(None);
        slot.read.disarm();
        slot.read.expired()
    }

    fn stir(&self, slot: &Slot) {
        let Some(key) = slot.parked.take() else { return };
        self.stirred.borrow_mut().push(key);
        if let Some(waiter) = self.stir_waiter.take() {
            waiter.wake();
        }
    }

    /// Waits for parked streams that something happened to, and appends their keys. Each is told once.
    pub async fn stirred(&self, keys: &mut Vec<u32>) {
        std::future::poll_fn(|cx| {
            let mut stirred = self.stirred.borrow_mut();
            if stirred.is_empty() {
                self.stir_waiter.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            keys.append(&mut stirred);
            Poll::Ready(())
        })
        .await;
    }

    fn remove(&self, slot: &Rc<Slot>) {
        self.slots.borrow_mut().try_remove(slot.key.get() as usize);
        self.leave_wheel(slot);
        let mut spare = self.spare.borrow_mut();
        // Its owner's is the last one.
        if Rc::strong_count(slot) == 1 && spare.len() < 2 * SLOTS_AT_ONCE {
            spare.push(slot.clone());
        }
    }

    fn leave_wheel(&self, slot: &Slot) {
        let mut wheel = self.wheel.borrow_mut();
        for half in [&slot.read, &slot.write] {
            if let Some(entry) = half.entry.take() {
                wheel.remove(entry);
            }
        }
    }

    /// Starts a wait of `slot` that may last until `deadline`.
    ///
    /// A keep-alive connection arms and disarms several times a request, so the wheel is not touched where it has an entry that fires early
    /// enough: that entry then finds the deadline of the wait that is under way, and goes back to sleep until it.
    pub(super) fn arm(&self, slot: &Rc<Slot>, direction: Direction, deadline: Deadline) {
        let half = slot.half(direction);
        half.expired.set(None);
        half.due.set(deadline.at);
        half.timer.set(deadline.timer);
        let fires_early_enough = half.entry.get().is_some() && half.fires_ms.get() <= deadline.at.0;
        if fires_early_enough || deadline.at == Tick::NEVER {
            return;
        }
        self.enter(slot, direction, deadline.at.0);
    }

    fn enter(&self, slot: &Rc<Slot>, direction: Direction, at_ms: u64) {
        let half = slot.half(direction);
        let mut wheel = self.wheel.borrow_mut();
        if let Some(entry) = half.entry.take() {
            wheel.remove(entry);
        }
        half.entry.set(Some(wheel.insert(at_ms, (slot.clone(), direction))));
        half.fires_ms.set(at_ms);
        drop(wheel);
        self.set_timer();
    }

    fn set_timer(&self) {
        let next = self.wheel.borrow().next_ms().unwrap_or(u64::MAX);
        if next < self.timer_ms.get() {
            self.timer_ms.set(next);
            sys::timer_set(&self.timer, next.saturating_mul(1_000_000));
        }
    }

    /// Wakes whoever has something to do. Called whenever monoio finds the set readable.
    pub(super) fn turn(&self, events: &mut Events) {
        loop {
            let filled = sys::epoll_poll(&self.epoll, &mut events.0);
            for event in &events.0[..filled] {
                match event.u64 {
                    TOKEN_TIMER => self.fire_timers(),
                    TOKEN_YIELD => self.wake_yielded(),
                    token => self.mark(token, event.events as libc::c_int),
                }
            }
            if filled < EVENTS_PER_CALL {
                return;
            }
        }
    }

    fn mark(&self, token: u64, events: libc::c_int) {
        let slots = self.slots.borrow();
        let Some(slot) = slots.get((token & u64::from(u32::MAX)) as usize) else { return };
        if slot.token() != token {
            return;
        }
        let broken = libc::EPOLLERR | libc::EPOLLHUP;
        if events & broken != 0 {
            slot.broken.set(true);
        }
        if events & (broken | libc::EPOLLRDHUP) != 0 {
            slot.hung_up.set(true);
        }
        if events & (broken | libc::EPOLLRDHUP | libc::EPOLLIN) != 0 {
            slot.read.ready.set(true);
            slot.read.wake();
            self.stir(slot);
        }
        if events & (broken | libc::EPOLLOUT) != 0 {
            slot.write.ready.set(true);
            slot.write.wake();
        }
    }

    fn fire_timers(&self) {
        sys::event_clear(&self.timer);
        self.timer_ms.set(u64::MAX);
        let now_ms = sys::clock_ns() / 1_000_000;
        loop {
            let due = self.wheel.borrow_mut().advance(now_ms);
            let Some((slot, direction)) = due else { break };
            let half = slot.half(direction);
            half.entry.set(None);
            match half.due.get() {
                Tick::NEVER => {}
                due if due.0 > now_ms => self.enter(&slot, direction, due.0),
                _ => self.expire(&slot, direction),
            }
        }
        self.set_timer();
    }

    fn expire(&self, slot: &Slot, direction: Direction) {
        let half = slot.half(direction);
        half.disarm();
        half.expired.set(Some(half.timer.get()));
        match (direction, slot.break_writes.get()) {
            (Direction::Write, Some(fd)) => sys::disconnect(fd),
            (Direction::Write, None) => {}
            (Direction::Read, _) => self.stir(slot),
        }
        half.wake();
    }

    fn wake_yielded(&self) {
        sys::event_clear(&self.turn);
        // A wake only queues its task: nothing yields while this is borrowed. The memory stays for the next.
        for waker in self.yielded.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    /// Waits until the descriptors of streams that were dropped are free: under io_uring the kernel closes them at the next turn of the loop.
    pub async fn until_closed(&self) {
        if self.is_ring() {
            self.yield_now().await;
        }
    }

    /// Lets everything else on the worker have its turn: other tasks, sockets, timers.
    ///
    /// monoio runs a task that wakes itself before all others, and neither polls the kernel nor fires timers while its queue is not empty.
    /// So the queue is left to run empty, and an eventfd in the set makes the wait that follows return at once.
    pub async fn yield_now(&self) {
        let mut asked = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            let mut yielded = self.yielded.borrow_mut();
            if yielded.is_empty() {
                sys::event_raise(&self.turn);
            }
            yielded.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits until `at`. Owns no buffer: may be dropped.
    pub async fn sleep_until(self: &Rc<Self>, at: Tick) {
        self.alarm().reached(at).await;
    }

    /// For somebody who sleeps often: one wait at a time.
    pub fn alarm(self: &Rc<Self>) -> Alarm {
        Alarm(self.slot(false))
    }

    /// Lets the kernel let go of the buffers of streams that were dropped.
    pub async fn settle(self: &Rc<Self>) {
        if self.ring {
            self.sleep_until(Tick::now().after(SETTLE)).await;
        }
    }

    /// Ends the idle reads ([`super::Stream::set_idle`]) that wait for `timer`, as if it had run out. Returns how many there were.
    pub fn end_idle_waits(&self, timer: Timer) -> u64 {
        let is_meant = |slot: &Slot| slot.idle.get() && slot.read.timer.get() == timer;
        let idle = self.all_slots().into_iter().filter(|slot| is_meant(slot));
        idle.map(|slot| self.expire(&slot, Direction::Read)).count() as u64
    }

    /// Ends every wait on the worker, as if its deadline had passed. Writes only where one waits: ending one resets the connection under io_uring,
    /// and an answer that the kernel has taken over still arrives.
    pub fn end_all_waits(&self) {
        for slot in self.all_slots() {
            self.expire(&slot, Direction::Read);
            if slot.write.due.get() != Tick::NEVER {
                self.expire(&slot, Direction::Write);
            }
        }
    }

    fn all_slots(&self) -> Vec<Rc<Slot>> {
        self.slots.borrow().iter().map(|(_, slot)| slot.clone()).collect()
    }
}

/// What a sleep needs, for one after another.
pub struct Alarm(SlotGuard);

impl Alarm {
    /// Waits until `at`. Owns no buffer: may be dropped.
    pub async fn reached(&self, at: Tick) {
        self.0.reactor.arm(&self.0.slot, Direction::Read, Deadline { at, timer: Timer::StreamIdle });
        std::future::poll_fn(|cx| match self.0.read.expired() {
            Some(_) => Poll::Ready(()),
            None => {
                self.0.read.wait(cx);
                Poll::Pending
            }
        })
        .await;
    }
}

/// Room for the events of one call.
pub(super) struct Events(Vec<libc::epoll_event>);

impl Events {
    pub fn new() -> Events {
        Events(vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_CALL])
    }
}
