//! A pool: its servers, and which of them is next.

use super::busy::Busy;
use super::health::Change;
use super::line::Line;
use super::live::{Live, PoolLive};
use super::passive;
use super::policy::{Policy, View};
use super::queue::{Bell, Waiting, Wish};
use super::rate::Limit;
use super::room::Session;
use super::server::{Kind, Server};
use super::sessions::Sessions;
use super::sources::Sources;
use super::standing::{AgentWord, Standing};
use super::sticky::{self, Sticky};
use crate::config::{self, Address, AdminState};
use arc_swap::ArcSwap;
use std::collections::{HashMap, HashSet};
use std::hash::RandomState;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Servers that stand in for each other, as one plan sees them.
#[derive(Debug)]
pub struct Pool {
    /// What the file says of it: name, retries, timeouts, fields to add and so on.
    pub settings: config::Pool,
    /// In file order; picks and cookies name them by index.
    pub servers: Box<[Arc<Server>]>,
    /// The persistence cookie, if it has one.
    pub sticky: Option<Sticky>,
    /// Which server holds which Engine.IO session, if it is asked for; see [`Pool::keep_sessions`].
    pub sessions: Option<Sessions>,
    /// Shared with the plans before and after.
    pub live: Arc<PoolLive>,
    /// Which plan of the pool this is.
    plan: u32,
    /// Some server has a bound: clients may have to wait.
    bounded: bool,
    /// For the servers that take new sessions; replaced whole, off the workers, when that changes.
    policy: ArcSwap<Policy>,
    /// Some server has a rate.
    limited: bool,
    /// Those that plans before had. Who still holds one, a tunnel say, is counted there, so it is the same when it
    /// comes back.
    retired: Vec<Retired>,
}

/// A server that the pool does not have any more.
#[derive(Debug, Clone)]
struct Retired {
    settings: config::Server,
    live: Weak<Live>,
}

/// What is known of a session that needs a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ask {
    /// What a [`sticky::Verdict`] names; it is not asked again whether it accepts, since persistence may overrule that.
    pub wanted: Option<usize>,
    /// One that just failed: [`Pool::take`] never gives it, [`Pool::pick`] only when nothing else takes new sessions.
    pub avoid: Option<usize>,
    /// The [hash](super::key_of) of what the pool's `balance` hashes, if the request has it.
    pub key: Option<u64>,
    /// It is a WebSocket handshake: the rates and bounds of tunnels count.
    pub tunnel: bool,
    /// Now, for rates: milliseconds of a clock that only goes forward.
    pub now_ms: u64,
    /// It can be held until a token is there that it takes now; see [`Pool::take_ahead`].
    pub ahead: bool,
}

/// Why there is no choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// Nobody takes the session, or [nobody's rate allows it](Pool::retry_after).
    NoServer,
    /// Whoever would take it has no room, or others wait for it already.
    Full,
}

/// A choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Index into [`Pool::servers`].
    pub server: usize,
    /// How it came about.
    pub why: Why,
}

/// What a choice rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The client's cookie.
    Cookie,
    /// The pool's policy.
    Policy,
    /// The same, by the request's key: the next request with this key belongs there too.
    Key,
    /// The server whose turn it was did not qualify any more: another that does, of the lowest tier that has one, or,
    /// when there is none, the one to be avoided.
    Fallback,
}

impl Ask {
    /// What a server's rates make of it; `named`: because of its cookie.
    fn kind(&self, named: bool) -> Kind {
        let (tunnel, ahead) = (self.tunnel, self.ahead);
        Kind {
            tunnel,
            named,
            ahead,
        }
    }

    /// What it takes of a server's bounds.
    pub(super) fn session(&self) -> Session {
        match self.tunnel {
            true => Session::Tunnel,
            false => Session::Request,
        }
    }
}

