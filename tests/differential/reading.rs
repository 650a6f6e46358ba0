//! A second reading of requests and answers, written apart from the first and stricter than any rule asks for.

/// A message as this reading frames it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// A request's method, an answer's status.
    pub what: String,
    pub body: Vec<u8>,
}

/// The first request of these bytes and how many it takes; `None` while it is incomplete.
///
/// # Errors
/// Says what no strict reader should take.
pub fn read(bytes: &[u8]) -> Result<Option<(Reading, usize)>, String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let mut lines = Lines(&bytes[..end + 2]);
    let line = lines.next().ok_or("no request line")??;
    let what = request_line(line)?;
    let framing = Framing::of(lines)?;
    let taken = body(
        framing.resolve()?.unwrap_or(Body::Length(0)),
        &bytes[end + 4..],
    )?;
    Ok(taken.map(|(body, used)| (Reading { what, body }, end + 4 + used)))
}

/// What an answer is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Plainly,
    ForHead,
    ToUpgrade,
}

/// An answer with those before the final one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub interims: Vec<String>,
    pub last: Reading,
    /// Only the end of the stream ends it.
    pub until_close: bool,
}

/// The first answer of these bytes and how many it takes; `None` while it is incomplete. `closed`: no more will come.
///
/// # Errors
/// Says what no strict reader should take.
pub fn read_answer(
    bytes: &[u8],
    asked: Asked,
    closed: bool,
) -> Result<Option<(Answer, usize)>, String> {
    let (mut interims, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n\r\n") else {
            return Ok(None);
        };
        let mut lines = Lines(&bytes[at..at + end + 2]);
        let line = lines.next().ok_or("no status line")??;
        let status = status_line(line)?;
        let framing = Framing::of(lines)?;
        let declared = framing.resolve()?;
        if line.starts_with(b"HTTP/1.0") && !framing.codings.is_empty() {
            return Err("a coding in HTTP/1.0".to_owned());
        }
        at += end + 4;
        if status.starts_with('1') || status == "204" {
            if declared.is_some() {
                return Err(format!("{status} with a length or a coding"));
            }
            if status.starts_with('1') && status != "101" {
                interims.push(status);
                continue;
            }
        }
        if status == "101" && asked != Asked::ToUpgrade {
            return Err("a 101 that was not asked for".to_owned());
        }
        let rest = &bytes[at..];
        let without = asked == Asked::ForHead || status == "204" || status == "304";
        let whole = |until_close| move |(body, used)| (body, used, until_close);
        let taken = match declared {
            _ if without => Some((Vec::new(), 0, false)),
            _ if status == "101" => Some((rest.to_vec(), rest.len(), false)),
            Some(framing) => body(framing, rest)?.map(whole(false)),
            None => closed.then(|| (rest.to_vec(), rest.len(), true)),
        };
        return Ok(taken.map(|(body, used, until_close)| {
            let last = Reading { what: status, body };
            let answer = Answer {
                interims,
                last,
                until_close,
            };
            (answer, at + used)
        }));
    }
}

fn status_line(line: &[u8]) -> Result<String, String> {
    let odd = || format!("status line {:?}", String::from_utf8_lossy(line));
    let rest = line.strip_prefix(b"HTTP/1.1 ");
    let rest = rest.or_else(|| line.strip_prefix(b"HTTP/1.0 "));
    let rest = rest.ok_or_else(odd)?;
    let (status, reason) = rest.split_at_checked(3).ok_or_else(odd)?;
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f);
    let good = (b'1'..=b'9').contains(&status[0])
        && status.iter().all(u8::is_ascii_digit)
        && reason.first() == Some(&b' ')
        && reason.iter().all(is_text);
    good.then(|| String::from_utf8_lossy(status).into_owned())
        .ok_or_else(odd)
}

/// The body at the front of these bytes and how many it takes.
fn body(framing: Body, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    match framing {
        Body::Length(length) if bytes.len() < length => Ok(None),
        Body::Length(length) => Ok(Some((bytes[..length].to_vec(), length))),
        Body::Chunked => chunks(bytes),
    }
}

fn request_line(line: &[u8]) -> Result<String, String> {
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(format!("{} parts in the request line", parts.len()));
    };
    let is_plain = |byte: &u8| (0x21..0x7f).contains(byte) && *byte != b'#';
    if !is_token(method) || target.is_empty() || !target.iter().all(is_plain) {
        return Err(format!("request line {:?}", String::from_utf8_lossy(line)));
    }
    if version != b"HTTP/1.1" && version != b"HTTP/1.0" {
        return Err(format!("version {:?}", String::from_utf8_lossy(version)));
    }
    Ok(String::from_utf8_lossy(method).into_owned())
}

enum Body {
    Length(usize),
    Chunked,
}

#[derive(Default)]
struct Framing {
    hosts: usize,
    lengths: Vec<String>,
    codings: Vec<String>,
}

impl Framing {
    fn of(lines: Lines<'_>) -> Result<Self, String> {
        let mut framing = Self::default();
        for line in lines {
            framing.field(line?)?;
        }
        Ok(framing)
    }

