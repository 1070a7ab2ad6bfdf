use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use super::permits::Usage;
use super::{Permit, Permits, Taken, Waiting};

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn permit(taken: Taken<'_>) -> Permit<'_> {
    match taken {
        Taken::Permit(permit) => permit,
        other => panic!("no permit but {other:?}"),
    }
}

fn waiting(taken: Taken<'_>) -> Waiting<'_> {
    match taken {
        Taken::Wait(waiting) => waiting,
        other => panic!("no place in the line but {other:?}"),
    }
}

fn look<'p>(waiting: &mut Waiting<'p>) -> Option<Permit<'p>> {
    look_as(waiting, Waker::noop())
}

fn look_as<'p>(waiting: &mut Waiting<'p>, waker: &Waker) -> Option<Permit<'p>> {
    match Pin::new(waiting).poll(&mut Context::from_waker(waker)) {
        Poll::Ready(permit) => Some(permit),
        Poll::Pending => None,
    }
}

fn usage(permits: &Permits) -> (u32, u32) {
    let Usage { in_use, waiting, .. } = permits.usage();
    (in_use, waiting)
}

#[test]
fn as_many_are_in_use_as_the_limit_allows() {
    let permits = Permits::new(Some(2));
    let first = permit(permits.take(0));
    let _second = permit(permits.take(0));
    assert!(matches!(permits.take(0), Taken::Full));
    drop(first);
    let _third = permit(permits.take(0));
    assert_eq!(permits.usage(), Usage { in_use: 2, waiting: 0, limit: Some(2) });
}

#[test]
fn as_many_wait_as_the_line_has_room_for() {
    let permits = Permits::new(Some(1));
    let _held = permit(permits.take(2));
    let _first = waiting(permits.take(2));
    let second = waiting(permits.take(2));
    assert!(matches!(permits.take(2), Taken::Full));
    drop(second);
    let _third = waiting(permits.take(2));
    assert_eq!(usage(&permits), (1, 2));
}

#[test]
fn who_came_first_is_let_in_first() {
    let permits = Permits::new(Some(1));
    let mut held = permit(permits.take(9));
    let mut line: Vec<Waiting<'_>> = (0..5).map(|_| waiting(permits.take(9))).collect();
    while !line.is_empty() {
        drop(held);
        let let_in: Vec<Option<Permit<'_>>> = line.iter_mut().map(look).collect();
        assert_eq!(let_in.iter().filter(|permit| permit.is_some()).count(), 1);
        held = let_in.into_iter().next().flatten().expect("the first of the line is let in");
        drop(line.remove(0));
    }
    drop(held);
    assert_eq!(usage(&permits), (0, 0));
}

#[test]
fn nobody_overtakes_the_line() {
    let permits = Permits::new(Some(2));
    let held = (permit(permits.take(9)), permit(permits.take(9)));
    let mut first = waiting(permits.take(9));
    drop(held.0);
    // The permit is the first one's already, though it has not looked.
    let mut late = waiting(permits.take(9));
    assert!(look(&mut late).is_none());
    let _permit = look(&mut first).expect("let in");
    drop(held.1);
    assert!(look(&mut late).is_some());
}

#[test]
fn one_is_woken_for_each_permit() {
    let permits = Permits::new(Some(1));
    let held = permit(permits.take(9));
    let (one, two) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let (mut first, mut second) = (waiting(permits.take(9)), waiting(permits.take(9)));
    assert!(look_as(&mut first, &one.clone().into()).is_none());
    assert!(look_as(&mut second, &two.clone().into()).is_none());
    drop(held);
    assert_eq!((one.0.load(SeqCst), two.0.load(SeqCst)), (1, 0));
}

#[test]
fn the_waker_of_the_last_look_is_woken() {
    let permits = Permits::new(Some(1));
    let held = permit(permits.take(9));
    let (one, two) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let mut first = waiting(permits.take(9));
    assert!(look_as(&mut first, &one.clone().into()).is_none());
    assert!(look_as(&mut first, &two.clone().into()).is_none());
    drop(held);
    assert_eq!((one.0.load(SeqCst), two.0.load(SeqCst)), (0, 1));
}

#[test]
fn who_leaves_the_line_is_passed_over() {
    let permits = Permits::new(Some(1));
    let held = permit(permits.take(9));
    let (first, second, mut third) = (waiting(permits.take(9)), waiting(permits.take(9)), waiting(permits.take(9)));
    drop((second, first));
    drop(held);
    assert!(look(&mut third).is_some());
    assert_eq!(usage(&permits), (0, 0));
}