impl Pool {
    /// The pool for a new plan. Servers that the `previous` plan's pool of this name had, under the
    /// same name and address, keep their live state, and so do those of earlier plans as long as anything, a tunnel
    /// say, is left of them; so does the pool its counts and its turn. An
    /// operator's word and weight survive unless the file now says something else than before, a
    /// server that is no longer checked is up.
    ///
    /// `workers` is the number of slots for counters; it does not change while a process lives.
    pub fn new(settings: &config::Pool, previous: Option<&Self>, workers: usize) -> Self {
        let previous = previous.filter(|p| p.settings.name == settings.name);
        let live = previous.map_or_else(
            || Arc::new(PoolLive::named(&settings.name)),
            |p| Arc::clone(&p.live),
        );
        let plan = live.next_plan();
        let before = previous.map(Before::new);
        let name: Arc<str> = settings.name.as_str().into();
        let servers: Box<[_]> = settings
            .servers
            .iter()
            .map(|server| {
                let live = before
                    .as_ref()
                    .and_then(|before| before.carried_over(server, settings, workers))
                    .unwrap_or_else(|| {
                        let pool = Arc::clone(&live);
                        let live = Live::new(server.state, server.weight, workers, pool);
                        Arc::new(live.named(&server.name))
                    });
                live.set_bounds(&server.bounds);
                Arc::new(Server {
                    pool: name.clone(),
                    name: server.name.as_str().into(),
                    address: server.address.clone(),
                    sources: Sources::new(&server.source, &server.address),
                    key: sticky::key_of(settings.sticky.as_ref(), server),
                    proxy_protocol: server.proxy_protocol,
                    check: server.check.clone(),
                    agent: server.agent.clone(),
                    weight: server.weight,
                    tier: server.tier,
                    slow_start: server.slow_start.map(|slow| slow.over),
                    slow_sessions: server.slow_start.and_then(|slow| slow.sessions),
                    tunnel_rate: server.tunnel_rate.map(Limit::new),
                    bounds: server.bounds,
                    live,
                })
            })
            .collect();
        let sticky = settings.sticky.as_ref().map(|s| Sticky::new(s, &servers));
        weigh_health(settings, &servers, &live);
        let same = previous.filter(|previous| {
            let both = previous.servers.iter().zip(&servers);
            previous.servers.len() == servers.len()
                && both.into_iter().all(|(old, new)| old.name == new.name)
        });
        let policy = same.map(|previous| previous.policy.load());
        let policy = Policy::new(
            &settings.balance,
            &servers,
            &live,
            policy.as_ref().map(|policy| &***policy),
        );
        let retired = previous.map_or_else(Vec::new, |p| p.retire(&servers));
        let bounded = servers.iter().any(|server| server.bounds.any());
        if bounded {
            live.heed_waiters();
        }
        let pool = Self {
            settings: settings.clone(),
            sticky,
            sessions: None,
            live,
            plan,
            bounded,
            policy: ArcSwap::from_pointee(policy),
            limited: servers.iter().any(|server| server.is_limited()),
            servers,
            retired,
        };
        pool.look_after_waiters();
        pool
    }

    /// Whether the next plan can have it as it is: the same settings, for as many workers.
    pub fn stays(&self, settings: &config::Pool, workers: usize) -> bool {
        let same_workers = |server: &Arc<Server>| server.live.workers() == workers.max(1);
        self.settings == *settings && self.servers.iter().all(same_workers)
    }

    /// Makes room for Engine.IO sessions, if the settings ask for it, or takes over what the `previous` plan's pool
    /// knows; the first time with these `keys` for the hashes.
    pub fn keep_sessions(&mut self, previous: Option<&Self>, keys: impl FnOnce() -> RandomState) {
        let previous = previous.and_then(|pool| pool.sessions.as_ref());
        let settings = self.settings.engine_io.as_ref();
        self.sessions =
            settings.map(|settings| Sessions::new(settings, &self.servers, previous, keys));
    }

    /// The server for a session, counted as busy from now on: the one it wants unless that is to be avoided, else the
    /// policy's, which is never the one to be avoided.
    ///
    /// # Errors
    /// That there is none, or none that has room.
    pub fn take(&self, ask: &Ask) -> Result<(Pick, Busy), Missed> {
        self.take_held(ask).map(|(pick, busy, _)| (pick, busy))
    }

    /// The server for a session that [`Pool::take`] found none for only because of rates, and how long the session is to be
    /// held: at most a second, and only while clients return that were promised a place.
    ///
    /// # Errors
    /// As [`Pool::take`].
    #[cold]
    pub fn take_ahead(&self, ask: &Ask) -> Result<(Pick, Busy, Duration), Missed> {
        if !self.limited {
            return Err(Missed::NoServer);
        }
        self.take_held(&Ask {
            ahead: true,
            ..*ask
        })
    }

    fn take_held(&self, ask: &Ask) -> Result<(Pick, Busy, Duration), Missed> {
        let wanted = ask.wanted.filter(|_| ask.wanted != ask.avoid);
        if self.bounded && self.line(wanted).has(ask.session()) {
            return Err(Missed::Full);
        }
        for turn in 0..=TAKEN_BACK {
            let Some(pick) = self.pick(ask) else {
                return Err(self.missed(wanted, ask));
            };
            if Some(pick.server) == ask.avoid {
                return Err(Missed::NoServer);
            }
            // Another worker may have taken the last place, or the last token, since we looked, here and below.
            let live = &self.servers[pick.server].live;
            let Some((busy, sessions, total)) = Busy::try_new(live, ask.session()) else {
                continue;
            };
            let overfull = || self.policy.load().overfull(pick.server, sessions, total);
            let stays = turn == TAKEN_BACK || pick.why != Why::Key || !overfull();
            if stays && let Some(held) = self.admits(&pick, ask) {
                return Ok((pick, busy, held));
            }
            busy.withdraw();
            if pick.why == Why::Cookie {
                return Err(Missed::NoServer);
            }
        }
        Err(self.missed(wanted, ask))
    }

    /// Waits for what [`Pool::take`] said there is no room for: the one it wants, in that server's own line, or else
    /// the first of those that take new sessions. With `firm` it waits for the wanted server even when that goes down.
    /// When a place is there, `bell` is rung for `place`.
    ///
    /// # Errors
    /// The line is as long as it may be.
    pub fn wait(
        &self,
        ask: &Ask,
        firm: bool,
        bell: &Arc<dyn Bell>,
        place: u32,
    ) -> Result<Waiting, Missed> {
        self.join(ask, firm, bell, place, None)
    }

