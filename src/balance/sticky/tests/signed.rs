//! Cookies that are signed.

use super::*;

#[test]
fn a_signed_value_hides_the_key_and_cannot_be_changed() {
    let pool = two(signed(&["new"]));
    let fresh = read(&pool, &[]);
    let one = value_of(&issued(&pool, &fresh, 0).0);
    let other = value_of(&issued(&pool, &fresh, 1).0);
    assert_eq!(one.len(), 16 + 1 + 5 + 1 + 22);
    assert!(!one.contains("bridge") && one != other);
    assert_eq!(seen(&pool, &[&one]), ('V', Some(0)));
    assert_eq!(seen(&pool, &[&other]), ('V', Some(1)));
    assert_eq!(issued(&pool, &read(&pool, &[&one]), 0).1, 'N');
    assert_eq!(seen(&pool, &["bridge1"]), ('I', None));
    // One's name with the other's tag; any single byte changed, added or missing.
    let swapped = one[..22].to_owned() + &other[22..];
    assert_eq!(seen(&pool, &[&swapped]), ('I', None));
    for at in 0..one.len() {
        let mut bytes = one.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert_eq!(seen(&pool, &[&changed]), ('I', None), "{changed}");
        assert_eq!(seen(&pool, &[&one[..at]]), ('I', None));
    }
    assert_eq!(seen(&pool, &[&format!("{one}A")]), ('I', None));
}

#[test]
fn signing_keys_can_be_replaced_without_losing_a_client() {
    let (old, both, new) = (
        two(signed(&["old"])),
        two(signed(&["new", "old"])),
        two(signed(&["new"])),
    );
    let value = value_of(&issued(&old, &read(&old, &[]), 1).0);
    let verdict = read(&both, &[&value]);
    assert_eq!(verdict.server, Some(1));
    let (line, letter) = issued(&both, &verdict, 1);
    assert_eq!(letter, 'U');
    let renewed = value_of(&line);
    assert_eq!(seen(&both, &[&renewed]), ('V', Some(1)));
    assert_eq!(issued(&both, &read(&both, &[&renewed]), 1).1, 'N');
    assert_eq!(seen(&new, &[&renewed]), ('V', Some(1)));
    assert_eq!(seen(&new, &[&value]), ('I', None));
}

/// Every other byte in every place, every byte more and every byte less: nothing but the value itself is believed.
#[test]
fn no_change_of_one_byte_is_believed() {
    let pool = two(signed(&["new"]));
    let value = value_of(&issued(&pool, &read(&pool, &[]), 0).0).into_bytes();
    // Of what a cookie's value may hold, and what else might come.
    let bytes: Vec<char> = (0x20..0x7f)
        .map(char::from)
        .chain(['\t', '\u{e4}'])
        .collect();
    let believed = |changed: &[u8]| {
        let changed = String::from_utf8_lossy(changed);
        seen(&pool, &[&changed]).0 != 'I'
    };
    assert!(believed(&value));
    for at in 0..=value.len() {
        for byte in &bytes {
            let more = byte.to_string();
            let with = |skip: usize| [&value[..at], more.as_bytes(), &value[at + skip..]].concat();
            assert!(!believed(&with(0)), "{byte:?} put in at {at}");
            if at < value.len() && value[at] != more.as_bytes()[0] {
                assert!(!believed(&with(1)), "{byte:?} at {at}");
            }
        }
        if at < value.len() {
            let less = [&value[..at], &value[at + 1..]].concat();
            assert!(!believed(&less), "without {at}");
        }
    }
}

/// A value holds for one cookie, one server and the dates that it was issued with.
#[test]
fn parts_of_good_values_make_no_good_value() {
    let pool = two(signed(&["new"]));
    let other_cookie = config::Sticky {
        cookie: "OTHER".into(),
        ..signed(&["new"])
    };
    let (line, _) = issued(&two(other_cookie), &read(&pool, &[]), 0);
    let elsewhere = line.replace("OTHER=", "SERVERID=");
    assert_eq!(seen(&pool, &[&value_of(&elsewhere)]), ('I', None));
    let at = |now| {
        let verdict = read_at(&pool, &[], now);
        value_of(&issued_at(&pool, &verdict, 0, now).0)
    };
    let (early, late) = (at(NOW - 1_000), at(NOW));
    assert_eq!(seen(&pool, &[&early]).0, 'E');
    assert_eq!(seen(&pool, &[&late]).0, 'V');
    // The late one's date before the early one's tag.
    let (body, _) = late.rsplit_once('.').unwrap();
    let (_, tag) = early.rsplit_once('.').unwrap();
    assert_eq!(seen(&pool, &[&format!("{body}.{tag}")]), ('I', None));
}
