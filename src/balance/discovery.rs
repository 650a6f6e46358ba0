//! Servers whose addresses DNS knows: what is believed of its answers, and which servers come of that.
//!
//! A [`Known`] is what is known of one name; [`Known::hear`] is the step from one answer to the next, after the example of
//! HAProxy's `hold` timers. A server that answers in vain (no answer, a failure) teaches nothing, and what was known
//! stays. One that says that there is no such name is believed when it has said so for a while. An address that is not in
//! an answer any more, while others are, is kept for [`KEPT`], since one answer in between easily lacks one. [`expand`] makes
//! servers of it.

use crate::config::{self, Address, MOST_SERVERS, Origin, Template};
use std::net::SocketAddr;
use std::time::Duration;

/// A place where a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its address.
    pub address: SocketAddr,
    /// What an SRV record says of it.
    pub ranked: Option<Ranked>,
}

/// An SRV record's order of its targets (RFC 2782).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ranked {
    /// Lower ones go first.
    pub priority: u16,
    /// The share among those of the same priority.
    pub weight: u16,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Here they are; at least one.
    Found(Vec<Found>),
    /// The name does not exist, or has no address.
    Nothing(String),
    /// No answer, or one that says nothing, and why. What was found of a part of the question, and remembered of the
    /// rest, comes along; empty when there was no answer at all.
    Failed(String, Vec<Found>),
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// In the order in which they came to be known, at most [`MOST_SERVERS`].
    found: Vec<Found>,
    /// Not in the last answer any more, but before; as many as there is room for.
    missing: Vec<Missing>,
    /// The answer had more.
    left_out: usize,
    trouble: Option<Trouble>,
    /// Something has been said; how well does not matter.
    heard: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Missing {
    found: Found,
    since_ms: u64,
}

/// Why a name is not answered as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In a few words.
    pub why: String,
    /// Since when, in milliseconds of the clock that [`Known::hear`] is given.
    pub since_ms: u64,
    /// Since when the name is said not to exist.
    denied_ms: Option<u64>,
}

/// What an answer changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heard {
    /// Other servers than before.
    pub servers: bool,
    /// Told once.
    pub news: Option<News>,
}

/// A change in how a name is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It is not, and why.
    Failing(String),
    /// It is again; it was not for so long.
    Working(Duration),
}

impl Known {
    /// Takes an answer. `hold` is how long the name must be said not to exist until that is believed.
    pub fn hear(&mut self, said: Said, hold: Option<Duration>, now_ms: u64) -> Heard {
        self.heard = true;
        match said {
            Said::Found(found) => {
                let past = self.trouble.take();
                let lasted = |past: Trouble| now_ms.saturating_sub(past.since_ms);
                Heard {
                    servers: self.take(found, now_ms),
                    news: past.map(|past| News::Working(Duration::from_millis(lasted(past)))),
                }
            }
            Said::Failed(why, found) => Heard {
                news: self.fail(why, None, now_ms),
                servers: !found.is_empty() && self.take(found, now_ms),
            },
            Said::Nothing(why) => {
                let before = self.trouble.as_ref().and_then(|trouble| trouble.denied_ms);
                let since = before.unwrap_or(now_ms);
                let news = self.fail(why, Some(since), now_ms);
                let over = hold.is_some_and(|hold| {
                    u128::from(now_ms.saturating_sub(since)) >= hold.as_millis()
                });
                let servers = over && !self.found.is_empty();
                if servers {
                    self.found.clear();
                    self.missing.clear();
                    self.left_out = 0;
                }
                Heard { servers, news }
            }
        }
    }

    /// Where servers are, by the last answer.
    pub fn found(&self) -> &[Found] {
        &self.found
    }

    /// The same, and after them where servers were until a moment ago.
    pub fn kept(&self) -> impl Iterator<Item = Found> {
        let missing = self.missing.iter().map(|missing| missing.found);
        self.found.iter().copied().chain(missing)
    }

