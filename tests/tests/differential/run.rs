//! One case, from the client's bytes to the verdicts, and what a run of many comes to.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use slipstream_tests::{Client, Driver, End, Proxy, Running};

use crate::account::{Account, latin1};
use crate::compare::{Verdict, compare};
use crate::mutations::MUTATIONS;
use crate::recorder::{Arrived, Recorder};
use crate::requests::{self, Meant};
use crate::witness::{Answer, SERVERS, Server, Witnesses};
use crate::{reading, refusals};
use slipstream_tests::Rng;

/// What a client sends, and how it came about.
#[derive(Debug, Clone)]
pub struct Case {
    pub bytes: Vec<u8>,
    /// Where the bytes are cut into pieces that are sent one after the other.
    cuts: Vec<usize>,
    /// Of a case without mutations: what the app has to see.
    meant: Option<Vec<Meant>>,
    mutations: Vec<&'static str>,
}

/// Of so many cases one is left as it was made.
const ONE_OF_IS_WELL_FORMED: usize = 3;
const MUTATIONS_MAX: usize = 3;
const CUTS_MAX: usize = 3;

impl Case {
    pub fn made(rng: &mut Rng) -> Case {
        let made = requests::connection(rng);
        let is_well_formed = rng.below(ONE_OF_IS_WELL_FORMED) == 0;
        let mut case = Case { meant: is_well_formed.then_some(made.meant), ..Case::literal(&made.bytes) };
        let mutations = if is_well_formed { 0 } else { 1 + rng.below(MUTATIONS_MAX) };
        for _ in 0..mutations {
            let (name, mutate) = rng.pick(MUTATIONS);
            mutate(rng, &mut case.bytes);
            case.mutations.push(name);
            if case.bytes.is_empty() {
                return case;
            }
        }
        if rng.percent(50) {
            case.cuts = (0..=rng.below(CUTS_MAX)).map(|_| rng.below(case.bytes.len())).collect();
            case.cuts.sort_unstable();
        }
        case
    }

    pub fn literal(bytes: &[u8]) -> Case {
        Case { bytes: bytes.to_vec(), cuts: Vec::new(), meant: None, mutations: Vec::new() }
    }

    pub fn in_single_bytes(mut self) -> Case {
        self.cuts = (1..self.bytes.len()).collect();
        self
    }
}

impl Display for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "by {:?}, cut at {:?}: b\"{}\"", self.mutations, self.cuts, self.bytes.escape_ascii())
    }
}

/// The proxy, its app and the witnesses.
pub struct Stage {
    /// Dropped, it fails the case where a task of it has panicked.
    proxy: Running,
    app: Recorder,
    witnesses: Witnesses,
    admin: Client,
    attempts: u64,
    pub tally: Tally,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Tally {
    cases: usize,
    /// Cases of which a whole request reached the app, and such requests.
    accepted: usize,
    requests: usize,
    /// Cases of which nothing whole reached the app.
    kept_out: usize,
    /// Answers of the proxy itself, by status; a case has one at most.
    refused: BTreeMap<u16, usize>,
    /// Pieces of requests that the app was sent before the rest was refused or missing.
    pieces: usize,
    /// Requests, by how many real servers read them.
    readers: [usize; 4],
    server_refusals: BTreeMap<(&'static str, &'static str), usize>,
}

impl Stage {
    pub fn set(driver: Driver) -> Stage {
        let app = Recorder::start();
        // Each case is sent whole and its sending side closed, as by a client that still reads.
        let proxy = Proxy::in_front_of(&app).driver(driver).policy("halfClose: keep").start();
        let witnesses = Witnesses::start();
        // After them: they may have to be compiled, and the admin server waits for a request for 10 s.
        let admin = Client::plain(proxy.admin());
        Stage { proxy, app, witnesses, admin, attempts: 0, tally: Tally::default() }
    }

    /// Plays one case. Errors: what differs, for people.
    pub fn play(&mut self, case: &Case) -> Result<(), String> {
        let (arrived, answered) = self.send(&case.bytes, &case.cuts)?;
        self.tally.count(&arrived, &answered);
        judge_arrival(case, &arrived, &answered)?;
        if !case.cuts.is_empty() {
            let (arrived_uncut, answered_uncut) = self.send(&case.bytes, &[])?;
            if outcome(&arrived, &answered) != outcome(&arrived_uncut, &answered_uncut) {
                return Err("the same bytes in one piece come to another end".into());
            }
        }
        self.cross_examine(&arrived)
    }

