//! The configuration of most scenarios: one listener, one pool, and what the test is about.

use super::proxy::{Driver, Proxy};
use super::server::{Server, Unreachable};

/// A configuration in the making. Each method takes lines as they stand in the file.
pub struct Setup {
    on: Driver,
    process: String,
    limits: String,
    timeouts: String,
    websocket: String,
    log: String,
    listener: String,
    pool: String,
    sticky: String,
    servers: String,
    more: String,
    environment: Vec<(String, String)>,
}

impl Setup {
    pub fn new(on: Driver) -> Self {
        let empty = String::new;
        Self {
            on,
            process: "workers = 1\n".to_owned(),
            limits: empty(),
            timeouts: empty(),
            websocket: empty(),
            log: "target = \"stdout\"\n".to_owned(),
            listener: empty(),
            pool: empty(),
            sticky: empty(),
            servers: empty(),
            more: empty(),
            environment: Vec::new(),
        }
    }

    /// `[process]`, where `workers = 1` already stands unless given.
    pub fn process(mut self, lines: &str) -> Self {
        if lines.contains("workers") {
            self.process.clear();
        }
        add(&mut self.process, lines);
        self
    }

    /// `[limits]`
    pub fn limits(mut self, lines: &str) -> Self {
        add(&mut self.limits, lines);
        self
    }

    /// `[timeouts]`
    pub fn timeouts(mut self, lines: &str) -> Self {
        add(&mut self.timeouts, lines);
        self
    }

    /// `[websocket]`
    pub fn websocket(mut self, lines: &str) -> Self {
        add(&mut self.websocket, lines);
        self
    }

    /// `[[log]]`, instead of standard output, if a target is given.
    pub fn log(mut self, lines: &str) -> Self {
        if lines.contains("target") {
            self.log.clear();
        }
        add(&mut self.log, lines);
        self
    }

    /// The `[[listener]]` named `http-in`.
    pub fn listener(mut self, lines: &str) -> Self {
        add(&mut self.listener, lines);
        self
    }

    /// `[pool.app]`
    pub fn pool(mut self, lines: &str) -> Self {
        add(&mut self.pool, lines);
        self
    }

    /// `[pool.app.sticky]`
    pub fn sticky(mut self, lines: &str) -> Self {
        add(&mut self.sticky, lines);
        self
    }

    /// A `[[pool.app.server]]`
    pub fn server(self, server: &Server) -> Self {
        self.server_with(server, "")
    }

    /// A `[[pool.app.server]]` with further lines.
    pub fn server_with(self, server: &Server, lines: &str) -> Self {
        self.server_at(server.name(), &server.address(), lines)
    }

    /// A `[[pool.app.server]]` that drops every SYN.
    pub fn unreachable(self, name: &str, server: &Unreachable, lines: &str) -> Self {
        self.server_at(name, &server.address(), lines)
    }

    /// A `[[pool.app.server]]` at any address.
    pub fn server_at(mut self, name: &str, address: &str, lines: &str) -> Self {
        let head = format!("[[pool.app.server]]\nname = \"{name}\"\naddress = \"{address}\"\n");
        add(&mut self.servers, &head);
        add(&mut self.servers, lines);
        self
    }

    /// Anything else: whole tables.
    pub fn more(mut self, text: &str) -> Self {
        add(&mut self.more, text);
        self
    }

    /// A variable of the proxy's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The file.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let bind = if self.listener.contains("bind") {
            ""
        } else {
            "bind = \"{listen}\"\n"
        };
        let default = if self.listener.contains("default_pool") {
            ""
        } else {
            "default_pool = \"app\"\n"
        };
        for (head, lines) in [
            ("[process]", &self.process),
            ("[limits]", &self.limits),
            ("[timeouts]", &self.timeouts),
            ("[websocket]", &self.websocket),
            ("[[log]]", &self.log),
            (
                "[[listener]]",
                &format!("name = \"http-in\"\n{bind}{default}{}", self.listener),
            ),
            ("[pool.app]", &self.pool),
            ("[pool.app.sticky]", &self.sticky),
        ] {
            if !lines.is_empty() {
                text.push_str(&format!("{head}\n{lines}\n"));
            }
        }
        text + &self.servers + "\n" + &self.more
    }

    pub fn start(&self) -> Proxy {
        Proxy::start_with(self.on, &self.text(), &self.environment)
    }
}

fn add(to: &mut String, lines: &str) {
    to.push_str(lines);
    if !lines.is_empty() && !lines.ends_with('\n') {
        to.push('\n');
    }
}

impl Proxy {
    /// The plainest scenario: one listener, one pool of these servers.
    pub fn before(on: Driver, servers: &[&Server]) -> Self {
        let setup = servers
            .iter()
            .fold(Setup::new(on), |setup, server| setup.server(server));
        setup.start()
    }
}
