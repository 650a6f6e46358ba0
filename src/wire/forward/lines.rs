use super::{Connection, Edit};
use crate::wire::{Field, Span};

/// Writes field lines; neighbours that go on unchanged are copied together.
pub(super) struct Lines<'b, 'o> {
    buf: &'b [u8],
    out: &'o mut Vec<u8>,
    /// Whole lines that wait to be copied.
    run: Span,
    /// Edits that have not found their field yet.
    edits: &'b [Edit],
    text: &'b [u8],
}

impl<'b, 'o> Lines<'b, 'o> {
    pub(super) fn new(
        buf: &'b [u8],
        out: &'o mut Vec<u8>,
        edits: &'b [Edit],
        text: &'b [u8],
    ) -> Self {
        Self {
            buf,
            out,
            run: Span::default(),
            edits,
            text,
        }
    }

    /// A field as it was received. Its whitespace is normalised: tabs and trailing blanks are what parsers
    /// disagree about.
    #[inline]
    pub(super) fn copy(&mut self, field: &Field) {
        let (name, value) = (field.name, field.value);
        let is_canonical = value.start == name.end + 2
            && !value.is_empty()
            && self.buf[name.to() + 1] == b' '
            && self.buf[value.to()] == b'\r';
        if !is_canonical {
            self.line(name.of(self.buf), value.of(self.buf));
        } else if self.run.end == name.start {
            self.run.end = value.end + 2;
        } else {
            self.flush();
            self.run = Span {
                start: name.start,
                end: value.end + 2,
            };
        }
    }

    /// A field to which edits may apply; `at` is its index.
    pub(super) fn edited(&mut self, at: usize, field: &Field) {
        match self.edits {
            [Edit::Drop(index), rest @ ..] if *index == at => self.edits = rest,
            [Edit::Cut(span) | Edit::Put(span), ..] if holds(field, *span) => {
                self.flush();
                self.out.extend_from_slice(field.name.of(self.buf));
                self.out.extend_from_slice(b": ");
                self.pieces(field);
                self.out.extend_from_slice(b"\r\n");
            }
            _ => self.copy(field),
        }
    }

    fn pieces(&mut self, field: &Field) {
        let mut from = field.value.start;
        while let [edit @ (Edit::Cut(span) | Edit::Put(span)), rest @ ..] = self.edits
            && holds(field, *span)
            && from <= span.start
        {
            self.out.extend_from_slice(
                Span {
                    start: from,
                    end: span.start,
                }
                .of(self.buf),
            );
            if matches!(edit, Edit::Put(_)) {
                self.out.extend_from_slice(self.text);
            }
            from = span.end;
            self.edits = rest;
        }
        self.out.extend_from_slice(
            Span {
                start: from,
                end: field.value.end,
            }
            .of(self.buf),
        );
    }

    /// Lines of our own, each with its end.
    pub(super) fn ready(&mut self, lines: &[u8]) {
        self.flush();
        self.out.extend_from_slice(lines);
    }

    /// A line of our own.
    pub(super) fn line(&mut self, name: &[u8], value: &[u8]) {
        self.parts(name, &[value]);
    }

    /// A line of our own whose value comes in parts.
    pub(super) fn parts(&mut self, name: &[u8], value: &[&[u8]]) {
        self.flush();
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b": ");
        for part in value {
            self.out.extend_from_slice(part);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// A line of our own: the list of `before`, and one more element at its end that comes in parts (RFC 9110 section 5.3: lines
    /// of a list are one list). Empty elements of it are left out.
    pub(super) fn continued<'v>(
        &mut self,
        name: &[u8],
        before: impl Iterator<Item = &'v [u8]>,
        last: &[&[u8]],
    ) {
        self.parts(name, &[]);
        self.out.truncate(self.out.len() - 2);
        for value in before.filter(|value| !value.is_empty()) {
            self.out.extend_from_slice(value);
            self.out.extend_from_slice(b", ");
        }
        for part in last {
            self.out.extend_from_slice(part);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// `Connection`, with `Upgrade` where it belongs, to `protocol` where that is not WebSocket; `te` is also listed.
    pub(super) fn connection(&mut self, connection: Connection, protocol: &[u8], te: bool) {
        self.flush();
        if connection == Connection::Upgrade {
            let listed: &[u8] = if te { b"Upgrade, TE" } else { b"Upgrade" };
            self.line(b"Connection", listed);
            return self.line(b"Upgrade", protocol);
        }
        self.out.extend_from_slice(match (connection, te) {
            (Connection::Kept, false) => b"",
            (Connection::Kept, true) => b"Connection: TE\r\n",
            (Connection::KeptExplicitly, false) => b"Connection: keep-alive\r\n",
            (Connection::KeptExplicitly, true) => b"Connection: keep-alive, TE\r\n",
            (Connection::Close, false) => b"Connection: close\r\n",
            (Connection::Close, true) => b"Connection: close, TE\r\n",
            (Connection::WebSocket, false) => b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
            (Connection::WebSocket, true) => b"Connection: Upgrade, TE\r\nUpgrade: websocket\r\n",
            (Connection::Upgrade, _) => b"",
        });
    }

    /// The empty line.
    pub(super) fn end(mut self) {
        self.flush();
        self.out.extend_from_slice(b"\r\n");
        debug_assert!(
            self.edits.is_empty(),
            "edits are in the order of their places"
        );
    }

    fn flush(&mut self) {
        self.out.extend_from_slice(self.run.of(self.buf));
        self.run = Span::default();
    }
}

fn holds(field: &Field, span: Span) -> bool {
    field.value.start <= span.start && span.end <= field.value.end
}
