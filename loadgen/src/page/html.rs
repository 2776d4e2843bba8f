//! The page around its data: head, verdict, the sections in their order, and the script that fills them.

use super::escape;
use crate::recorder;
use crate::report::{Report, Verdict};

const BASE: &str = include_str!("base.css");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What is in the page besides its data.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// The profile's name.
    pub profile: String,
    /// The verdict's name in capitals, its class, and its reason.
    pub verdict: Option<(&'static str, &'static str, String)>,
    /// The ladders, as HTML; empty where no UE was captured.
    pub flows: String,
    /// It asks for its data again and again while the run goes on.
    pub live: bool,
}

/// A section: its id, its heading, and what a reader should know.
struct Section {
    id: &'static str,
    title: &'static str,
    lead: &'static str,
}

const SECTIONS: [Section; 11] = [
    Section {
        id: "thresholds",
        title: "Thresholds",
        lead: "The conditions of the profile, each on a value of report.json.",
    },
    Section {
        id: "latency",
        title: "Latency",
        lead: "From the intended start of each procedure, which the profile fixes in advance: a core that stalls is charged for the starts that had \
               to wait. Raw is from when it began. Where the two part, starts had to wait.",
    },
    Section {
        id: "rates",
        title: "Rates",
        lead: "Offered is what arrivals and traffic intend, whatever the core makes of it. What UEs do by their own timers, as a refresh, is started \
               without being offered.",
    },
    Section {
        id: "failures",
        title: "Failures",
        lead: "Each procedure that failed, by its cause.",
    },
    Section {
        id: "calls",
        title: "Calls and handovers",
        lead: "Sessions between UEs, each counted once. An interruption runs from the decision to move, or the loss of the access, to the ACK over \
               the new access.",
    },
    Section {
        id: "steps",
        title: "Steps",
        lead: "What was intended in a step counts for it, whenever it began and ended; its transient does not count.",
    },
    Section {
        id: "engine",
        title: "Engine",
        lead: "The core under test, as its control plane tells it once a second.",
    },
    Section {
        id: "generator",
        title: "Generator",
        lead: "Whether the load generator kept its own times. Where it did not the run is invalid.",
    },
    Section {
        id: "plan",
        title: "Plan and outcome",
        lead: "What the profile came to before anything was sent, beside what happened.",
    },
    Section {
        id: "flows",
        title: "Message flows",
        lead: "UEs that were recorded. Each message of a ladder leads to its text.",
    },
    Section { id: "environment", title: "Environment", lead: "What was run, and where." },
];

impl Frame {
    /// Of a run that is over.
    #[must_use]
    pub fn of_report(report: &Report, flows: String) -> Self {
        let (name, class) = match report.verdict {
            Verdict::Pass => ("PASS", "pass"),
            Verdict::Fail => ("FAIL", "fail"),
            Verdict::Invalid => ("INVALID", "invalid"),
        };
        let verdict = Some((name, class, report.reason()));
        Self { profile: report.profile.clone(), verdict, flows, live: false }
    }

    /// The page; `json` is its data, or `null` where there are none yet.
    #[must_use]
    pub fn page(&self, json: &str) -> String {
        let profile = escape::html(&self.profile);
        let (name, class, reason) = match &self.verdict {
            Some((name, class, reason)) => (*name, *class, escape::html(reason)),
            None => ("RUNNING", "running", "waiting for the first second".to_owned()),
        };
        let live = if self.live { " data-live" } else { "" };
        let sections: String = SECTIONS.iter().map(|section| self.section(section)).collect();
        let data = escape::json_in_script(json);
        let ladder = recorder::STYLE;
        // The policy keeps the page from asking anybody else for anything, whatever it may contain.
        format!(
            "<!doctype html>\n<html lang=\"en\"{live}>\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
             script-src 'unsafe-inline'; img-src data:; connect-src 'self'; form-action 'none'; base-uri 'none'\">\n\
             <title>{profile}: {name}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{BASE}{STYLE}{ladder}</style>\n</head>\n<body>\n\
             <a class=\"skip\" href=\"#main\">To the results</a>\n\
             <header>\n<p class=\"kicker\">imstorm <span id=\"kind\">report</span></p>\n<h1 id=\"profile\">{profile}</h1>\n\
             <p id=\"verdict\" class=\"verdict {class}\"><strong id=\"verdict-name\">{name}</strong> <span id=\"verdict-reason\">{reason}</span></p>\n\
             <p id=\"when\"></p>\n<dl id=\"facts\" class=\"facts\"></dl>\n<nav id=\"toc\" aria-label=\"Sections\"></nav>\n</header>\n\
             <main id=\"main\">\n<noscript><p class=\"note\">Charts and tables of this page are drawn by its own script, which this browser does not \
             run. All figures are in <code>report.json</code> beside it.</p></noscript>\n{sections}</main>\n\
             <footer><p>Figures are those of <code>report.json</code>; charts are drawn from <code>latency.hlog</code> and \
             <code>intervals.jsonl</code> beside it.</p></footer>\n\
             <script type=\"application/json\" id=\"data\">{data}</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
        )
    }

    fn section(&self, Section { id, title, lead }: &Section) -> String {
        let content = if *id == "flows" { self.flows.as_str() } else { "" };
        let hidden = if content.is_empty() { " hidden" } else { "" };
        format!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-title\"{hidden}>\n<h2 id=\"{id}-title\">{title}</h2>\n<p class=\"lead\">{lead}</p>\n\
             <div class=\"body\">{content}</div>\n</section>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_text() {
        let evil = "<script>alert(1)</script>";
        let frame = Frame {
            profile: evil.to_owned(),
            verdict: Some(("FAIL", "fail", evil.to_owned())),
            ..Frame::default()
        };
        let page = frame.page(&serde_json::to_string(evil).unwrap());
        assert!(!page.contains("alert(1)</script>") && !page.contains("<script>alert"), "{page}");
        assert_eq!(page.matches("</script>").count(), 2, "the data's and the script's own");
    }

    #[test]
    fn nothing_of_it_comes_from_elsewhere() {
        let page = Frame::default().page("null");
        for attribute in ["src=", "href="] {
            for (at, _) in page.match_indices(attribute) {
                let rest = &page[at + attribute.len()..];
                let target = rest.trim_start_matches(['"', '\'', '`']);
                let is_here = target.starts_with('#') || target.starts_with("data:,");
                assert!(is_here, "{}", rest.chars().take(60).collect::<String>());
            }
        }
        assert!(!page.contains("@import") && !page.contains("url("));
    }
}
