//! In which pieces bytes are sent: all at once, in two, or one by one.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use super::corpus::Script;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    Whole,
    /// In two pieces; so many bytes come first.
    At(usize),
    ByteByByte,
}

impl Delivery {
    /// Every way in which these bytes come in pieces: byte by byte, and in two at each offset of a short message, at
    /// offsets around each line's end and at some between them of a long one.
    pub fn ways(bytes: &[u8]) -> Vec<Self> {
        let step = bytes.len().div_ceil(MOST_OFFSETS).max(1);
        let is_near_an_end = |at: usize| {
            let near = at.saturating_sub(2)..(at + 2).min(bytes.len());
            bytes[near]
                .iter()
                .any(|byte| [b'\r', b'\n', 0].contains(byte))
        };
        let mut near = 0;
        let offsets = (1..bytes.len()).filter(|at| {
            near += usize::from(is_near_an_end(*at));
            at.is_multiple_of(step) || is_near_an_end(*at) && near <= MOST_OFFSETS
        });
        let mut ways: Vec<Self> = offsets.map(Self::At).collect();
        if (2..=LONG).contains(&bytes.len()) {
            ways.push(Self::ByteByByte);
        }
        ways
    }

    fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Whole => vec![bytes],
            Self::At(at) => {
                let (first, second) = bytes.split_at(at.min(bytes.len()));
                vec![first, second]
            }
            Self::ByteByByte => bytes.chunks(1).collect(),
        }
    }

    /// Sends a message so. Its own pauses stay when it is sent whole.
    ///
    /// # Errors
    /// The other side takes no more.
    pub fn send(self, script: &Script, to: &mut impl Write) -> io::Result<()> {
        if self == Self::Whole {
            for (at, part) in script.parts.iter().enumerate() {
                if at > 0 {
                    std::thread::sleep(PAUSE);
                }
                to.write_all(part)?;
            }
            return Ok(());
        }
        let bytes = script.bytes();
        for (at, piece) in self.pieces(&bytes).into_iter().enumerate() {
            if at > 0 {
                std::thread::sleep(BREATH);
            }
            to.write_all(piece)?;
        }
        Ok(())
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => formatter.write_str("whole"),
            Self::At(at) => write!(formatter, "{at}"),
            Self::ByteByByte => formatter.write_str("bytes"),
        }
    }
}

impl std::str::FromStr for Delivery {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "whole" => Self::Whole,
            "bytes" => Self::ByteByByte,
            number => Self::At(number.parse()?),
        })
    }
}

/// So many offsets a message is split at, besides those around the ends of lines, of which so many count too.
const MOST_OFFSETS: usize = 60;

/// Longer messages do not come byte by byte.
const LONG: usize = 300;

/// What a vector's own pause is.
pub const PAUSE: Duration = Duration::from_millis(15);

/// Between two pieces, so that they arrive as two.
const BREATH: Duration = Duration::from_millis(1);
