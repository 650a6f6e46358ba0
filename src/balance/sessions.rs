//! Which server holds which Engine.IO session: learned from the answer that opens it, for all workers.
//!
//! A table of a fixed size in atomics: nobody waits, nothing is allocated. An id's hash names two sets of places, and the id
//! is in one of them; so the sets fill evenly, and the table holds as many sessions as are promised before it
//! pushes out one that still counts. That is then the one of both sets that was seen least recently. What was not seen for
//! longer than `idle` counts no more.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::server::Server;
use super::sticky::Verdict;
use crate::config;

/// A pool's Engine.IO sessions, as one plan sees them.
#[derive(Debug)]
pub struct Sessions {
    path: Box<[u8]>,
    idle_s: u32,
    table: Arc<Table>,
    /// By their lasting number in the pool: where the servers stand in this plan.
    places: Box<[(u32, usize)]>,
}

/// What a session's id is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionKey(u64);

impl Sessions {
    /// For a plan with these servers. What is known is taken over from the plan `previous`; `keys`, for the first one,
    /// make the hashes unlike those of any other process.
    pub fn new(
        settings: &config::EngineIo,
        servers: &[Arc<Server>],
        previous: Option<&Self>,
        keys: impl FnOnce() -> RandomState,
    ) -> Self {
        let sessions = settings.sessions;
        let table = match previous {
            Some(before) if before.table.sessions == sessions => Arc::clone(&before.table),
            Some(before) => Arc::new(before.table.resized(sessions)),
            None => Arc::new(Table::new(sessions, keys())),
        };
        let places = servers.iter().enumerate();
        let mut places: Box<[_]> = places.map(|(at, s)| (s.live.slot(), at)).collect();
        places.sort_unstable();
        Self {
            path: settings.path.as_bytes().into(),
            idle_s: u32::try_from(settings.idle.as_secs()).unwrap_or(u32::MAX),
            table,
            places,
        }
    }

    /// Whether requests to this path are Engine.IO's. Servers take `/socket.io` as well as `/socket.io/`.
    pub fn concerns(&self, path: &[u8]) -> bool {
        path.starts_with(&self.path) || self.path.strip_suffix(b"/") == Some(path)
    }

    /// The key of an id.
    pub fn key(&self, sid: impl Iterator<Item = u8>) -> SessionKey {
        let mut hasher = self.table.keys.build_hasher();
        sid.for_each(|byte| hasher.write_u8(byte));
        SessionKey(hasher.finish())
    }

    /// Gives the request of a session to the server that holds it, unless a cookie has already said which one: `V`. As
    /// with a cookie, a server that is down or in maintenance is left (`D`), and a session that is not known
    /// decides nothing (`I`). `now_s` is any clock of seconds that all workers share.
    pub fn judge(
        &self,
        servers: &[Arc<Server>],
        key: SessionKey,
        now_s: u32,
        verdict: &mut Verdict,
    ) {
        if verdict.server.is_some() {
            return;
        }
        let slot = self.table.find(key.0, now_s, self.idle_s);
        let letter = match slot.and_then(|slot| self.place(slot)) {
            Some(server) if servers[server].accepts_sticky() => {
                verdict.server = Some(server);
                b'V'
            }
            Some(_) => b'D',
            None => b'I',
        };
        // A cookie that led nowhere keeps its letter.
        if verdict.server.is_some() || verdict.letter == b'N' {
            verdict.letter = letter;
        }
    }

    /// Takes note that a server holds a session.
    pub fn learn(&self, servers: &[Arc<Server>], key: SessionKey, server: usize, now_s: u32) {
        let slot = servers[server].live.slot();
        self.table.put(key.0, slot, now_s, now_s, self.idle_s);
    }

    fn place(&self, slot: u32) -> Option<usize> {
        let found = self.places.binary_search_by_key(&slot, |(slot, _)| *slot);
        found.ok().map(|at| self.places[at].1)
    }
}

/// Bytes that a table for so many sessions takes.
pub const fn bytes_of_sessions(sessions: u32) -> usize {
    sets_for(sessions) * size_of::<Set>()
}

/// Twice as many places as sessions.
const fn sets_for(sessions: u32) -> usize {
    (2 * sessions as usize).div_ceil(PLACES).next_power_of_two()
}

