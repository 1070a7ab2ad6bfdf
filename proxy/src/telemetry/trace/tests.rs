use super::*;
use crate::h1::{HeadLimits, parse_request};

fn came(propagators: Propagators, lines: &str) -> Came {
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n");
    let mut fields = Fields::default();
    let parsed = parse_request(head.as_bytes(), HeadLimits { bytes: 1 << 16, fields: 128 }, &mut fields);
    assert!(matches!(parsed, Ok(Some(_))), "{lines}");
    propagators.extract(head.as_bytes(), &fields)
}

fn came_by_w3c(lines: &str) -> Came {
    came(Propagators::DEFAULT, lines)
}

const PARENT: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
const CONTEXT: Context = Context {
    trace: TraceId(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
    span: SpanId(0xb7ad_6b71_6920_3331),
    is_sampled: true,
};

#[test]
fn a_parent_is_read_and_its_state_kept() {
    let found =
        came_by_w3c(&format!("{PARENT}tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE\r\ntracestate: a@b=1\r\n"));
    assert_eq!(found, Came { context: Some(CONTEXT), wish: None, keeps_state: true });
    let unsampled = came_by_w3c(&PARENT.replace("-01\r", "-00\r")).context.map(|context| context.is_sampled);
    assert_eq!(unsampled, Some(false));
}

#[test]
fn a_later_version_is_read_as_far_as_it_is_known() {
    for (from, to) in [("00-0af7", "01-0af7"), ("-01\r\n", "-01\r\n")] {
        assert_eq!(came_by_w3c(&PARENT.replace(from, to)).context, Some(CONTEXT), "{to}");
    }
    let longer = PARENT.replace("00-0af7", "cc-0af7").replace("-01\r\n", "-01-what-the-future-brings\r\n");
    assert_eq!(came_by_w3c(&longer).context, Some(CONTEXT));
}

#[test]
fn a_broken_parent_is_none_and_takes_its_state_along() {
    for (from, to) in [
        ("0af7651916cd43dd8448eb211c80319c", "00000000000000000000000000000000"),
        ("b7ad6b7169203331", "0000000000000000"),
        ("0af7", "0AF7"),
        ("0af7", "0xf7"),
        ("00-0", "ff-0"),
        ("00-0", "0-0"),
        ("-01", "-1"),
        ("-01", "-01-"),
        ("-01", ""),
        ("-01", "-0g"),
        ("-b7ad", "_b7ad"),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "\u{e9}"),
    ] {
        let found = came_by_w3c(&format!("{}tracestate: a=1\r\n", PARENT.replace(from, to)));
        assert_eq!(found, Came::default(), "{from} > {to}");
    }
    assert_eq!(came_by_w3c(&format!("{PARENT}{PARENT}")), Came::default(), "two");
    assert_eq!(came_by_w3c("tracestate: a=1\r\n"), Came::default(), "no parent");
}

#[test]
fn a_state_that_cannot_be_read_is_not_kept() {
    let members = |n: usize| (0..n).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
    for (state, keeps) in [
        (members(32), true),
        (members(33), false),
        (members(50), false),
        ("a=1,,b=2".to_owned(), true),
        ("a".to_owned(), false),
        ("=1".to_owned(), false),
        ("A=1".to_owned(), false),
        ("a=1=2".to_owned(), false),
        (format!("a={}", "v".repeat(256)), true),
        (format!("a={}", "v".repeat(257)), false),
    ] {
        assert_eq!(came_by_w3c(&format!("{PARENT}tracestate: {state}\r\n")).keeps_state, keeps, "{state}");
    }
}

#[test]
fn b3_is_read_where_it_is_asked_for_and_w3c_comes_first() {
    let single = Propagators { tracecontext: true, b3: true, b3multi: false };
    let multi = Propagators { tracecontext: true, b3: false, b3multi: true };
    let line = "b3: 0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1-05e3ac9a4f6e3b90\r\n";
    let lines = "X-B3-TraceId: 0AF7651916CD43DD8448EB211C80319C\r\nX-B3-SpanId: b7ad6b7169203331\r\nX-B3-Flags: 1\r\n";
    for (propagators, lines, context) in [
        (single, line, Some(CONTEXT)),
        (multi, lines, Some(CONTEXT)),
        (multi, line, Some(CONTEXT)),
        (single, lines, Some(CONTEXT)),
        (Propagators::DEFAULT, line, None),
        (
            single,
            "b3: 8448eb211c80319c-b7ad6b7169203331-d\r\n",
            Some(Context { trace: TraceId(0x8448_eb21_1c80_319c), ..CONTEXT }),
        ),
        (single, "b3: 8448eb211c80319-b7ad6b7169203331-1\r\n", None),
        (single, "b3: 00000000000000000000000000000000-b7ad6b7169203331-1\r\n", None),
        (multi, "X-B3-TraceId: 0af7\r\nX-B3-SpanId: b7ad6b7169203331\r\n", None),
    ] {
        assert_eq!(came(propagators, lines).context, context, "{lines}");
    }
    let other = "b3: 11111111111111111111111111111111-2222222222222222-0\r\n";
    assert_eq!(came(single, &format!("{other}{PARENT}")).context, Some(CONTEXT));
    assert_eq!(came(single, "b3: 0\r\n"), Came { wish: Some(false), ..Came::default() });
    assert_eq!(came(multi, "X-B3-Sampled: 1\r\n"), Came { wish: Some(true), ..Came::default() });
}

