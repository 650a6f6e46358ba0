//! The proxy under test: the real binary in a folder and a process group of its own.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::access_line::AccessLine;
use super::conn::Conn;
use super::port::Port;
use super::process::{Usage, members};
use super::wait::{PATIENCE, eventually};

/// Which of monoio's drivers the workers run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    Ring,
    Epoll,
}

/// The binary under test.
pub fn ringbolt() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ringbolt"))
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// A running proxy; it dies with this value.
pub struct Proxy {
    child: Child,
    folder: tempfile::TempDir,
    ports: Vec<Port>,
    stdout: Lines,
    stderr: Lines,
    notified: UnixDatagram,
}

impl Proxy {
    /// Runs a configuration and waits until it is ready. In the text `{listen}`, `{listen2}` and
    /// `{listen6}` become free addresses and `{folder}` the proxy's own folder; without `[[log]]` it
    /// logs to standard output.
    pub fn start(on: Driver, text: &str) -> Self {
        Self::start_with(on, text, &[])
    }

    /// The same with further variables in its environment.
    pub fn start_with(on: Driver, text: &str, environment: &[(String, String)]) -> Self {
        let proxy = Self::launch(on, text, tempfile::tempdir().unwrap(), environment);
        proxy.wait_until_ready();
        proxy
    }

    /// The same in a folder that the test has already put something into.
    pub fn start_in(on: Driver, folder: tempfile::TempDir, text: &str) -> Self {
        Self::start_in_with(on, folder, text, &[])
    }

    /// Both.
    pub fn start_in_with(
        on: Driver,
        folder: tempfile::TempDir,
        text: &str,
        environment: &[(String, String)],
    ) -> Self {
        let proxy = Self::launch(on, text, folder, environment);
        proxy.wait_until_ready();
        proxy
    }

