//! A call over HTTP, from its frame to the end of its answer.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::super::answer::{self, code};
use super::super::bridge::Bridge;
use super::super::door::End;
use super::super::frame::{CallFrame, Frame};
use super::super::hold::Line;
use super::super::notice;
use super::super::relay::{Ear, Tap};
use super::super::sift::Sift;
use super::super::sse;
use super::super::upstream::Head;
use super::reply::{
    Reply, empty, event_stream, is_event_stream, is_json, is_unclear, json, unreachable_server,
};
use super::{Agents, Answering, Asked, Back, Route, UNCLEAR};
use crate::firewall::Permit;
use crate::firewall::outcome::Outcome;
use crate::firewall::session::{Session, UnderWay};
use crate::pool::Answer;

/// Frames of ours that may wait for a slow client.
const BACKLOG: usize = 64;

impl Agents {
    /// A call. When it is held, the client gets the head of its answer at once and the life goes on behind it.
    pub(super) fn call(
        self: Arc<Self>,
        mut asked: Asked,
        session: Arc<Session>,
        mut call: CallFrame,
    ) -> Answering {
        if let Err(refused) = self.check_headers(&mut asked, &session, &mut call) {
            return Box::pin(std::future::ready(refused));
        }
        let (head, mut held) = oneshot::channel();
        let mut life = Box::pin(self.live(asked, session, call, head));
        Box::pin(async move {
            tokio::select! {
                biased;
                // A held call may end in the same breath: then its stream is open and has the answer.
                reply = &mut life => held.try_recv().unwrap_or(reply),
                Ok(reply) = &mut held => {
                    tokio::spawn(life);
                    reply
                }
            }
        })
    }

    async fn live(
        self: Arc<Self>,
        asked: Asked,
        session: Arc<Session>,
        call: CallFrame,
        head: oneshot::Sender<Response<Reply>>,
    ) -> Response<Reply> {
        let route = &*asked.route;
        let mut under_way = match (&asked.session_id, call.id.is_empty()) {
            (Some(_), false) => match self.door.begin(&session, &call, false) {
                Ok(under_way) => Some(under_way),
                Err(refused) => return json(StatusCode::BAD_REQUEST, refused),
            },
            _ => None,
        };
        let mut line = HttpLine { head: Some(head), events: None, accepts_events: asked.accepts_events };
        let id = call.id.clone();
        let end = self.door.take(&session, call, &mut under_way, route.manners, &mut line).await;
        match end {
            End::Forward(permit) if permit.told().is_some() => {
                Box::pin(self.retell(route, *permit, asked.head, session, id, under_way, line)).await
            }
            End::Forward(permit) => {
                self.forward(route, *permit, asked.head, session, id, under_way, line).await
            }
            End::ForTask(permit, task) => {
                let told = permit.told().map(str::to_owned);
                let fetched = self.fetch(route, *permit, asked.head, session, &id, under_way);
                let response = Box::pin(fetched).await;
                let response = match told {
                    Some(told) => answer::telling(&response, &told),
                    None => response,
                };
                self.door.tasks.finish(&task, &response);
                empty(StatusCode::OK)
            }
            End::TaskReply(response, task) => {
                self.door.tasks.finish(&task, &response);
                empty(StatusCode::OK)
            }
            End::Reply(frame) => {
                drop(under_way);
                line.finish(frame).await
            }
            End::Silence => empty(StatusCode::ACCEPTED),
        }
    }