    /// Goes on waiting under this plan of the pool for what `ask` says, in the same place of the order as `before`; a
    /// place that `before` was given is passed on. The line may be longer than `max_queue` by that.
    ///
    /// # Errors
    /// Only if this is another pool under the same name: that its line is as long as it may be.
    pub fn wait_on(
        &self,
        before: Waiting,
        ask: &Ask,
        firm: bool,
        bell: &Arc<dyn Bell>,
        place: u32,
    ) -> Result<Waiting, Missed> {
        // It joins before it leaves, so that no request that came later is served in between.
        let now = self.join(ask, firm, bell, place, before.order_in(&self.live));
        drop(before);
        now
    }

    /// Whether a request that waits has to [wait on](Self::wait_on) under this plan, to which its server's index in
    /// `ask` has been [carried over](Self::successor): it waits for another server than this one, or in another pool.
    pub fn is_moved(&self, waiting: &Waiting, ask: &Ask) -> bool {
        let own = ask.wanted.map(|wanted| &self.servers[wanted].live);
        waiting.order_in(&self.live).is_none() || waiting.is_for_another(own)
    }

    fn join(
        &self,
        ask: &Ask,
        firm: bool,
        bell: &Arc<dyn Bell>,
        place: u32,
        order: Option<u64>,
    ) -> Result<Waiting, Missed> {
        let own = ask.wanted.map(|wanted| &self.servers[wanted]);
        let wish = Wish {
            session: ask.session(),
            own: own.map(|server| Arc::clone(&server.live)),
            firm,
            longest: own.map_or(self.settings.max_queue, |server| server.bounds.queue),
            order,
        };
        let queue = &self.live.queue;
        let room = |queue: &super::queue::Queue| {
            let closed = own.filter(|server| !firm && !server.live.accepts_sticky());
            if let Some(closed) = closed {
                queue.note_closed(&closed.live);
            }
            let open = match own.filter(|_| closed.is_none()) {
                Some(own) => own.live.has_room(ask.session()).then_some(own),
                // A token is asked for when there is a place.
                None => {
                    let view = View {
                        rates: None,
                        ..self.view(ask)
                    };
                    let found = self.search(&view);
                    found.map(|pick| &self.servers[pick.server])
                }
            };
            if let Some(open) = open {
                queue.note_room(&open.live);
            }
        };
        let waiting = queue.enter(&self.live, wish, bell, place, room);
        waiting.ok_or(Missed::Full)
    }

    /// Where somebody would wait.
    fn line(&self, wanted: Option<usize>) -> &Line {
        wanted.map_or(&self.live.line, |wanted| self.servers[wanted].live.line())
    }

    /// Why nobody was found.
    #[cold]
    pub(super) fn missed(&self, wanted: Option<usize>, ask: &Ask) -> Missed {
        if wanted.is_some() {
            return Missed::Full;
        }
        let kind = ask.kind(false);
        let open = || {
            let others = (0..).zip(&self.servers);
            let others = others.filter(|(at, _)| Some(*at) != ask.avoid);
            others.map(|(_, server)| server).filter(|s| s.accepts_new())
        };
        let tier = open().map(|server| server.tier).min();
        let has_token = |server: &Arc<Server>| {
            Some(server.tier) == tier && (!self.limited || server.has_token(kind, ask.now_ms))
        };
        // For a token nobody waits here; for a place whoever could take it, also when one has become free meanwhile.
        match self.bounded && open().any(has_token) {
            true => Missed::Full,
            false => Missed::NoServer,
        }
    }

    /// Offers what has room to the requests that wait, and lets those in the lines of servers that are closed take any.
    /// To be called whenever that may have changed, and by each worker that takes this plan: a request may have
    /// come to wait under the plan before, which did not know a server of this one. The lines of removed servers
    /// are left to the requests themselves, which [wait on](Self::wait_on) under the new plan.
    pub fn look_after_waiters(&self) {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        let queue = &self.live.queue;
        if queue.waiting() == 0 {
            return;
        }
        // First, so that what has room is offered to those that are let go as well.
        for server in self
            .servers
            .iter()
            .filter(|server| !server.live.accepts_sticky())
        {
            queue.note_closed(&server.live);
        }
        for server in &self.servers {
            if Session::ALL.into_iter().any(|s| server.live.has_room(s)) {
                queue.note_room(&server.live);
            }
        }
        queue.see_to(&self.live.line);
    }

