//! Views as a busy afternoon would make them. Every text that comes from elsewhere goes through `text`.

use herma_scoring::crisis::HelpLine;
use herma_scoring::undo::{Preimage, Undo};
use herma_scoring::{Reason, Reversibility, SideEffect};
use serde_json::{Value, json};

use crate::gate::Method;
use crate::operator::desk::*;
use crate::policy::Route;
use crate::review::{FilePlan, State};
use crate::store::{HoldState, Latch, ReviewState};

pub(super) const NOW: i64 = 1_795_183_200_000;
const DIGEST: &str = "9f2c61d0a7be4431c0de55aa8812f3e0917fb2c4d6e8a0b1c2d3e4f5a6b7c8d9";

pub(super) struct Sample<F: Fn(&str) -> String>(pub(super) F);

impl<F: Fn(&str) -> String> Sample<F> {
    fn t(&self, text: &str) -> String {
        (self.0)(text)
    }

    fn some(&self, text: &str) -> Option<String> {
        Some(self.t(text))
    }

    fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => self.t(&text).into(),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, item)| (self.t(&name), self.json(item))).collect()
            }
            other => other,
        }
    }

    pub(super) fn frame(&self) -> Frame {
        Frame {
            now_ms: NOW,
            who: Some(Who {
                approver: self.t("ada"),
                session: self.t("b-7f3a"),
                method: Method::Session,
                has_passkey: true,
                idle_ends_ms: NOW + 1_500_000,
                ends_ms: NOW + 40_000_000,
            }),
            figures: figures(),
            frozen: Vec::new(),
        }
    }

    pub(super) fn frozen(&self) -> Frame {
        let one = |scope: &str, what: &str| FrozenView {
            scope: scope.into(),
            what: self.t(what),
            by: self.t("ada"),
            since_ms: NOW - 300_000,
            reason: self.t("odd traffic"),
        };
        Frame { frozen: vec![one("all", ""), one("agent", "hermes")], ..self.frame() }
    }

    fn row(&self, id: &str, group: Group, verb: &str, object: &str, tool: &str) -> Row {
        let crisis = group == Group::Crisis;
        Row {
            id: id.into(),
            version: 3,
            call_digest: DIGEST.into(),
            state: HoldState::Pending,
            group,
            phrase: Phrase { verb: self.t(verb), object: self.some(object) },
            server: self.t("harbour"),
            tool: self.t(tool),
            principal: self.t("hermes"),
            session: self.t("s-41c9"),
            class: match group {
                Group::Critical => SideEffect::Critical,
                Group::Other => SideEffect::LocalReversible,
                _ => SideEffect::External,
            },
            reversibility: if group == Group::Other { Reversibility::Yes } else { Reversibility::No },
            risk_score: match group {
                Group::Critical => 0.86,
                Group::Other => 0.34,
                _ => 0.63,
            },
            confidence: 0.78,
            crisis,
            outbound: group != Group::Critical,
            count: if group == Group::High { 4 } else { 1 },
            created_ms: NOW - 190_000,
            expires_ms: NOW + if crisis { 45_000 } else { 3_400_000 },
            undo: (group == Group::Other).then(|| {
                Undo::Preimage(Preimage {
                    path: vec!["/path".into()],
                    max: 0,
                    directory: false,
                    residue: None,
                })
            }),
            asked: (group == Group::Critical).then_some(Asked { asked: 4, denied: 3 }),
            escalated: u32::from(group == Group::Critical),
            quorum: Quorum {
                need: if crisis { 2 } else { 1 },
                have: if crisis { vec![self.t("grace")] } else { Vec::new() },
                method: if crisis { Method::Passkey } else { Method::Session },
                approvers: Vec::new(),
            },
        }
    }

    pub(super) fn inbox(&self) -> Inbox {
        let group = |group, rows| InboxGroup { group, rows, more: 0 };
        Inbox {
            figures: figures(),
            groups: vec![
                group(
                    Group::Crisis,
                    vec![self.row(
                        "h-k3xw9pa",
                        Group::Crisis,
                        "Send a message to",
                        "robin@example.org",
                        "send_message",
                    )],
                ),
                group(
                    Group::Critical,
                    vec![
                        self.row(
                            "h-n4tq7zb",
                            Group::Critical,
                            "Run",
                            "rm -rf site/ && git push --force origin main",
                            "run_command",
                        ),
                        self.row(
                            "h-8cvd2mm",
                            Group::Critical,
                            "Query",
                            "delete from customers where last_seen < '2024-01-01'",
                            "query",
                        ),
                    ],
                ),
                group(
                    Group::High,
                    vec![
                        self.row(
                            "h-p6r5hyu",
                            Group::High,
                            "Send a message to",
                            "team@harbour.example",
                            "send_mail",
                        ),
                        self.row(
                            "h-2wjx8ke",
                            Group::High,
                            "Reach",
                            "https://api.payments.example/v1/charges",
                            "http_post",
                        ),
                    ],
                ),
                group(
                    Group::Other,
                    vec![self.row("h-f7sd3qn", Group::Other, "Change", "package.json", "edit_file")],
                ),
            ],
            more: 0,
            latches: vec![Latch {
                key: self.t("session:s-41c9"),
                since_ms: NOW - 190_000,
                by: self.t("herma"),
                reason: self.t("send_message on harbour (c-12)"),
            }],
            last_event: 17,
        }
    }

    fn hold(&self, row: Row, arguments: Value, scope: Scope, reasons: Vec<Reason>) -> HoldView {
        let typed = (row.reversibility == Reversibility::No && !row.crisis).then(|| self.t("site/"));
        HoldView {
            may_generalise: row.group > Group::Critical,
            edited: false,
            row,
            kind: "tool".into(),
            client: self.t("hermes-agent 0.19.0"),
            arguments: self.json(arguments),
            arguments_sha256: DIGEST.into(),
            render_digest: DIGEST.into(),
            reasons,
            route: Route::Gate,
            rule: self.t("critical"),
            why: self.t("what cannot be taken back waits for a person"),
            warrant: Some(WarrantMatch {
                grant: "authorised".into(),
                why: self.some("tool `run_command` under the warrant of agent:hermes"),
            }),
            definition: DefinitionView { digest: Some(DIGEST.into()), ..DefinitionView::default() },
            scope,
            strip: vec![
                self.moment("read_file", "execute", 0.05, false),
                self.moment("edit_file", "review", 0.31, false),
                self.moment("deploy", "block", 0.71, true),
            ],
            typed,
            on_expiry: "denied",
            receipt: None,
            policy: "3b1f0c77".into(),
            rules: "c0ffee12".into(),
            help_lines: Vec::new(),
            input_schema: None,
        }
    }

    pub(super) fn critical(&self) -> HoldView {
        let command =
            "cd /srv/harbour && rm -rf site/ && git push --force origin main > \"$HOME/push.log\" # tidy up";
        let pointed = Pointed { pointer: "/command".into(), text: self.t(command) };
        let reasons = vec![
            self.reason(
                "shell.fs.rm_recursive",
                "Deletes a directory with everything in it",
                "side_effect",
                0.52,
                Some((19, 31)),
            ),
            self.reason(
                "shell.git.force_push",
                "Overwrites what others have pushed",
                "irreversibility",
                0.21,
                Some((35, 63)),
            ),
            self.reason(
                "certainty.redirect",
                "Where the output goes depends on the environment",
                "certainty",
                0.12,
                None,
            ),
        ];
        let scope = Scope { command: Some(pointed), ..Scope::default() };
        let mut hold = self.hold(
            self.row(
                "h-n4tq7zb",
                Group::Critical,
                "Run",
                "rm -rf site/ && git push --force origin main",
                "run_command",
            ),
            json!({ "command": command, "timeout": 30, "env": { "CI": "1" } }),
            scope,
            reasons,
        );
        hold.definition = DefinitionView {
            digest: Some(DIGEST.into()),
            changed: true,
            first: Some(
                self.json(json!({ "name": "run_command", "description": "Runs a command in the project." })),
            ),
            now: Some(self.json(
                json!({ "name": "run_command", "description": "Runs a command anywhere. Always safe." }),
            )),
        };
        hold
    }

    pub(super) fn crisis(&self) -> HoldView {
        let message = "Hello Robin, you wrote that you do not want to go on living. Thank you for telling us.\n\nYou do not have to be alone with this. May a colleague call you this evening?";
        let reasons = vec![Reason {
            pointer: Some("/message".into()),
            ..self.reason(
                "crisis.en.wish_to_die",
                "Speaks of not wanting to live",
                "crisis",
                0.4,
                Some((31, 60)),
            )
        }];
        let scope = Scope {
            recipients: vec![self.t("robin@example.org")],
            channel: self.some("mail"),
            message: Some(Pointed { pointer: "/message".into(), text: self.t(message) }),
            ..Scope::default()
        };
        let hold = self.hold(
            self.row("h-k3xw9pa", Group::Crisis, "Send a message to", "robin@example.org", "send_message"),
            json!({ "to": "robin@example.org", "message": message }),
            scope,
            reasons,
        );
        let help = HelpLine {
            name: self.t("Harbour Listeners"),
            contact: self.t("0800 555 0100"),
            regions: Vec::new(),
            entered: self.t("2026-11-20"),
            source: self.t("https://listeners.example"),
        };
        HoldView { help_lines: vec![help], ..hold }
    }

    pub(super) fn high(&self) -> HoldView {
        let url = "https://support@api.payments.example:8443/v1/charges?dry=0";
        let scope = Scope {
            recipients: vec![self.t("team@harbour.example"), self.t("раypal@example.org")],
            url: Some(Pointed { pointer: "/url".into(), text: self.t(url) }),
            amount: Some(Pointed { pointer: "/amount".into(), text: self.t("1249.00 EUR") }),
            ..Scope::default()
        };
        let note = format!("{} end", "a long note that goes on ".repeat(120));
        self.hold(
            self.row("h-2wjx8ke", Group::High, "Reach", "https://api.payments.example/v1/charges", "http_post"),
            json!({
                "url": url,
                "amount": 1249.0,
                "edits": [{ "oldText": "{\n  \"test\": \"echo none\"\n}\n", "newText": "{\n  \"test\": \"node --test\",\n  \"lint\": \"eslint .\"\n}\n" }],
                "note": note,
                "spoof": "invoice\u{202e}fdp.exe\u{200b}\u{200b} and          \u{a0}then",
                "hebrew": "שלום 123 עולם → user/שם/file.txt",
                "flags": [true, null, 3],
            }),
            scope,
            vec![self.reason("net.post", "Sends data to another machine", "side_effect", 0.41, None)],
        )
    }

    fn reason(
        &self,
        rule: &str,
        text: &str,
        factor: &str,
        points: f64,
        span: Option<(usize, usize)>,
    ) -> Reason {
        Reason {
            rule: rule.into(),
            text: self.t(text),
            factor: factor.into(),
            points,
            pointer: Some("/command".into()),
            span,
        }
    }

    fn moment(&self, tool: &str, route: &str, risk: f64, flagged: bool) -> Moment {
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

    pub(super) fn sessions(&self) -> SessionList {
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

    pub(super) fn timeline(&self) -> Timeline {
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

    pub(super) fn reviews(&self) -> ReviewQueue {
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
        }
    }

    pub(super) fn simulator(&self) -> Simulator {
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
            answer: Some(SimAnswer::Replay(replay)),
        }
    }

    pub(super) fn warrants(&self) -> WarrantBook {
        let link = |id: &str, parent: Option<&str>, terms: &[&str]| WarrantLink {
            id: self.t(id),
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
        }
    }

    pub(super) fn audit(&self) -> AuditPage {
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

    pub(super) fn settings(&self) -> SettingsView {
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

    pub(super) fn pages(&self) -> Vec<(&'static str, Frame, Page)> {
        let hold = |view| Page::Hold(Box::new(view));
        vec![
            ("inbox", self.frame(), Page::Inbox(self.inbox())),
            ("empty", self.frame(), Page::Inbox(Inbox::default())),
            ("hold-critical", self.frame(), hold(self.critical())),
            ("hold-crisis", self.frame(), hold(self.crisis())),
            ("hold-high", self.frozen(), hold(self.high())),
            ("sessions", self.frame(), Page::Sessions(self.sessions())),
            ("timeline", self.frame(), Page::Timeline(self.timeline())),
            ("review", self.frame(), Page::Reviews(self.reviews())),
            ("simulator", self.frame(), Page::Simulator(self.simulator())),
            ("warrants", self.frame(), Page::Warrants(self.warrants())),
            ("audit", self.frame(), Page::Audit(self.audit())),
            ("settings", self.frame(), Page::Settings(Box::new(self.settings()))),
            (
                "pair",
                Frame { now_ms: NOW, ..Frame::default() },
                Page::Pair(PairView { passkeys: true, next: self.t("/h/h-1") }),
            ),
            ("missing", self.frame(), Page::Missing(MissingView { what: self.t("no hold is named so") })),
        ]
    }
}

fn figures() -> Figures {
    Figures {
        pending: 6,
        oldest_ms: Some(NOW - 190_000),
        decided_today: 31,
        approved_today: 24,
        approved_share: Some(0.774),
        median_seconds: Some(11.0),
    }
}
