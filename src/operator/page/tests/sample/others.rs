//! What the pages beside the inbox and its holds show.

use crate::notify::{ChannelView, Overview};
use crate::store::{ChannelOff, Notice};
use crate::warrants::Terms;

use super::*;

impl<F: Fn(&str) -> String> Sample<F> {
    pub(super) fn moment(&self, tool: &str, route: &str, risk: f64, flagged: bool) -> Moment {
        Moment {
            seq: 41,
            call: self.t("c-12"),
            at_ms: NOW - 260_000,
            server: self.t("harbour"),
            tool: self.t(tool),
            class: "external".into(),
            risk_score: risk,
            confidence: 0.8,
            crisis: false,
            route: route.into(),
            rule: self.t("risk"),
            would: None,
            reasons: vec![(self.t("tool.write"), 0.31)],
            grant: "absent".into(),
            outcome: (route != "block").then(|| self.t("answered")),
            took_us: Some(48_211),
            hold: (route == "gate").then(|| self.t("h-n4tq7zb")),
            decided: (route == "gate").then(|| Decided {
                by: self.t("ada"),
                decision: "deny".into(),
                at_ms: NOW - 200_000,
            }),
            review: (route == "review").then(|| "r-1".into()),
            parent: (risk < 0.04).then(|| "c-11".into()),
            flagged,
        }
    }

    pub(in crate::operator::page::tests) fn sessions(&self) -> SessionList {
        let line = |id: &str, calls, flagged, risk| SessionLine {
            id: self.t(id),
            principal: self.t("hermes"),
            servers: vec![self.t("harbour"), self.t("files")],
            calls,
            flagged,
            highest_risk: risk,
            first_ms: NOW - 7_000_000,
            last_ms: NOW - 60_000,
            frozen: flagged > 8,
        };
        SessionList {
            sessions: vec![
                line("s-41c9", 214, 3, 0.86),
                line("s-90aa", 12, 0, 0.22),
                line("s-0d17", 40, 9, 0.94),
            ],
            next: Some(3),
        }
    }

    pub(in crate::operator::page::tests) fn timeline(&self) -> Timeline {
        let calls = vec![
            self.moment("run_command", "gate", 0.86, true),
            self.moment("edit_file", "review", 0.31, false),
            self.moment("http_get", "execute", 0.02, false),
            self.moment("execute_code", "execute", 0.18, false),
            self.moment("deploy", "block", 0.71, true),
            self.moment("read_file", "execute", 0.05, false),
        ];
        Timeline {
            session: self.t("s-41c9"),
            principal: self.t("hermes"),
            calls,
            next: Some(2),
            frozen: false,
            in_crisis: true,
        }
    }

    fn plan(&self) -> PlanView {
        let file = |size| State::File { sha256: DIGEST.into(), size, mode: 0o644, mtime: (0, 0) };
        let text = self.t("-    \"test\": \"echo none\"");
        PlanView {
            digest: DIGEST.into(),
            files: vec![FilePlan {
                path: self.t("/srv/harbour/package.json"),
                before: file(70),
                after: Some(file(72)),
                now: Some(State::Absent),
                does: "restore",
                conflict: self.some("it has changed since the call: nothing is there now"),
                did: Some(format!(
                    "--- before\n+++ after\n@@ -1,2 +1,2 @@\n {{\n{text}\n+    \"test\": \"node --test\"\n"
                )),
                since: Some(format!("--- after\n+++ now\n@@ -1 +0,0 @@\n{text}\n")),
            }],
            call: Some(self.json(json!({ "tool": "delete_entities", "arguments": { "name": "harbour" } }))),
            conflicts: vec![self.t("a later call has changed the same file")],
            newer: vec!["r-2".into()],
        }
    }

