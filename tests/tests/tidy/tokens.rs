//! Rust text as words and signs, each with its line: comments are gone, literals are one sign. Enough to read paths and items off it.

use std::iter::Peekable;
use std::str::CharIndices;

/// A word, a sign of one character, or `"` for any literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token<'t> {
    pub text: &'t str,
    pub line: usize,
}

impl Token<'_> {
    pub fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Splits `text`. Raw strings, nested comments and lifetimes are told from what they look like.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text.char_indices().peekable();
    let mut line = 1;
    while let Some((at, c)) = rest.next() {
        let begun = line;
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        match c {
            '\n' => line += 1,
            _ if c.is_whitespace() => {}
            '/' if text[at..].starts_with("//") => while rest.next_if(|&(_, c)| c != '\n').is_some() {},
            '/' if text[at..].starts_with("/*") => line += skip(&mut rest, comment_len(&text[at..]) - 1),
            '"' => {
                line += skip(&mut rest, string_len(&text[at..]) - 1);
                found.push(Token { text: "\"", line: begun });
            }
            '\'' => match char_len(&text[at..]) {
                Some(len) => {
                    skip(&mut rest, len - 1);
                    found.push(Token { text: "\"", line: begun });
                }
                // A lifetime or a label says nothing of use.
                None => while rest.next_if(|&(_, c)| is_word(c)).is_some() {},
            },
            _ if is_word(c) => {
                let mut end = at + c.len_utf8();
                while let Some((at, c)) = rest.next_if(|&(_, c)| is_word(c)) {
                    end = at + c.len_utf8();
                }
                let word = &text[at..end];
                let behind = &text[end..];
                let prefixed = match word {
                    "r" | "br" | "cr" => raw_len(behind),
                    "b" | "c" if behind.starts_with('"') => Some(string_len(behind)),
                    "b" if behind.starts_with('\'') => char_len(behind),
                    _ => None,
                };
                match prefixed {
                    Some(len) => {
                        line += skip(&mut rest, len);
                        found.push(Token { text: "\"", line: begun });
                    }
                    None => found.push(Token { text: word, line }),
                }
            }
            _ => found.push(Token { text: &text[at..at + c.len_utf8()], line }),
        }
    }
    found
}

/// Passes `bytes` bytes; gives how many lines ended in them.
fn skip(rest: &mut Peekable<CharIndices<'_>>, bytes: usize) -> usize {
    let Some(&(from, _)) = rest.peek() else { return 0 };
    let mut lines = 0;
    while let Some((_, c)) = rest.next_if(|&(at, _)| at < from + bytes) {
        lines += usize::from(c == '\n');
    }
    lines
}

fn comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        match rest {
            "" => return at,
            _ if rest.starts_with("/*") => (depth, at) = (depth + 1, at + 2),
            _ if rest.starts_with("*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += rest.chars().next().map_or(0, char::len_utf8),
        }
        if depth == 0 {
            return at;
        }
    }
}

/// From the opening quote to the closing one, both included.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `#"..."#` behind the `r`, with any number of `#`; `None`: a word that merely ends so, or a raw identifier.
fn raw_len(behind: &str) -> Option<usize> {
    let hashes = behind.len() - behind.trim_start_matches('#').len();
    let inner = behind[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(inner.find(&end).map_or(behind.len(), |at| hashes + 1 + at + end.len()))
}

/// A character literal, quotes included; `None`: a lifetime.
fn char_len(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?;
        return chars.find(|&(_, c)| c == '\'').map(|(at, _)| at + 1);
    }
    chars.next().filter(|&(_, c)| c == '\'').map(|(at, _)| at + 1)
}

/// What is left without the items under `#[cfg(test)]`.
pub fn without_tests<'t>(all: &[Token<'t>]) -> Vec<Token<'t>> {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if !starts(&all[at..], &CFG_TEST) {
            kept.push(all[at].clone());
            at += 1;
            continue;
        }
        let (mut depth, mut end) = (0usize, at + CFG_TEST.len());
        while end < all.len() {
            match all[end].text {
                "{" | "[" | "(" => depth += 1,
                "}" if depth == 1 => break,
                "}" | "]" | ")" => depth = depth.saturating_sub(1),
                ";" if depth == 0 => break,
                _ => {}
            }
            end += 1;
        }
        at = end + 1;
    }
    kept
}

/// The first tokens are these.
pub fn starts(tokens: &[Token<'_>], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.text == *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_hide_words() {
        assert_eq!(texts("a // unsafe\nb /* x /* y */ unsafe */ c"), ["a", "b", "c"]);
        assert_eq!(
            texts(r##"a "un\"safe" r#"un"safe"# b"x" b'"' '\'' 'x' c"##),
            ["a", "\"", "\"", "\"", "\"", "\"", "\"", "c"]
        );
        assert_eq!(texts("fn f<'a>(x: &'a str)"), ["fn", "f", "<", ">", "(", "x", ":", "&", "str", ")"]);
    }

    #[test]
    fn lines_are_counted_through_literals_and_comments() {
        let found = tokens("a\n\"x\ny\"\n/* \n */ b");
        assert_eq!(found.last(), Some(&Token { text: "b", line: 5 }));
    }

    #[test]
    fn items_of_tests_are_left_out() {
        let all = tokens(
            "a #[cfg(test)] mod tests; b #[cfg(test)] #[allow(x)] mod t { fn f() {} } c #[cfg(test)] fn g() { h() } d",
        );
        let kept: Vec<&str> = without_tests(&all).iter().map(|token| token.text).collect();
        assert_eq!(kept, ["a", "b", "c", "d"]);
    }
}