    fn view(&self, ask: &Ask) -> View<'_> {
        View {
            servers: &self.servers,
            live: &self.live,
            avoid: ask.avoid,
            key: ask.key,
            session: ask.session(),
            rates: self.limited.then(|| (ask.kind(false), ask.now_ms)),
        }
    }

    /// Takes a token of the server, if it has a rate, and returns how long the session is to be held. `None`: there is no
    /// token. [`Pool::take`] does it; for a place that was waited for it is to be done.
    pub fn admits(&self, pick: &Pick, ask: &Ask) -> Option<Duration> {
        if !self.limited {
            return Some(Duration::ZERO);
        }
        let kind = ask.kind(pick.why == Why::Cookie);
        self.servers[pick.server].take_token(kind, ask.now_ms)
    }

    /// How long until [`Pool::admits`] may say yes, when it has just said no.
    pub fn token_in(&self, pick: &Pick, ask: &Ask) -> Duration {
        let kind = ask.kind(pick.why == Why::Cookie);
        self.servers[pick.server].token_in(kind, ask.now_ms)
    }

    /// Whether a session found no server only because of rates: then the seconds after which its client should come
    /// again. `random` spreads those who are refused together.
    #[cold]
    pub fn retry_after(&self, ask: &Ask, random: u64) -> Option<u32> {
        if !self.limited {
            return None;
        }
        let promise = |server: &Server, named| server.promise(ask.kind(named), ask.now_ms, random);
        if let Some(server) = ask.wanted.filter(|_| ask.wanted != ask.avoid) {
            return promise(&self.servers[server], true).or(Some(1));
        }
        // Any of those that would take it.
        let open = || self.servers.iter().filter(|server| server.accepts_new());
        let one = random as usize % open().count().max(1);
        promise(open().nth(one)?, false).or(Some(1))
    }

    /// The same without counting it: for whoever only wants to know.
    pub fn pick(&self, ask: &Ask) -> Option<Pick> {
        if let Some(server) = ask.wanted.filter(|_| ask.wanted != ask.avoid) {
            let why = Why::Cookie;
            let has_room = self.servers[server].live.has_room(ask.session());
            return has_room.then_some(Pick { server, why });
        }
        let view = self.view(ask);
        let picked = self.policy.load().pick(&view);
        let picked = picked.filter(|pick| view.has_token(pick.server));
        picked.or_else(|| self.search(&view))
    }

    /// The servers one by one, for one of the lowest tier; the one to be avoided comes last.
    #[cold]
    fn search(&self, view: &View<'_>) -> Option<Pick> {
        let count = self.servers.len();
        let begin = self.live.turn.now() as usize % count.max(1);
        let around = (begin..count).chain(0..begin);
        let open =
            |server: &usize| Some(*server) != view.avoid && self.servers[*server].accepts_new();
        // A tier whose servers are full still has servers: the next one is no overflow for it.
        let open = around.filter(open);
        let tier = open.clone().map(|server| self.servers[server].tier).min();
        let mut tier = open.filter(|server| Some(self.servers[*server].tier) == tier);
        let avoided = || {
            let avoided = view.avoid.map(|at| (at, &self.servers[at]))?;
            let fits = avoided.1.accepts_new()
                && avoided.1.live.has_room(view.session)
                && view.has_token(avoided.0);
            fits.then_some(avoided.0)
        };
        let found = match tier.clone().next() {
            Some(_) => tier.find(|server| view.fits(*server)),
            None => avoided(),
        };
        let server = found?;
        let why = Why::Fallback;
        Some(Pick { server, why })
    }

    /// Counts a server of this pool as busy.
    pub fn busy(&self, server: usize) -> Busy {
        Busy::new(Arc::clone(&self.servers[server].live), Session::Request)
    }

    /// Whether another attempt may be made at `now_ms`, milliseconds of the monotonic clock: what it costs is taken out of
    /// the pool's budget, if it has one.
    pub fn spend_retry(&self, now_ms: u64) -> bool {
        let budget = self.settings.retry.as_ref().and_then(|r| r.budget.as_ref());
        budget.is_none_or(|budget| {
            let sessions = self.live.total_sessions();
            self.live.budget.spend(budget, sessions, now_ms)
        })
    }

    /// What [`Pool::take`] just counted was another attempt of a request, which earns no further one.
    pub fn counted_again(&self) {
        self.live.budget.moved();
    }

    /// Whether both are the pool as one and the same plan has it.
    pub fn is_same_plan(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }

    /// Whether no newer plan of the pool has been made. Until the newest one is taken, a request that waits may
    /// be given a server that only the newest has.
    pub fn is_newest(&self) -> bool {
        self.plan == self.live.newest_plan()
    }

    /// The index of the server with this live state, if the pool has it.
    pub fn place_of(&self, live: &Live) -> Option<usize> {
        let is_same = |server: &Arc<Server>| server.live.id() == live.id();
        self.servers.iter().position(is_same)
    }

    /// The server of this plan that a client of `server`, of another plan, belongs to: the same server, or the one that
    /// has its cookie key now; of several one that takes clients, if any does.
    pub fn successor(&self, server: &Server) -> Option<usize> {
        self.place_of(&server.live).or_else(|| {
            let key = server.key.as_deref()?;
            let servers = (0..).zip(&self.servers);
            let mut same = servers.filter(|(_, other)| other.key.as_deref() == Some(key));
            let open = same.clone().find(|(_, other)| other.accepts_sticky());
            open.or_else(|| same.next()).map(|(at, _)| at)
        })
    }

    /// How many servers take new sessions.
    pub fn active(&self) -> usize {
        self.servers.iter().filter(|s| s.accepts_new()).count()
    }

    /// What checks found out about a server; not for workers. This and the next four are to be called
    /// on the newest plan's pool: an older plan's sees the state as well, but keeps its turns. Who calls them calls
    /// [`Pool::advance`] next.
    pub fn mark(&self, server: usize, change: &Change, now_ms: u64) {
        let Server {
            live, slow_start, ..
        } = &*self.servers[server];
        live.mark(change, *slow_start, now_ms);
        self.renew();
    }

    /// All that a server's agent has said and not taken back; not for workers.
    pub fn hear(&self, server: usize, word: AgentWord, now_ms: u64) {
        let Server {
            live, slow_start, ..
        } = &*self.servers[server];
        live.hear(word, *slow_start, now_ms);
        self.renew();
    }

    /// What an operator says of a server; not for workers.
    pub fn set_admin(&self, server: usize, admin: AdminState) {
        let Server {
            live, slow_start, ..
        } = &*self.servers[server];
        live.admit(admin, *slow_start);
        self.renew();
    }

    /// Whether passive checks may eject a server: not one in maintenance, and not more than the settings allow at once.
    pub fn may_eject(&self, server: usize) -> bool {
        let standing = |server: &Server| server.live.standing();
        let share = self.settings.passive.as_ref().map_or(0, |p| p.max_ejected);
        let present = self
            .servers
            .iter()
            .filter(|s| standing(s) != Standing::Maintenance);
        let most = passive::most_ejected(present.count(), share);
        let out = self
            .servers
            .iter()
            .filter(|s| s.live.ejected_until_ms().is_some());
        out.count() < most && standing(&self.servers[server]) != Standing::Maintenance
    }

    /// Passive checks eject a server until then, milliseconds since the Unix epoch; not for workers.
    pub fn eject(&self, server: usize, until_ms: u64) {
        let Server {
            live, slow_start, ..
        } = &*self.servers[server];
        live.eject(until_ms, *slow_start);
        self.renew();
    }

    /// A server's ejection is over; not for workers.
    pub fn restore(&self, server: usize) {
        let Server {
            live, slow_start, ..
        } = &*self.servers[server];
        live.restore(*slow_start);
        self.renew();
    }

    /// Servers that may be counted on, and how many there are: without those in maintenance.
    pub fn working(&self) -> (usize, usize) {
        working(&self.servers)
    }

    /// Gives a server another weight, 0 to 256; not for workers.
    pub fn set_weight(&self, server: usize, weight: u16) {
        self.servers[server].live.set_weight(weight);
        self.renew();
    }

    /// Moves slow starts and drains on to `now_ms`, milliseconds since the Unix epoch; not for workers. Says when to do it
    /// again; `None` when none is under way.
    pub fn advance(&self, now_ms: u64) -> Option<Duration> {
        let (mut changed, mut soonest) = (false, None);
        let honoured = self.settings.drain.honour_cookies_for;
        for server in &self.servers {
            let forsaken = server.live.look(honoured, now_ms);
            soonest = soonest.into_iter().chain(forsaken).min();
            let Some(length) = server.slow_start else {
                continue;
            };
            let (moved, next) = server.live.advance(length, now_ms);
            changed |= moved;
            soonest = soonest.into_iter().chain(next).min();
        }
        if changed {
            self.renew();
        }
        // A drain may just have lasted for long enough.
        self.look_after_waiters();
        soonest
    }

    /// Makes the policy anew for the servers that take new sessions now. Called by the five above;
    /// one thread at a time.
    fn renew(&self) {
        weigh_health(&self.settings, &self.servers, &self.live);
        let before = self.policy.load();
        let policy = Policy::new(
            &self.settings.balance,
            &self.servers,
            &self.live,
            Some(&before),
        );
        drop(before);
        self.policy.store(Arc::new(policy));
        self.look_after_waiters();
    }

    /// The servers that this, the previous, pool has and the `next` plan's has not retire; with those that were retired
    /// before, as far as anything is left of them.
    fn retire(&self, next: &[Arc<Server>]) -> Vec<Retired> {
        let next: HashSet<_> = next
            .iter()
            .map(|server| Arc::as_ptr(&server.live))
            .collect();
        let kept = |live: &Arc<Live>| next.contains(&Arc::as_ptr(live));
        let stays = |old: &&Retired| old.live.upgrade().is_some_and(|live| !kept(&live));
        let mut retired: Vec<_> = self.retired.iter().filter(stays).cloned().collect();
        for (settings, server) in self.settings.servers.iter().zip(&self.servers) {
            if !kept(&server.live) {
                server.live.set_removed(true);
                retired.push(Retired {
                    settings: settings.clone(),
                    live: Arc::downgrade(&server.live),
                });
            }
        }
        retired
    }
}

