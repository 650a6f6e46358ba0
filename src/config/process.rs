//! `[process]`, `[limits]`, `[timeouts]`, `[websocket]`, `[control]`: the tables that stand for the whole process.

use super::environment::default_socket;
use super::item::Item;
use super::rate::tunnel_ramp;
use super::reader::Note;
use super::section::{Section, setting};
use super::table::Table;
use super::values::{name, socket_path};
use super::{Control, Limits, PoolTimeouts, Process, Timeouts, WebSocket, Workers};

pub(super) const PROCESS: Section = Section::new(
    "process",
    &[
        setting(
            "workers",
            "\"auto\"",
            "threads that carry traffic, each with its own ring; \"auto\" is one per usable core",
        ),
        setting(
            "cores",
            "[]",
            "the cores to pin the workers to, in turn; empty is every usable core in order",
        ),
        setting(
            "max_connections",
            "4096",
            "client connections in the whole process; at the limit no more are accepted until some end, nobody is refused",
        ),
        setting(
            "user",
            "",
            "the user, by name or number, to become once everything privileged is open",
        ),
        setting("group", "", "the group, by name or number"),
        setting(
            "drain_timeout",
            "\"30s\"",
            "how long a stopping process waits for its exchanges and tunnels, or \"never\" to cut them",
        ),
        setting(
            "lame_duck",
            "0",
            "how long a process that was told to stop goes on taking connections while its monitors answer 503",
        ),
        setting(
            "sandbox",
            "true",
            "the serving process confines itself, as far as the kernel can",
        ),
        setting(
            "tunnel_ramp",
            "",
            "new tunnels per second in the first time after the start: { over, from, to }; left out, there is no limit",
        ),
    ],
);

pub(super) const LIMITS: Section = Section::new(
    "limits",
    &[
        setting(
            "head_size",
            "\"16KiB\"",
            "the head of a request or a response, 1KiB to 64KiB",
        ),
        setting("headers", "100", "fields in a head, 1 to 256"),
        setting(
            "idle_links",
            "64",
            "unused connections kept per server and worker; 0 keeps none",
        ),
    ],
);

pub(super) const TIMEOUTS: Section = Section::new(
    "timeouts",
    &[
        setting("connect", "\"5s\"", "one attempt to connect to a server"),
        setting(
            "client",
            "\"30s\"",
            "inactivity of a client while a request or its answer is under way",
        ),
        setting(
            "server",
            "\"30s\"",
            "inactivity of a server while a request or its answer is under way",
        ),
        setting(
            "tunnel",
            "\"1h\"",
            "inactivity of a WebSocket tunnel in both directions; replaces client and server there",
        ),
        setting(
            "request_head",
            "\"10s\"",
            "from the first byte of a request to the end of its head",
        ),
        setting(
            "keep_alive",
            "\"75s\"",
            "waiting for a client's next request; longer than the 60 s of the balancers that may stand in front",
        ),
        setting(
            "queue",
            "\"5s\"",
            "waiting for a server that has room, see max_connections",
        ),
        setting(
            "idle_link",
            "\"30s\"",
            "how long an unused connection to a server is kept",
        ),
    ],
);

pub(super) const POOL_TIMEOUTS: Section = Section::new(
    "pool.NAME.timeouts",
    &[
        setting("connect", "", "instead of the one in [timeouts]"),
        setting("server", "", "instead of the one in [timeouts]"),
        setting("tunnel", "", "instead of the one in [timeouts]"),
        setting("queue", "", "instead of the one in [timeouts]"),
    ],
);

pub(super) const WEBSOCKET: Section = Section::new(
    "websocket",
    &[setting(
        "inspect",
        "true",
        "follow the frame headers of tunnels, so that messages are counted",
    )],
);

pub(super) const CONTROL: Section = Section::new(
    "control",
    &[setting(
        "socket",
        "",
        "the unix socket that `ringbolt status` asks; by default /run/ringbolt.sock for root, otherwise ringbolt.sock in $XDG_RUNTIME_DIR or /tmp/ringbolt-UID.sock",
    )],
);

