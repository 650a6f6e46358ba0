use crate::config::AdminState;
use crate::wire::agent::{self, Report, Verdict};

/// An agent's line is decided by its first line end and by nothing behind it; what was read from it, written as words,
/// reads as the same; its reason and its odd word are parts of it.
pub fn agent(input: &[u8]) {
    let whole = agent::read(input);
    let bytes = input.escape_ascii();
    let end = input.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    assert_eq!(whole.is_some(), end.is_some(), "{bytes}");
    let (Some(report), Some(end)) = (whole, end) else {
        return;
    };
    assert_eq!(agent::read(&input[..=end]), whole, "{bytes}");
    assert!(report.reason.len() <= end, "{bytes}");
    assert!(
        report
            .percent
            .is_none_or(|percent| percent <= agent::MOST_PERCENT)
    );
    if let Some(odd) = report.odd {
        assert!(!odd.is_empty() && !odd.contains(&b' '), "{bytes}");
    }
    assert_eq!(agent::read(&words(&report)), whole, "{bytes}");
}

fn words(report: &Report<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    if let Some(percent) = report.percent {
        line.extend_from_slice(format!("{percent}% ").as_bytes());
    }
    line.extend_from_slice(match report.admin {
        Some(AdminState::Ready) => b"ready ",
        Some(AdminState::Drain) => b"drain ",
        Some(AdminState::Maintenance) => b"maint ",
        None => b"",
    });
    line.extend_from_slice(match report.verdict {
        Some(Verdict::Up) => b"up ",
        Some(Verdict::Down) => b"down ",
        Some(Verdict::Stopped) => b"stopped ",
        Some(Verdict::Fail) => b"fail ",
        None => b"",
    });
    if let Some(odd) = report.odd {
        line.extend_from_slice(odd);
    }
    line.extend_from_slice(b" # ");
    line.extend_from_slice(report.reason);
    line.push(b'\n');
    line
}