/// The pool of the plan before, its servers by name and address: a pool of thousands is made in linear time.
struct Before<'a> {
    pool: &'a Pool,
    present: HashMap<(&'a str, &'a Address), usize>,
    retired: HashMap<(&'a str, &'a Address), usize>,
}

impl<'a> Before<'a> {
    fn new(pool: &'a Pool) -> Self {
        let names = |server: &'a config::Server| (server.name.as_str(), &server.address);
        let present = pool.settings.servers.iter().map(names);
        let retired = pool.retired.iter().map(|old| names(&old.settings));
        Self {
            pool,
            present: present.enumerate().map(|(at, name)| (name, at)).collect(),
            retired: retired.enumerate().map(|(at, name)| (name, at)).collect(),
        }
    }

    /// A server that the pool has as well, or had, as it was set then.
    fn known(&self, now: &config::Server) -> Option<(&'a config::Server, Arc<Live>)> {
        let name = (now.name.as_str(), &now.address);
        if let Some(at) = self.present.get(&name) {
            let before = &self.pool.settings.servers[*at];
            return Some((before, Arc::clone(&self.pool.servers[*at].live)));
        }
        let old = &self.pool.retired[*self.retired.get(&name)?];
        let live = old.live.upgrade()?;
        live.set_removed(false);
        Some((&old.settings, live))
    }

