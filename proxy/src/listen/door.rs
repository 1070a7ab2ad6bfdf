//! Where connections come in: one door for each listener, and one for those that other workers hand over.
//!
//! In: listeners. Out: each connection in a task, on the worker with the least to do. A worker without a place, a descriptor or memory lets idle
//! connections give way, and waits where there are none.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::crew::{Arrival, Crew, Inbox};
use super::{EVICTED_AT_ONCE, Listening, Lot, Open, Places, connection};
use crate::budget;
use crate::io::{Accepted, Listener, Tick};
use crate::stop::Phase;
use crate::worker::Worker;

/// How long a worker that can take no connection (no descriptor is free, `limits.connections` are open) waits before it tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a handshake that began before the proxy closed may take to end: a round trip, which within a cluster takes less.
const HANDSHAKE_WAIT: Duration = Duration::from_millis(200);

/// Connections accepted in one go, before the others on the worker have their turn.
const ACCEPTS_IN_A_ROW: usize = 32;

/// What the doors of one worker share.
pub(crate) struct Hall {
    pub worker: Rc<Worker>,
    /// The number of the worker.
    pub me: usize,
    pub crew: Arc<Crew>,
    pub places: Arc<Places>,
    /// Where idle connections of the worker are parked.
    pub lot: Rc<Lot>,
    /// In the order of the settings.
    pub listenings: Vec<Rc<Listening>>,
}

impl Hall {
    /// Accepts until the proxy closes, then whoever had begun to connect by then. The listener is closed when this returns.
    pub async fn accept(self: Rc<Self>, number: usize, listener: Listener) {
        let door = Door { hall: &self, number, listener: &listener };
        door.accept_until(self.worker.reached(Phase::Closing)).await;
        if listener.refuse_new() {
            door.accept_until(self.worker.reactor.sleep_until(Tick::now().after(HANDSHAKE_WAIT))).await;
        }
        door.accept_rest().await;
    }

    /// Serves what other workers hand over, for as long as the worker lives.
    pub async fn receive(self: Rc<Self>, mut inbox: Inbox) {
        while let Some(arrival) = inbox.recv().await {
            self.serve(arrival);
            self.crew.received(self.me);
        }
    }

    /// Waits until what other workers have sent is here; they send nothing more.
    pub async fn all_received(&self) {
        while self.crew.expects(self.me) {
            self.worker.reactor.yield_now().await;
        }
    }

    fn serve(&self, arrival: Arrival) {
        let Arrival { accepted, peer, listener } = arrival;
        let open = Open::new(self.worker.clone(), self.places.clone());
        // It fails where the kernel has no memory to watch it: the connection is closed.
        let Ok(stream) = accepted.into_stream(&self.worker.reactor) else { return };
        let (worker, listening) = (self.worker.clone(), self.listenings[listener].clone());
        self.worker.spawn(move || connection::begin(worker, listening, stream, peer, open));
    }

    /// Lets idle connections give way, or waits.
    async fn make_room(&self, places: usize) {
        if self.lot.evict(&self.worker, places) == 0 {
            self.worker.reactor.sleep_until(Tick::now().after(ACCEPT_PAUSE)).await;
        } else {
            self.worker.reactor.until_closed().await;
        }
    }
}

/// One listener on one worker, while it is open.
struct Door<'a> {
    hall: &'a Hall,
    /// Of the listener.
    number: usize,
    listener: &'a Listener,
}

impl Door<'_> {
    async fn accept_until(&self, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        let mut in_a_row = 0;
        loop {
            let mut next = pin!(self.listener.accept());
            let next = std::future::poll_fn(|cx| match end.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => next.as_mut().poll(cx).map(Some),
            });
            let Some(next) = next.await else { return };
            self.let_in(next).await;
            in_a_row += 1;
            if in_a_row == ACCEPTS_IN_A_ROW {
                in_a_row = 0;
                self.hall.worker.reactor.yield_now().await;
            }
        }
    }

    /// Empties the kernel's queue: what is in it when a listener is closed is reset.
    async fn accept_rest(&self) {
        while self.hall.worker.phase() < Phase::Ended
            && let Some(next) = self.listener.accept_now()
        {
            self.let_in(next).await;
        }
    }

    /// Over `limits.connections` or far over the memory budget, the new connection waits, unserved; those behind it wait in the kernel's queue.
    async fn let_in(&self, next: io::Result<(Accepted, SocketAddr)>) {
        let hall = self.hall;
        let Ok((accepted, peer)) = next else { return hall.make_room(EVICTED_AT_ONCE).await };
        if !self.take_place().await {
            return;
        }
        let mut arrival = Some(Arrival { accepted, peer, listener: self.number });
        if hall.worker.phase() < Phase::Closing {
            arrival = arrival.and_then(|arrival| hall.crew.hand_over(hall.me, arrival));
        }
        match arrival {
            Some(arrival) => hall.serve(arrival),
            None => hall.worker.counters.connections_handed_over.add(1),
        }
    }

    /// Waits for a place. False: there is none before the end.
    async fn take_place(&self) -> bool {
        let hall = self.hall;
        while budget::is_full() || !hall.places.take(hall.worker.snapshot().policy.limits.connections) {
            if hall.worker.phase() == Phase::Ended {
                return false;
            }
            let wanted = if budget::is_full() { EVICTED_AT_ONCE } else { 1 };
            hall.make_room(wanted).await;
        }
        true
    }
}
