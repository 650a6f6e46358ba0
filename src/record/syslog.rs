//! The header before a syslog message: the old form (RFC 3164) and the new (RFC 5424).

use super::stamp::Stamp;
use super::text::number;
use crate::config::{Level, SyslogForm};

/// Bytes of one message, header included; what is longer loses its end. RFC 5424 section 6.1 asks
/// receivers to take 2,048, the usual daemons take 8 KiB, and a UDP datagram of more than 64 KiB
/// cannot be sent at all.
pub const MESSAGE_MAX: usize = 8192;

/// Who speaks: what all messages of one target share.
#[derive(Debug, Clone)]
pub struct Header {
    /// Which form.
    pub form: SyslogForm,
    /// 0 to 23.
    pub facility: u8,
    /// This machine's name. `None` leaves it out of the old form (which is what daemons expect
    /// on `/dev/log`) and is `-` in the new.
    pub host: Option<String>,
    /// The program's name.
    pub tag: String,
    /// The process.
    pub pid: u32,
}

impl Header {
    /// Appends everything that stands before the message.
    ///
    /// ```text
    /// <134>Nov 22 21:05:33 host ringbolt[4711]:
    /// <134>1 2026-11-22T21:05:33.123+01:00 host ringbolt 4711 - -
    /// ```
    pub fn write(&self, level: Level, ms: u64, stamp: &mut Stamp, out: &mut Vec<u8>) {
        out.push(b'<');
        number(u16::from(self.facility) * 8 + level as u16, out);
        match self.form {
            SyslogForm::Rfc3164 => self.old(ms, stamp, out),
            SyslogForm::Rfc5424 => self.new_form(ms, stamp, out),
        }
    }

    fn old(&self, ms: u64, stamp: &mut Stamp, out: &mut Vec<u8>) {
        out.push(b'>');
        stamp.syslog(ms, out);
        out.push(b' ');
        if let Some(host) = &self.host {
            out.extend_from_slice(host.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(self.tag.as_bytes());
        out.push(b'[');
        number(self.pid, out);
        out.extend_from_slice(b"]: ");
    }

    fn new_form(&self, ms: u64, stamp: &mut Stamp, out: &mut Vec<u8>) {
        out.extend_from_slice(b">1 ");
        stamp.iso(ms, out);
        for word in [self.host.as_deref().unwrap_or("-"), &self.tag] {
            out.push(b' ');
            out.extend_from_slice(word.as_bytes());
        }
        out.push(b' ');
        number(self.pid, out);
        out.extend_from_slice(b" - - ");
    }
}

/// A level's word in event lines.
pub fn word(level: Level) -> &'static str {
    match level {
        Level::Emergency => "emergency",
        Level::Alert => "alert",
        Level::Critical => "critical",
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Notice => "notice",
        Level::Info => "info",
        Level::Debug => "debug",
    }
}

/// The level of a number; what is beyond `debug` is `debug`.
pub fn level(number: u8) -> Level {
    match number {
        0 => Level::Emergency,
        1 => Level::Alert,
        2 => Level::Critical,
        3 => Level::Error,
        4 => Level::Warning,
        5 => Level::Notice,
        6 => Level::Info,
        _ => Level::Debug,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let header = |form, facility, host: Option<&str>| Header {
            form,
            facility,
            host: host.map(str::to_owned),
            tag: "ringbolt".to_owned(),
            pid: 4711,
        };
        use SyslogForm::{Rfc3164, Rfc5424};
        #[rustfmt::skip]
        let table = [
            (header(Rfc3164, 16, Some("edge1")), Level::Info, "<134>Nov 22 22:05:33 edge1 ringbolt[4711]: "),
            (header(Rfc3164, 16, None), Level::Info, "<134>Nov 22 22:05:33 ringbolt[4711]: "),
            (header(Rfc3164, 0, None), Level::Emergency, "<0>Nov 22 22:05:33 ringbolt[4711]: "),
            (header(Rfc3164, 23, None), Level::Debug, "<191>Nov 22 22:05:33 ringbolt[4711]: "),
            (header(Rfc5424, 17, Some("edge1")), Level::Notice, "<141>1 2026-11-22T22:05:33.123+01:00 edge1 ringbolt 4711 - - "),
            (header(Rfc5424, 3, None), Level::Error, "<27>1 2026-11-22T22:05:33.123+01:00 - ringbolt 4711 - - "),
        ];
        for (header, of, wanted) in table {
            let mut out = Vec::new();
            header.write(of, 1_795_381_533_123, &mut Stamp::new(3600), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), wanted);
        }
    }

    #[test]
    fn levels_and_their_numbers() {
        for number in 0..8 {
            assert_eq!(level(number) as u8, number);
        }
        assert_eq!(level(200), Level::Debug);
    }
}
