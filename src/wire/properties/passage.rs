use crate::wire::chunked::Decoder;
use crate::wire::forward::Trailers;
use crate::wire::{Blame, BodyLength, HeadLimits, Refusal};

/// One direction of a connection without its sockets: bytes come in any pieces, what goes on is gathered.
pub(super) struct Passage<H> {
    /// Reads the head at the front of the bytes.
    head: H,
    limits: HeadLimits,
    from: Blame,
    inbox: Vec<u8>,
    /// Bytes of the inbox that the head's reader was shown before.
    seen: usize,
    left: Left,
    pub(super) found: Found,
}

/// What a head's reader found.
pub(super) struct HeadFound {
    /// Bytes that it took.
    pub(super) size: usize,
    pub(super) body: BodyLength,
    /// What it means, as text.
    pub(super) meaning: String,
    /// How it goes on.
    pub(super) forwarded: Vec<u8>,
    /// What follows is no message any more.
    pub(super) last: bool,
}

/// What a whole input comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// What each head means.
    pub(super) heads: Vec<String>,
    /// What goes on, heads and bodies.
    pub(super) out: Vec<u8>,
    /// The bodies' bare payload.
    pub(super) payload: Vec<u8>,
    /// What nobody has taken.
    pub(super) rest: Vec<u8>,
    pub(super) end: End,
}

/// How an input ends.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub(super) enum End {
    /// Between two messages.
    #[default]
    Between,
    /// Within a head, for all that was looked at.
    InHead,
    /// Within a body.
    InBody,
    Refused(Refusal),
    /// In what is no message any more.
    Switched,
}

enum Left {
    Head,
    Bytes(u64),
    Chunks(Decoder),
    UntilClose,
    Nothing,
}

impl<H: FnMut(&[u8], usize) -> Result<Option<HeadFound>, Refusal>> Passage<H> {
    pub(super) fn new(head: H, limits: HeadLimits, from: Blame) -> Self {
        Self {
            head,
            limits,
            from,
            inbox: Vec::new(),
            seen: 0,
            left: Left::Head,
            found: Found::default(),
        }
    }

    /// Runs `input` through, as it comes.
    pub(super) fn run(mut self, input: &[u8], way: &[usize]) -> Found {
        let mut before = 0;
        for size in way {
            self.inbox.extend_from_slice(&input[before..*size]);
            before = *size;
            if let Err(refusal) = self.take() {
                self.found.end = End::Refused(refusal);
                return self.found;
            }
        }
        self.found.end = match self.left {
            Left::Nothing => End::Switched,
            Left::Head if self.inbox.is_empty() => End::Between,
            Left::UntilClose => End::Between,
            Left::Head => End::InHead,
            Left::Bytes(_) | Left::Chunks(_) => End::InBody,
        };
        self.found.rest = self.inbox;
        self.found
    }

    /// Takes of the inbox what can be taken.
    fn take(&mut self) -> Result<(), Refusal> {
        while !self.inbox.is_empty() {
            let taken = match &mut self.left {
                Left::Head => match (self.head)(&self.inbox, self.seen)? {
                    None => {
                        self.seen = self.inbox.len();
                        return Ok(());
                    }
                    Some(head) => self.begin(head),
                },
                Left::Bytes(left) => {
                    let taken = usize::try_from(*left)
                        .map_or(self.inbox.len(), |left| left.min(self.inbox.len()));
                    *left -= taken as u64;
                    self.found.payload.extend_from_slice(&self.inbox[..taken]);
                    self.found.out.extend_from_slice(&self.inbox[..taken]);
                    if *left == 0 {
                        self.left = Left::Head;
                    }
                    taken
                }
                Left::Chunks(decoder) => {
                    let mut before = *decoder;
                    let step = decoder.payload(&self.inbox, &mut self.found.payload)?;
                    if step.plain {
                        self.found.out.extend_from_slice(&self.inbox[..step.taken]);
                    } else {
                        before.strict(&self.inbox, &Trailers::default(), &mut self.found.out)?;
                    }
                    if step.done {
                        self.left = Left::Head;
                    }
                    step.taken
                }
                Left::UntilClose => {
                    self.found.payload.extend_from_slice(&self.inbox);
                    self.found.out.extend_from_slice(&self.inbox);
                    self.inbox.len()
                }
                Left::Nothing => return Ok(()),
            };
            self.inbox.drain(..taken);
        }
        Ok(())
    }

    fn begin(&mut self, head: HeadFound) -> usize {
        self.seen = 0;
        self.found.heads.push(head.meaning);
        self.found.out.extend_from_slice(&head.forwarded);
        self.left = match head.body {
            _ if head.last => Left::Nothing,
            BodyLength::None | BodyLength::Length(0) => Left::Head,
            BodyLength::Length(length) => Left::Bytes(length),
            BodyLength::Chunked => Left::Chunks(Decoder::new(&self.limits, self.from)),
            BodyLength::UntilClose => Left::UntilClose,
        };
        head.size
    }
}