    /// Gives up what has been missing for [`KEPT`], or since a time that lies ahead. Says whether that was anything.
    pub fn give_up(&mut self, now_ms: u64) -> bool {
        let before = self.missing.len();
        self.missing
            .retain(|missing| (missing.since_ms..missing.until_ms()).contains(&now_ms));
        self.missing.len() < before
    }

    /// How long nothing is to be given up.
    pub fn patience(&self, now_ms: u64) -> Option<Duration> {
        let soonest = self.missing.iter().map(Missing::until_ms).min()?;
        let wait = Duration::from_millis(soonest.saturating_sub(now_ms));
        Some(wait.min(KEPT))
    }

    /// How many more the last answer had.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// What is wrong at present.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Whether anything has been said.
    pub fn is_heard(&self) -> bool {
        self.heard
    }

    /// Those known before stay in front, so that a name which has more addresses than it may have servers keeps
    /// the ones it has. Says whether anything is different.
    fn take(&mut self, mut found: Vec<Found>, now_ms: u64) -> bool {
        found.sort_unstable();
        found.dedup_by_key(|found| found.address);
        let before: Vec<Found> = self.kept().collect();
        let mut now = Vec::with_capacity(found.len());
        let mut missing = Vec::new();
        for old in &before {
            match found.iter().position(|new| new.address == old.address) {
                Some(at) => now.push(found.remove(at)),
                None => missing.push(self.misses(*old, now_ms)),
            }
        }
        now.append(&mut found);
        self.left_out = now.len().saturating_sub(MOST_SERVERS);
        now.truncate(MOST_SERVERS);
        missing.truncate(MOST_SERVERS - now.len());
        self.found = now;
        self.missing = missing;
        !self.kept().eq(before)
    }

    fn misses(&self, found: Found, now_ms: u64) -> Missing {
        let mut missing = self.missing.iter();
        let before = missing.find(|missing| missing.found.address == found.address);
        let since_ms = before.map_or(now_ms, |missing| missing.since_ms);
        Missing { found, since_ms }
    }

    fn fail(&mut self, why: String, denied_ms: Option<u64>, now_ms: u64) -> Option<News> {
        let news = self.trouble.is_none().then(|| News::Failing(why.clone()));
        let since_ms = self.trouble.as_ref().map_or(now_ms, |past| past.since_ms);
        self.trouble = Some(Trouble {
            why,
            since_ms,
            denied_ms,
        });
        news
    }
}

impl Missing {
    fn until_ms(&self) -> u64 {
        self.since_ms.saturating_add(KEPT.as_millis() as u64)
    }
}

/// The pool with the servers that its templates stand for now, each where its template stands in the file and in the order of
/// their addresses.
pub fn expand<'a>(
    pool: &config::Pool,
    known: impl Fn(&Origin) -> Option<&'a Known>,
) -> config::Pool {
    let mut servers = Vec::with_capacity(pool.most_servers());
    let mut templates = pool.templates.iter().peekable();
    for (index, server) in pool.servers.iter().enumerate() {
        while let Some(template) = templates.next_if(|template| template.after <= index) {
            stand_in(template, known(&template.origin), &mut servers);
        }
        servers.push(server.clone());
    }
    for template in templates {
        stand_in(template, known(&template.origin), &mut servers);
    }
    config::Pool {
        servers,
        ..pool.clone()
    }
}

fn stand_in(template: &Template, known: Option<&Known>, servers: &mut Vec<config::Server>) {
    let found = known.into_iter().flat_map(Known::kept);
    let mut found: Vec<Found> = found.take(template.max_servers).collect();
    found.sort_unstable_by_key(|found| found.address);
    servers.extend(found.iter().map(|one| config::Server {
        name: template.name_at(one.address),
        address: Address::Ip(one.address),
        weight: weight(template, one, &found),
        tier: tier(template, one, &found),
        ..template.server.clone()
    }));
}