    /// Sends `bytes` through the proxy; gives what arrived at the app, and what the client was answered.
    fn send(&mut self, bytes: &[u8], cuts: &[usize]) -> Result<(Vec<Arrived>, Vec<u8>), String> {
        let mut client = self.proxy.client();
        let mut sent = 0;
        for &cut in cuts {
            client.offer(&bytes[sent..cut]);
            sent = cut;
            // A way through another thread of the proxy and back: its worker reads the piece meanwhile.
            self.admin.get("/live");
        }
        client.offer(&bytes[sent..]);
        // The client has no more to say: what is cut off is refused at once, and after the last answer the connection ends.
        client.half_close();
        let (answered, end) = client.rest();
        if end == End::Deadline {
            return Err("the proxy neither answers nor closes".into());
        }
        let attempts = self.attempts();
        let asked = (attempts - std::mem::replace(&mut self.attempts, attempts)) as usize;
        let arrived = self.app.take(asked);
        match arrived.len() {
            count if count == asked => Ok((arrived, answered)),
            count => Err(format!("the proxy counts {asked} requests to the app, the app {count}: {arrived:?}")),
        }
    }

    /// Asks every witness what it makes of what the app was sent.
    fn cross_examine(&mut self, arrived: &[Arrived]) -> Result<(), String> {
        let stream: Vec<u8> = arrived.iter().flat_map(|arrived| arrived.bytes.clone()).collect();
        let whole: Vec<Account> = arrived.iter().filter_map(|arrived| arrived.read.clone().ok()).collect();
        let is_whole = whole.len() == arrived.len();
        if stream.is_empty() {
            return Ok(());
        }
        let mut readers = vec![0; whole.len()];
        for server in SERVERS {
            let ours: Vec<Account> = whole.iter().map(|account| as_shown_by(server, account)).collect();
            let answers = self.witnesses.ask(server, &stream, whole.len(), is_whole);
            let refused = match compare(&ours, is_whole, &answers) {
                Verdict::Agrees => Vec::new(),
                Verdict::Refuses(refused) => refused,
                Verdict::Differs(why) => return Err(format!("{} {why}", server.name())),
            };
            for (number, status) in &refused {
                let Arrived { bytes, .. } = &arrived[*number];
                let Some(why) = refusals::known(server, *status, &whole[*number], bytes) else {
                    return Err(format!(
                        "{} refuses request {number} with {status:?}: not in the table",
                        server.name()
                    ));
                };
                *self.tally.server_refusals.entry((server.name(), why)).or_default() += 1;
            }
            for (number, answer) in answers.iter().take(whole.len()).enumerate() {
                readers[number] += usize::from(matches!(answer, Answer::Read(_)));
            }
        }
        for count in readers {
            self.tally.readers[count] += 1;
        }
        Ok(())
    }