    fn launch(
        on: Driver,
        text: &str,
        folder: tempfile::TempDir,
        environment: &[(String, String)],
    ) -> Self {
        let mut ports = vec![Port::v4(), Port::v4()];
        if text.contains("{listen6}") {
            ports.push(Port::v6());
        }
        let config = folder.path().join("config.toml");
        std::fs::write(&config, fill_in(text, &ports, folder.path())).unwrap();
        let notify = folder.path().join("notify.sock");
        let notified = UnixDatagram::bind(&notify).unwrap();
        notified
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -Sn 1024; exec \"$@\"", "sh"])
            .args([env!("CARGO_BIN_EXE_ringbolt"), "run"])
            .arg(&config)
            .process_group(0);
        command.env("NOTIFY_SOCKET", &notify);
        command.envs(environment.iter().cloned());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if on == Driver::Epoll {
            command.env("MONOIO_FORCE_LEGACY_DRIVER", "1");
        }
        let mut child = command.spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        Self {
            child,
            folder,
            ports,
            stdout,
            stderr,
            notified,
        }
    }

    fn wait_until_ready(&self) {
        self.wait_for_notice("READY=1");
    }

    /// Waits for a message to the service manager.
    pub fn wait_for_notice(&self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut room = [0; 1024];
        loop {
            if let Ok(count) = self.notified.recv(&mut room) {
                let text = String::from_utf8_lossy(&room[..count]);
                if text.lines().any(|line| line == wanted) {
                    return;
                }
            }
            let late = Instant::now() > deadline;
            assert!(!late && self.is_running(), "no {wanted} from the proxy");
        }
    }

    // === Reaching it ===

    /// The address that `{listen}` became.
    pub fn address(&self) -> SocketAddr {
        self.ports[0].address
    }

    /// The address that `{listen2}` became.
    pub fn second_address(&self) -> SocketAddr {
        self.ports[1].address
    }

    /// The address that `{listen6}` became.
    pub fn v6_address(&self) -> SocketAddr {
        self.ports[2].address
    }

    pub fn client(&self) -> Conn {
        Conn::connect(self.address())
    }

    /// A GET on a connection of its own.
    pub fn get(&self, target: &str) -> super::Message {
        self.client().get(target)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn control_socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    /// Writes a new configuration where the old one was; [`Proxy::sighup`] makes it known.
    pub fn rewrite_config(&self, text: &str) {
        let text = fill_in(text, &self.ports, self.folder.path());
        std::fs::write(self.folder.path().join("config.toml"), text).unwrap();
    }

    // === What it says ===

    /// Everything it printed on standard output so far.
    pub fn lines(&self) -> Vec<String> {
        self.stdout.all()
    }

    /// Everything it printed on standard error so far.
    pub fn complaints(&self) -> Vec<String> {
        self.stderr.all()
    }

    /// The first line of standard output that holds these words, waited for.
    pub fn wait_for_line(&self, words: &str) -> String {
        self.stdout.wait_for(words, |line| line.contains(words))
    }

    /// The first line of standard error that holds these words, waited for.
    pub fn wait_for_complaint(&self, words: &str) -> String {
        self.stderr.wait_for(words, |line| line.contains(words))
    }

    /// The first access line whose request holds these words, waited for.
    pub fn access_line(&self, words: &str) -> AccessLine {
        self.access_lines(words, 1).remove(0)
    }

    /// The first so many access lines whose request holds these words, waited for.
    pub fn access_lines(&self, words: &str, count: usize) -> Vec<AccessLine> {
        let found = || -> Vec<AccessLine> {
            let lines = self.stdout.all();
            let all = lines.iter().filter_map(|line| AccessLine::parse(line));
            all.filter(|line| line.request.contains(words))
                .take(count)
                .collect()
        };
        eventually(&format!("{count} access lines of {words:?}"), || {
            Some(found()).filter(|lines| lines.len() == count)
        })
    }

    /// Every access line so far.
    pub fn all_access_lines(&self) -> Vec<AccessLine> {
        self.lines()
            .iter()
            .filter_map(|line| AccessLine::parse(line))
            .collect()
    }

    // === Its processes ===

    pub fn usage(&self) -> Usage {
        Usage::of_group(self.child.id())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Launcher and generation.
    pub fn processes(&self) -> Vec<u32> {
        members(self.child.id())
    }

    /// The process that serves; waited for, as the launcher may be about to start it.
    pub fn generation(&self) -> u32 {
        eventually("there is one generation", || {
            let mut others = self.processes();
            others.retain(|process| *process != self.id());
            (others.len() == 1).then(|| others[0])
        })
    }

    /// Sends the process that serves a signal of the faulty kind.
    pub fn strike(&self, signal: Signal) {
        let generation = i32::try_from(self.generation()).unwrap();
        kill_process(Pid::from_raw(generation).unwrap(), signal).unwrap();
    }

    /// What `ringbolt status --json` says; `None` while nobody answers.
    pub fn status(&self) -> Option<serde_json::Value> {
        let mut status = ringbolt();
        status
            .args(["status", "--json", "--socket"])
            .arg(self.control_socket());
        serde_json::from_slice(&status.output().unwrap().stdout).ok()
    }

    /// Processor time used within this span of wall time.
    pub fn processor_time_during(&self, span: Duration) -> Duration {
        let before = self.usage().processor;
        std::thread::sleep(span);
        self.usage().processor.saturating_sub(before)
    }

    /// How often the threads of the process that serves gave up their core because there was nothing to do.
    pub fn wakeups(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.generation())).unwrap();
        let of_task = |task: PathBuf| -> Option<u64> {
            let status = std::fs::read_to_string(task.join("status")).ok()?;
            let line = status
                .lines()
                .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse().ok()
        };
        let workers = |task: &PathBuf| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("worker"))
        };
        let tasks = tasks.map(|task| task.unwrap().path()).filter(workers);
        tasks.filter_map(of_task).sum()
    }

    /// How many tunnels are at rest: both of their sockets are in a set that nothing else has such entries in.
    pub fn resting(&self) -> usize {
        let folder = format!("/proc/{}/fdinfo", self.generation());
        let files = std::fs::read_dir(folder).unwrap().flatten();
        let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        let resting = |line: &str| {
            let events = line.strip_prefix("tfd:")?.split("events:").nth(1)?;
            let events = events.split_whitespace().next()?;
            let events = u32::from_str_radix(events, 16).ok()?;
            // EPOLLIN and EPOLLRDHUP; the kernel adds EPOLLERR and EPOLLHUP.
            (events & !0x18 == 0x2001).then_some(())
        };
        let sockets = texts.map(|text| text.lines().filter_map(resting).count());
        sockets.sum::<usize>() / 2
    }

    /// Waits until as many tunnels are at rest.
    pub fn wait_for_resting(&self, count: usize) {
        eventually("so many tunnels are at rest", || {
            (self.resting() == count).then_some(())
        });
    }

    /// How many descriptors are open once everything that is opened at the start is.
    pub fn settled_descriptors(&self) -> usize {
        let mut last = 0;
        eventually("the number of descriptors settles", || {
            let now = self.usage().descriptors;
            let settled = std::mem::replace(&mut last, now) == now;
            std::thread::sleep(Duration::from_millis(if settled { 0 } else { 50 }));
            settled.then_some(now)
        })
    }

    /// Waits until no more than this many descriptors are open.
    pub fn wait_for_descriptors(&self, at_most: usize) {
        let what = format!("at most {at_most} descriptors");
        eventually(&what, || {
            (self.usage().descriptors <= at_most).then_some(())
        });
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn sigterm(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    pub fn sighup(&self) {
        kill_process(self.pid(), Signal::HUP).unwrap();
    }

    pub fn sigusr1(&self) {
        kill_process(self.pid(), Signal::USR1).unwrap();
    }

    pub fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the proxy ends", || child.try_wait().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            let config = std::fs::read_to_string(self.folder.path().join("config.toml"));
            eprintln!("--- its configuration ---\n{}", config.unwrap_or_default());
            eprintln!(
                "--- its standard output ---\n{}",
                self.stdout.all().join("\n")
            );
            eprintln!(
                "--- its standard error ---\n{}",
                self.stderr.all().join("\n")
            );
        }
    }
}

