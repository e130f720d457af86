//! What every HTTP listener does: it accepts, answers, and lets what is under way end when it is to stop.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// How a listener treats those who come.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// How long somebody may take to send a request's head.
    pub patience: Duration,
    /// Connections at the same time. Whoever comes then is turned away, so that nobody can fill the memory.
    pub connections: usize,
    /// How long what is under way may take to end.
    pub grace: Duration,
}

/// Accepts until `stop` turns true or nobody is left who could turn it.
pub async fn serve<A, B>(
    listener: TcpListener,
    manners: Manners,
    mut stop: watch::Receiver<bool>,
    answer: impl Fn(Request<Incoming>, SocketAddr) -> A + Clone + Send + 'static,
) where
    A: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(manners.connections));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of descriptors: those under way will give some back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let _ = stream.set_nodelay(true);
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answering = answer(request, peer);
            async move { Ok::<_, Infallible>(answering.await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(manners.patience)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "a connection ended early");
            }
        });
    }
    let _ = tokio::time::timeout(manners.grace, graceful.shutdown()).await;
}
