//! Time of day as log lines write it, without a clock and without a library's formatting machinery.
//!
//! A [`Stamp`] is given milliseconds since the epoch and the local offset from UTC; it computes
//! a second's date once and then only fills in the milliseconds. It remembers two seconds, so that
//! lines with the dates of a beginning and of an end do not cost it a computation each.
//! One per thread that writes lines.

/// The last two seconds that were written, taken apart.
#[derive(Debug, Clone)]
pub struct Stamp {
    offset: i32,
    /// The one used last is first.
    dates: [(u64, Date); 2],
}

/// One second's texts.
#[derive(Debug, Clone)]
struct Date {
    /// `22/Nov/2026:21:05:33`
    httplog: [u8; 20],
    /// `2026-11-22T21:05:33`
    iso: [u8; 19],
    /// `Nov 22 21:05:33`, a day below 10 with a space before it.
    syslog: [u8; 15],
    /// `+01:00`
    zone: [u8; 6],
}

impl Stamp {
    /// A stamp for a place `offset` seconds east of Greenwich; 0 is UTC.
    pub fn new(offset: i32) -> Self {
        let date = (0, Date::of(0, offset));
        Self {
            offset,
            dates: [date.clone(), date],
        }
    }

    /// Moves to another offset, as when summer time begins.
    pub fn set_offset(&mut self, offset: i32) {
        if offset != self.offset {
            *self = Self::new(offset);
        }
    }

    /// `22/Nov/2026:21:05:33.123`: the date of an httplog line.
    pub fn httplog(&mut self, ms: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.at(ms).httplog);
        push_ms(ms, out);
    }

    /// `2026-11-22T21:05:33.123+01:00`: RFC 3339, as in JSON and RFC 5424.
    pub fn iso(&mut self, ms: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.at(ms).iso);
        push_ms(ms, out);
        out.extend_from_slice(&self.dates[0].1.zone);
    }

    /// `Nov 22 21:05:33`: RFC 3164 section 4.1.2.
    pub fn syslog(&mut self, ms: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.at(ms).syslog);
    }

    fn at(&mut self, ms: u64) -> &Date {
        let second = ms / 1000;
        if second != self.dates[0].0 {
            self.dates.swap(0, 1);
        }
        if second != self.dates[0].0 {
            self.dates[0] = (second, Date::of(second, self.offset));
        }
        &self.dates[0].1
    }
}

impl Date {
    fn of(second: u64, offset: i32) -> Self {
        let local = i64::try_from(second)
            .unwrap_or(LAST_SECOND)
            .min(LAST_SECOND)
            .saturating_add(i64::from(offset))
            .max(0);
        let (year, month, day) = civil(local / 86_400);
        let of_day = local % 86_400;
        let [hour, minute, second] = [of_day / 3600, of_day / 60 % 60, of_day % 60].map(two);
        let (month_name, month, day_padded) = (MONTHS[month as usize - 1], two(month), two(day));
        let [century, years] = [year / 100, year % 100].map(two);

        let mut httplog = *b"dd/Mmm/yyyy:hh:mm:ss";
        put(&mut httplog, 0, &day_padded);
        put(&mut httplog, 3, month_name);
        put(&mut httplog, 7, &century);
        put(&mut httplog, 9, &years);
        let mut iso = *b"yyyy-mm-ddThh:mm:ss";
        put(&mut iso, 0, &century);
        put(&mut iso, 2, &years);
        put(&mut iso, 5, &month);
        put(&mut iso, 8, &day_padded);
        let mut syslog = *b"Mmm dd hh:mm:ss";
        put(&mut syslog, 0, month_name);
        put(&mut syslog, 4, &day_padded);
        if day < 10 {
            syslog[4] = b' ';
        }
        for (text, at) in [
            (&mut httplog[12..], 0),
            (&mut iso[11..], 0),
            (&mut syslog[7..], 0),
        ] {
            put(text, at, &hour);
            put(text, at + 3, &minute);
            put(text, at + 6, &second);
        }

        let east = i64::from(offset.unsigned_abs());
        let mut zone = *b"+hh:mm";
        if offset < 0 {
            zone[0] = b'-';
        }
        put(&mut zone, 1, &two(east / 3600));
        put(&mut zone, 4, &two(east / 60 % 60));
        Self {
            httplog,
            iso,
            syslog,
            zone,
        }
    }
}