    pub(in crate::operator::page::tests) fn reviews(&self) -> ReviewQueue {
        ReviewQueue {
            reviews: vec![ReviewLine {
                id: "r-1".into(),
                version: 1,
                call: self.t("c-12"),
                state: ReviewState::Open,
                phrase: Phrase { verb: self.t("Change"), object: self.some("package.json") },
                server: self.t("files"),
                tool: self.t("edit_file"),
                principal: self.t("hermes"),
                session: self.t("s-41c9"),
                created_ms: NOW - 800_000,
                expires_ms: NOW + 500_000_000,
                arguments: self.json(json!({ "path": "package.json" })),
                undo: Some(json!({ "kind": "preimage", "path": "package.json" })),
                plan: Some(self.plan()),
                flagged: false,
                residue: self.some("a build may have started already"),
                verdict: None,
            }],
            more: 0,
            flags: vec![FlagView {
                server: self.t("files"),
                tool: self.t("move_file"),
                by: self.t("ada"),
                reason: self.t("it moved the wrong one"),
                at_ms: NOW - 60_000,
            }],
        }
    }

    fn drafts(&self) -> (DraftLine, DraftView) {
        let line = DraftLine { name: self.t("quiet"), by: self.t("ada"), at_ms: NOW - 60_000, stale: false };
        let text = format!("[[rule]]\nid = \"{}\"\nroute = \"execute\"\n", self.t("notes"));
        let view = DraftView {
            line: DraftLine { stale: true, ..line.clone() },
            text,
            digest: DIGEST.into(),
            now: self.t("[policy]\nmode = \"enforce\"\n"),
        };
        (line, view)
    }

    pub(in crate::operator::page::tests) fn simulator(&self) -> Simulator {
        let route = |route, rule: &str| SimRoute {
            route,
            rule: self.t(rule),
            why: self.t("risk 0.31 is under the gate"),
        };
        let replay = Replay {
            days: 7,
            calls: 12_408,
            unsure: 96,
            changed_total: 2,
            holds_per_day_now: 14.3,
            holds_per_day_draft: 5.1,
            changed: vec![Changed {
                call: self.t("c-12"),
                at_ms: NOW,
                server: self.t("files"),
                tool: self.t("write_file"),
                risk_score: 0.44,
                from: route(Route::Gate, "risk"),
                to: route(Route::Execute, "notes-are-fine"),
            }],
            hits: [(self.t("notes-are-fine"), 212), (self.t("risk"), 9000)].into(),
            cut: false,
        };
        Simulator {
            revision: "3b1f0c77".into(),
            mode: "enforce".into(),
            profile: "balanced".into(),
            file: Some("[[rule]]\nid = \"no-deploys\"\ntool = \"deploy\"\nroute = \"block\"\n".into()),
            drafts: vec![self.drafts().0],
            draft: Some(self.drafts().1),
            answer: Some(SimAnswer::Replay(replay)),
        }
    }

    pub(in crate::operator::page::tests) fn warrants(&self) -> WarrantBook {
        let link = |id: &str, parent: Option<&str>, terms: &[&str]| WarrantLink {
            id: self.t(id),
            hex: self.t("019a1"),
            parent: parent.map(|parent| self.t(parent)),
            issuer: self.t("5e884898da28047151d0e56f8dc62927"),
            holder: self.t("9b74c9897bac770ffc029102a200c5de"),
            issued_s: 1_795_100_000,
            expires_s: 1_795_300_000,
            tools: vec![WarrantTool {
                tool: self.t("write_file"),
                terms: terms.iter().map(|term| self.t(term)).collect(),
            }],
            used: vec![(self.t("calls"), self.t("12 of 100"))],
        };
        WarrantBook {
            warrants: vec![WarrantLine {
                party: self.t("agent:hermes"),
                by: self.t("ada"),
                at_ms: Some(NOW - 9_000_000),
                here: true,
                refused: None,
                chain: vec![
                    link("tnu_wrt_019a1", None, &[]),
                    link(
                        "tnu_wrt_019a2",
                        Some("tnu_wrt_019a1"),
                        &["path under /srv/harbour", "at most 64 KiB"],
                    ),
                ],
            }],
            revoked: vec![RevokedLine {
                kind: "agent".into(),
                value: self.t("scratch"),
                at_ms: NOW - 90_000_000,
                by: self.t("ada"),
                reason: self.t("retired"),
            }],
            no_warrant: self.t("the policy alone decides"),
            terms: self.terms(),
            learned: self.some("12 of 14"),
            preview: Some(Box::new(WarrantPreview {
                terms: self.terms(),
                chain: vec![link("tnu_wrt_019a3", None, &["path under /srv"])],
                inside: self.some("tnu_wrt_019a2"),
                of_record: true,
                days: 7,
                calls: 1_204,
                allowed: 1_100,
                held: 2,
                refused: 100,
                unknown: 2,
                whys: vec![ReplayedWhy {
                    said: "refused",
                    why: self.t("send: the tool is not among those that are granted"),
                    count: 100,
                    call: self.t("c-12"),
                }],
                cut: true,
            })),
        }
    }

