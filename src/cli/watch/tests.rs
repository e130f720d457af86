use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::{Value, json};

use super::draw::{Paint, draw};
use super::held::Held;
use super::inbox::{Act, CRISIS_REASONS, Dialog, Focus, Inbox, Link, REASONS};
use super::{Event, take};
use crate::cli::lines::wrapped;
use crate::gate::Decision;

const NOW: i64 = 1_795_161_600_000;

fn row(id: &str, class: &str, age_s: i64, tool: &str, arguments: &Value) -> Value {
    json!({
        "id": id, "digest": "5f2c".repeat(16), "state": "pending", "version": 1,
        "created_ms": NOW - age_s * 1000, "expires_ms": NOW - age_s * 1000 + 3_600_000,
        "crisis": false, "count": 1,
        "shown": {
            "kind": "tool", "server": "demo", "tool": tool, "arguments": arguments,
            "principal": "local", "session": "wrap-7-1", "client": "claude-code 2.1",
            "assessment": {
                "class": class, "reversibility": "no", "risk_score": 0.82, "confidence": 0.9,
                "outbound": class == "external", "crisis_sensitive": false,
                "reasons": [
                    {"rule": "shell.fs.rm_recursive", "text": "Deletes a whole directory", "factor": "side_effect",
                     "points": 0.45, "pointer": "/command", "span": [0, 12]},
                    {"rule": "model.irreversible", "text": "Cannot be taken back", "factor": "irreversibility",
                     "points": 0.2},
                ],
            },
            "rule": "critical", "why": "critical calls wait for a person", "definition_changed": false,
        },
    })
}

fn held(row: Value) -> Held {
    serde_json::from_value(row).unwrap()
}

fn removal() -> Held {
    held(row(
        "h-rmrmxyz",
        "critical",
        95,
        "run_command",
        &json!({ "command": "rm -rf site/", "timeout": 30 }),
    ))
}

fn note(id: &str, age_s: i64) -> Held {
    held(row(id, "external", age_s, "create_page", &json!({ "title": "Minutes", "count": 3 })))
}

fn crisis() -> Held {
    let mut row = row(
        "h-crisis7",
        "external",
        12,
        "send_message",
        &json!({ "to": "noor@example.org", "message": "I am glad that you wrote.\nSomebody will read this with you." }),
    );
    row["crisis"] = true.into();
    row["shown"]["rule"] = "crisis".into();
    row["shown"]["why"] = "a person may be in crisis: a person confirms first".into();
    held(row)
}

fn inbox(rows: Vec<Held>) -> Inbox {
    let mut inbox = Inbox::new();
    inbox.listed(rows);
    inbox
}

/// Draws, and lets the inbox know how much there is, as the loop does.
fn screen(inbox: &mut Inbox, width: u16, height: u16) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| inbox.page = draw(frame, inbox, NOW, Paint { colour: true })).unwrap();
    terminal.backend().clone()
}

fn shows(inbox: &mut Inbox, text: &str) -> bool {
    screen(inbox, 120, 40).to_string().contains(text)
}

fn press(inbox: &mut Inbox, keys: &str, now: i64) -> Option<Act> {
    keys.chars().fold(None, |_, c| {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            '\t' => KeyCode::Tab,
            '\x08' => KeyCode::Backspace,
            '↓' => KeyCode::PageDown,
            c => KeyCode::Char(c),
        };
        inbox.press(KeyEvent::new(code, KeyModifiers::NONE), now)
    })
}

fn approved(id: &str) -> Option<Act> {
    Some(Act::Decide { id: id.into(), digest: "5f2c".repeat(16), typed: None, decision: Decision::Approve })
}

fn denied(id: &str, reason: &str) -> Option<Act> {
    let decision = Decision::deny(reason);
    Some(Act::Decide { id: id.into(), digest: "5f2c".repeat(16), typed: None, decision })
}

#[test]
fn an_empty_inbox_says_so() {
    let mut inbox = inbox(Vec::new());
    insta::assert_snapshot!("empty", screen(&mut inbox, 80, 12));
}

#[test]
fn what_waits_is_listed_by_group_and_age() {
    let mut again = note("h-notexyz", 300);
    again.count = 3;
    let mut inbox = inbox(vec![again, note("h-older77", 2000), removal(), crisis()]);
    inbox.changed(note("h-newnewn", 1));
    insta::assert_snapshot!("list", screen(&mut inbox, 120, 30));
}