/// Its part of 256 where the heaviest of its priority weighs more than that, otherwise as it is. 0 becomes 1: "a very small
/// chance of being selected".
fn weight(template: &Template, one: &Found, all: &[Found]) -> u16 {
    let Some(ranked) = one.ranked else {
        return template.server.weight;
    };
    let equals = all.iter().filter_map(|other| other.ranked);
    let heaviest = equals
        .filter(|other| other.priority == ranked.priority)
        .map(|other| other.weight)
        .max();
    let heaviest = u32::from(heaviest.unwrap_or(0)).max(MOST_WEIGHT);
    let scaled = u32::from(ranked.weight) * MOST_WEIGHT / heaviest;
    scaled.max(1) as u16
}

/// The template's, and one more for each lower priority in the answer.
fn tier(template: &Template, one: &Found, all: &[Found]) -> u8 {
    let Some(ranked) = one.ranked else {
        return template.server.tier;
    };
    let ranked_all = all.iter().filter_map(|other| other.ranked);
    let mut before: Vec<u16> = ranked_all
        .map(|other| other.priority)
        .filter(|priority| *priority < ranked.priority)
        .collect();
    before.sort_unstable();
    before.dedup();
    let steps = u8::try_from(before.len()).unwrap_or(u8::MAX);
    template.server.tier.saturating_add(steps)
}