    /// How many requests the proxy has sent to the app. Read off by itself: to parse all metrics would take most of a case's time.
    fn attempts(&mut self) -> u64 {
        const NAME: &str = "slipstream_upstream_requests_total";
        let scrape = self.admin.get("/metrics").text();
        let mut values =
            scrape.lines().filter(|line| line.starts_with(NAME)).filter_map(|line| line.split(' ').next_back());
        values.next().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {NAME} in {scrape}"))
    }
}

/// nginx reads trailers and does not show them.
fn as_shown_by(server: Server, account: &Account) -> Account {
    let trailers = if server == Server::Nginx { Vec::new() } else { account.trailers.clone() };
    Account { trailers, ..account.clone() }
}

/// Whether what arrived at the app is what the client said, and what the proxy says of it.
fn judge_arrival(case: &Case, arrived: &[Arrived], answered: &[u8]) -> Result<(), String> {
    let mut whole = Vec::new();
    for (number, request) in arrived.iter().enumerate() {
        match &request.read {
            Ok(account) => whole.push(account),
            Err(End::Malformed(why)) => return Err(format!("the app cannot read request {number}: {why}")),
            Err(_) if number + 1 < arrived.len() => {
                return Err(format!("request {number} breaks off, and another follows"));
            }
            Err(_) => {}
        }
    }
    let said = reading::read(&case.bytes);
    for (number, arrived) in whole.iter().enumerate() {
        let Some(said) = said.get(number) else {
            return Err(format!("request {number} at the app is none that the client sent: {arrived:?}"));
        };
        if let Some(difference) = said.difference(arrived) {
            return Err(format!("request {number} arrives otherwise than it was said: {difference}"));
        }
    }
    let answers = answers(answered);
    let accounts = answers.iter().filter(|answer| answer.is_of_the_app).count();
    if accounts != whole.len() {
        return Err(format!("{} requests reached the app, {accounts} of its answers the client", whole.len()));
    }
    match answers.last() {
        Some(OneAnswer { status, is_of_the_app: false }) if !REFUSALS.contains(status) => {
            return Err(format!("the proxy answers with {status}"));
        }
        None if arrived.is_empty() && !matches!(case.bytes.as_slice(), b"" | b"\r\n") => {
            return Err("the proxy closes without a word".into());
        }
        _ => {}
    }
    let arrived: Vec<Meant> = whole.iter().map(|account| meant(account)).collect();
    match &case.meant {
        Some(meant) if *meant != arrived => Err(format!("meant {meant:?}, arrived {arrived:?}")),
        _ => Ok(()),
    }
}

/// The whole requests of the app, and whose answers the client got. Which refusal it got may depend on the cuts: a line that cannot
/// become one is refused before it is whole.
fn outcome(arrived: &[Arrived], answered: &[u8]) -> (Vec<Account>, Vec<bool>) {
    let whole = arrived.iter().filter_map(|arrived| arrived.read.clone().ok()).collect();
    (whole, answers(answered).iter().map(|answer| answer.is_of_the_app).collect())
}

/// Statuses that may come from the proxy: of a request that is refused, and 200 to one that has no Max-Forwards left.
const REFUSALS: &[u16] = &[200, 400, 414, 417, 431, 501, 505];

/// A final answer that the client got.
struct OneAnswer {
    status: u16,
    is_of_the_app: bool,
}

fn answers(answered: &[u8]) -> Vec<OneAnswer> {
    let text = latin1(answered).to_ascii_lowercase();
    let answers = text.split("http/1.1 ").skip(1).map(|answer| OneAnswer {
        status: answer.get(..3).and_then(|status| status.parse().ok()).unwrap_or_default(),
        is_of_the_app: answer.contains("\r\nx-read:"),
    });
    answers.filter(|answer| answer.status >= 200).collect()
}

fn meant(account: &Account) -> Meant {
    Meant { method: account.method.clone(), target: account.target.clone(), body: account.body.clone() }
}

impl Tally {
    fn count(&mut self, arrived: &[Arrived], answered: &[u8]) {
        let whole = arrived.iter().filter(|arrived| arrived.read.is_ok()).count();
        self.cases += 1;
        self.requests += whole;
        self.pieces += arrived.len() - whole;
        *(if whole > 0 { &mut self.accepted } else { &mut self.kept_out }) += 1;
        for answer in answers(answered).iter().filter(|answer| !answer.is_of_the_app) {
            *self.refused.entry(answer.status).or_default() += 1;
        }
    }

    /// A run that accepts or refuses next to nothing, or that has no second opinion, shows nothing.
    pub fn assert_worth_something(&self) {
        let refused: usize = self.refused.values().sum();
        assert!(self.accepted * 100 >= self.cases * 30, "less than 30 % accepted: {self}");
        assert!(refused * 100 >= self.cases * 20, "less than 20 % refused: {self}");
        let with_few_readers = self.readers[0] + self.readers[1];
        assert!(with_few_readers * 100 <= self.requests * 5, "more than 5 % that less than two servers read: {self}");
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Tally { cases, accepted, requests, refused, kept_out, pieces, readers, server_refusals } = self;
        writeln!(
            f,
            "{cases} cases: {accepted} accepted with {requests} requests, {kept_out} kept out; {pieces} pieces of requests"
        )?;
        writeln!(f, "our refusals by status: {refused:?}")?;
        writeln!(
            f,
            "requests read alike by 3 servers: {}, by 2: {}, by 1: {}, by none: {}",
            readers[3], readers[2], readers[1], readers[0]
        )?;
        for ((server, why), count) in server_refusals {
            writeln!(f, "{count:7} refused by {server}: {why}")?;
        }
        Ok(())
    }
}
