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