#[test]
fn what_is_written_can_be_read() {
    for propagators in [
        Propagators { tracecontext: true, b3: false, b3multi: false },
        Propagators { tracecontext: false, b3: true, b3multi: false },
        Propagators { tracecontext: false, b3: false, b3multi: true },
        Propagators { tracecontext: true, b3: true, b3multi: true },
    ] {
        for is_sampled in [true, false] {
            let context = Context { is_sampled, ..CONTEXT };
            let mut lines = Lines::default();
            propagators.write(context, &mut lines);
            let text = String::from_utf8(lines.filled().to_vec()).expect("it is ASCII");
            assert_eq!(came(propagators, &text).context, Some(context), "{text}");
            for at in lines.spans() {
                assert_eq!(&text[at..at + 16], "b7ad6b7169203331");
            }
            let kinds = [propagators.tracecontext, propagators.b3, propagators.b3multi];
            assert_eq!(lines.spans().count(), kinds.iter().filter(|is| **is).count());
        }
    }
}

#[test]
fn who_asked_decides_and_else_the_share() {
    let trace = TraceId(1);
    let sampled = |is_sampled| Came { context: Some(Context { is_sampled, ..CONTEXT }), ..Came::default() };
    let nobody = Came::default();
    let (all, none) = (Some(1.0), Some(0.0));
    let by_parent = Sampler { parent_based: true, root: Root::AlwaysOff };
    assert!(by_parent.samples(&sampled(true), trace, none) && !by_parent.samples(&sampled(false), trace, all));
    assert!(!by_parent.samples(&nobody, trace, None) && by_parent.samples(&nobody, trace, all));
    let wish = Came { wish: Some(true), ..Came::default() };
    assert!(by_parent.samples(&wish, trace, None));
    let alone = Sampler { parent_based: false, root: Root::AlwaysOn };
    assert!(alone.samples(&sampled(false), trace, None) && !alone.samples(&sampled(true), trace, none));
}

/// So that hops of one trace that have one share agree, whoever decides.
#[test]
fn a_share_holds_for_the_traces_that_it_holds_for_in_opentelemetrys_sdk() {
    use opentelemetry::trace::{SpanKind, TraceId as Id};
    use opentelemetry_sdk::trace::{Sampler as Theirs, SamplingDecision, ShouldSample};
    let ids = Ids::new(7);
    for share in [0.0, 1e-9, 0.01, 0.25, 0.5, 0.999, 1.0] {
        let (ours, theirs) = (Ratio::new(share), Theirs::TraceIdRatioBased(share));
        for _ in 0..2000 {
            let trace = ids.trace();
            let id = Id::from_bytes(trace.to_bytes());
            let decision = theirs.should_sample(None, id, "", &SpanKind::Server, &[], &[]).decision;
            assert_eq!(ours.holds(trace), decision == SamplingDecision::RecordAndSample, "{share} {trace:?}");
        }
    }
}

#[test]
fn identities_differ_and_are_never_0() {
    let ids = Ids::new(0);
    let all: std::collections::HashSet<u64> = (0..10_000).map(|_| ids.span().0).collect();
    assert!(all.len() == 10_000 && !all.contains(&0));
    assert_ne!(ids.trace(), ids.trace());
}

#[test]
fn identities_read_as_std_writes_numbers() {
    let ids = Ids::new(11);
    for (trace, span) in (0..2000).map(|_| (ids.trace(), ids.span())).chain([(TraceId(1), SpanId(u64::MAX))]) {
        assert_eq!(trace.hex()[..], *format!("{:032x}", trace.0).as_bytes());
        assert_eq!(span.hex()[..], *format!("{:016x}", span.0).as_bytes());
    }
}