    fn terms(&self) -> Terms {
        Terms {
            party: self.t("agent:hermes"),
            allow: self.t("write_file:path=/srv"),
            life: self.some("8h"),
            calls: Some(20),
        }
    }

    fn messages(&self) -> Overview {
        let off = ChannelOff { channel: self.t("phone"), since_ms: NOW - 60_000, why: self.t("HTTP 410") };
        let notice = Notice {
            id: self.t("msg_1"),
            channel: self.t("phone"),
            about: "test".into(),
            body: String::new(),
            dead: true,
            attempts: 12,
            created_ms: NOW - 60_000,
            next_ms: NOW,
            error: self.some("the receiver answered HTTP 500"),
        };
        let channel =
            ChannelView { name: self.t("phone"), kind: "ntfy", host: self.t("ntfy.example"), off: Some(off) };
        Overview { channels: vec![channel], notices: vec![notice] }
    }

    pub(in crate::operator::page::tests) fn audit(&self) -> AuditPage {
        let entry = |seq: u64, step: &str, detail: Value| AuditEntry {
            seq,
            at_ms: NOW - 1000 * 60,
            call: self.some("c-12"),
            step: step.into(),
            detail: self.json(detail),
            proven: seq < 40,
        };
        AuditPage {
            query: AuditQuery { tool: self.some("run_command"), ..AuditQuery::default() },
            entries: vec![
                entry(
                    42,
                    "decided",
                    json!({ "receipt": { "approver": { "id": "ada" }, "decision": "deny" } }),
                ),
                entry(41, "held", json!({ "hold": "h-n4tq7zb", "digest": DIGEST })),
                entry(
                    39,
                    "routed",
                    json!({ "tool_name": "run_command", "server": "harbour", "route": "gate", "rule": "critical" }),
                ),
            ],
            next: Some(39),
            checkpoint: Some(CheckpointView {
                origin: "herma.example".into(),
                size: 40,
                root: "q1cXk0mWw0p0p2o=".into(),
                note: self.t("herma.example\n40\nq1cXk0mWw0p0p2o=\n\n— herma.example 5k1…\n"),
            }),
            trouble: None,
        }
    }

    pub(in crate::operator::page::tests) fn settings(&self) -> SettingsView {
        let key = |kind: &str, label: &str| KeyView {
            id: DIGEST.into(),
            kind: kind.into(),
            label: self.t(label),
            added_ms: NOW - 90_000_000,
            used_ms: Some(NOW - 60_000),
        };
        SettingsView {
            approvers: vec![ApproverView {
                name: self.t("ada"),
                added_ms: NOW - 90_000_000,
                keys: vec![key("browser", "Chromium on Linux"), key("passkey", "phone")],
            }],
            version: "0.1.0",
            mode: "enforce".into(),
            profile: "balanced".into(),
            policy: DIGEST.into(),
            rules: DIGEST.into(),
            file: self.some("/home/ada/.config/herma/herma.toml"),
            url: self.t("http://herma.localhost:4590/"),
            hosts: vec![self.t("box.example:8443")],
            messages: self.messages(),
            approvals: vec![self.t("2 people of ada, bob, by passkey or better")],
            holds_per_session: 16,
            holds_per_agent: 64,
            arguments_kept_ms: Some(30 * 86_400_000),
            decisions_kept_ms: None,
            hold_expires_s: 3600,
            ticket_s: 900,
            session_idle_s: 1800,
            session_end_s: 43_200,
            changed_tools: vec![ChangedTool { server: self.t("harbour"), tool: self.t("run_command") }],
            latches: self.inbox().latches,
            standing: vec![StandingView {
                id: "sr-1".into(),
                words: self.t("write_file on files, path under /srv/harbour/notes, in this session"),
                by: self.t("ada"),
                made_ms: NOW - 600_000,
                expires_ms: Some(NOW + 300_000),
                uses: 2,
                max_uses: Some(5),
                allows: true,
            }],
            advisory: true,
        }
    }
}
