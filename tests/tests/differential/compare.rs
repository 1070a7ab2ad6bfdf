//! Whether a witness read what we sent as we meant it.

use crate::account::Account;
use crate::witness::Answer;

/// How a witness stands to what we saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Agrees,
    /// It refused some of the requests, each by its number and the status (`None`: by a close), and read the others as we did.
    Refuses(Vec<(usize, Option<u16>)>),
    /// It read another request, or another number of them: says which part.
    Differs(String),
}

/// `ours`: the whole requests that were sent. `is_whole`: nothing was sent behind them but the sentinel.
pub fn compare(ours: &[Account], is_whole: bool, answers: &[Answer]) -> Verdict {
    let mut refused = Vec::new();
    for (number, answer) in answers.iter().enumerate() {
        let difference = match (answer, ours.get(number)) {
            (Answer::Read(read), Some(sent)) => difference(sent, read),
            (Answer::Read(read), None) if is_whole && number == ours.len() && is_sentinel(read) => None,
            (Answer::Read(read), None) => {
                Some(format!("read as one more: {} {} with {} bytes", read.method, read.target, read.body.len()))
            }
            (Answer::Refused(status), Some(_)) => {
                refused.push((number, Some(*status)));
                None
            }
            (Answer::Refused(_), None) if !is_whole => None,
            (Answer::Refused(status), None) => Some(format!("the sentinel behind it is refused with {status}")),
        };
        if let Some(difference) = difference {
            return Verdict::Differs(format!("request {number}: {difference}"));
        }
    }
    let is_short = answers.len() < ours.len() + usize::from(is_whole);
    match (is_short, refused.is_empty()) {
        (false, true) => Verdict::Agrees,
        (true, true) if answers.len() == ours.len() => Verdict::Differs("the sentinel behind the last is gone".into()),
        (true, true) => Verdict::Refuses(vec![(answers.len(), None)]),
        (_, false) => Verdict::Refuses(refused),
    }
}

fn is_sentinel(read: &Account) -> bool {
    let fields = [("host".to_string(), "sentinel".to_string())];
    (read.method.as_str(), read.target.as_str(), read.body.len()) == ("GET", "/sentinel", 0) && read.fields == fields
}

/// The first part in which two accounts differ.
pub fn difference(ours: &Account, theirs: &Account) -> Option<String> {
    let parts = [
        ("method", format!("{:?}", ours.method), format!("{:?}", theirs.method)),
        ("target", format!("{:?}", ours.target), format!("{:?}", theirs.target)),
        ("body", ours.body.escape_ascii().to_string(), theirs.body.escape_ascii().to_string()),
        ("fields", but(&ours.fields, &theirs.fields), but(&theirs.fields, &ours.fields)),
        ("trailers", but(&ours.trailers, &theirs.trailers), but(&theirs.trailers, &ours.trailers)),
    ];
    let (part, ours, theirs) = parts.into_iter().find(|(_, ours, theirs)| ours != theirs)?;
    Some(format!("{part}: sent {ours}, read {theirs}"))
}

/// The lines of `fields` for people, but for those at the front and at the back that `others` has too.
fn but(fields: &[(String, String)], others: &[(String, String)]) -> String {
    let alike = |pairs: &mut dyn Iterator<Item = bool>| pairs.take_while(|alike| *alike).count();
    let front = alike(&mut fields.iter().zip(others).map(|(one, other)| one == other));
    let back =
        alike(&mut fields[front..].iter().rev().zip(others[front..].iter().rev()).map(|(one, other)| one == other));
    format!("{:?}", &fields[front..fields.len() - back])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(method: &str, target: &str, body: &str) -> Account {
        Account::new(method, target, vec![("Host".into(), "a".into())], Vec::new(), body.as_bytes().to_vec())
    }

    fn sentinel() -> Account {
        Account::new("GET", "/sentinel", vec![("Host".into(), "sentinel".into())], Vec::new(), Vec::new())
    }

    fn ours() -> [Account; 2] {
        [account("GET", "/a", ""), account("POST", "/b", "hello")]
    }

    fn verdict(read: &[Account]) -> Verdict {
        compare(&ours(), true, &read.iter().cloned().map(Answer::Read).collect::<Vec<_>>())
    }

    fn assert_differs(read: &[Account], part: &str) {
        let verdict = verdict(read);
        assert!(matches!(&verdict, Verdict::Differs(why) if why.contains(part)), "{part}: {verdict:?}");
    }

    #[test]
    fn the_same_reading_agrees() {
        let [first, second] = ours();
        assert_eq!(verdict(&[first, second, sentinel()]), Verdict::Agrees);
    }

    #[test]
    fn every_other_reading_differs() {
        let [first, second] = ours();
        assert_differs(&[account("PUT", "/a", "")], "method");
        assert_differs(&[account("GET", "/a?", "")], "target");
        assert_differs(&[account("GET", "/a", "x")], "body");
        let fields = vec![("Host".into(), "b".into())];
        assert_differs(&[Account::new("GET", "/a", fields, Vec::new(), Vec::new())], "fields");
        let trailers = vec![("X".into(), "y".into())];
        assert_differs(&[Account { trailers, ..first.clone() }], "trailers");
        assert_differs(&[first.clone(), account("POST", "/b", "hell"), account("oGET", "/sentinel", "")], "body");
        assert_differs(&[first.clone(), second.clone(), account("GET", "/smuggled", ""), sentinel()], "one more");
        assert_differs(&[first.clone(), second.clone()], "gone");
        assert_differs(&[first, second, account("oGET", "/sentinel", "")], "one more");
    }

    #[test]
    fn a_refusal_is_no_other_reading() {
        let [first, second] = ours().map(Answer::Read);
        let refused = |answers: &[Answer]| compare(&ours(), true, answers);
        assert_eq!(refused(&[first.clone(), Answer::Refused(400)]), Verdict::Refuses(vec![(1, Some(400))]));
        assert_eq!(
            refused(&[Answer::Refused(405), second, Answer::Read(sentinel())]),
            Verdict::Refuses(vec![(0, Some(405))])
        );
        assert_eq!(refused(std::slice::from_ref(&first)), Verdict::Refuses(vec![(1, None)]));
    }

    #[test]
    fn a_refusal_behind_the_last_is_another_reading() {
        let [first, second] = ours().map(Answer::Read);
        assert!(matches!(compare(&ours(), true, &[first, second, Answer::Refused(400)]), Verdict::Differs(_)));
    }

    #[test]
    fn a_piece_of_a_request_is_none() {
        let ours = [account("GET", "/a", "")];
        let [whole, piece] = [ours[0].clone(), account("POST", "/b", "hel")].map(Answer::Read);
        assert_eq!(compare(&ours, false, &[whole.clone(), Answer::Refused(400)]), Verdict::Agrees);
        assert!(matches!(compare(&ours, false, &[whole, piece]), Verdict::Differs(_)));
    }
}