    fn field(&mut self, line: &[u8]) -> Result<(), String> {
        let (name, value) = field(line)?;
        match name.as_str() {
            "host" => self.hosts += 1,
            "content-length" => self.lengths.push(value),
            "transfer-encoding" => self.codings.push(value),
            "http2-settings" => return Err("HTTP2-Settings passed on".to_owned()),
            "upgrade" if value.to_ascii_lowercase().contains("h2c") => {
                return Err("Upgrade: h2c passed on".to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    /// How the body ends, if the fields say it.
    fn resolve(&self) -> Result<Option<Body>, String> {
        if self.hosts > 1 {
            return Err(format!("{} Host fields", self.hosts));
        }
        match (&self.lengths[..], &self.codings[..]) {
            ([], []) => Ok(None),
            ([length], [])
                if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                let length = length.parse().map_err(|_| format!("length {length}"))?;
                Ok(Some(Body::Length(length)))
            }
            ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Body::Chunked)),
            (lengths, codings) => Err(format!("lengths {lengths:?}, codings {codings:?}")),
        }
    }
}

/// Name (in small letters) and value.
fn field(line: &[u8]) -> Result<(String, String), String> {
    let colon = line.iter().position(|byte| *byte == b':');
    let colon = colon.ok_or_else(|| {
        format!(
            "a field without a colon: {:?}",
            String::from_utf8_lossy(line)
        )
    })?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f);
    if !is_token(name) || !value.iter().all(is_text) {
        return Err(format!("field {:?}", String::from_utf8_lossy(line)));
    }
    let value = String::from_utf8_lossy(value);
    Ok((
        String::from_utf8_lossy(name).to_ascii_lowercase(),
        value.trim_matches([' ', '\t']).to_owned(),
    ))
}

/// The body's data and how many bytes it took.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else {
            return Ok(None);
        };
        let line = &bytes[at..at + end];
        let size =
            chunk_size(line).ok_or_else(|| format!("chunk {:?}", String::from_utf8_lossy(line)))?;
        at += end + 2;
        if size == 0 {
            break;
        }
        if bytes.len() - at < size.saturating_add(2) {
            return Ok(None);
        }
        data.extend_from_slice(&bytes[at..at + size]);
        at += size + 2;
        if &bytes[at - 2..at] != b"\r\n" {
            return Err("a chunk ends elsewhere than its size says".to_owned());
        }
    }
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else {
            return Ok(None);
        };
        let line = &bytes[at..at + end];
        at += end + 2;
        if line.is_empty() {
            return Ok(Some((data, at)));
        }
        let (name, _) = field(line)?;
        if ["content-length", "transfer-encoding", "host"].contains(&name.as_str()) {
            return Err(format!("{name} in a trailer"));
        }
    }
}

fn chunk_size(line: &[u8]) -> Option<usize> {
    let mut parts = line.splitn(2, |byte| *byte == b';');
    let digits = parts.next()?;
    let extension = parts.next().unwrap_or_default();
    let is_text = |byte: &u8| *byte == b'\t' || (0x20..0x7f).contains(byte);
    let good = !digits.is_empty()
        && digits.iter().all(u8::is_ascii_hexdigit)
        && extension.iter().all(is_text);
    let digits = std::str::from_utf8(digits).ok()?;
    good.then(|| usize::from_str_radix(digits, 16).ok())?
}

/// Lines ended by CRLF, in which neither byte stands alone.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Result<&'a [u8], String>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = find(self.0, b"\r\n")?;
        let line = &self.0[..end];
        self.0 = &self.0[end + 2..];
        let lone = line.iter().any(|byte| [b'\r', b'\n', 0].contains(byte));
        Some(if lone {
            Err(format!(
                "a lone CR, LF or NUL in {:?}",
                String::from_utf8_lossy(line)
            ))
        } else {
            Ok(line)
        })
    }
}

fn is_token(bytes: &[u8]) -> bool {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(good)
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

#[test]
fn the_second_reading_is_strict() {
    let head = "POST / HTTP/1.1\r\nHost: h\r\n";
    let framed = |rest: &str| read(format!("{head}{rest}").as_bytes());
    for (rest, body) in [
        ("\r\n", ""),
        ("Content-Length: 5\r\n\r\nhello", "hello"),
        (
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
            "hello",
        ),
    ] {
        let (reading, used) = framed(rest).unwrap().unwrap();
        assert_eq!(
            (reading.body, used),
            (body.as_bytes().to_vec(), head.len() + rest.len())
        );
    }
    for rest in [
        "Content-Length: 5\r\n\r\nhell",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        assert_eq!(framed(rest), Ok(None), "{rest:?}");
    }
    for rest in [
        "Content-Length: +5\r\n\r\nhello",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\nHost: i\r\n\r\n",
        "A : b\r\n\r\n",
        "A: b\rc\r\n\r\n",
        " A: b\r\n\r\n",
        "Host: i\r\n\r\n",
    ] {
        assert!(framed(rest).is_err(), "{rest:?}");
    }
}

#[test]
fn the_second_reading_of_answers_is_strict() {
    use Asked::{ForHead, Plainly, ToUpgrade};
    for (bytes, asked, closed, body) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
            Plainly,
            false,
            "ab",
        ),
        (
            "HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nab",
            Plainly,
            false,
            "ab",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            Plainly,
            false,
            "ab",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nab", Plainly, true, "ab"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
            ForHead,
            false,
            "",
        ),
        (
            "HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n",
            Plainly,
            false,
            "",
        ),
        (
            "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\nab",
            ToUpgrade,
            false,
            "ab",
        ),
    ] {
        let (answer, used) = read_answer(bytes.as_bytes(), asked, closed)
            .unwrap()
            .unwrap();
        assert_eq!(
            (answer.last.body, used),
            (body.into(), bytes.len()),
            "{bytes:?}"
        );
    }
    for bytes in [
        "HTTP/1.1 200 OK\r\n\r\nab",
        "HTTP/1.1 100 C\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
    ] {
        assert_eq!(
            read_answer(bytes.as_bytes(), Plainly, false),
            Ok(None),
            "{bytes:?}"
        );
    }
    for bytes in [
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 101 Go\r\n\r\n",
        "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 C\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n",
    ] {
        assert!(
            read_answer(bytes.as_bytes(), Plainly, true).is_err(),
            "{bytes:?}"
        );
    }
}
