//! Cookies with dates.

use super::*;

#[test]
fn dates_expire_and_are_renewed_once_a_step() {
    let pool = two(config::Sticky {
        max_idle: Some(Duration::from_secs(100)),
        max_life: Some(Duration::from_secs(1000)),
        ..settings()
    });
    let first = value_of(&issued(&pool, &read(&pool, &[]), 0).0);
    assert_eq!(first.len(), "bridge1|LLLLL|FFFFF".len());
    for (later, letter, renewed) in [
        (0, 'V', false),
        (1, 'V', true),
        (100, 'V', true),
        (101, 'E', true),
        (1000, 'E', true),
        (1001, 'O', true),
    ] {
        let verdict = read_at(&pool, &[&first], NOW + later);
        assert_eq!(char::from(verdict.letter), letter, "{later}");
        assert_eq!(verdict.server.is_some(), letter == 'V');
        let (line, written) = issued_at(&pool, &verdict, 0, NOW + later);
        assert_eq!(!line.is_empty(), renewed, "{later}");
        if renewed {
            assert_eq!(written, if letter == 'V' { 'U' } else { 'I' });
            // The first date stays as long as the cookie counts.
            let kept = value_of(&line).ends_with(&first[first.len() - 5..]);
            assert_eq!(kept, letter == 'V', "{later}");
        }
    }
    // No cookie lives longer by being used: renewed every 50 s, it ends after max_life.
    let mut value = first;
    let mut now = NOW;
    while read_at(&pool, &[&value], now).letter == b'V' {
        let verdict = read_at(&pool, &[&value], now);
        let line = issued_at(&pool, &verdict, 0, now).0;
        value = if line.is_empty() {
            value
        } else {
            value_of(&line)
        };
        now += 50;
    }
    assert_eq!(read_at(&pool, &[&value], now).letter, b'O');
    assert_eq!(now - NOW, 1050);
}

#[test]
fn clocks_that_are_wrong_are_tolerated_for_a_day() {
    let pool = two(config::Sticky {
        max_idle: Some(Duration::from_secs(100)),
        ..settings()
    });
    let line = |now| value_of(&issued_at(&pool, &Verdict::NONE, 0, now).0);
    for (ahead, letter) in [(86_400, b'V'), (86_404, b'E'), (1 << 31, b'E')] {
        let verdict = read(&pool, &[&line(NOW + ahead)]);
        assert_eq!(verdict.letter, letter, "{ahead}");
    }
}

#[test]
fn dates_are_added_and_removed_as_the_settings_change() {
    let plain = two(settings());
    let idle = two(config::Sticky {
        max_idle: Some(Duration::from_secs(100)),
        ..settings()
    });
    let life = two(config::Sticky {
        max_life: Some(Duration::from_secs(100)),
        ..settings()
    });
    let stamp = String::from_utf8(dates::write(NOW).to_vec()).unwrap();
    let one = format!("bridge1|{stamp}");
    let both = format!("bridge1|{stamp}|{stamp}");
    let change = |pool: &Pool, from: &str| {
        let (line, letter) = issued(pool, &read(pool, &[from]), 0);
        (!line.is_empty()).then(|| {
            assert_eq!(letter, 'U');
            value_of(&line)
        })
    };
    assert_eq!(change(&plain, "bridge1"), None);
    assert_eq!(change(&plain, &one).unwrap(), "bridge1");
    assert_eq!(change(&plain, &both).unwrap(), "bridge1");
    assert_eq!(change(&idle, "bridge1").unwrap(), one);
    assert_eq!(change(&idle, &one), None);
    assert_eq!(change(&idle, &both).unwrap(), one);
    assert_eq!(change(&life, "bridge1").unwrap(), both);
    assert_eq!(change(&life, &one).unwrap(), both);
    assert_eq!(change(&life, &both), None);
    // Only the life is bounded: the date of the last issue need not be renewed.
    let verdict = read_at(&life, &[&both], NOW + 50);
    assert_eq!(
        issued_at(&life, &verdict, 0, NOW + 50),
        (String::new(), 'N')
    );
}
