//! The inbox on a terminal. Words and markers say everything; colour only repeats it.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Clear, Paragraph};

use super::detail::{self, Tone};
use super::held::Held;
use super::inbox::{ARMED_MS, Dialog, Focus, Inbox, Link, Page};
use crate::cli::holds::visible;
use crate::cli::lines::{cut, wrapped};
use crate::operator::desk::Group;

/// From this width on list and detail stand side by side.
const SIDE_BY_SIDE: u16 = 104;

/// Whether the terminal shows colours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    pub(super) colour: bool,
}

/// What a group is called in capitals, for terminals without colour.
pub(super) fn word(group: Group) -> &'static str {
    match group {
        Group::Crisis => "CRISIS",
        Group::Critical => "CRITICAL",
        Group::High => "HIGH",
        Group::Other => "OTHER",
    }
}

fn marker(group: Group) -> &'static str {
    match group {
        Group::Crisis => "!!",
        Group::Critical => " !",
        Group::High => " >",
        Group::Other => " ·",
    }
}

impl Paint {
    fn of(self, group: Group) -> Style {
        let style = match group {
            Group::Crisis => self.fg(Color::Magenta),
            Group::Critical => self.fg(Color::Red),
            Group::High => self.fg(Color::Yellow),
            Group::Other => Style::new(),
        };
        style.add_modifier(Modifier::BOLD)
    }

    fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Title | Tone::Head => Style::new().add_modifier(Modifier::BOLD),
            Tone::Warning => self.fg(Color::Magenta).add_modifier(Modifier::BOLD),
        }
    }

    fn fg(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn faint() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

/// Draws everything; says how much of the detail there is.
pub(super) fn draw(frame: &mut Frame<'_>, inbox: &Inbox, now: i64, paint: Paint) -> Page {
    let area = frame.area();
    let width = usize::from(area.width);
    let question = question(inbox, width, now);
    let foot = u16::try_from(question.len()).unwrap_or(u16::MAX).min(area.height / 2);
    let told: u16 = if area.height >= 20 { 2 } else { 1 };
    let [head, body, log, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(4),
        Constraint::Length(told),
        Constraint::Length(foot),
    ])
    .areas(area);
    draw_head(frame, head, inbox, now, paint);
    let [list, detail] = if inbox.selected().is_none() {
        [body, Rect::default()]
    } else if area.width >= SIDE_BY_SIDE {
        Layout::horizontal([Constraint::Percentage(42), Constraint::Fill(1)]).spacing(2).areas(body)
    } else {
        let rows = u16::try_from(list_rows(inbox, now, width, paint).len()).unwrap_or(u16::MAX);
        let share = if inbox.focus == Focus::List { body.height / 2 } else { body.height / 3 };
        let list = rows.saturating_add(1).min(share.max(4));
        Layout::vertical([Constraint::Length(list), Constraint::Fill(1)]).areas(body)
    };
    draw_list(frame, list, inbox, now, paint);
    let page = draw_detail(frame, detail, inbox, paint);
    let last: Vec<Line<'_>> =
        inbox.log().rev().take(usize::from(told)).map(|line| Line::raw(cut(line, width))).collect();
    frame
        .render_widget(Paragraph::new(last.into_iter().rev().collect::<Vec<_>>()).style(Paint::faint()), log);
    let asks = !matches!(inbox.dialog, Dialog::None | Dialog::Help);
    let style = if asks { Style::new().add_modifier(Modifier::BOLD) } else { Paint::faint() };
    frame.render_widget(
        Paragraph::new(question.into_iter().map(Line::raw).collect::<Vec<_>>()).style(style),
        keys,
    );
    if inbox.dialog == Dialog::Help {
        draw_help(frame, area);
    }
    page
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, inbox: &Inbox, now: i64, paint: Paint) {
    let width = usize::from(area.width);
    let waiting = inbox.waiting().count();
    let oldest = inbox.waiting().map(|held| held.created_ms).min();
    let mut text = match waiting {
        0 => "herma  nothing waits".to_owned(),
        1 => "herma  1 waits".to_owned(),
        _ => format!("herma  {waiting} wait"),
    };
    if let Some(oldest) = oldest.filter(|_| waiting > 0) {
        text.push_str(&format!(" · oldest {}", span(now.saturating_sub(oldest))));
    }
    let style = match &inbox.link {
        Link::Connecting => {
            text.push_str(" · connecting");
            Style::new()
        }
        Link::Live => {
            text.push_str(" · live");
            Style::new()
        }
        Link::Lost(why) => {
            text.push_str(&format!(" · CONNECTION LOST, trying again ({})", visible(why)));
            paint.fg(Color::Red)
        }
    };
    let advice = "advisory: programs of this same user can do what you can";
    let lines = vec![
        Line::styled(cut(&text, width), style.add_modifier(Modifier::BOLD)),
        Line::styled(cut(advice, width), Paint::faint()),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

struct ListRow {
    text: String,
    style: Style,
    selected: bool,
}

fn list_rows(inbox: &Inbox, now: i64, width: usize, paint: Paint) -> Vec<ListRow> {
    let mut rows = Vec::new();
    let mut last = None;
    let selected = inbox.selected().map(|held| held.id.as_str());
    let heading = |text: String, style| ListRow { text, style, selected: false };
    for held in inbox.settled() {
        let group = held.group();
        if last != Some(group) {
            let count = inbox.settled().iter().filter(|other| other.group() == group).count();
            rows.push(heading(format!("{} {} ({count})", marker(group), word(group)), paint.of(group)));
            last = Some(group);
        }
        rows.extend(two_lines(held, selected, false, now, width));
    }
    if !inbox.fresh().is_empty() {
        let crises = inbox.fresh().iter().filter(|held| held.group() == Group::Crisis).count();
        let crisis = if crises > 0 { format!(", {crises} CRISIS") } else { String::new() };
        let text = format!("── {} new{crisis} · n sorts in ──", inbox.fresh().len());
        let style =
            if crises > 0 { paint.of(Group::Crisis) } else { Style::new().add_modifier(Modifier::BOLD) };
        rows.push(heading(text, style));
        for held in inbox.fresh() {
            rows.extend(two_lines(held, selected, true, now, width));
        }
    }
    rows
}

/// What it is, and under it who, since when and until when.
fn two_lines(held: &Held, selected: Option<&str>, fresh: bool, now: i64, width: usize) -> [ListRow; 2] {
    let selected = selected == Some(held.id.as_str());
    let pointer = if selected { ">" } else { " " };
    let word = if fresh { format!("{} ", word(held.group())) } else { String::new() };
    let what = cut(&format!("{pointer} {word}{}", held.phrase()), width);
    let count = if held.count > 1 { format!(" · ×{}", held.count) } else { String::new() };
    let when = if held.waits() {
        format!(
            "{} ago · {} left",
            span(now.saturating_sub(held.created_ms)),
            span(held.expires_ms.saturating_sub(now))
        )
    } else {
        held.ending()
    };
    let who = match held.shown.client.as_str() {
        "" => visible(&held.shown.principal),
        client => format!("{}/{}", visible(&held.shown.principal), visible(client)),
    };
    let about = cut(&format!("    {when}{count} · {} · {who}", held.id), width);
    let style = if selected { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
    [ListRow { text: what, style, selected }, ListRow { text: about, style: Paint::faint(), selected }]
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, inbox: &Inbox, now: i64, paint: Paint) {
    let block = titled("waiting", inbox.focus == Focus::List);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if inbox.selected().is_none() {
        let text = match inbox.link {
            Link::Live => "Nothing waits for you.",
            _ => "Waiting for herma. `herma serve` starts it.",
        };
        frame.render_widget(Paragraph::new(text), inner);
        return;
    }
    let rows = list_rows(inbox, now, usize::from(inner.width), paint);
    let height = usize::from(inner.height);
    // The selected hold stays in view with both of its lines.
    let at = rows.iter().rposition(|row| row.selected).unwrap_or_default();
    let skip = at.saturating_add(1).saturating_sub(height);
    let below = rows.len().saturating_sub(skip.saturating_add(height));
    let mut lines: Vec<Line<'_>> =
        rows.into_iter().skip(skip).take(height).map(|row| Line::styled(row.text, row.style)).collect();
    if below > 0 && at.saturating_sub(skip).saturating_add(1) < height {
        lines.pop();
        lines.push(Line::styled(format!("  … {} more lines below", below.saturating_add(1)), Paint::faint()));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn draw_detail(frame: &mut Frame<'_>, area: Rect, inbox: &Inbox, paint: Paint) -> Page {
    let Some(held) = inbox.selected() else { return Page::default() };
    let block = titled(&held.id, inbox.focus == Focus::Detail);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let rows = detail::rows(held, usize::from(inner.width));
    // The last row says what is not on the screen.
    let height = usize::from(inner.height).saturating_sub(1);
    let page = Page { rows: height, lines: rows.len() };
    let skip = inbox.scroll.min(page.last());
    let mut lines: Vec<Line<'_>> = rows
        .into_iter()
        .skip(skip)
        .take(height)
        .map(|row| Line::styled(row.text, paint.tone(row.tone)))
        .collect();
    let below = page.last().saturating_sub(skip);
    let hint = match below {
        0 if skip > 0 => "── end ──".to_owned(),
        0 => String::new(),
        1 => "… 1 more line, scroll (PgDn)".to_owned(),
        _ => format!("… {below} more lines, scroll (PgDn)"),
    };
    if !hint.is_empty() {
        lines.resize(height, Line::default());
        lines.push(Line::styled(hint, Style::new().add_modifier(Modifier::BOLD)));
    }
    frame.render_widget(Paragraph::new(lines), inner);
    page
}

fn titled(title: &str, focused: bool) -> Block<'_> {
    let style = if focused { Style::new().add_modifier(Modifier::BOLD) } else { Paint::faint() };
    let mark = if focused { "▸ " } else { "" };
    Block::new().borders(Borders::TOP).border_style(style).title(format!(" {mark}{title} "))
}

/// The last lines: the keys, or the question that is open.
fn question(inbox: &Inbox, width: usize, now: i64) -> Vec<String> {
    let unread = inbox.page.last().saturating_sub(inbox.scroll);
    let unread = match unread {
        0 => String::new(),
        lines => format!(" You have not scrolled to its end: {lines} more lines."),
    };
    let text = match &inbox.dialog {
        Dialog::None | Dialog::Help => {
            vec!["a approve · d deny · j/k · PgDn scroll · ? help · q quit".to_owned()]
        }
        Dialog::Armed { id, since } => {
            let left = ARMED_MS.saturating_sub(now.saturating_sub(*since)).max(0);
            let digest = inbox.find(id).map(|held| held.digest.clone()).unwrap_or_default();
            vec![
                format!(
                    "Approve {id}? a again within {}: it runs once, exactly as shown.{unread}",
                    span(left)
                ),
                format!("digest {digest}"),
            ]
        }
        Dialog::Typing { id, text } => {
            let digest = inbox.find(id).map(|held| held.digest.clone()).unwrap_or_default();
            let code = inbox.find(id).map(|held| visible(&held.code())).unwrap_or_default();
            vec![
                format!("Approve {id}? Type {code} and Enter. Esc: not now.{unread}"),
                format!("digest {digest}"),
                format!("> {text}_"),
            ]
        }
        Dialog::Denying { id, text, sticky } => {
            let what = if *sticky { format!("{id} and its like in this session") } else { id.clone() };
            let mut lines = vec![format!(
                "Deny {what}. The agent reads why: a number, or your words and Enter. Esc: not now."
            )];
            for (number, reason) in (1..).zip(inbox.reasons(id)) {
                lines.push(format!("  {number}  {reason}"));
            }
            lines.push(format!("> {}_", visible(text)));
            lines
        }
    };
    text.iter().flat_map(|line| wrapped(line, width, 0, 2)).collect()
}

const HELP: [&str; 20] = [
    "j k ↓ ↑      move; in the detail: scroll",
    "Enter Tab    to the detail; Esc Tab: back",
    "PgDn PgUp    scroll the detail; g G: its ends",
    "",
    "a            approve: it runs once, as shown",
    "             a again within 5 s confirms; for CRISIS",
    "             and CRITICAL the last 4 characters of",
    "             the hold's id, typed, and Enter",
    "d            deny: 1-5 or your own words, Enter;",
    "             the agent reads them (begin with a",
    "             space if they begin with a digit)",
    "D            deny it and its like in this session:",
    "             the same tool on the same target",
    "e            leave it waiting, tell the next person",
    "n            sort the new ones into their groups",
    "q Ctrl-C     quit; what waits goes on waiting",
    "",
    "Every decision names the digest on the screen.",
    "What nobody decides expires, and is denied.",
    "Any key closes this.",
];

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let width = area.width.min(58);
    let height = area.height.min(u16::try_from(HELP.len()).unwrap_or(u16::MAX).saturating_add(2));
    let place = Rect {
        x: area.x + (area.width.saturating_sub(width)) / 2,
        y: area.y + (area.height.saturating_sub(height)) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, place);
    let lines: Vec<Line<'_>> = HELP.into_iter().map(Line::raw).collect();
    let block = Block::new().borders(Borders::ALL).title(" help ");
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

/// A stretch of time in its largest unit.
pub(super) fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d", seconds / 86_400),
    }
}
