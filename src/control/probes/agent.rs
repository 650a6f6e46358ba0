//! One server's agent, for as long as the plan has it.
//!
//! It is asked in every state, maintenance too: who may only undo its own words must be heard to undo them. An agent
//! that cannot be reached says nothing new; what it said last holds (as with HAProxy), and the log has it once.

use super::{News, Shared, Target, find, tcp};
use crate::balance::Sources;
use crate::config::Agent;
use crate::control::{now_ms, started_ms};
use crate::wire::agent::{LONGEST, Report, read};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

/// Ends when the plan has the server no more.
pub(super) async fn run(shared: Arc<Shared>, target: Target, agent: Agent, first: Instant) {
    let mut course = Course::default();
    let mut next = first;
    loop {
        sleep_until(next).await;
        let permit = shared.room.acquire().await;
        let begun = Instant::now();
        let line = match timeout(agent.timeout, ask(&agent)).await {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        drop(permit);
        if course.hear(&shared, &target, line).is_none() {
            return;
        }
        // A tenth longer or shorter, so that agents keep no common rhythm.
        next = begun + agent.interval.mul_f64(0.9 + 0.2 * fastrand::f64());
    }
}

/// Bytes with a whole line in them.
async fn ask(agent: &Agent) -> io::Result<Vec<u8>> {
    let mut stream = tcp::connect(&agent.address, &Sources::default(), None).await?;
    stream.write_all(agent.send.as_bytes()).await?;
    let mut line = Vec::with_capacity(128);
    let mut reader = stream.take(LONGEST as u64);
    while reader.read_buf(&mut line).await? > 0 {
        if read(&line).is_some() {
            return Ok(line);
        }
    }
    Err(io::Error::other(match line.len() {
        0 => "closed without a word",
        LONGEST.. => "a line without an end",
        _ => "an unfinished line",
    }))
}

/// What the log was told of it so far.
#[derive(Default)]
struct Course {
    lost: bool,
    odd: bool,
}

impl Course {
    /// Takes one answer, or why there was none; `None` when the plan has no such server any more.
    fn hear(
        &mut self,
        shared: &Shared,
        target: &Target,
        line: Result<Vec<u8>, String>,
    ) -> Option<()> {
        let pools = shared.pools.load_full();
        let (pool, index) = find(&pools, target)?;
        let server = &pool.servers[index];
        let tell = |news: &News<'_>| (shared.tell)(pool, server, news);
        let line = match line {
            Ok(line) => line,
            Err(why) => {
                server.live.set_heard(&why);
                if !std::mem::replace(&mut self.lost, true) {
                    tell(&News::AgentLost(&why));
                }
                return Some(());
            }
        };
        if std::mem::take(&mut self.lost) {
            tell(&News::AgentBack);
        }
        let report = read(&line).unwrap_or_default();
        server.live.set_heard(&shown(&line));
        let before = server.live.agent();
        let now = before.and(&report);
        if now != before {
            let now_ms = now_ms();
            let since_ms = match server.live.agent_since_ms() {
                0 => started_ms(),
                since_ms => since_ms,
            };
            pool.hear(index, now, now_ms);
            tell(&News::Agent {
                before,
                now,
                reason: &text(report.reason),
                lasted: Duration::from_millis(now_ms.saturating_sub(since_ms)),
            });
        }
        self.say_odd(&report, &tell);
        Some(())
    }

    /// Once, until it speaks well again.
    fn say_odd(&mut self, report: &Report<'_>, tell: &dyn Fn(&News<'_>)) {
        let was = std::mem::replace(&mut self.odd, report.odd.is_some());
        if let Some(word) = report.odd.filter(|_| !was) {
            tell(&News::OddWord(&text(word)));
        }
    }
}

/// The line as people see it.
fn shown(line: &[u8]) -> String {
    let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    text(&line[..end.unwrap_or(line.len())])
}

/// Foreign bytes for a log or a page: one line of at most a hundred characters.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().take(SHOWN).map(plain).collect()
}

/// Characters of an agent's text that are kept.
const SHOWN: usize = 100;