#[test]
fn the_detail_shows_the_exact_call_and_every_reason() {
    let mut inbox = inbox(vec![removal()]);
    insta::assert_snapshot!("detail", screen(&mut inbox, 80, 36));
}

#[test]
fn a_crisis_is_shown_as_its_reader_would_see_it_and_asks_for_more_than_a_key() {
    let mut inbox = inbox(vec![crisis()]);
    press(&mut inbox, "a", NOW);
    insta::assert_snapshot!("crisis", screen(&mut inbox, 80, 40));
}

#[test]
fn a_narrow_terminal_shows_list_and_detail_and_says_what_is_below() {
    let mut inbox = inbox(vec![removal(), crisis()]);
    insta::assert_snapshot!("narrow", screen(&mut inbox, 60, 24));
}

#[test]
fn help_names_every_key() {
    let mut inbox = inbox(vec![removal()]);
    press(&mut inbox, "?", NOW);
    insta::assert_snapshot!("help", screen(&mut inbox, 80, 24));
    press(&mut inbox, "q", NOW);
    assert_eq!(inbox.dialog, Dialog::None);
}

#[test]
fn the_smallest_terminals_draw_something() {
    for (width, height) in [(1, 1), (10, 3), (20, 6), (60, 10), (300, 4)] {
        let mut inbox = inbox(vec![removal(), crisis()]);
        screen(&mut inbox, width, height);
        press(&mut inbox, "d", NOW);
        screen(&mut inbox, width, height);
    }
}

