//! The people's side: pages, the JSON API, signing in. A listener of its own under a host name of its own;
//! nothing here is reachable where agents are.

mod access;
mod api;
pub mod desk;
mod events;
mod guard;
pub mod page;
mod passkey;
mod people;
mod problem;
pub mod render;
mod reply;
mod route;
mod sign_in;
mod step_up;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::VerifyingKey;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use access::Asked;
use desk::{Desk, Frame, MissingView, Page, PairView};
use events::{Events, News};
pub use guard::Names;
pub use problem::Problem;
pub use reply::Reply;
use sign_in::SignIn;
pub use sign_in::{Code, Pairable};

use crate::config::Retention;
use crate::firewall::{Firewall, now};
use crate::gate::Times;
use crate::listen::{self, Manners};
use crate::notify::Notify;
use crate::store::Store;

/// A browser has six connections, and one for events to a tab. Pages that listen would go on for ever.
const MANNERS: Manners =
    Manners { patience: Duration::from_secs(10), connections: 128, grace: Duration::from_millis(200) };
/// How often what nobody announces is looked at for those who listen.
const GLANCE: Duration = Duration::from_secs(1);

/// The listener for people.
#[derive(Debug)]
pub struct Operator {
    names: Names,
    desk: Desk,
    sign_in: SignIn,
    events: Events,
    /// One policy is put in force after the other.
    activating: tokio::sync::Mutex<()>,
    reload: Reload,
}

/// Asks the daemon to read its file anew, and to say which policy is in force then.
pub type Reload = mpsc::UnboundedSender<oneshot::Sender<Result<String, String>>>;

/// What the listener is made of.
#[derive(Debug)]
pub struct Parts {
    pub firewall: Arc<Firewall>,
    pub store: Arc<dyn Store>,
    pub names: Names,
    pub ledger_dir: PathBuf,
    /// The ledger's public key.
    pub key: VerifyingKey,
    pub file: Option<PathBuf>,
    pub times: Times,
    pub notify: Arc<Notify>,
    pub retention: Retention,
    pub reload: Reload,
}

/// Accepts browsers until `stop` turns true.
pub async fn serve(listener: TcpListener, operator: Arc<Operator>, stop: watch::Receiver<bool>) {
    let announcing = tokio::spawn(Arc::clone(&operator).announce());
    listen::serve(listener, MANNERS, stop, move |request, _| Arc::clone(&operator).answer(request)).await;
    announcing.abort();
}

impl Operator {
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { firewall, store, names, ledger_dir, key, file, times, notify, retention, reload } = parts;
        let sign_in = SignIn::new(Arc::clone(&store), firewall.ledger.clone());
        // Numbers of an earlier run are all below: browsers remember the last one they saw.
        let first = u64::try_from(now()).unwrap_or_default().saturating_mul(1000);
        Arc::new(Self {
            names,
            desk: Desk { firewall, store, ledger_dir, key, file, times, notify, retention },
            sign_in,
            events: Events::new(first),
            activating: tokio::sync::Mutex::default(),
            reload,
        })
    }

    /// Where people go.
    pub fn url(&self) -> String {
        self.names.url()
    }

    /// A one-time code for a browser.
    pub fn pair_code(&self, whom: Pairable) -> Result<Code, Problem> {
        self.sign_in.issue(whom, now())
    }

    pub async fn approvers(&self) -> Result<Vec<desk::ApproverView>, Problem> {
        self.desk.approvers().await
    }

    /// False when nobody has this name.
    pub async fn remove_approver(&self, name: &str) -> Result<bool, Problem> {
        let was_there = self.sign_in.remove(name, now()).await?;
        self.events.tell(&News::Approvers);
        Ok(was_there)
    }

    /// Tells those who listen what happens. Only changes of holds announce themselves.
    async fn announce(self: Arc<Self>) {
        let mut holds = self.desk.firewall.gate.news();
        let mut glance = tokio::time::interval(GLANCE);
        glance.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = self.desk.glance().await;
        loop {
            tokio::select! {
                row = holds.recv() => match row {
                    Ok(row) => self.events.tell(&News::from(&row)),
                    Err(RecvError::Lagged(_)) => self.events.tell(&News::Many),
                    Err(RecvError::Closed) => return,
                },
                _ = glance.tick(), if self.events.are_heard() => {
                    let seen = self.desk.glance().await;
                    for news in before.changes(&seen) {
                        self.events.tell(&news);
                    }
                    before = seen;
                }
            }
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Reply> {
        let wants_page = route::is_page(request.uri().path());
        let wants_part = request.headers().get("accept").is_some_and(|accept| accept == "text/html");
        let address = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
        let mut response = match Arc::clone(&self).meet(request).await {
            Ok(response) => response,
            Err(problem) if wants_page => self.problem_page(problem, address).await,
            // A script that asked for a part of a page can read no JSON.
            Err(problem) if wants_part => reply::html(problem.status(), page::problem(problem.detail())),
            Err(problem) => problem.into_response(),
        };
        guard::harden(response.headers_mut());
        response
    }

    async fn meet(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Reply>, Problem> {
        let (parts, body) = request.into_parts();
        let (method, path) = (&parts.method, parts.uri.path());
        guard::check_host(&self.names, &parts.uri, &parts.headers)?;
        guard::check_method(method)?;
        guard::check_origin(&self.names, method, &parts.headers)?;
        guard::check_site(method, &parts.headers, route::is_page(path))?;
        guard::check_content(method, &parts.headers)?;
        let (route, segment) = route::find(method, path)?;
        let mut asked = Asked::read(parts, body, segment).await?;
        asked.admit(route, &self.sign_in.sessions, now())?;
        self.reply(route.endpoint, &asked).await
    }

    /// A page around a view, with who is signed in and how much waits.
    async fn page(&self, asked: &Asked, page: Page) -> Result<Response<Reply>, Problem> {
        let now = now();
        let who = match asked.session() {
            Some(session) => Some(self.sign_in.who(session).await?),
            None => None,
        };
        let figures = match (&who, &page) {
            (None, _) => desk::Figures::default(),
            (Some(_), Page::Inbox(inbox)) => inbox.figures.clone(),
            (Some(_), _) => self.desk.figures(now).await?,
        };
        let frozen = if who.is_some() { self.desk.frozen() } else { Vec::new() };
        let frame = Frame { now_ms: now, who, figures, frozen };
        Ok(reply::html(StatusCode::OK, page::render(&frame, &page)))
    }

    /// What a person sees instead of a page. Whoever is not signed in is asked to, at the same address.
    async fn problem_page(&self, problem: Problem, address: String) -> Response<Reply> {
        let status = problem.status();
        let page = match status {
            StatusCode::UNAUTHORIZED => match self.sign_in.has_passkeys().await {
                Ok(passkeys) => Page::Pair(PairView { passkeys, next: address }),
                Err(problem) => return problem.into_response(),
            },
            StatusCode::NOT_FOUND => Page::Missing(MissingView { what: problem.detail().to_owned() }),
            _ => return problem.into_response(),
        };
        let frame = Frame { now_ms: now(), ..Frame::default() };
        reply::html(status, page::render(&frame, &page))
    }
}

fn asset(name: &str) -> Result<Response<Reply>, Problem> {
    let asset = page::asset(name).ok_or_else(|| Problem::missing("no such file"))?;
    let mut response = reply::whole(StatusCode::OK, asset.content_type, asset.bytes);
    // The next version of the program may bring another one.
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-cache"));
    Ok(response)
}