    /// The live state of a server that is known already.
    fn carried_over(
        &self,
        now: &config::Server,
        pool: &config::Pool,
        workers: usize,
    ) -> Option<Arc<Live>> {
        let (before, live) = self.known(now)?;
        if live.workers() != workers.max(1) {
            return None;
        }
        if now.slow_start.is_none() {
            live.end_slow_start();
        }
        if before.state != now.state {
            live.admit(now.state, now.slow_start.map(|slow| slow.over));
        }
        // A server that DNS found has a weight in relation to the others: another record's change must not undo the operator's.
        let is_operators = live.weight() != before.weight;
        let is_found = || pool.templates.iter().any(|template| template.made(now));
        if before.weight != now.weight && !(is_operators && is_found()) {
            live.set_weight(now.weight);
        }
        if pool.passive.is_none() && live.ejected_until_ms().is_some() {
            live.restore(now.slow_start.map(|slow| slow.over));
        }
        if now.check.is_none() {
            live.forget_health();
        }
        if now.agent.is_none() {
            live.forget_agent();
        }
        Some(live)
    }
}

/// Servers that work, of those that are not in maintenance.
fn working(servers: &[Arc<Server>]) -> (usize, usize) {
    let standings = || servers.iter().map(|server| server.live.standing());
    (
        standings().filter(|s| s.accepts_sticky()).count(),
        standings().filter(|s| *s != Standing::Maintenance).count(),
    )
}

/// Whether enough servers work for their health to count.
fn weigh_health(settings: &config::Pool, servers: &[Arc<Server>], live: &PoolLive) {
    let (working, all) = working(servers);
    let panic = passive::panics(working, all, settings.panic_threshold);
    live.set_panic(panic);
    for server in servers {
        server.live.set_panic(panic);
    }
}

