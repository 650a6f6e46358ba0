//! Servers by name: one task for each name asks DNS, again when the answer's time is over, and the control loop makes a new
//! plan when other servers come of it.
//!
//! What is believed is decided by the pure step in `balance::discovery`; here are only the questions and the clock. A reload keeps
//! what is known of names that stay. New plans follow each other at [`PACE`] at most, however many names change.

mod ask;
mod changes;
mod names;

pub(super) use changes::changes;
pub use names::NameStatus;
pub(super) use names::Names;

use crate::balance::discovery::{Heard, Known, News, Said, expand};
use crate::config::{Config, Origin, Pool, Resolver};
use crate::record::{Event, Events};
use ask::{Asker, Memory};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// All names, and what is known of them. To be used on the control thread's runtime.
pub(super) struct Discovery {
    /// As the file says it: without the servers that were found.
    configured: Arc<Config>,
    names: HashMap<Origin, Name>,
    sender: mpsc::Sender<Answered>,
    answers: mpsc::Receiver<Answered>,
    events: Events,
    /// For the status.
    shown: Names,
    /// Other servers came of an answer, and no plan has them yet.
    due: bool,
    /// When the next plan may be made.
    next: Instant,
}

/// A configuration whose names can be asked for: all that may go wrong has gone well before anything is touched.
pub(super) struct Change {
    config: Arc<Config>,
    /// If it has names.
    asker: Option<Arc<Asker>>,
}

struct Name {
    known: Known,
    /// Whose answers count: those of tasks before it may still be on their way.
    task: JoinHandle<()>,
    round: u64,
}

struct Answered {
    origin: Origin,
    round: u64,
    said: Said,
}

impl Change {
    /// To this configuration.
    ///
    /// # Errors
    /// One line: why it cannot be asked for its names.
    pub(super) fn to(config: &Arc<Config>) -> Result<Self, String> {
        let named = config.pools.iter().any(|pool| !pool.templates.is_empty());
        let asker = named.then(|| Asker::new(&config.resolver)).transpose()?;
        let config = Arc::clone(config);
        Ok(Self { config, asker })
    }
}

impl Discovery {
    /// Asks for the names of this configuration, and waits for their first answers, for [`PATIENCE`] at most. What is not
    /// answered by then is added when it is.
    pub(super) async fn start(change: Change, events: Events) -> Self {
        let Change { config, asker } = change;
        let (sender, answers) = mpsc::channel(WAITING);
        let mut discovery = Self {
            configured: config,
            names: HashMap::new(),
            sender,
            answers,
            events,
            shown: Names::default(),
            due: false,
            next: Instant::now(),
        };
        discovery.ask(asker, None);
        discovery.settle().await;
        discovery
    }

    /// The same for the configuration of a reload. What is known of names that stay is kept.
    pub(super) async fn follow(&mut self, change: Change) {
        let before = std::mem::replace(&mut self.configured, change.config);
        self.ask(change.asker, Some(&before.resolver));
        self.settle().await;
    }

    /// Waits until a new plan is to be made. Nothing is lost when it is dropped.
    pub(super) async fn changed(&mut self) {
        loop {
            let next = self.next;
            let wait = self.patience();
            tokio::select! {
                Some(answered) = self.answers.recv() => self.take(answered),
                () = sleep(wait.unwrap_or_default()), if wait.is_some() => self.give_up(),
                () = sleep_until(next), if self.due => {
                    self.settled();
                    return;
                }
            }
        }
    }

    /// How long no server is to be given up that answers miss.
    fn patience(&self) -> Option<Duration> {
        let now_ms = super::now_ms();
        let names = self.names.values();
        names.filter_map(|name| name.known.patience(now_ms)).min()
    }

    fn give_up(&mut self) {
        let now_ms = super::now_ms();
        for name in self.names.values_mut() {
            self.due |= name.known.give_up(now_ms);
        }
        self.show();
    }

    /// The configuration with the servers that are known now.
    pub(super) fn config(&self) -> Arc<Config> {
        if self.names.is_empty() {
            return Arc::clone(&self.configured);
        }
        let known = |origin: &Origin| self.names.get(origin).map(|name| &name.known);
        let pools = self.configured.pools.iter();
        Arc::new(Config {
            pools: pools.map(|pool| expand(pool, known)).collect(),
            ..Config::clone(&self.configured)
        })
    }

    /// As the file says it: without the servers that were found.
    pub(super) fn configured(&self) -> &Config {
        &self.configured
    }

    /// For the status: what is known of the names.
    pub(super) fn names(&self) -> Names {
        self.shown.clone()
    }

    /// Begins to ask for names that are new, and for all when `before`, the settings until now, were others.
    fn ask(&mut self, asker: Option<Arc<Asker>>, before: Option<&Resolver>) {
        let pools = self.configured.pools.iter();
        let wanted: Vec<Origin> = pools.flat_map(origins).collect();
        self.names.retain(|origin, name| {
            let stays = wanted.contains(origin);
            if !stays {
                name.task.abort();
            }
            stays
        });
        let Some(asker) = asker else {
            return;
        };
        let settings = &self.configured.resolver;
        let other = before.is_some_and(|before| before != settings);
        let fresh = wanted
            .into_iter()
            .filter(|origin| other || !self.names.contains_key(origin));
        let fresh: Vec<Origin> = fresh.collect();
        for origin in fresh {
            let past = self.names.remove(&origin);
            let round = past.as_ref().map_or(0, |past| past.round + 1);
            let task = tokio::spawn(follow(
                Arc::clone(&asker),
                settings.clone(),
                origin.clone(),
                round,
                self.sender.clone(),
            ));
            let known = past.map_or_else(Known::default, |past| {
                past.task.abort();
                past.known
            });
            self.names.insert(origin, Name { known, task, round });
        }
    }