    async fn forward(
        &self,
        route: &Route,
        permit: Permit,
        mut head: Head,
        session: Arc<Session>,
        id: Bytes,
        under_way: Option<UnderWay>,
        line: HttpLine,
    ) -> Response<Reply> {
        let upstream = match &route.upstream {
            Back::Http(upstream) => upstream,
            Back::Process(bridge) => {
                return Box::pin(pass_to_process(bridge, permit, session, id, under_way, line)).await;
            }
        };
        let sift = self.sift(route, &session, &head.headers, None);
        if sift.is_some() || line.events.is_some() {
            head.ask_plainly();
        }
        let (response, settlement) = upstream.forward(permit, head).await;
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                settlement.settle(Outcome::Failed);
                return match line.events {
                    Some(_) => line.finish(answer::error(&id, code::INTERNAL, &error.to_string())).await,
                    None => unreachable_server(&id, &error),
                };
            }
        };
        let ear = Ear::Call { id: id.clone(), settlement, under_way };
        if is_unclear_to(sift.as_ref(), &response) {
            Tap::new(Arc::clone(&self.door.firewall), Arc::clone(&session), response.headers(), ear)
                .end(true);
            self.door.firewall.record_refused(&session.origin(), "frame", UNCLEAR);
            return line.finish(answer::error(&id, code::INTERNAL, UNCLEAR)).await;
        }
        match line.events {
            None if is_json(response.headers())
                && (sift.is_some() || notice::waits(&self.door.firewall, &session)) =>
            {
                Box::pin(self.read_whole(response, session, ear, &id, sift)).await
            }
            None => self.relay(response, session, ear, sift),
            Some(events) => {
                Box::pin(self.pour(response, session, ear, sift, &id, events)).await;
                empty(StatusCode::OK)
            }
        }
    }

    /// A person changed the call: its client hears of that before the answer.
    async fn retell(
        &self,
        route: &Route,
        permit: Permit,
        mut head: Head,
        session: Arc<Session>,
        id: Bytes,
        under_way: Option<UnderWay>,
        mut line: HttpLine,
    ) -> Response<Reply> {
        let told = permit.told().unwrap_or_default().to_owned();
        head.ask_plainly();
        line.start();
        let Some(events) = line.events.take() else {
            let answer = self.fetch(route, permit, head, session, &id, under_way).await;
            return json(StatusCode::OK, answer::telling(&answer, &told));
        };
        let (raw, mut chunks) = mpsc::channel(BACKLOG);
        let behind = HttpLine { head: None, events: Some(raw), accepts_events: true };
        let pass = async {
            let mut stream = sse::Events::new(self.longest_event());
            while let Some(chunk) = chunks.recv().await {
                stream.feed(&chunk);
                loop {
                    let event = match stream.cut() {
                        Ok(Some(event)) => event,
                        Ok(None) => break,
                        Err(_) => return drop(events.send(sse::event(&self.too_long(&id))).await),
                    };
                    let answer = event.data().filter(|data| answers(data, &id));
                    let said = answer.map_or(event.raw, |data| sse::event(&answer::telling(&data, &told)));
                    if events.send(said).await.is_err() {
                        return;
                    }
                }
            }
        };
        tokio::join!(self.forward(route, permit, head, session, id.clone(), under_way, behind), pass);
        empty(StatusCode::OK)
    }

    /// Writes the upstream's answer into a stream that is already open.
    async fn pour(
        &self,
        response: Response<Answer>,
        session: Arc<Session>,
        ear: Ear,
        sift: Option<Sift>,
        id: &[u8],
        events: mpsc::Sender<Bytes>,
    ) {
        let (parts, mut body) = response.into_parts();
        let streams = is_event_stream(&parts.headers);
        let firewall = &self.door.firewall;
        let mut tap = Tap::new(Arc::clone(firewall), Arc::clone(&session), &parts.headers, ear);
        if streams && let Some(sift) = sift {
            let mut sifted = sift.start(body, tap);
            while let Some(event) = sifted.recv().await {
                if events.send(event).await.is_err() {
                    break;
                }
            }
            return;
        }
        let mut whole = Vec::new();
        let mut delivered = true;
        loop {
            match body.frame().await {
                Some(Ok(frame)) => {
                    let Ok(chunk) = frame.into_data() else { continue };
                    tap.hear(&chunk);
                    if streams {
                        delivered &= events.send(chunk).await.is_ok();
                    } else if whole.len().saturating_add(chunk.len()) > self.door.frame_limit {
                        tap.end(true);
                        return drop(events.send(sse::event(&self.too_long(id))).await);
                    } else {
                        whole.extend_from_slice(&chunk);
                    }
                }
                None => break,
                Some(Err(_)) => {
                    tap.broke();
                    let said = "the server broke off while it answered; what it did is not known";
                    let _ = events.send(sse::event(&answer::error(id, code::INTERNAL, said))).await;
                    return;
                }
            }
        }
        if !streams {
            let frame = if serde_json::from_slice::<&serde_json::value::RawValue>(&whole).is_ok() {
                let whole = match &sift {
                    Some(sift) => sift.frame(id, whole.into()).await,
                    None => whole.into(),
                };
                notice::with_notices(firewall, &session, &whole).unwrap_or(whole)
            } else {
                let said =
                    format!("the server answered HTTP {} without a JSON-RPC answer", parts.status.as_u16());
                answer::error(id, code::INTERNAL, &said)
            };
            delivered &= events.send(sse::event(&frame)).await.is_ok();
        }
        tap.end(delivered);
    }

    /// The JSON-RPC answer of a call whose client waits elsewhere.
    pub(super) async fn fetch(
        &self,
        route: &Route,
        permit: Permit,
        head: Head,
        session: Arc<Session>,
        id: &Bytes,
        under_way: Option<UnderWay>,
    ) -> Bytes {
        let (events, mut frames) = mpsc::channel(BACKLOG);
        let line = HttpLine { head: None, events: Some(events), accepts_events: true };
        let collect = async {
            let mut stream = sse::Events::new(self.longest_event());
            let mut last = Bytes::new();
            while let Some(chunk) = frames.recv().await {
                stream.feed(&chunk);
                loop {
                    let event = match stream.cut() {
                        Ok(Some(event)) => event,
                        Ok(None) => break,
                        Err(_) => return self.too_long(id),
                    };
                    let Some(data) = event.data() else { continue };
                    if matches!(Frame::read(&data), Ok(Frame::Answer { .. })) {
                        last = data;
                    }
                }
            }
            last
        };
        tokio::join!(self.forward(route, permit, head, session, id.clone(), under_way, line), collect).1
    }
}