/// How long a server stays that is missing in an answer which has others. Where those take all places that there are, it goes
/// at once.
pub const KEPT: Duration = Duration::from_secs(3);
/// A server's greatest.
const MOST_WEIGHT: u32 = 256;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::sticky::tests::pool_settings;
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn at(address: &str) -> Found {
        Found {
            address: address.parse().unwrap(),
            ranked: None,
        }
    }

    fn ranked(address: &str, priority: u16, weight: u16) -> Found {
        Found {
            ranked: Some(Ranked { priority, weight }),
            ..at(address)
        }
    }

    fn found(addresses: &[&str]) -> Said {
        Said::Found(addresses.iter().copied().map(at).collect())
    }

    fn failed() -> Said {
        Said::Failed("no answer".into(), Vec::new())
    }

    fn nothing() -> Said {
        Said::Nothing("no such name".into())
    }

    fn addresses(known: &Known) -> Vec<String> {
        known.kept().map(|one| one.address.to_string()).collect()
    }

    const HOLD: Option<Duration> = Some(Duration::from_secs(30));
    const A: &str = "10.0.0.1:80";
    const B: &str = "10.0.0.2:80";

    /// What is said when, which servers are known afterwards, and what of it is news.
    #[test]
    fn what_is_believed() {
        let failing = |why: &str| Some(News::Failing(why.into()));
        let working = |seconds| Some(News::Working(Duration::from_secs(seconds)));
        let rows = [
            (0, found(&[A]), vec![A], true, None),
            (1, found(&[A]), vec![A], false, None),
            // The order of an answer means nothing.
            (2, found(&[B, A]), vec![A, B], true, None),
            (3, found(&[A, B]), vec![A, B], false, None),
            // What is missing stays for three seconds, behind the others,
            (4, found(&[B]), vec![B, A], true, None),
            (5, found(&[A, B]), vec![B, A], false, None),
            (6, found(&[B]), vec![B, A], false, None),
            (7, failed(), vec![B, A], false, failing("no answer")),
            (8, found(&[B]), vec![B, A], false, working(1)),
            // and then goes, without another answer.
            (9, found(&[B]), vec![B], false, None),
            // A failure teaches nothing, however long it lasts, and is told once.
            (10, failed(), vec![B], false, failing("no answer")),
            (5_000, failed(), vec![B], false, None),
            (5_010, found(&[B]), vec![B], false, working(5_000)),
            // A denial is believed after a while,
            (6_000, nothing(), vec![B], false, failing("no such name")),
            (6_029, nothing(), vec![B], false, None),
            // which begins anew when something else was said in between.
            (6_029, failed(), vec![B], false, None),
            (6_030, nothing(), vec![B], false, None),
            (6_059, nothing(), vec![B], false, None),
            (6_060, nothing(), vec![], true, None),
            (6_061, nothing(), vec![], false, None),
            (6_070, found(&[A]), vec![A], true, working(70)),
            // Half an answer: what was found of one family, and remembered of the other.
            (
                6_080,
                Said::Failed("half".into(), vec![at(B), at(A)]),
                vec![A, B],
                true,
                failing("half"),
            ),
        ];
        let mut known = Known::default();
        assert!(!known.is_heard());
        for (second, said, servers, changed, news) in rows {
            let what = format!("{second}: {said:?}");
            known.give_up(second * 1000);
            let heard = known.hear(said, HOLD, second * 1000);
            assert_eq!(addresses(&known), servers, "{what}");
            let wanted = Heard {
                servers: changed,
                news,
            };
            assert_eq!(heard, wanted, "{what}");
        }
        assert!(known.is_heard());
        // "never" gives nothing up.
        for second in [7_000, 90_000] {
            known.hear(nothing(), None, second * 1000);
        }
        assert_eq!(addresses(&known), [A, B]);
    }

    fn template(after: usize, max_servers: usize, name: &str) -> Template {
        let mut server = pool_settings(None, &[""]).servers.remove(0);
        server.name = name.into();
        server.weight = 7;
        server.tier = 3;
        Template {
            after,
            origin: Origin::Host(format!("{name}.example"), 80),
            max_servers,
            server,
        }
    }

    fn expanded(templates: Vec<Template>, said: &[Found]) -> Vec<(String, u16, u8)> {
        let mut pool = pool_settings(None, &["", ""]);
        pool.templates = templates;
        let mut known = Known::default();
        known.hear(Said::Found(said.to_vec()), HOLD, 0);
        let pool = expand(&pool, |_| Some(&known));
        let servers = pool.servers.iter();
        servers
            .map(|server| (server.name.clone(), server.weight, server.tier))
            .collect()
    }

    #[test]
    fn servers_stand_where_their_template_does_in_the_order_of_addresses() {
        let templates = vec![template(1, 64, "x"), template(2, 1, "y")];
        let said = [at("[2001:db8::1]:80"), at(B), at("10.0.0.10:80"), at(A)];
        let named = |name: &str| (name.to_owned(), 7, 3);
        assert_eq!(
            expanded(templates, &said),
            [
                ("a0".to_owned(), 1, 0),
                named("x-10.0.0.1:80"),
                named("x-10.0.0.2:80"),
                named("x-10.0.0.10:80"),
                named("x-[2001:db8::1]:80"),
                ("b1".to_owned(), 1, 0),
                named("y"),
            ]
        );
        // Also when they came to be known in another order.
        let mut known = Known::default();
        known.hear(found(&[B]), HOLD, 0);
        known.hear(found(&[A, B]), HOLD, 1);
        let mut servers = Vec::new();
        stand_in(&template(0, 64, "x"), Some(&known), &mut servers);
        let order: Vec<_> = servers.iter().map(|one| one.address.to_string()).collect();
        assert_eq!(order, [A, B]);
        let nobody = pool_settings(None, &[]);
        let pool = config::Pool {
            templates: vec![template(0, 64, "x")],
            ..nobody
        };
        assert!(expand(&pool, |_| None).servers.is_empty());
    }

    #[test]
    fn priorities_are_tiers_and_weights_are_weights() {
        let said = [
            ranked("10.0.0.1:1", 10, 60),
            ranked("10.0.0.1:2", 10, 0),
            ranked("10.0.0.1:3", 20, 60_000),
            ranked("10.0.0.1:4", 20, 30_000),
            ranked("10.0.0.1:5", 65_535, 1),
        ];
        let found = expanded(vec![template(0, 64, "x")], &said);
        let found: Vec<_> = found[..5].iter().map(|one| (one.1, one.2)).collect();
        assert_eq!(found, [(60, 3), (1, 3), (256, 4), (128, 4), (1, 5)]);
    }

    /// SRV weights count in relation to the heaviest, so that another record's change would give this server another one.
    #[test]
    fn an_operators_weight_survives_another_records_change() {
        use crate::balance::Pool;
        let plan = |others: u16, before: Option<&Pool>| {
            let mut pool = pool_settings(None, &[]);
            pool.templates = vec![template(0, 64, "x")];
            let mut known = Known::default();
            let said = vec![
                ranked("10.0.0.1:1", 10, 60_000),
                ranked("10.0.0.1:2", 10, others),
            ];
            known.hear(Said::Found(said), HOLD, 0);
            Pool::new(&expand(&pool, |_| Some(&known)), before, 1)
        };
        let weights = |pool: &Pool| -> Vec<u16> {
            pool.servers
                .iter()
                .map(|server| server.live.weight())
                .collect()
        };
        let first = plan(60_000, None);
        assert_eq!(weights(&first), [256, 256]);
        first.set_weight(1, 9);
        let second = plan(30_000, Some(&first));
        assert_eq!(weights(&second), [256, 9], "not the record's 128");
        let third = plan(15_000, Some(&second));
        assert_eq!(weights(&third), [256, 9]);
        // Without an operator's word DNS has its way.
        let fourth = plan(60_000, None);
        assert_eq!(weights(&plan(30_000, Some(&fourth))), [256, 128]);
    }

    #[test]
    fn a_name_with_more_addresses_than_servers_keeps_those_it_has() {
        let many = |from: u8, to: u8| {
            let found = |n| at(&format!("10.0.0.{n}:80"));
            Said::Found((from..to).map(found).collect())
        };
        let mut known = Known::default();
        known.hear(many(100, 200), HOLD, 0);
        assert_eq!((known.found().len(), known.left_out()), (MOST_SERVERS, 36));
        let before = known.clone();
        assert!(!known.hear(many(0, 200), HOLD, 1).servers);
        assert_eq!(known.found(), before.found());
        assert_eq!(known.left_out(), 136);
    }

    #[test]
    fn what_is_missing_is_kept_where_there_is_room_and_for_so_long() {
        let mut known = Known::default();
        known.hear(found(&[A, B]), HOLD, 10_000);
        assert_eq!(known.patience(10_000), None);
        known.hear(found(&[B]), HOLD, 10_000);
        // (now, how long until the next look, whether anything goes then)
        for (now, wait, goes) in [
            (10_000, 3_000, false),
            (12_999, 1, false),
            (13_000, 0, true),
            (90_000, 0, true),
            // The clock was set back: it is not kept until that comes round again.
            (9_999, 3_000, true),
            (5, 3_000, true),
        ] {
            let mut known = known.clone();
            assert_eq!(known.patience(now), Some(Duration::from_millis(wait)));
            assert_eq!(known.give_up(now), goes, "{now}");
            assert_eq!(addresses(&known).len(), 2 - usize::from(goes));
        }
        // A server of one follows at once.
        let mut servers = Vec::new();
        stand_in(&template(0, 1, "x"), Some(&known), &mut servers);
        assert_eq!(servers[0].address.to_string(), B);
        assert_eq!(servers.len(), 1);
        // So does a name that has as many others as it may have servers.
        let many = (1..=64).map(|n| at(&format!("10.1.0.{n}:80")));
        known.hear(Said::Found(many.collect()), HOLD, 10_001);
        assert_eq!(known.kept().count(), MOST_SERVERS);
        assert_eq!(known.patience(10_001), None);
    }

    proptest! {
        /// Whatever the order and repetition in an answer: each address is one server, with a name of its own that
        /// depends on nothing else.
        #[test]
        fn names_are_unique_and_stable(ips in prop::collection::vec(any::<IpAddr>(), 1..40), port: u16) {
            let said: Vec<_> = ips.iter().map(|ip| Found {
                address: SocketAddr::new(*ip, port),
                ranked: None,
            }).collect();
            let names = |said: &[Found]| {
                let mut names: Vec<_> = expanded(vec![template(0, 64, "x")], said)
                    .into_iter()
                    .map(|one| one.0)
                    .collect();
                names.sort();
                names
            };
            let once = names(&said);
            let mut turned = said.clone();
            turned.reverse();
            turned.extend_from_slice(&said);
            prop_assert_eq!(&once, &names(&turned));
            let mut unique = once.clone();
            unique.dedup();
            prop_assert_eq!(once, unique);
        }
    }
}
