//! What was found, for people and for programs.

use std::fmt;

use serde::Serialize;

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but not for everybody or not for long.
    Warning,
    /// It does not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    /// What was looked at, in a word or two.
    pub(crate) topic: String,
    /// What was seen.
    pub(crate) found: String,
    /// What to do about it; none where nothing needs to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

impl Finding {
    pub(crate) fn ok(topic: impl Into<String>, found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, topic: topic.into(), found: found.into(), advice: None }
    }

    pub(crate) fn warning(
        topic: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { verdict: Verdict::Warning, topic: topic.into(), found: found.into(), advice }
    }

    pub(crate) fn problem(
        topic: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Problem, ..Self::warning(topic, found, advice) }
    }
}

/// All findings. As text an aligned list, as JSON an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// The worst of the verdicts.
    verdict: Verdict,
    findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn new(findings: Vec<Finding>) -> Self {
        let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
        Self { verdict, findings }
    }

    /// The worst of the verdicts.
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings.iter().map(|finding| finding.topic.chars().count()).max().unwrap_or(0);
        for Finding { verdict, topic, found, advice } in &self.findings {
            let mark = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Problem => "PROBLEM",
            };
            writeln!(f, "  {mark:<7}  {topic:<width$}  {found}")?;
            if let Some(advice) = advice {
                writeln!(f, "  {:<7}  {:<width$}  -> {advice}", "", "")?;
            }
        }
        let counts = [Verdict::Ok, Verdict::Warning, Verdict::Problem].map(|verdict| self.count(verdict));
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let [ok, warnings, problems] = counts;
        writeln!(
            f,
            "\n  {ok} ok, {warnings} warning{}, {problems} problem{}",
            plural(warnings),
            plural(problems)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report::new(vec![
            Finding::ok("Clock", "it is noon"),
            Finding::problem("RTMP port", "in use", "end it"),
            Finding::warning("Disk", "nearly full", "delete"),
        ])
    }

    #[test]
    fn the_list_is_aligned_and_ends_with_the_counts() {
        assert_eq!(
            report().to_string(),
            "  ok       Clock      it is noon\n  PROBLEM  RTMP port  in use\n                      -> end it\n  \
             warning  Disk       nearly full\n                      -> delete\n\n  1 ok, 1 warning, 1 problem\n"
        );
    }

    #[test]
    fn the_worst_finding_is_the_verdict() {
        assert_eq!(report().verdict(), Verdict::Problem);
        assert_eq!(Report::new(vec![]).verdict(), Verdict::Ok);
        assert_eq!(
            Report::new(vec![Finding::warning("a", "b", "c"), Finding::ok("d", "e")]).verdict(),
            Verdict::Warning
        );
    }

    #[test]
    fn as_json_it_is_typed() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["verdict"], "problem");
        assert_eq!(json["findings"][0]["verdict"], "ok");
        assert_eq!(json["findings"][0].get("advice"), None);
        assert_eq!(json["findings"][1]["advice"], "end it");
    }
}