/// Days since 1970-01-01 → year, month (1–12), day (1–31) of the Gregorian calendar. Years are counted
/// from March, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn push_ms(ms: u64, out: &mut Vec<u8>) {
    let ms = ms % 1000;
    let digit = |n: u64| b'0' + (n % 10) as u8;
    out.extend_from_slice(&[b'.', digit(ms / 100), digit(ms / 10), digit(ms)]);
}

fn put(text: &mut [u8], at: usize, part: &[u8]) {
    text[at..at + part.len()].copy_from_slice(part);
}

fn two(n: i64) -> [u8; 2] {
    [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8]
}

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// 9999-12-31, a day before its end so that no offset leaves four-digit years.
const LAST_SECOND: i64 = 253_402_214_400;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Stamp;

    fn all(ms: u64, offset: i32) -> [String; 3] {
        let mut stamp = Stamp::new(offset);
        let mut out = [Vec::new(), Vec::new(), Vec::new()];
        stamp.httplog(ms, &mut out[0]);
        stamp.iso(ms, &mut out[1]);
        stamp.syslog(ms, &mut out[2]);
        out.map(|text| String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn dates() {
        #[rustfmt::skip]
        let table = [
            (1_795_381_533_123, 0, "22/Nov/2026:21:05:33.123", "2026-11-22T21:05:33.123+00:00", "Nov 22 21:05:33"),
            (1_795_381_533_123, 3600, "22/Nov/2026:22:05:33.123", "2026-11-22T22:05:33.123+01:00", "Nov 22 22:05:33"),
            (1_795_381_533_123, -12_600, "22/Nov/2026:17:35:33.123", "2026-11-22T17:35:33.123-03:30", "Nov 22 17:35:33"),
            (0, 0, "01/Jan/1970:00:00:00.000", "1970-01-01T00:00:00.000+00:00", "Jan  1 00:00:00"),
            (1_709_164_800_007, 0, "29/Feb/2024:00:00:00.007", "2024-02-29T00:00:00.007+00:00", "Feb 29 00:00:00"),
            (4_107_542_399_999, 0, "28/Feb/2100:23:59:59.999", "2100-02-28T23:59:59.999+00:00", "Feb 28 23:59:59"),
            (4_107_542_400_000, 0, "01/Mar/2100:00:00:00.000", "2100-03-01T00:00:00.000+00:00", "Mar  1 00:00:00"),
            (u64::MAX, 50_400, "31/Dec/9999:14:00:00.615", "9999-12-31T14:00:00.615+14:00", "Dec 31 14:00:00"),
        ];
        for (ms, offset, httplog, iso, syslog) in table {
            assert_eq!(all(ms, offset), [httplog, iso, syslog], "{ms} {offset}");
        }
    }

    #[test]
    fn a_change_of_offset_is_seen_within_the_same_second() {
        let mut stamp = Stamp::new(0);
        let mut out = Vec::new();
        stamp.syslog(0, &mut out);
        stamp.set_offset(7200);
        stamp.syslog(0, &mut out);
        assert_eq!(out, b"Jan  1 00:00:00Jan  1 02:00:00");
    }

    proptest! {
        #[test]
        fn dates_are_those_of_the_calendar(second in 0_i64..253_402_000_000, offset in -50_400_i32..50_400) {
            let offset = offset / 60 * 60;
            let second = second + 50_400;
            let zone = jiff::tz::TimeZone::fixed(jiff::tz::Offset::from_seconds(offset).expect("in range"));
            let there = jiff::Timestamp::from_second(second).expect("in range").to_zoned(zone);
            let [httplog, iso, syslog] = all(second as u64 * 1000, offset);
            prop_assert_eq!(httplog, there.strftime("%d/%b/%Y:%H:%M:%S.000").to_string());
            prop_assert_eq!(iso, there.strftime("%Y-%m-%dT%H:%M:%S.000%:z").to_string());
            prop_assert_eq!(syslog, there.strftime("%b %e %H:%M:%S").to_string());
        }
    }
}
