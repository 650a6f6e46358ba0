//! A request or a response as the tests see it.

/// A message, read whole.
#[derive(Debug, Clone)]
pub struct Message {
    /// The request line or status line.
    pub start: String,
    /// Fields in order, as sent.
    pub fields: Vec<(String, String)>,
    /// The whole head as it came.
    pub head: String,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The body as it came, when it was chunked.
    pub raw_body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Message {
    pub fn of_head(head: &[u8]) -> Self {
        let head = String::from_utf8_lossy(head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let fields = lines.map(|line| Self::field_of(line.as_bytes())).collect();
        Self {
            start,
            fields,
            head,
            body: Vec::new(),
            raw_body: Vec::new(),
            trailers: Vec::new(),
        }
    }

    pub fn field_of(line: &[u8]) -> (String, String) {
        let line = String::from_utf8_lossy(line);
        let (name, value) = line
            .split_once(':')
            .unwrap_or_else(|| panic!("no field line: {line:?}"));
        (name.to_owned(), value.trim().to_owned())
    }

    pub fn status(&self) -> u16 {
        let word = self.start.split(' ').nth(1);
        word.and_then(|word| word.parse().ok())
            .unwrap_or_else(|| panic!("no status line: {:?}", self.start))
    }

    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap()
    }

    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }

    /// The only field of this name; panics if there are several.
    pub fn field(&self, name: &str) -> Option<&str> {
        let all = self.fields(name);
        assert!(
            all.len() < 2,
            "{name} is there {} times in {}",
            all.len(),
            self.head
        );
        all.first().copied()
    }

    /// Every value of this name, in order.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let same = self
            .fields
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.fields(name).is_empty()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Which [`super::Server`] answered.
    pub fn server(&self) -> &str {
        self.field("X-Server")
            .unwrap_or_else(|| panic!("no server answered: {}", self.head))
    }

    /// The value of our cookie in `Set-Cookie`, without attributes.
    pub fn set_cookie(&self, name: &str) -> Option<String> {
        let cookies = self.fields("Set-Cookie");
        let mut ours = cookies.iter().filter_map(|line| {
            let pair = line.split(';').next().unwrap();
            pair.strip_prefix(name)?.strip_prefix('=')
        });
        let value = ours.next().map(str::to_owned);
        assert!(ours.next().is_none(), "{name} is set twice: {cookies:?}");
        value
    }

    fn is_chunked(&self) -> bool {
        let last = self
            .fields("Transfer-Encoding")
            .last()
            .map(|value| value.to_lowercase());
        last.is_some_and(|codings| codings.ends_with("chunked"))
    }

    fn length(&self) -> Option<usize> {
        self.field("Content-Length")
            .map(|value| value.parse().expect("a length"))
    }
}

/// Where a body ends.
#[derive(Debug)]
pub(super) enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    pub(super) fn of_request(message: &Message) -> Self {
        if message.is_chunked() {
            return Self::Chunked;
        }
        message.length().map_or(Self::None, Self::Length)
    }

    pub(super) fn of_response(message: &Message, method: &str) -> Self {
        let bodiless = matches!(message.status(), 100..=199 | 204 | 304);
        if bodiless || method == "HEAD" {
            return Self::None;
        }
        if message.is_chunked() {
            return Self::Chunked;
        }
        message.length().map_or(Self::UntilClose, Self::Length)
    }
}
