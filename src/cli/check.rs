//! `ringbolt check`: everything that is wrong with a configuration, in one run; and how much memory a good one can take.

use super::output;
use crate::config::{Config, Problems};
use crate::control::file::{self, Refused};
use crate::control::launcher::EXIT_CONFIG;
use crate::control::memory::{Bound, Term};
use std::path::Path;
use std::process::ExitCode;

/// Reads the file and says what is wrong with it: problems on standard error, a good file's summary
/// on standard output. With `json` one object on standard output says it all.
pub(super) fn run(path: &Path, json: bool) -> ExitCode {
    let read = match path == Path::new("-") {
        true => file::read_standard_input(),
        false => file::read(path),
    };
    if json {
        let object = match &read {
            Ok(loaded) => report(&loaded.warnings, Some(&loaded.config)),
            Err(Refused::Text(problems)) => report(problems, None),
            Err(Refused::File(why)) => serde_json::json!({
                "ok": false, "file": path, "problems": [{ "severity": "error", "message": why }],
            }),
        };
        outln!("{object:#}");
    }
    match read {
        Ok(loaded) if !json => {
            if !loaded.warnings.is_empty() {
                let _ = output::write(std::io::stderr(), &loaded.warnings.to_string());
            }
            for missing in file::missing(&loaded.config) {
                errln!("warning: {missing}");
            }
            outln!("{}: ok: {}", loaded.warnings.file, summary(&loaded.config));
            if let Ok(bound) = bound(&loaded.config) {
                outln!("memory: {bound}");
            }
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(refused) => {
            if !json {
                let _ = output::write(std::io::stderr(), &refused.to_string());
            }
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

fn report(problems: &Problems, config: Option<&Config>) -> serde_json::Value {
    let missing = config.map(file::missing).unwrap_or_default().into_iter();
    let missing =
        missing.map(|message| serde_json::json!({ "severity": "warning", "message": message }));
    let problems_of_text = problems
        .problems
        .iter()
        .map(|problem| serde_json::json!(problem));
    let all: Vec<_> = problems_of_text.chain(missing).collect();
    serde_json::json!({
        "ok": config.is_some(),
        "file": problems.file,
        "problems": all,
        "summary": config.map(summary),
        "memory": config.and_then(|config| bound(config).ok()).map(|bound| memory(&bound)),
    })
}

/// For as many workers as would start here; nothing where that cannot be known.
fn bound(config: &Config) -> Result<Bound, String> {
    let (workers, _) = crate::control::place(config)?;
    Ok(Bound::of(config, workers))
}

fn memory(bound: &Bound) -> serde_json::Value {
    let term = |term: &Term| serde_json::json!({ "what": term.what, "count": term.count, "each": term.each });
    serde_json::json!({
        "bytes": bound.total(),
        "terms": bound.terms.iter().map(term).collect::<Vec<_>>(),
    })
}

/// `1 listener, 2 routes, 1 pool, 3 servers`
fn summary(config: &Config) -> String {
    let servers = config.pools.iter().map(|pool| pool.servers.len()).sum();
    let parts = [
        (config.listeners.len(), "listener"),
        (config.routes.len(), "route"),
        (config.pools.len(), "pool"),
        (servers, "server"),
    ];
    let part = |(count, noun): (usize, &str)| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {noun}{plural}")
    };
    parts.map(part).join(", ")
}