fn fill_in(text: &str, ports: &[Port], folder: &Path) -> String {
    let mut text = text
        .replace("{listen}", &ports[0].address.to_string())
        .replace("{listen2}", &ports[1].address.to_string())
        .replace("{folder}", folder.to_str().unwrap());
    if let Some(port) = ports.get(2) {
        text = text.replace("{listen6}", &port.address.to_string());
    }
    if !text.contains("[[log]]") {
        text.push_str("\n[[log]]\ntarget = \"stdout\"\n");
    }
    if !text.contains("[control]") {
        let socket = folder.join("control.sock");
        text.push_str(&format!("\n[control]\nsocket = \"{}\"\n", socket.display()));
    }
    text
}

/// Lines of a stream, collected as they come.
struct Lines {
    shared: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let shared = Arc::<(Mutex<Vec<String>>, Condvar)>::default();
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream
                .read_until(b'\n', &mut line)
                .is_ok_and(|count| count > 0)
            {
                let text = String::from_utf8_lossy(&line)
                    .trim_end_matches('\n')
                    .to_owned();
                theirs.0.lock().unwrap().push(text);
                theirs.1.notify_all();
                line.clear();
            }
        });
        Self { shared }
    }

    fn all(&self) -> Vec<String> {
        let lines = self.shared.0.lock();
        lines
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }

    fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.shared.0.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "no line with {what:?} in:\n{}",
                lines.join("\n")
            );
            lines = self.shared.1.wait_timeout(lines, left).unwrap().0;
        }
    }
}