pub(super) fn process(table: &Table<'_>) -> Process {
    let workers = table.setting("workers", workers);
    let cores = cores(table);
    if let Workers::Count(count) = workers
        && (1..count).contains(&cores.len())
    {
        let message = format!("{count} workers share {} of the cores", cores.len());
        let note = Note::warning(&table.span_of("cores"), message);
        table
            .reader
            .report(note.help("each worker keeps a core of its own busy"));
    }
    Process {
        workers,
        cores,
        max_connections: table.setting("max_connections", |item| item.number(1..=MOST_CONNECTIONS))
            as u32,
        user: table.optional("user", account),
        group: table.optional("group", account),
        drain_timeout: table.setting("drain_timeout", |item| item.timeout()),
        lame_duck: table.setting("lame_duck", |item| item.duration_or_zero()),
        sandbox: table.setting("sandbox", |item| item.switch()),
        tunnel_ramp: table.optional("tunnel_ramp", tunnel_ramp),
    }
}

pub(super) fn limits(table: &Table<'_>) -> Limits {
    Limits {
        head_size: table.setting("head_size", |item| item.size(1_024..=65_536)),
        headers: table.setting("headers", |item| item.number(1..=256)) as usize,
        idle_links: table.setting("idle_links", |item| item.number(0..=65_536)) as usize,
    }
}

pub(super) fn timeouts(table: &Table<'_>) -> Timeouts {
    let timeout = |name| table.setting(name, |item| item.timeout());
    Timeouts {
        connect: timeout("connect"),
        client: timeout("client"),
        server: timeout("server"),
        tunnel: timeout("tunnel"),
        request_head: timeout("request_head"),
        keep_alive: timeout("keep_alive"),
        queue: timeout("queue"),
        idle_link: timeout("idle_link"),
    }
}

/// A pool's own timeouts over those of the whole process.
pub(super) fn pool_timeouts(table: &Table<'_>, general: &Timeouts) -> PoolTimeouts {
    let timeout = |name, otherwise| {
        table
            .optional(name, |item| item.timeout())
            .unwrap_or(otherwise)
    };
    PoolTimeouts {
        connect: timeout("connect", general.connect),
        server: timeout("server", general.server),
        tunnel: timeout("tunnel", general.tunnel),
        queue: timeout("queue", general.queue),
    }
}

pub(super) fn websocket(table: &Table<'_>) -> WebSocket {
    WebSocket {
        inspect: table.setting("inspect", |item| item.switch()),
    }
}

pub(super) fn control(table: &Table<'_>) -> Control {
    let given = table.optional("socket", |item| item.parse(socket_path));
    Control {
        socket: given.unwrap_or_else(|| default_socket(table.reader.environment)),
    }
}

fn workers(item: &Item<'_>) -> Option<Workers> {
    if item.is_text("auto") {
        return Some(Workers::Auto);
    }
    if item.is_word() {
        item.wrong_type("a whole number or \"auto\"");
        return None;
    }
    item.number(1..=256)
        .map(|count| Workers::Count(count as usize))
}

fn cores(table: &Table<'_>) -> Vec<usize> {
    let cores = table.setting("cores", |item| {
        item.list(|item| Some((item.number(0..=4_095)? as usize, item.span.clone())))
    });
    for (index, (core, span)) in cores.iter().enumerate() {
        if cores[..index].iter().any(|(other, _)| other == core) {
            let note = Note::error(span, format!("core {core} is listed twice"));
            table
                .reader
                .report(note.help("list each core once; the workers take them in turn"));
        }
    }
    cores.into_iter().map(|(core, _)| core).collect()
}

/// A user or a group: a name, or a number in quotes or without.
fn account(item: &Item<'_>) -> Option<String> {
    if item.is_number() {
        return item
            .number(0..=u64::from(u32::MAX - 1))
            .map(|id| id.to_string());
    }
    item.parse(name)
}

/// Each needs two descriptors, and a process has at most about a thousand million.
const MOST_CONNECTIONS: u64 = 10_000_000;
