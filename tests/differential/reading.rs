//! A second reading of requests, written apart from the first and stricter than any rule asks for.

/// A request as this reading frames it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub method: String,
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
    let method = request_line(line)?;
    let mut framing = Framing::default();
    for line in lines {
        framing.field(line?)?;
    }
    let body = &bytes[end + 4..];
    let taken = match framing.resolve()? {
        Body::Length(length) if body.len() < length => return Ok(None),
        Body::Length(length) => Some((body[..length].to_vec(), length)),
        Body::Chunked => chunks(body)?,
    };
    Ok(taken.map(|(body, used)| (Reading { method, body }, end + 4 + used)))
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

    fn resolve(&self) -> Result<Body, String> {
        if self.hosts > 1 {
            return Err(format!("{} Host fields", self.hosts));
        }
        match (&self.lengths[..], &self.codings[..]) {
            ([], []) => Ok(Body::Length(0)),
            ([length], [])
                if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                let length = length.parse().map_err(|_| format!("length {length}"))?;
                Ok(Body::Length(length))
            }
            ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Body::Chunked),
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
