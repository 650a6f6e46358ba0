//! Reads an access line as HAProxy users' parsers do.

/// An access line in the httplog format, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLine {
    pub line: String,
    pub client: String,
    pub accepted: String,
    pub listener: String,
    pub pool: String,
    pub server: String,
    /// TR/Tw/Tc/Tr/Ta.
    pub timers: Vec<i64>,
    pub status: i64,
    pub bytes: u64,
    pub request_cookie: String,
    pub response_cookie: String,
    /// Four letters.
    pub termination: String,
    /// actconn/feconn/beconn/srv_conn/retries, as written.
    pub counts: String,
    pub queues: String,
    /// Captured request and response fields, braces included.
    pub captures: Vec<String>,
    /// Between the quotes.
    pub request: String,
}

impl AccessLine {
    /// `None` for any other line.
    pub fn parse(line: &str) -> Option<Self> {
        let (before, rest) = line.split_once(" [")?;
        let (accepted, rest) = rest.split_once("] ")?;
        let client = before.rsplit(' ').next()?.to_owned();
        let (fixed, request) = rest.split_once(" \"")?;
        let request = request.rsplit_once('"')?.0.to_owned();
        let mut words = fixed.splitn(11, ' ');
        let listener = words.next()?.to_owned();
        let (pool, server) = words.next()?.split_once('/')?;
        let timers = words
            .next()?
            .split('/')
            .map(|word| word.trim_start_matches('+').parse());
        let timers = timers.collect::<Result<Vec<i64>, _>>().ok()?;
        let status = words.next()?.parse().ok()?;
        let bytes = words.next()?.trim_start_matches('+').parse().ok()?;
        let request_cookie = words.next()?.to_owned();
        let response_cookie = words.next()?.to_owned();
        let termination = words.next()?.to_owned();
        let counts = words.next()?.to_owned();
        let queues = words.next()?.to_owned();
        let captures = words.next().unwrap_or("").split_inclusive('}');
        let captures = captures.map(|one| one.trim().to_owned()).collect();
        Some(Self {
            line: line.to_owned(),
            client,
            accepted: accepted.to_owned(),
            listener,
            pool: pool.to_owned(),
            server: server.to_owned(),
            timers,
            status,
            bytes,
            request_cookie,
            response_cookie,
            termination,
            counts,
            queues,
            captures,
            request,
        })
    }
}