    /// Waits for the first answers.
    async fn settle(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.names.values().any(|name| !name.known.is_heard()) {
            match timeout_at(until, self.answers.recv()).await {
                Ok(Some(answered)) => self.take(answered),
                Ok(None) | Err(_) => break,
            }
        }
        let names = self.names.iter();
        let late = names.filter(|(_, name)| !name.known.is_heard());
        let late: Vec<Answered> = late
            .map(|(origin, name)| Answered {
                origin: origin.clone(),
                round: name.round,
                said: Said::Failed("no answer yet".to_owned(), Vec::new()),
            })
            .collect();
        late.into_iter().for_each(|late| self.take(late));
        self.settled();
    }

    /// A plan is made of what is known now.
    fn settled(&mut self) {
        self.due = false;
        self.next = Instant::now() + PACE;
        self.show();
    }

    fn take(&mut self, answered: Answered) {
        let Answered {
            origin,
            round,
            said,
        } = answered;
        let hold = self.configured.resolver.hold.as_option();
        let Some(name) = self.names.get_mut(&origin) else {
            return;
        };
        if name.round != round {
            return;
        }
        let Heard { servers, news } = name.known.hear(said, hold, super::now_ms());
        self.due |= servers;
        let count = name.known.found().len();
        let name = origin.to_string();
        match news {
            Some(News::Failing(why)) => self.events.send(Event::NameFailed {
                name,
                why,
                servers: count,
            }),
            Some(News::Working(after)) => self.events.send(Event::NameAnswered {
                name,
                after,
                servers: count,
            }),
            None => {}
        }
        self.show();
    }

    fn show(&self) {
        let names = self.names.iter();
        self.shown
            .set(names.map(|(origin, name)| (origin, &name.known)));
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.names.values().for_each(|name| name.task.abort());
    }
}

fn origins(pool: &Pool) -> impl Iterator<Item = Origin> {
    pool.templates
        .iter()
        .map(|template| template.origin.clone())
}

/// One name, for as long as the configuration has it.
async fn follow(
    asker: Arc<Asker>,
    settings: Resolver,
    origin: Origin,
    round: u64,
    sender: mpsc::Sender<Answered>,
) {
    let mut memory = Memory::default();
    let mut failures = 0;
    loop {
        let (said, ttl) = asker.ask(&origin, &mut memory).await;
        let answered = Answered {
            origin: origin.clone(),
            round,
            said,
        };
        if sender.send(answered).await.is_err() {
            return;
        }
        let pause = match ttl {
            Some(ttl) => {
                failures = 0;
                ttl
            }
            None => {
                failures += 1;
                again(failures)
            }
        };
        sleep(pause.clamp(settings.min_ttl, settings.max_ttl)).await;
    }
}

/// After so many failures in a row: 1, 2, 4, 8 and then 10 seconds.
fn again(failures: u32) -> Duration {
    let doubled = FIRST_RETRY * 2_u32.pow(failures.clamp(1, 5) - 1);
    doubled.min(LAST_RETRY)
}

/// For the first answers, at the start and at a reload.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two plans that answers cause: each may live as long as the exchanges that began under it.
const PACE: Duration = Duration::from_secs(1);
/// Answers that the control loop has not taken yet; their tasks wait.
const WAITING: usize = 16;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(10);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::{self, EmptyEnvironment};
    use crate::record::Queue;
    use std::path::Path;

    fn config(name: &str) -> Arc<Config> {
        let text = format!(
            "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\ndefault_pool = \"app\"\n\
             [[pool.app.server]]\nname = \"node\"\naddress = \"{name}:80\"\n\
             [resolver]\nservers = [\"127.0.0.1:1\"]\nretries = 0\n"
        );
        Arc::new(config::load(Path::new("test.toml"), &text, &EmptyEnvironment).unwrap())
    }

    /// A configuration that cannot be asked for is refused while nothing of it is in force, so that the next answer
    /// does not publish it.
    #[tokio::test]
    async fn what_cannot_be_asked_for_is_refused_before_anything_is_touched() {
        let (old, new) = (config("old.example"), config("new.example"));
        let events = Queue::new(|| {}).events();
        let mut discovery = Discovery::start(Change::to(&old).unwrap(), events).await;
        let mut silent = Config::clone(&new);
        silent.resolver.servers.clear();
        assert!(Change::to(&Arc::new(silent)).is_err());
        assert!(
            discovery
                .names
                .values()
                .all(|name| !name.task.is_finished())
        );
        discovery.follow(Change::to(&new).unwrap()).await;
        let names: Vec<_> = discovery.names.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["new.example:80"]);
        assert_eq!(discovery.configured, new);
    }
}