#[test]
fn permit_handed_to_one_who_leaves_goes_to_the_next() {
    let permits = Permits::new(Some(1));
    let held = permit(permits.take(9));
    let (first, mut second) = (waiting(permits.take(9)), waiting(permits.take(9)));
    let woken = Arc::new(Woken::default());
    assert!(look_as(&mut second, &woken.clone().into()).is_none());
    drop(held);
    assert_eq!(woken.0.load(SeqCst), 0);
    drop(first);
    assert_eq!(woken.0.load(SeqCst), 1);
    assert!(look(&mut second).is_some());
    assert_eq!(usage(&permits), (0, 0));
}

#[test]
fn permit_handed_to_the_last_who_leaves_is_free() {
    let permits = Permits::new(Some(1));
    let held = permit(permits.take(9));
    let only = waiting(permits.take(9));
    drop(held);
    assert_eq!(usage(&permits), (1, 0));
    drop(only);
    assert_eq!(usage(&permits), (0, 0));
}

#[test]
fn permit_is_given_back_by_a_panic() {
    let permits = Permits::new(Some(1));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _permit = permit(permits.take(0));
        panic!("as a task may");
    }));
    assert!(panicked.is_err());
    assert_eq!(usage(&permits), (0, 0));
}

#[test]
fn larger_limit_lets_in_who_waits() {
    let permits = Permits::new(Some(1));
    let _held = permit(permits.take(9));
    let mut line: Vec<Waiting<'_>> = (0..4).map(|_| waiting(permits.take(9))).collect();
    permits.set_limit(Some(3));
    let let_in: Vec<Option<Permit<'_>>> = line.iter_mut().map(look).collect();
    assert!(let_in[0].is_some() && let_in[1].is_some() && let_in[2].is_none() && let_in[3].is_none());
    assert_eq!(usage(&permits), (3, 2));
    permits.set_limit(None);
    assert!(line[2..].iter_mut().map(look).all(|permit| permit.is_some()));
    let _no_limit: Vec<Permit<'_>> = (0..100).map(|_| permit(permits.take(0))).collect();
    assert_eq!(permits.usage().limit, None);
}

#[test]
fn smaller_limit_lets_nobody_in_before_enough_have_ended() {
    let permits = Permits::new(Some(3));
    let mut held: Vec<Permit<'_>> = (0..3).map(|_| permit(permits.take(9))).collect();
    let mut first = waiting(permits.take(9));
    permits.set_limit(Some(1));
    held.pop();
    held.pop();
    assert!(look(&mut first).is_none());
    assert_eq!(usage(&permits), (1, 1));
    held.pop();
    assert!(look(&mut first).is_some());
    assert_eq!(usage(&permits), (0, 0));
}

/// Threads that take, wait, give up and give back at random until each has been let in so often.
#[test]
fn threads_never_have_more_than_the_limit() {
    const THREADS: u64 = 8;
    const TURNS: usize = 2000;
    const LIMIT: usize = 3;
    let permits = Arc::new(Permits::new(Some(LIMIT as u32)));
    let inside = Arc::new(AtomicUsize::new(0));
    let threads = (1..=THREADS).map(|seed| {
        let (permits, inside) = (permits.clone(), inside.clone());
        std::thread::spawn(move || {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut served = 0;
            while served < TURNS {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let permit = match permits.take(4) {
                    Taken::Permit(permit) => permit,
                    Taken::Full => {
                        std::thread::yield_now();
                        continue;
                    }
                    Taken::Wait(waiting) if random & 3 == 0 => {
                        drop(waiting);
                        continue;
                    }
                    Taken::Wait(waiting) => wait(waiting),
                };
                assert!(inside.fetch_add(1, SeqCst) < LIMIT);
                if random & 4 == 0 {
                    std::thread::yield_now();
                }
                inside.fetch_sub(1, SeqCst);
                served += 1;
                drop(permit);
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    for thread in threads {
        thread.join().expect("no assertion failed");
    }
    assert_eq!(usage(&permits), (0, 0));
}

/// Blocks this thread until it is let in. A wake that is lost is a test that hangs.
fn wait(mut waiting: Waiting<'_>) -> Permit<'_> {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Some(permit) = look_as(&mut waiting, &waker) {
            return permit;
        }
        std::thread::park();
    }
}
