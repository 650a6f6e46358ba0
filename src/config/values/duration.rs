//! `"500ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"`: a whole number and a unit. Neither zero nor a bare number is a duration:
//! in other programs the first means "endless" or "at once", the second seconds or milliseconds.

use std::time::Duration;

use super::Refusal;

/// Reads a duration of 1 ms to 10 years.
pub(in crate::config) fn duration(text: &str) -> Result<Duration, Refusal> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if digits == 0 {
        return Err(Refusal::new("not a duration")
            .help("write a number and a unit: \"500ms\", \"30s\", \"5m\", \"2h\", \"1d\""));
    }
    if number.bytes().all(|digit| digit == b'0') && !unit.starts_with('.') {
        return Err(Refusal::new("a duration of 0 is refused"));
    }
    let milliseconds = milliseconds_per(unit).ok_or_else(|| unknown_unit(number, unit))?;
    match number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(milliseconds))
    {
        Some(total) if total <= LONGEST => Ok(Duration::from_millis(total)),
        _ => Err(Refusal::new("longer than 10 years")),
    }
}

fn milliseconds_per(unit: &str) -> Option<u64> {
    match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60 * 1_000),
        "h" => Some(60 * 60 * 1_000),
        "d" => Some(DAY),
        _ => None,
    }
}

fn unknown_unit(number: &str, unit: &str) -> Refusal {
    match unit {
        "" => Refusal::new("a duration needs a unit").help(unit_help(number)),
        fraction if fraction.starts_with('.') => Refusal::new("fractions are not understood")
            .help("take the smaller unit: \"1500ms\" instead of \"1.5s\""),
        _ => Refusal::new("unknown unit").help("the units are ms, s, m, h and d"),
    }
}

/// What a number without a unit may have meant. From a second on it is milliseconds first: that is what HAProxy takes it for.
pub(in crate::config) fn unit_help(number: &str) -> String {
    match number.parse::<u64>() {
        Ok(large) if large >= 1_000 => {
            let units = [("d", DAY), ("h", 60 * 60_000), ("m", 60_000), ("s", 1_000)];
            let whole = units.iter().find(|(_, length)| large % length == 0);
            let (count, unit) =
                whole.map_or((large, "ms"), |(unit, length)| (large / length, unit));
            format!(
                "write \"{count}{unit}\" if it is milliseconds, as in HAProxy, or \"{number}s\" for seconds"
            )
        }
        _ => format!(
            "write \"{number}s\" for seconds, or \"{number}ms\", \"{number}m\", \"{number}h\", \"{number}d\""
        ),
    }
}

const DAY: u64 = 24 * 60 * 60 * 1_000;
const LONGEST: u64 = 3_650 * DAY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, milliseconds) in [
            ("1ms", 1),
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("3650d", LONGEST),
            ("007s", 7_000),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn refusals() {
        for (text, message) in [
            ("", "not a duration"),
            ("soon", "not a duration"),
            ("-1s", "not a duration"),
            (" 1s", "not a duration"),
            ("30", "a duration needs a unit"),
            ("1.5s", "fractions are not understood"),
            ("30 s", "unknown unit"),
            ("30S", "unknown unit"),
            ("30min", "unknown unit"),
            ("1h30m", "unknown unit"),
            ("0", "a duration of 0 is refused"),
            ("0.5s", "fractions are not understood"),
            ("0s", "a duration of 0 is refused"),
            ("3651d", "longer than 10 years"),
            ("99999999999999999999s", "longer than 10 years"),
            ("18446744073709551615d", "longer than 10 years"),
        ] {
            assert_eq!(
                duration(text).map_err(|refusal| refusal.message),
                Err(message.to_owned()),
                "{text}"
            );
        }
    }
}
