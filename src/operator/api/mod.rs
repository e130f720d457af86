//! What is answered at each address.

mod audit;
mod changes;
mod channels;
mod holds;
mod policy;
mod reviews;
mod signing;
mod warrants;

use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::access::Asked;
use super::desk::{AuditQuery, Begin, Opened, Page, PairView, Question, ReviewQueue};
use super::problem::Problem;
use super::reply::{self, Reply};
use super::route::Endpoint;
use super::{Operator, asset};
use crate::firewall::now;
use crate::gate::GateError;

type Answer = Result<Response<Reply>, Problem>;

/// Where a listing begins and how long it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Window {
    before: Option<u64>,
    limit: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Nothing {}

/// The shorter the better: most answers are a view as JSON.
fn ok(value: &impl Serialize) -> Answer {
    Ok(reply::json(StatusCode::OK, value))
}

impl Operator {
    pub(super) async fn reply(&self, endpoint: Endpoint, asked: &Asked) -> Answer {
        use Endpoint as E;
        match endpoint {
            E::Asset => asset(&asked.segment),
            E::PairPage => {
                let passkeys = self.sign_in.has_passkeys().await?;
                self.page(asked, Page::Pair(PairView { passkeys, next: "/".into() })).await
            }
            E::InboxPage => self.page(asked, Page::Inbox(self.inbox().await?)).await,
            E::HoldPage => {
                let hold = self.desk.hold(&asked.segment).await?;
                self.page(asked, Page::Hold(Box::new(hold))).await
            }
            E::SessionsPage => {
                let window: Window = asked.query()?;
                self.page(asked, Page::Sessions(self.desk.sessions(window.before).await?)).await
            }
            E::TimelinePage => {
                let window: Window = asked.query()?;
                let timeline = self.desk.timeline(&asked.segment, window.before, window.limit).await?;
                self.page(asked, Page::Timeline(timeline)).await
            }
            E::ReviewsPage => self.page(asked, Page::Reviews(self.desk.reviews_shown().await?)).await,
            E::ReviewPage => {
                let review = self.desk.review(&asked.segment).await?;
                self.page(
                    asked,
                    Page::Reviews(ReviewQueue { reviews: vec![review], ..ReviewQueue::default() }),
                )
                .await
            }
            E::SimulatorPage => {
                let simulator = self.desk.simulator(asked.query()?).await?;
                self.page(asked, Page::Simulator(simulator)).await
            }
            E::WarrantsPage => {
                let book = self.desk.warrants(asked.query()?, now()).await?;
                self.page(asked, Page::Warrants(book)).await
            }
            E::AuditPage => {
                let query: AuditQuery = asked.query()?;
                self.page(asked, Page::Audit(self.desk.audit(query).await?)).await
            }
            E::SettingsPage => {
                let settings = self.desk.settings(self.names.url(), self.names.all()).await?;
                self.page(asked, Page::Settings(Box::new(settings))).await
            }
            _ => self.data(endpoint, asked).await,
        }
    }

    /// The same for programs, and what pages do not show.
    async fn data(&self, endpoint: Endpoint, asked: &Asked) -> Answer {
        use Endpoint as E;
        match endpoint {
            E::Events => self.listen(asked),
            E::Me => ok(&self.sign_in.who(asked.who()?).await?),
            E::Figures => ok(&self.desk.figures(now()).await?),
            E::Inbox => ok(&self.inbox().await?),
            E::Holds => self.holds(asked).await,
            E::Hold => ok(&self.desk.hold(&asked.segment).await?),
            E::Arguments => {
                let arguments = self.desk.firewall.gate.arguments(&asked.segment).await?;
                ok(&json!({ "arguments": arguments }))
            }
            E::Sessions => {
                let window: Window = asked.query()?;
                ok(&self.desk.sessions(window.before).await?)
            }
            E::Timeline => {
                let window: Window = asked.query()?;
                ok(&self.desk.timeline(&asked.segment, window.before, window.limit).await?)
            }
            E::Reviews => ok(&self.desk.reviews().await?),
            E::Review => ok(&self.desk.review(&asked.segment).await?),
            E::Frozen => ok(&json!({ "frozen": self.desk.frozen() })),
            E::Latches => {
                let latches = self.desk.firewall.sessions.latches().await.map_err(GateError::from)?;
                ok(&json!({ "latches": latches }))
            }
            E::Standing => ok(&json!({ "standing": self.desk.standing() })),
            E::Warrants => ok(&self.desk.warrants(Begin::default(), now()).await?),
            E::Audit => ok(&self.desk.audit(asked.query()?).await?),
            E::Export => self.export(asked),
            E::Checkpoint => match self.desk.checkpoint().await? {
                Some(head) => ok(&head),
                None => Err(Problem::missing("no checkpoint is signed yet")),
            },
            E::Proof => self.proof(asked).await,
            E::Policy => ok(&self.desk.simulator(Opened::default()).await?),
            E::Drafts => ok(&json!({ "drafts": self.desk.drafts().await? })),
            E::OneDraft => ok(&self.desk.draft(&asked.segment).await?),
            E::Approvers => ok(&json!({ "approvers": self.desk.approvers().await? })),
            E::Settings => ok(&self.desk.settings(self.names.url(), self.names.all()).await?),
            _ => self.change(endpoint, asked).await,
        }
    }

