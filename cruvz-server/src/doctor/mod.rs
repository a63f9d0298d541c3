//! `cruvz-server doctor`: looks at everything the server needs of this machine, and says in words what is wrong.
//!
//! Each check is a small function from what it looks at to [`Finding`]s, so that tests can show it a machine that is ill.
//! Nothing is changed and nothing is sent; ports are bound for a moment and let go.

mod addresses;
mod certificate;
mod machine;
mod ports;
mod report;

use cruvz_core::runtime::clock::Clock;

pub(crate) use self::report::{Finding, Report, Verdict};
use crate::config::Config;

/// Everything that can be said of `config` on this machine.
pub(crate) fn examine(config: &Config) -> Report {
    let clock = Clock::start();
    let now_s = clock.unix_us(clock.now()) / 1_000_000;
    let mut findings = configuration(config);
    findings.extend(ports::check(config));
    findings.extend(addresses::check(config));
    if let Some(files) = &config.tls {
        findings.extend(certificate::check(files, now_s));
    }
    findings.extend(machine::check(config, now_s));
    Report::new(findings)
}

fn configuration(config: &Config) -> Vec<Finding> {
    match config.validate() {
        Err(error) => vec![Finding::problem(
            "configuration",
            error.to_string(),
            "change it in the file, or see cruvz-server --help",
        )],
        Ok(warnings) if warnings.is_empty() => vec![Finding::ok("configuration", "makes sense")],
        Ok(warnings) => {
            let advice = "see cruvz-server --help";
            warnings.into_iter().map(|warning| Finding::warning("configuration", warning, advice)).collect()
        }
    }
}