impl Agents {
    /// An answer of the longest frame as an event: line breaks grow on the way.
    fn longest_event(&self) -> usize {
        self.door.frame_limit.saturating_mul(8)
    }

    fn too_long(&self, id: &[u8]) -> Bytes {
        let said = format!(
            "the call ran, but its answer is longer than {} bytes (limits.frame) and was not kept",
            self.door.frame_limit
        );
        answer::error(id, code::INTERNAL, &said)
    }
}

fn is_unclear_to(sift: Option<&Sift>, response: &Response<Answer>) -> bool {
    sift.is_some_and(Sift::reads) && is_unclear(response.headers())
}

async fn pass_to_process(
    bridge: &Arc<Bridge>,
    permit: Permit,
    session: Arc<Session>,
    id: Bytes,
    under_way: Option<UnderWay>,
    line: HttpLine,
) -> Response<Reply> {
    let answer = bridge.forward(permit, &session, under_way, line.accepts_events).await;
    match (answer, line.events) {
        (Ok(stream), None) => stream.into_response(line.accepts_events, false).await,
        (Err(error), None) => error.response(&id),
        (answer, Some(events)) => {
            match answer {
                Ok(stream) => stream.pour(events).await,
                Err(error) => drop(events.send(sse::event(&error.frame(&id))).await),
            }
            empty(StatusCode::OK)
        }
    }
}

fn answers(frame: &[u8], to: &[u8]) -> bool {
    matches!(Frame::read(frame), Ok(Frame::Answer { id: Some(id), .. }) if id.get().as_bytes() == to)
}

/// The road back over HTTP: nothing is sent until the call is held.
struct HttpLine {
    head: Option<oneshot::Sender<Response<Reply>>>,
    events: Option<mpsc::Sender<Bytes>>,
    accepts_events: bool,
}

impl HttpLine {
    async fn finish(self, frame: Bytes) -> Response<Reply> {
        match self.events {
            Some(events) => {
                let _ = events.send(sse::event(&frame)).await;
                empty(StatusCode::OK)
            }
            None => json(StatusCode::OK, frame),
        }
    }

    fn start(&mut self) {
        if self.events.is_some() || !self.accepts_events {
            return;
        }
        if let Some(head) = self.head.take() {
            let (events, frames) = mpsc::channel(BACKLOG);
            let _ = head.send(event_stream(Reply::Held(frames)));
            self.events = Some(events);
        }
    }
}

impl Line for HttpLine {
    async fn open(&mut self, hold: &str) {
        self.start();
        if let Some(events) = &self.events {
            let _ = events.send(sse::comment(&format!("held as {hold}"))).await;
        }
    }

    async fn say(&mut self, frame: Bytes) -> bool {
        match (&self.events, self.head.take()) {
            (Some(events), _) => events.send(sse::event(&frame)).await.is_ok(),
            (None, Some(head)) => head.send(json(StatusCode::OK, frame)).is_ok(),
            (None, None) => false,
        }
    }

    async fn breathe(&mut self) -> bool {
        match &self.events {
            Some(events) => events.send(sse::comment("a person is asked")).await.is_ok(),
            None => true,
        }
    }

    async fn gone(&mut self) {
        match (&self.events, &mut self.head) {
            (Some(events), _) => events.closed().await,
            (None, Some(head)) => head.closed().await,
            (None, None) => std::future::pending().await,
        }
    }
}
