//! What became of a message on its way through a proxy.

use std::fmt;

use super::reading::Reading;

#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Of the first final response that the client got; `None` when there was none.
    pub status: Option<u16>,
    /// Those before it.
    pub interims: Vec<String>,
    /// The client was told no, or not told all.
    pub refused: bool,
    /// What arrived whole at the other side: requests at the server, the server's answer at the client.
    pub arrived: Vec<Reading>,
    /// Why a strict reading refuses what arrived.
    pub misread: Option<String>,
    /// What else must not be.
    pub faults: Vec<String>,
}

impl Outcome {
    pub fn has_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    pub fn is_passed(&self) -> bool {
        !self.refused && self.has_arrived() && self.misread.is_none() && self.faults.is_empty()
    }

    /// Whether the sender's bytes meant the same. A refusal may come before or behind the head that goes on, by how
    /// the bytes were cut.
    pub fn is_like(&self, other: &Self) -> bool {
        let same = self.refused == other.refused && self.arrived == other.arrived;
        same && self.misread == other.misread && (self.refused || self.status == other.status)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for interim in &self.interims {
            write!(formatter, "{interim} ")?;
        }
        match self.status {
            Some(status) => write!(formatter, "{status}")?,
            None => formatter.write_str("silence")?,
        }
        let own = self.status.map(|status| status.to_string());
        for message in &self.arrived {
            if Some(&message.what) != own.as_ref() {
                write!(formatter, " {:.12}", message.what)?;
            }
            write!(formatter, "+{}", message.body.len())?;
        }
        let broken = self.refused && self.status.is_some_and(|status| status < 400);
        if broken && self.misread.is_none() {
            formatter.write_str(" broken")?;
        }
        if self.misread.is_some() {
            formatter.write_str(" misread")?;
        }
        Ok(())
    }
}