#[test]
fn without_colour_nothing_is_coloured() {
    let inbox = inbox(vec![removal(), crisis()]);
    let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
    let mut colours = |colour| {
        terminal.draw(|frame| _ = draw(frame, &inbox, NOW, Paint { colour })).unwrap();
        terminal
            .backend()
            .buffer()
            .content()
            .iter()
            .any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(!colours(false));
    assert!(colours(true));
}

#[test]
fn nothing_in_a_call_can_hide_or_act_on_the_terminal() {
    let hostile = json!({ "command": "ls\u{202e}\u{200b}\x1b[2J", "e\u{301}\u{2066}": "\u{301}x" });
    let mut hostile = row("h-hostile", "critical", 5, "run\u{200b}_command", &hostile);
    hostile["shown"]["client"] = "cl\u{1b}]0;x\u{7}".into();
    let mut inbox = inbox(vec![held(hostile)]);
    let text = screen(&mut inbox, 120, 50).to_string();
    for written in ["\\u{202e}", "\\u{200b}", "\\u001b[2J", "run\\u{200b}_command", "\\u{2066}", "cl\\u{1b}"]
    {
        assert!(text.contains(written), "{written} in {text}");
    }
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn a_long_value_is_never_silently_cut() {
    let value: String = (0..400).map(|number| format!("word{number} ")).collect();
    let mut inbox = inbox(vec![held(row("h-longlng", "critical", 5, "write", &json!({ "text": value })))]);
    assert!(shows(&mut inbox, " more lines, scroll"));
    let mut seen = String::new();
    for _ in 0..20 {
        seen.push_str(&screen(&mut inbox, 60, 24).to_string());
        press(&mut inbox, "↓", NOW);
    }
    for number in 0..400 {
        assert!(seen.contains(&format!("word{number} ")), "word{number}");
    }
    assert!(seen.contains("── end ──"));
}

#[test]
fn wrapping_loses_no_character() {
    for text in ["a".repeat(95), "one two  three   four".repeat(9), "世界".repeat(30), "    x    ".repeat(12)]
    {
        let lines = wrapped(&text, 20, 0, 2);
        let rest: String = lines
            .iter()
            .enumerate()
            .map(|(at, line)| if at == 0 { line } else { line.strip_prefix("  ").unwrap() })
            .collect();
        assert_eq!(rest, text);
        assert!(lines.iter().all(|line| ratatui::text::Span::raw(line).width() <= 20), "{lines:?}");
    }
    assert_eq!(wrapped("\u{301}x", 40, 0, 0), ["\\u{301}x"]);
}

#[test]
fn approving_takes_two_presses_and_names_the_digest_that_was_shown() {
    let mut inbox = inbox(vec![note("h-notexyz", 9)]);
    assert_eq!(press(&mut inbox, "a", NOW), None);
    assert!(shows(&mut inbox, &"5f2c".repeat(16)));
    assert_eq!(press(&mut inbox, "a", NOW + 100), None, "a bouncing key");
    assert_eq!(press(&mut inbox, "a", NOW + 400), approved("h-notexyz"));
}

#[test]
fn a_first_press_is_forgotten_after_five_seconds_or_another_key() {
    let mut inbox = inbox(vec![note("h-notexyz", 9)]);
    press(&mut inbox, "a", NOW);
    assert_eq!(press(&mut inbox, "a", NOW + 5_001), None);
    assert_eq!(press(&mut inbox, "j", NOW + 6_000), None);
    assert_eq!(press(&mut inbox, "a", NOW + 7_000), None);
}

#[test]
fn crisis_and_critical_calls_want_the_end_of_their_id() {
    for (held, id, code) in [(removal(), "h-rmrmxyz", "mxyz"), (crisis(), "h-crisis7", "sis7")] {
        let mut inbox = inbox(vec![held]);
        assert_eq!(press(&mut inbox, "aa", NOW), None);
        assert_eq!(press(&mut inbox, "\n", NOW), None, "`a` is not the end of an id");
        assert_eq!(press(&mut inbox, &format!("a{code}x\x08\n"), NOW), approved(id));
    }
}

#[test]
fn a_denial_carries_a_preset_or_own_words_to_the_model() {
    let mut inbox = inbox(vec![note("h-notexyz", 9)]);
    assert_eq!(press(&mut inbox, "d2", NOW), denied("h-notexyz", REASONS[1]));
    assert_eq!(press(&mut inbox, "duse the other page\n", NOW), denied("h-notexyz", "use the other page"));
    assert_eq!(press(&mut inbox, "d 3 is enough\n", NOW), denied("h-notexyz", "3 is enough"));
    assert_eq!(press(&mut inbox, "d\n", NOW), None);
    assert_eq!(press(&mut inbox, "\x1bq", NOW), Some(Act::Quit));
}

#[test]
fn a_crisis_is_denied_with_words_for_a_crisis() {
    let mut inbox = inbox(vec![crisis()]);
    assert_eq!(press(&mut inbox, "d1", NOW), denied("h-crisis7", CRISIS_REASONS[0]));
}

#[test]
fn pasted_text_is_a_reason_and_never_a_key() {
    let mut inbox = inbox(vec![note("h-notexyz", 9)]);
    inbox.paste("aa");
    assert_eq!(inbox.dialog, Dialog::None);
    press(&mut inbox, "d", NOW);
    inbox.paste("not\nthis");
    assert_eq!(press(&mut inbox, "\n", NOW), denied("h-notexyz", "not this"));
}

#[test]
fn the_selected_hold_stays_selected_whatever_comes_or_goes() {
    let mut inbox = inbox(vec![note("h-onenote", 9), note("h-twonote", 5)]);
    press(&mut inbox, "j", NOW);
    assert!(inbox.changed(crisis()));
    assert_eq!(inbox.selected().unwrap().id, "h-twonote");
    assert!(shows(&mut inbox, "1 new, 1 CRISIS"));

    let mut gone = note("h-onenote", 9);
    (gone.state, gone.version) = (crate::store::HoldState::Denied, 2);
    inbox.changed(gone);
    assert_eq!(inbox.selected().unwrap().id, "h-twonote");
    assert!(!shows(&mut inbox, "h-onenote"));

    press(&mut inbox, "n", NOW);
    assert_eq!(inbox.selected().unwrap().id, "h-twonote");
    let order: Vec<_> = inbox.settled().iter().map(|held| held.id.as_str()).collect();
    assert_eq!(order, ["h-crisis7", "h-twonote"]);
}

#[test]
fn a_hold_that_ends_under_the_eyes_stays_and_can_no_longer_be_decided() {
    let mut inbox = inbox(vec![note("h-notexyz", 9), note("h-twonote", 5)]);
    press(&mut inbox, "a", NOW);
    let mut gone = note("h-notexyz", 9);
    (gone.state, gone.version) = (crate::store::HoldState::Expired, 2);
    inbox.changed(gone);
    assert!(shows(&mut inbox, "expired: denied"));
    assert_eq!(press(&mut inbox, "a", NOW + 1000), None);
    assert_eq!(press(&mut inbox, "d1", NOW + 1000), None);
    press(&mut inbox, "\x1bj", NOW);
    assert_eq!(inbox.selected().unwrap().id, "h-twonote");
    assert!(inbox.find("h-notexyz").is_none());
}

#[test]
fn an_older_word_of_a_hold_changes_nothing() {
    let mut inbox = inbox(vec![note("h-notexyz", 9)]);
    let mut joined = note("h-notexyz", 9);
    (joined.count, joined.version) = (4, 5);
    assert!(!inbox.changed(joined));
    inbox.changed(note("h-notexyz", 9));
    assert_eq!(inbox.selected().unwrap().count, 4);
}

#[test]
fn while_the_daemon_is_away_it_says_so_and_nothing_is_decided() {
    let mut inbox = inbox(vec![note("h-notexyz", 9)]);
    take(&mut inbox, Event::Lost("no herma runs".into()), "08:00:00");
    assert!(shows(&mut inbox, "CONNECTION LOST"));
    press(&mut inbox, "a", NOW);
    assert_eq!(inbox.dialog, Dialog::None);
    assert!(take(&mut inbox, Event::Listed(vec![note("h-notexyz", 9), note("h-twonote", 1)]), "08:00:01"));
    assert_eq!(inbox.link, Link::Live);
    assert_eq!(inbox.selected().unwrap().id, "h-notexyz");
    press(&mut inbox, "a", NOW);
    assert_eq!(press(&mut inbox, "a", NOW + 500), approved("h-notexyz"));
}

#[test]
fn every_decision_leaves_one_line_in_the_log() {
    let mut inbox = inbox(vec![note("h-notexyz", 9), note("h-twonote", 5)]);
    let decision = Decision::deny("not\x1bnow");
    let decided = Event::Decided { id: "h-notexyz".into(), decision, outcome: Ok(()) };
    take(&mut inbox, decided, "08:00:00");
    let denied = |id: &str, version: u64| {
        let mut denied = row(id, "external", 9, "create_page", &json!({}));
        denied["state"] = "denied".into();
        denied["version"] = version.into();
        denied["decision"] = json!({
            "approver": {"id": "ann", "method": "terminal"}, "decision": "deny", "reason": "later", "v": 1,
        });
        Event::Changed(Box::new(held(denied)))
    };
    take(&mut inbox, denied("h-notexyz", 2), "08:00:01");
    take(&mut inbox, denied("h-twonote", 2), "08:00:02");
    take(&mut inbox, denied("h-twonote", 2), "08:00:03");
    let lines = ["08:00:00 h-notexyz denied: not\\u{1b}now", "08:00:02 h-twonote denied by ann: later"];
    assert_eq!(inbox.log().collect::<Vec<_>>(), lines);
}

#[test]
fn keys_move_scroll_and_change_the_focus() {
    let mut inbox = inbox(vec![removal(), note("h-twonote", 5)]);
    screen(&mut inbox, 60, 20);
    assert_eq!(inbox.selected().unwrap().id, "h-rmrmxyz");
    press(&mut inbox, "\njj", NOW);
    assert_eq!((inbox.focus, inbox.scroll), (Focus::Detail, 2));
    press(&mut inbox, "G", NOW);
    assert_eq!(inbox.scroll, inbox.page.last());
    press(&mut inbox, "\tj", NOW);
    assert_eq!((inbox.focus, inbox.scroll), (Focus::List, 0));
    assert_eq!(inbox.selected().unwrap().id, "h-twonote");
    press(&mut inbox, "jjk", NOW);
    assert_eq!(inbox.selected().unwrap().id, "h-rmrmxyz");
}

#[test]
fn a_call_is_named_by_what_its_arguments_say() {
    for (tool, class, arguments, phrase) in [
        ("bash", "critical", json!({ "command": "ls\n-l" }), "Run ls\\u{a}-l"),
        ("python", "critical", json!({ "code": "a\nb" }), "Run 2 lines of code"),
        ("mail", "external", json!({ "to": ["a@b", "c@d"], "body": "x" }), "Send a message to a@b, c@d"),
        ("fetch", "external", json!({ "url": "https://x.example" }), "Reach https://x.example"),
        ("cat", "read_only", json!({ "path": "/etc/hosts" }), "Read /etc/hosts"),
        ("edit", "local_reversible", json!({ "path": "a.txt" }), "Change a.txt"),
        ("odd", "external", json!({}), "Call odd"),
    ] {
        assert_eq!(held(row("h-x", class, 1, tool, &arguments)).phrase(), phrase);
    }
}

#[test]
fn a_bell_says_how_many_wait_and_nothing_of_what() {
    let mut out = Vec::new();
    super::ring(&mut out, 2).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "\x07\x1b]9;Herma: 2 calls wait\x1b\\\x1b]777;notify;Herma;2 calls wait\x1b\\"
    );
}