#[derive(Debug)]
struct Table {
    sessions: u32,
    keys: RandomState,
    sets: Box<[Set]>,
}

/// Places in a set.
const PLACES: usize = 8;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Set([Entry; PLACES]);

/// A session's hash, and in one word its server, when it was seen, and sixteen bits of the hash once more. Who takes
/// an entry for another session marks that word first, so a reader who meets
/// the change finds the mark, or sixteen bits that do not fit; one in 65,536 of those takes another session's server.
#[derive(Debug, Default)]
struct Entry {
    hash: AtomicU64,
    held: AtomicU64,
}

/// What [`Entry::held`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    /// The server's number in its pool plus one.
    slot: u32,
    /// Seconds, modulo 2^24 (half a year).
    seen: u32,
    check: u16,
}

impl Table {
    fn new(sessions: u32, keys: RandomState) -> Self {
        let sets = (0..sets_for(sessions)).map(|_| Set::default()).collect();
        Self {
            sessions,
            keys,
            sets,
        }
    }

    /// One of another size that knows the same sessions.
    fn resized(&self, sessions: u32) -> Self {
        let table = Self::new(sessions, self.keys.clone());
        for entry in self.sets.iter().flat_map(|set| &set.0) {
            let hash = entry.hash.load(Ordering::Acquire);
            if let Some(held) = entry.held(hash) {
                table.put(hash, held.slot - 1, held.seen, held.seen, u32::MAX);
            }
        }
        table
    }

    fn sets(&self, hash: u64) -> [&Set; 2] {
        let mask = self.sets.len() - 1;
        let (one, two) = (hash as usize & mask, (hash >> 32) as usize & mask);
        [&self.sets[one], &self.sets[two]]
    }

    fn entries(&self, hash: u64) -> impl Iterator<Item = &Entry> {
        self.sets(hash).into_iter().flat_map(|set| &set.0)
    }

    /// The server of a session that was seen within `idle_s`; it is seen now.
    fn find(&self, hash: u64, now_s: u32, idle_s: u32) -> Option<u32> {
        let mut entries = self.entries(hash);
        let (entry, held) = entries.find_map(|entry| Some((entry, entry.held(hash)?)))?;
        if held.age(now_s) > idle_s {
            return None;
        }
        if held.age(now_s) > 0 {
            entry.touch(held, now_s);
        }
        Some(held.slot - 1)
    }

    /// Writes a session down, in the place of the same one, in a free one, or instead of the oldest.
    fn put(&self, hash: u64, slot: u32, seen_s: u32, now_s: u32, idle_s: u32) {
        let Some(held) = Held::new(hash, slot, seen_s) else {
            return;
        };
        for _ in 0..TRIES {
            let same = self.entries(hash).find(|entry| entry.held(hash).is_some());
            let entry = same.unwrap_or_else(|| self.victim(hash, now_s, idle_s));
            if entry.take_for(hash, held) {
                return;
            }
        }
    }

    /// A free entry of the emptier set, or the oldest of both.
    fn victim(&self, hash: u64, now_s: u32, idle_s: u32) -> &Entry {
        let is_free = |entry: &&Entry| entry.age(now_s).is_none_or(|age| age > idle_s);
        let [one, two] = self.sets(hash);
        let free = |set: &Set| set.0.iter().filter(is_free).count();
        let emptier = if free(two) > free(one) { two } else { one };
        // Of several that were seen in the same second, one by chance: the newest must not always be the one.
        let chance = (hash >> 44) as usize % (2 * PLACES);
        let oldest = || {
            let entries = self.entries(hash).enumerate();
            let entry = entries.max_by_key(|(at, entry)| (entry.age(now_s), at ^ chance));
            entry.map(|(_, entry)| entry)
        };
        let found = emptier.0.iter().find(is_free).or_else(oldest);
        found.expect("a set has places")
    }
}

/// Others may be faster for as many entries in a row; then the session is not learned.
const TRIES: usize = 4;

impl Entry {
    /// What is held of this session, if this is its entry.
    fn held(&self, hash: u64) -> Option<Held> {
        let held = Held::of(self.held.load(Ordering::Acquire))?;
        let is_same = self.hash.load(Ordering::Acquire) == hash && held.check == check_of(hash);
        is_same.then_some(held)
    }

