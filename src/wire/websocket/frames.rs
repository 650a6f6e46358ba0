/// Whose frames a tracker follows; a client's are masked, a server's are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The client's.
    Client,
    /// The server's.
    Server,
}

/// The place in one direction's frames (RFC 6455 section 5.2): headers are read, payload is skipped by its
/// length. Invalid frames end the following, not the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameTracker {
    from: From,
}

impl FrameTracker {
    /// Before the first frame.
    pub const fn new(from: From) -> Self {
        Self { from }
    }

    /// Takes the next bytes of that direction.
    pub fn advance(&mut self, bytes: &[u8]) {
        let _ = (bytes, self.from);
        todo!()
    }

    /// Complete data messages so far (control frames are none).
    pub fn messages(&self) -> u64 {
        todo!()
    }

    /// False once the bytes were no valid frames: nothing else is known from then on.
    pub fn is_followed(&self) -> bool {
        todo!()
    }

    /// Whether the next byte begins a frame: here one may be put in between.
    pub fn at_boundary(&self) -> bool {
        todo!()
    }

    /// Whether a message has begun in frames and is not complete.
    pub fn in_message(&self) -> bool {
        todo!()
    }

    /// The code of the close frame that went by; 1005 if it had none (RFC 6455 section 7.1.5).
    pub fn close_code(&self) -> Option<u16> {
        todo!()
    }
}
