//! `"16KiB"`, `"64k"`, `"1MiB"`, `"512B"`: bytes, in powers of 1,024. `KB` is refused because people differ about it.

use super::Refusal;

/// Reads a number of bytes.
pub(in crate::config) fn size(text: &str) -> Result<u64, Refusal> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if digits == 0 {
        return Err(Refusal::new("not a size").help(EXAMPLES));
    }
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "k" | "K" | "KiB" => 1 << 10,
        "m" | "M" | "MiB" => 1 << 20,
        "g" | "G" | "GiB" => 1 << 30,
        "kB" | "KB" | "kb" => return Err(ambiguous(number, "KiB")),
        "MB" | "mb" => return Err(ambiguous(number, "MiB")),
        "GB" | "gb" => return Err(ambiguous(number, "GiB")),
        _ => return Err(Refusal::new("unknown unit").help(EXAMPLES)),
    };
    let bytes = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor));
    bytes.ok_or_else(|| Refusal::new("too large a number"))
}

fn ambiguous(number: &str, unit: &str) -> Refusal {
    Refusal::new("a thousand or 1,024?").help(format!("write \"{number}{unit}\""))
}

const EXAMPLES: &str = "write bytes as a number or as \"512B\", \"64k\", \"16KiB\", \"1MiB\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("16KiB", 16_384),
            ("64k", 65_536),
            ("64 KiB", 65_536),
            ("1M", 1_048_576),
            ("2GiB", 2_147_483_648),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refusals() {
        for (text, message) in [
            ("", "not a size"),
            ("big", "not a size"),
            ("-1", "not a size"),
            ("1.5k", "unknown unit"),
            ("16KB", "a thousand or 1,024?"),
            ("16kib", "unknown unit"),
            ("99999999999999999999", "too large a number"),
            ("18446744073709551615k", "too large a number"),
        ] {
            assert_eq!(
                size(text).map_err(|refusal| refusal.message),
                Err(message.to_owned()),
                "{text}"
            );
        }
    }
}