    /// Seconds since it was seen; `None` when it is empty, and 0 while somebody writes it.
    fn age(&self, now_s: u32) -> Option<u32> {
        match self.held.load(Ordering::Relaxed) {
            TAKEN => Some(0),
            word => Held::of(word).map(|held| held.age(now_s)),
        }
    }

    /// Seen now, unless something has happened to it meanwhile.
    fn touch(&self, held: Held, now_s: u32) {
        let now = Held {
            seen: now_s & SEEN,
            ..held
        };
        let (was, is) = (held.word(), now.word());
        let relaxed = Ordering::Relaxed;
        let _ = self.held.compare_exchange(was, is, relaxed, relaxed);
    }

    /// False when somebody else was faster.
    fn take_for(&self, hash: u64, held: Held) -> bool {
        let was = self.held.load(Ordering::Relaxed);
        let taken = was != TAKEN
            && self
                .held
                .compare_exchange(was, TAKEN, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
        if taken {
            self.hash.store(hash, Ordering::Release);
            self.held.store(held.word(), Ordering::Release);
        }
        taken
    }
}

impl Held {
    /// `None` for more servers than there are numbers for.
    fn new(hash: u64, slot: u32, seen_s: u32) -> Option<Self> {
        (slot < MOST_SLOTS).then_some(Self {
            slot: slot + 1,
            seen: seen_s & SEEN,
            check: check_of(hash),
        })
    }

    fn word(self) -> u64 {
        u64::from(self.slot) << 40 | u64::from(self.seen) << 16 | u64::from(self.check)
    }

    /// `None` of an empty entry, and of one that is being written.
    fn of(word: u64) -> Option<Self> {
        let slot = (word >> 40) as u32;
        (slot > 0 && word != TAKEN).then_some(Self {
            slot,
            seen: (word >> 16) as u32 & SEEN,
            check: word as u16,
        })
    }

    /// Seconds since it was seen. Another worker's clock may be a little ahead.
    fn age(self, now_s: u32) -> u32 {
        match now_s.wrapping_sub(self.seen) & SEEN {
            age if age > SEEN / 2 => 0,
            age => age,
        }
    }
}

/// Bits of the hash that the sets and most comparisons do not hang on.
fn check_of(hash: u64) -> u16 {
    (hash >> 48) as u16
}

const SEEN: u32 = (1 << 24) - 1;
const MOST_SLOTS: u32 = (1 << 24) - 2;
/// Of an entry that is being written; no server has this number.
const TAKEN: u64 = u64::MAX;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::Pool;
    use super::super::sticky::tests::pool_settings;
    use super::*;
    use crate::config::AdminState;
    use std::time::Duration;

    fn table(sessions: u32) -> Table {
        Table::new(sessions, RandomState::new())
    }

    fn hash(of: u64) -> u64 {
        let keys = twox_hash::XxHash64::with_seed(7);
        let mut keys = keys;
        keys.write_u64(of);
        keys.finish()
    }

    #[test]
    fn as_many_as_are_promised_are_held() {
        let table = table(4_096);
        for session in 0..4_096 {
            table.put(hash(session), session as u32 % 7, 100, 100, 120);
        }
        for session in 0..4_096 {
            let found = table.find(hash(session), 100, 120);
            assert_eq!(found, Some(session as u32 % 7), "{session}");
        }
        assert_eq!(table.find(hash(1 << 40), 100, 120), None);
    }

