//! Finding and joining, on one worker; with other workers it is played by the model and by tests/tests/coalesce_bodies.

use std::task::{Context, Poll, Waker};

use super::*;
use crate::coalesce::{AnswerHead, End, Landing, Scope};
use crate::config::built_in_snapshot;
use crate::h1::{HeadLimits, RequestHead, parse_request, parse_response};
use crate::http::{Fields, Method};

fn board(keyer: Keyer) -> Rc<Board> {
    let (mut seed, _) = FlightSeed::new(1, 1);
    seed.keyer = keyer;
    seed.grow(0, Arc::default())
}

fn join(board: &Rc<Board>, target: &str) -> Join {
    let bytes = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    let (mut fields, snapshot) = (Fields::default(), Arc::new(built_in_snapshot()));
    let limits = HeadLimits { bytes: 1000, fields: 10 };
    let head: RequestHead = parse_request(&bytes, limits, &mut fields).unwrap().unwrap();
    let scope = Scope { upstream: 0, generation: 0, route: 0, is_tls: false, client: None };
    let rules = &snapshot.policy.coalescing;
    let question = Question { scope, identity: b"", bytes: &bytes, head: &head, fields: &fields, rules };
    board.join(&question, &snapshot, false).expect("nobody else opens one")
}

fn lead(board: &Rc<Board>, target: &str) -> Lead {
    let Join::Lead(lead) = join(board, target) else { panic!("{target} does not lead") };
    lead
}

fn follow(board: &Rc<Board>, target: &str) -> Seat {
    let Join::Follow(seat, None) = join(board, target) else { panic!("{target} does not follow") };
    seat
}

fn landing(seat: &Seat) -> Option<Landing> {
    match seat.poll_landing(&Context::from_waker(Waker::noop())) {
        Poll::Ready(landing) => Some(landing),
        Poll::Pending => None,
    }
}

fn answer(is_retained: bool) -> AnswerHead {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n".to_vec();
    let mut fields = Fields::default();
    let limits = HeadLimits { bytes: 1000, fields: 10 };
    let head = parse_response(&bytes, Method::Get, limits, &mut fields).unwrap().unwrap();
    AnswerHead { head, bytes, fields, request_id: None, is_retained }
}

fn at_rest(board: &Board) {
    let counters = &board.counters.coalesce;
    assert_eq!((counters.flights.now(), counters.followers.now(), counters.retained_bytes.load(Relaxed)), (0, 0, 0));
    assert!(board.open.is_empty());
}

#[test]
fn r02_an_equal_hash_alone_shares_nothing() {
    let board = board(Keyer::colliding());
    let first = lead(&board, "/a");
    assert!(matches!(join(&board, "/b"), Join::Alone(Outcome::Full)), "another key has the place of this hash");
    let second = follow(&board, "/a");
    drop((first, second));
    drop(lead(&board, "/b"));
    at_rest(&board);
}

#[test]
fn r05_a_leader_that_goes_away_leaves_no_key_and_its_followers_ask_again() {
    let board = board(Keyer::random());
    let first = lead(&board, "/a");
    let second = follow(&board, "/a");
    assert!(first.is_joined() && landing(&second).is_none());
    drop(first);
    assert!(matches!(landing(&second), Some(Landing::Again { was_full: false })));
    drop(second);
    drop(lead(&board, "/a"));
    at_rest(&board);
}

#[test]
fn r05_a_carrier_that_is_dropped_leaves_no_key() {
    let board = board(Keyer::random());
    let first = lead(&board, "/a");
    let second = follow(&board, "/a");
    let (carrier, leader) = first.hand_over();
    drop(carrier);
    assert!(
        matches!(landing(&leader), Some(Landing::Again { .. }))
            && matches!(landing(&second), Some(Landing::Again { .. }))
    );
    drop((leader, second));
    at_rest(&board);
}

#[test]
fn r06_nobody_joins_after_the_head() {
    let board = board(Keyer::random());
    let first = lead(&board, "/a");
    let second = follow(&board, "/a");
    let (carrier, leader) = first.hand_over();
    let pump = carrier.land(answer(true), 4);
    let third = lead(&board, "/a");
    assert!(
        matches!(landing(&leader), Some(Landing::Shared(_))) && matches!(landing(&second), Some(Landing::Shared(_)))
    );
    pump.finish(End::Whole);
    drop((pump, third, leader, second));
    at_rest(&board);
}

#[test]
fn r09_a_full_flight_is_closed_and_the_next_request_leads() {
    let board = board(Keyer::random());
    let first = lead(&board, "/a");
    let seats: Vec<Seat> = (0..crate::coalesce::FOLLOWERS_MAX).map(|_| follow(&board, "/a")).collect();
    let next = lead(&board, "/a");
    next.end(Outcome::Shared);
    assert_eq!(board.counters.coalesce.requests[Role::Alone as usize][Outcome::Full as usize].sum(), 1);
    drop((first, seats));
    at_rest(&board);
}

#[test]
fn r10_a_pump_that_is_dropped_is_an_abort_for_everyone() {
    let board = board(Keyer::random());
    let first = lead(&board, "/a");
    let second = follow(&board, "/a");
    let (carrier, leader) = first.hand_over();
    drop(carrier.land(answer(true), 4));
    assert!(matches!((leader.end(), second.end()), (Some(End::Aborted(_)), Some(End::Aborted(_)))));
    drop((leader, second));
    at_rest(&board);
    assert_eq!(board.reserved.get(), 0);
}

#[test]
fn r04_a_key_that_was_released_passes() {
    let board = board(Keyer::random());
    let first = lead(&board, "/a");
    let second = follow(&board, "/a");
    let (carrier, leader) = first.hand_over();
    carrier.release(Outcome::Unshareable);
    assert!(matches!(landing(&second), Some(Landing::Alone(Outcome::Unshareable))));
    assert!(matches!(join(&board, "/a"), Join::Alone(Outcome::Pass)));
    drop(lead(&board, "/b"));
    drop((leader, second));
    at_rest(&board);
}

#[test]
fn requests_that_nobody_joins_use_the_same_memory_again() {
    let board = board(Keyer::random());
    drop(lead(&board, "/a"));
    let kept = Rc::as_ptr(&board.spare.borrow()[0]);
    let second = lead(&board, "/b");
    assert!(board.spare.borrow().is_empty());
    drop(second);
    assert_eq!(Rc::as_ptr(&board.spare.borrow()[0]), kept);
}