    /// What changes something, and what has to be asked with a body.
    async fn change(&self, endpoint: Endpoint, asked: &Asked) -> Answer {
        use Endpoint as E;
        match endpoint {
            E::Draft => self.draft(asked).await,
            E::Decide => self.decide(asked).await,
            E::Batch => self.batch(asked).await,
            E::Preview => self.preview(asked).await,
            E::Similar => self.similar(asked).await,
            E::AcceptReview => self.accept_review(asked).await,
            E::Revert => self.revert(asked).await,
            E::Flag => self.flag(asked).await,
            E::StopReview => self.stop_review(asked).await,
            E::Freeze => self.freeze(asked).await,
            E::Thaw => self.thaw(asked).await,
            E::ClearLatch => self.clear_latch(asked).await,
            E::Withdraw => self.withdraw(asked).await,
            E::Revoke => self.revoke(asked).await,
            E::TryWarrant => self.try_warrant(asked).await,
            E::SignWarrant => self.sign_warrant(asked).await,
            E::LiftWarrant => self.lift_warrant(asked).await,
            E::AcceptTool => self.accept_tool(asked).await,
            E::Unflag => self.unflag(asked).await,
            E::TestChannel => self.test_channel(asked).await,
            E::RetryNotices => self.retry_notices(asked).await,
            E::Simulate => {
                let question: Question = asked.json()?;
                let answer = self.desk.simulate(question).await?;
                if asked.wants_page() {
                    let simulator = self.desk.simulator(Opened::default()).await?;
                    return self.page(asked, Page::Simulator(simulator.answering(answer))).await;
                }
                ok(&answer)
            }
            E::SaveDraft => self.save_draft(asked).await,
            E::RemoveDraft => self.remove_draft(asked).await,
            E::Activate => self.activate(asked).await,
            E::Pair => self.pair(asked).await,
            E::SignInChallenge => self.sign_in_challenge(asked),
            E::SignIn => self.sign_in(asked).await,
            E::SignOut => self.sign_out(asked),
            E::PasskeyChallenge => self.passkey_challenge(asked).await,
            E::AddPasskey => self.add_passkey(asked).await,
            E::RemoveKey => self.remove_key(asked).await,
            _ => Err(Problem::missing("nothing is at this address")),
        }
    }

    async fn inbox(&self) -> Result<super::desk::Inbox, Problem> {
        // Before the rows are read: an event that is told twice harms nobody, one that is missed does.
        let last_event = self.events.last();
        self.desk.inbox(last_event, now()).await
    }

    fn listen(&self, asked: &Asked) -> Answer {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct After {
            since: Option<u64>,
        }
        let after: After = asked.query()?;
        let header = asked.header("last-event-id").and_then(|id| id.parse().ok());
        let (sessions, session) = (self.sign_in.sessions.clone(), asked.who()?.clone());
        self.events.stream(header.or(after.since), move || sessions.lasts(&session, now()))
    }

    async fn proof(&self, asked: &Asked) -> Answer {
        let seq = asked.segment.parse().map_err(|_| Problem::malformed("an entry has a number"))?;
        let proof = self.desk.proof(seq).await?;
        let mut response = reply::whole(StatusCode::OK, "text/plain; charset=utf-8", proof);
        let name = format!("attachment; filename=\"herma-{seq}.tlog-proof\"");
        if let Ok(name) = name.parse() {
            response.headers_mut().insert(hyper::header::CONTENT_DISPOSITION, name);
        }
        Ok(response)
    }
}