    #[test]
    fn the_least_recently_seen_of_a_set_goes_first() {
        let table = table(1);
        assert_eq!(table.sets.len(), 1);
        for session in 0..8 {
            table.put(hash(session), 1, session as u32, 10, 120);
        }
        // Seen again: the first is now the youngest, the second the oldest.
        assert_eq!(table.find(hash(0), 20, 120), Some(1));
        table.put(hash(8), 1, 21, 21, 120);
        let known: Vec<u64> = (0..9)
            .filter(|session| table.find(hash(*session), 21, 120).is_some())
            .collect();
        assert_eq!(known, [0, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn idle_sessions_are_forgotten_and_seen_ones_are_not() {
        let table = table(8);
        let wrap = SEEN - 5;
        for begin in [0, 1_000, wrap] {
            let (seen, idle) = (hash(1), hash(2));
            table.put(seen, 3, begin, begin, 10);
            table.put(idle, 3, begin, begin, 10);
            assert_eq!(table.find(seen, begin + 10, 10), Some(3));
            assert_eq!(table.find(seen, begin + 20, 10), Some(3));
            assert_eq!(table.find(idle, begin + 11, 10), None);
            // A clock that is behind.
            assert_eq!(table.find(seen, begin + 19, 10), Some(3));
        }
    }

    #[test]
    fn another_size_knows_the_same() {
        let small = table(64);
        for session in 0..64 {
            small.put(hash(session), session as u32, 5, 5, 120);
        }
        let large = small.resized(4_096);
        for session in 0..64 {
            assert_eq!(large.find(hash(session), 6, 120), Some(session as u32));
        }
    }

    /// Writers of other sessions, readers of their own: nobody may ever be told another's server.
    #[test]
    fn no_session_is_given_another_ones_server() {
        let table = table(64);
        std::thread::scope(|scope| {
            for worker in 0..4_u64 {
                let table = &table;
                scope.spawn(move || {
                    for round in 0..50_000_u64 {
                        let session = worker * 1_000 + round % 500;
                        let now = (round / 1_000) as u32;
                        table.put(hash(session), session as u32, now, now, 120);
                        let other = round * 7 % 4_000;
                        let found = table.find(hash(other), now, 120);
                        assert!(found.is_none_or(|slot| u64::from(slot) == other));
                    }
                });
            }
        });
    }

    fn pool(previous: Option<&Pool>, sessions: u32, servers: &[&str]) -> Pool {
        let mut settings = pool_settings(None, servers);
        settings.engine_io = Some(config::EngineIo {
            path: "/socket.io/".into(),
            idle: Duration::from_secs(120),
            sessions,
        });
        let mut pool = Pool::new(&settings, previous, 1);
        pool.keep_sessions(previous, RandomState::new);
        pool
    }

    fn judged(pool: &Pool, sid: &str) -> (u8, Option<usize>) {
        let sessions = pool.sessions.as_ref().unwrap();
        let mut verdict = Verdict::NONE;
        let key = sessions.key(sid.bytes());
        sessions.judge(&pool.servers, key, 100, &mut verdict);
        (verdict.letter, verdict.server)
    }

    fn learn(pool: &Pool, sid: &str, server: usize) {
        let sessions = pool.sessions.as_ref().unwrap();
        let key = sessions.key(sid.bytes());
        sessions.learn(&pool.servers, key, server, 100);
    }

    #[test]
    fn a_servers_state_counts_as_with_a_cookie() {
        let pool = pool(None, 1_024, &["", ""]);
        learn(&pool, "abc", 1);
        assert_eq!(judged(&pool, "abc"), (b'V', Some(1)));
        assert_eq!(judged(&pool, "abd"), (b'I', None));
        pool.set_admin(1, AdminState::Drain);
        assert_eq!(judged(&pool, "abc"), (b'V', Some(1)));
        pool.set_admin(1, AdminState::Maintenance);
        assert_eq!(judged(&pool, "abc"), (b'D', None));
        let sessions = pool.sessions.as_ref().unwrap();
        let mut cookie = Verdict::NONE;
        (cookie.letter, cookie.server) = (b'V', Some(0));
        sessions.judge(&pool.servers, sessions.key("abc".bytes()), 100, &mut cookie);
        assert_eq!((cookie.letter, cookie.server), (b'V', Some(0)));
    }

    #[test]
    fn the_next_plan_knows_the_sessions_wherever_its_servers_stand() {
        let before = pool(None, 1_024, &["", "", ""]);
        learn(&before, "abc", 2);
        let mut settings = before.settings.clone();
        settings.servers.remove(0);
        let mut after = Pool::new(&settings, Some(&before), 1);
        after.keep_sessions(Some(&before), RandomState::new);
        assert_eq!(judged(&after, "abc"), (b'V', Some(1)));
        settings.servers.remove(1);
        settings.engine_io.as_mut().unwrap().sessions = 2_048;
        let mut last = Pool::new(&settings, Some(&after), 1);
        last.keep_sessions(Some(&after), RandomState::new);
        assert_eq!(judged(&last, "abc"), (b'I', None));
        learn(&last, "abd", 0);
        assert_eq!(judged(&last, "abd"), (b'V', Some(0)));
    }
}