/// Times that a session is taken back because its server was full by then.
const TAKEN_BACK: usize = 16;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::health::Reason;
    use super::super::sticky::tests::pool_settings;
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const DOWN: Change = Change {
        up: false,
        soft: false,
        reason: Reason::Refused,
        took: Duration::ZERO,
        lasted: Duration::ZERO,
    };

    fn pool(weights: &[u16]) -> Pool {
        let mut settings = pool_settings(None, &vec![""; weights.len()]);
        for (server, weight) in settings.servers.iter_mut().zip(weights) {
            server.weight = *weight;
        }
        Pool::new(&settings, None, 2)
    }

    fn avoiding(avoid: Option<usize>) -> Ask {
        Ask {
            avoid,
            ..Ask::default()
        }
    }

    fn wanting(server: usize) -> Ask {
        Ask {
            wanted: Some(server),
            ..Ask::default()
        }
    }

    /// How often each server is picked.
    fn shares(pool: &Pool, picks: usize, avoid: Option<usize>) -> Vec<usize> {
        let mut shares = vec![0; pool.servers.len()];
        for _ in 0..picks {
            shares[pool.pick(&avoiding(avoid)).unwrap().server] += 1;
        }
        shares
    }

    #[test]
    fn turns_follow_the_weights() {
        let pool = pool(&[3, 1, 0, 2]);
        assert_eq!(pool.active(), 3);
        assert_eq!(shares(&pool, 600, None), [300, 100, 0, 200]);
        pool.set_weight(2, 6);
        assert_eq!(shares(&pool, 1200, None), [300, 100, 600, 200]);
        let why = pool.pick(&Ask::default()).unwrap().why;
        assert_eq!(why, Why::Policy);
    }

    #[test]
    fn a_cookie_or_a_failure_overrules_the_turn() {
        let pool = pool(&[1, 1, 1]);
        let cookie = Pick {
            server: 2,
            why: Why::Cookie,
        };
        assert_eq!(pool.pick(&wanting(2)), Some(cookie));
        assert_eq!(shares(&pool, 300, Some(1)), [150, 0, 150]);
        for _ in 0..3 {
            assert_ne!(
                pool.pick(&Ask {
                    avoid: Some(2),
                    ..wanting(2)
                })
                .unwrap()
                .server,
                2
            );
        }
    }

    #[test]
    fn the_avoided_server_is_better_than_none_and_nobody_is_nobody() {
        let pool = pool(&[1, 1]);
        pool.set_admin(0, AdminState::Maintenance);
        let last = Pick {
            server: 1,
            why: Why::Fallback,
        };
        assert_eq!(pool.pick(&avoiding(Some(1))), Some(last));
        pool.set_admin(1, AdminState::Drain);
        assert_eq!(pool.pick(&Ask::default()), None);
        assert_eq!(pool.pick(&avoiding(Some(1))), None);
        assert_eq!(pool.active(), 0);
        pool.set_admin(0, AdminState::Ready);
        assert_eq!(pool.pick(&Ask::default()).unwrap().server, 0);
    }

    #[test]
    fn an_operators_word_and_health_do_not_lift_each_other() {
        let pool = pool(&[1]);
        let server = &pool.servers[0];
        pool.set_admin(0, AdminState::Maintenance);
        pool.mark(0, &DOWN, 1);
        assert_eq!(server.wants_check(), None);
        pool.set_admin(0, AdminState::Ready);
        assert!(!server.accepts_new() && !server.accepts_sticky());
        assert!(server.wants_check().is_some());
        pool.set_admin(0, AdminState::Drain);
        pool.mark(0, &Change { up: true, ..DOWN }, 2);
        assert!(!server.accepts_new() && server.accepts_sticky());
    }

    #[test]
    fn the_agent_undoes_only_what_the_agent_did() {
        let pool = pool(&[1, 1]);
        let server = &pool.servers[0];
        let drain = AgentWord {
            admin: AdminState::Drain,
            percent: 50,
            ..AgentWord::NONE
        };
        pool.set_admin(0, AdminState::Maintenance);
        pool.hear(0, drain, 1);
        pool.hear(0, AgentWord::NONE, 1);
        assert_eq!(server.live.standing(), Standing::Maintenance);
        pool.set_admin(0, AdminState::Drain);
        pool.hear(0, AgentWord::NONE, 1);
        assert_eq!(server.live.standing(), Standing::Drain);
        pool.set_admin(0, AdminState::Ready);
        pool.mark(0, &DOWN, 1);
        pool.hear(0, AgentWord::NONE, 1);
        assert_eq!(server.live.standing(), Standing::Down);
        // And nobody else undoes what the agent did.
        pool.hear(0, drain, 1);
        pool.mark(0, &Change { up: true, ..DOWN }, 2);
        pool.set_admin(0, AdminState::Ready);
        assert_eq!(server.live.standing(), Standing::Drain);
        assert_eq!(server.live.weight(), 1);
    }

    #[test]
    fn an_agents_percentage_is_of_the_weight() {
        let percent = |percent| AgentWord {
            percent,
            ..AgentWord::NONE
        };
        // weights; the first one's percentage; picks, and how often each server is picked.
        for (weights, part, picks, wanted) in [
            ([1, 1], 50, 300, [100, 200]),
            ([1, 1], 75, 700, [300, 400]),
            ([1, 1], 0, 100, [0, 100]),
            ([2, 1], 25, 300, [100, 200]),
            ([1, 1], 300, 400, [300, 100]),
            ([256, 256], 25_600, 200, [100, 100]),
            ([1, 1], 1, 1_700, [100, 1_600]),
        ] {
            let pool = pool(&weights);
            pool.hear(0, percent(part), 1);
            assert_eq!(shares(&pool, picks, None), wanted, "{weights:?} {part}%");
            assert_eq!(pool.servers[0].accepts_new(), part > 0);
            assert!(pool.servers[0].accepts_sticky());
        }
    }

    /// Between the moment a server goes and the new schedule, and when all but one have gone.
    #[test]
    fn servers_that_just_went_are_skipped() {
        let pool = pool(&[1; 100]);
        for server in &pool.servers[..60] {
            server.live.mark(&DOWN, None, 1);
        }
        let shares = shares(&pool, 4_000, None);
        assert!(shares[..60].iter().all(|share| *share == 0));
        assert_eq!(shares.iter().sum::<usize>(), 4_000);
        for server in &pool.servers[60..99] {
            server.live.mark(&DOWN, None, 1);
        }
        let last = pool.pick(&Ask::default()).unwrap();
        assert_eq!((last.server, last.why), (99, Why::Fallback));
    }

    #[test]
    fn workers_share_one_order() {
        let pool = pool(&[5, 3, 2]);
        let worker = || shares(&pool, 5_000, None);
        let (one, two) = std::thread::scope(|scope| {
            let (one, two) = (scope.spawn(worker), scope.spawn(worker));
            (one.join().unwrap(), two.join().unwrap())
        });
        let both: Vec<_> = one.iter().zip(&two).map(|(a, b)| a + b).collect();
        assert_eq!(both, [5_000, 3_000, 2_000]);
    }

    #[test]
    fn the_next_plan_keeps_what_is_live() {
        let before = pool(&[1, 2, 3]);
        before.mark(0, &DOWN, 7);
        before.set_admin(1, AdminState::Drain);
        before.set_weight(2, 9);
        let busy = before.busy(0);
        let mut settings = before.settings.clone();
        settings.servers.swap(0, 2);
        let after = Pool::new(&settings, Some(&before), 2);
        let [c, b, a] = &*after.servers else {
            panic!("three servers");
        };
        assert!(Arc::ptr_eq(&a.live, &before.servers[0].live));
        assert!(!a.live.is_up() && a.live.state().since_ms == 7);
        assert_eq!(a.live.sessions(), 1);
        assert_eq!(b.live.admin(), AdminState::Drain);
        assert_eq!(c.live.weight(), 9);
        assert_eq!(after.live.sessions(), 1);
        assert_eq!(after.active(), 1);
        drop(busy);
        assert_eq!(after.live.sessions(), 0);
        // What the file newly says counts; another address is another server.
        settings.servers[0].weight = 5;
        settings.servers[1].state = AdminState::Maintenance;
        settings.servers[2].check = None;
        let later = Pool::new(&settings, Some(&after), 2);
        assert_eq!(later.servers[0].live.weight(), 5);
        assert_eq!(later.servers[1].live.admin(), AdminState::Maintenance);
        assert!(later.servers[2].live.is_up());
        settings.servers[0].address = Address::Unix("/x".into());
        let moved = Pool::new(&settings, Some(&later), 2);
        assert!(!Arc::ptr_eq(&moved.servers[0].live, &later.servers[0].live));
        settings.name = "other".into();
        let other = Pool::new(&settings, Some(&moved), 2);
        assert!(!Arc::ptr_eq(&other.live, &moved.live));
    }

    #[test]
    fn a_server_that_comes_back_is_the_same_while_anything_is_left_of_it() {
        let first = pool(&[1, 1]);
        first.set_admin(1, AdminState::Drain);
        let tunnel = first.busy(1).into_tunnel();
        let live = Arc::clone(&first.servers[1].live);
        let (all, mut fewer) = (first.settings.clone(), first.settings.clone());
        fewer.servers.pop();
        let second = Pool::new(&fewer, Some(&first), 2);
        let third = Pool::new(&fewer, Some(&second), 2);
        drop(first);
        let fourth = Pool::new(&all, Some(&third), 2);
        assert!(Arc::ptr_eq(&fourth.servers[1].live, &live));
        assert_eq!((live.tunnels(), live.admin()), (1, AdminState::Drain));
        assert!(!live.is_removed());
        assert!(!third.is_newest() && fourth.is_newest());
        assert!(fourth.retired.is_empty());
        // And again; until nothing is left.
        let fifth = Pool::new(&fewer, Some(&fourth), 2);
        assert!(live.is_removed());
        assert_eq!(fifth.retired.len(), 1);
        drop((fourth, tunnel, live));
        let sixth = Pool::new(&all, Some(&fifth), 2);
        let live = &sixth.servers[1].live;
        assert_eq!((live.tunnels(), live.admin()), (0, AdminState::Ready));
        assert!(sixth.retired.is_empty());
    }

    /// A client belongs to its server under any plan that has it, else to the one that has its key by then.
    #[test]
    fn a_server_s_successor_has_its_state_or_its_key() {
        let before = Pool::new(&pool_settings(None, &["a", "b", "c"]), None, 1);
        let mut settings = before.settings.clone();
        settings.servers.swap(0, 1);
        // "c" has another address and a twin; the twin's key is the same.
        settings.servers[2].address = Address::Unix("/new".into());
        let twin = config::Server {
            name: "twin".into(),
            ..settings.servers[2].clone()
        };
        settings.servers.push(twin);
        let after = Pool::new(&settings, Some(&before), 1);
        let successors = || {
            let servers = before.servers.iter();
            servers
                .map(|server| after.successor(server))
                .collect::<Vec<_>>()
        };
        assert_eq!(successors(), [Some(1), Some(0), Some(2)]);
        after.set_admin(2, AdminState::Maintenance);
        assert_eq!(successors()[2], Some(3), "one that takes clients");
        after.set_admin(3, AdminState::Maintenance);
        assert_eq!(successors()[2], Some(2));
        settings.servers.truncate(1);
        let fewer = Pool::new(&settings, Some(&after), 1);
        assert_eq!(fewer.successor(&before.servers[2]), None);
    }

    proptest! {
        /// Before and after the schedule is rebuilt, a lost server's turns go to all the others
        /// in proportion to their weights.
        #[test]
        fn skipping_is_fair(
            weights in prop::collection::vec(1u16..=8, 2..7),
            lost in 0usize..7,
            rebuilt: bool,
        ) {
            let lost = lost % weights.len();
            let pool = pool(&weights);
            if rebuilt {
                pool.mark(lost, &DOWN, 1);
            } else {
                pool.servers[lost].live.mark(&DOWN, None, 1);
            }
            let mut want: Vec<_> = weights.iter().map(|w| usize::from(*w) * 100).collect();
            want[lost] = 0;
            prop_assert_eq!(shares(&pool, want.iter().sum(), None), want);
        }
    }
}
