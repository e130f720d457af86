//! `herma serve`: the daemon.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use ed25519_dalek::SigningKey;
use herma_scoring::Rules;
use rustix::fs::{FlockOperation, flock};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use crate::call::Digest;
use crate::carriers::hook::agentguard::AgentGuard;
use crate::carriers::hook::{self, Desk};
use crate::carriers::mcp::bridge::{Bridge, Launch, Limits};
use crate::carriers::mcp::door::{Door, Manners};
use crate::carriers::mcp::http::{self, Agents, Back, Road, Route, Sandboxes};
use crate::carriers::mcp::upstream::Upstream;
use crate::carriers::mcp::wrapped;
use crate::carriers::sandbox::rpc;
use crate::config::{Retention, Settings, Upstream as Configured, find_config, user_config};
use crate::control::server::{self as control, Control};
use crate::firewall::definitions::Definitions;
use crate::firewall::salts::Salts;
use crate::firewall::session::Sessions;
use crate::firewall::{Firewall, Parts, now};
use crate::gate::Gate;
use crate::ledger::{Entry, Ledger, Step, load_or_create_key};
use crate::notify::Notify;
use crate::operator::{self, Names, Operator};
use crate::pool::Pool;
use crate::review::Reviews;
use crate::store::{Sqlite, Store};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::{self, Sources};
use crate::warrants::Warrants;

const RELOAD: Duration = Duration::from_secs(2);
const SWEEP: Duration = Duration::from_secs(1);
const FORGET: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file with servers and policy [default: ./herma.toml, else ~/.config/herma/herma.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Started by `herma wrap`: read the user's own file only, and leave the terminal
    #[arg(long, hide = true)]
    detached: bool,
}

pub fn run(args: Args, data_dir: &Path) -> anyhow::Result<ExitCode> {
    super::log::to_stderr();
    let file = if args.detached && args.config.is_none() {
        user_config()?
    } else {
        find_config(args.config.as_deref())?
    };
    // Before it is read: a change in between is a change.
    let written = file.as_deref().and_then(written);
    let settings = match &file {
        Some(file) => Settings::load(file)?,
        None => Settings::builtin()?,
    };
    let rules = compile(&settings)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .with_context(|| format!("cannot make the data directory {}", data_dir.display()))?;
    let _lock = lock(data_dir)?;
    if args.detached {
        rustix::process::setsid().ok();
    }
    // Where there is one processor, threads would only hand work to and fro.
    let mut runtime = match std::thread::available_parallelism() {
        Ok(processors) if processors.get() > 1 => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(daemon(settings, written, rules, data_dir))
}

async fn daemon(
    settings: Settings,
    written: Option<SystemTime>,
    rules: Rules,
    data_dir: &Path,
) -> anyhow::Result<ExitCode> {
    // Both wait for the disk, so they wait together.
    let dir = data_dir.to_owned();
    let opening = std::thread::spawn(move || Sqlite::open(&dir));
    let sealing_key = sealing_key(data_dir)?;
    let key = load_or_create_key(data_dir)?;
    let ledger = Ledger::open(&data_dir.join("ledger"), key.clone(), "herma")?;
    let store = opening.join().map_err(|_| anyhow!("the store could not be opened"))?;
    let store: Arc<dyn Store> = Arc::new(store?);
    let (public, people_store, times) = (key.verifying_key(), Arc::clone(&store), settings.times);
    let own = desk_key(&key);
    let gate = Gate::restore(Arc::clone(&store), ledger.clone(), key, settings.times).await?;
    let Settings {
        file,
        listen,
        operator: people,
        servers,
        agents,
        policy,
        warrants,
        review,
        crisis,
        frame_limit,
        retention,
        agentguard,
        sandbox,
        ..
    } = settings;
    let pool = Pool::new(is_tls(&servers, &settings.notify, &settings.telemetry));
    let telemetry = Telemetry::start(&settings.telemetry, &pool);
    ledger.record(
        Entry::new(now(), Step::Started)
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("policy", policy.revision.as_str())
            .with("rules", rules.digest()),
    )?;
    let firewall = Firewall::new(Parts {
        rules,
        policy,
        gate,
        definitions: Definitions::new(Arc::clone(&store), ledger.clone()),
        sessions: Sessions::restore(Arc::clone(&store)).await?,
        warrants: Warrants::restore(Arc::clone(&store), warrants, now()).await?.signing(own),
        reviews: Reviews::restore(Arc::clone(&store), data_dir, review, sealing_key, now()).await?,
        ledger: ledger.clone(),
        telemetry: Arc::clone(&telemetry),
        salts: Salts::restore(Arc::clone(&store), now()).await?,
        seed: seed()?,
    });
    let desk = Desk::new(Arc::clone(&firewall), &sealing_key, agents.clone(), crisis);
    let door = Arc::new(Door::new(Arc::clone(&desk), sealing_key, frame_limit));
    let (stop, stopping) = watch::channel(false);

    let has_callers = !servers.is_empty() || agentguard.is_some() || sandbox.http;
    let agent_listener = match has_callers {
        true => Some(bind(listen.agent).await?),
        false => None,
    };
    let address = agent_listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let notify = Notify::start(
        settings.notify,
        Arc::clone(&store),
        Arc::clone(&firewall.gate),
        &ledger,
        Arc::new(now),
        pool.clone(),
    )
    .await?;
    let (reload, reloading) = mpsc::unbounded_channel();
    let (people_listener, operator) = match bind_people(&people).await? {
        Some((listener, names)) => {
            let operator = Operator::new(operator::Parts {
                firewall: Arc::clone(&firewall),
                store: people_store,
                names,
                ledger_dir: data_dir.join(super::audit::LEDGER),
                key: public,
                file: file.clone(),
                times,
                notify: Arc::clone(&notify),
                retention,
                reload,
            });
            (Some(listener), Some(operator))
        }
        None => (None, None),
    };
    let control_listener = control::bind(data_dir)
        .with_context(|| format!("cannot bind the control socket in {}", data_dir.display()))?;
    let sources = || Sources {
        telemetry: Arc::clone(&telemetry),
        gate: Arc::clone(&firewall.gate),
        ledger: ledger.clone(),
        store: Arc::clone(&store),
    };
    let metrics = match settings.telemetry.metrics {
        Some(address) => Some(serve_metrics(address, sources(), stopping.clone()).await?),
        None => None,
    };
    let about = About {
        address,
        people: operator.as_deref().map(Operator::url),
        data_dir,
        file: file.as_deref(),
        metrics,
        servers: servers.iter().map(|server| server.name.as_str()).collect(),
    };
    about.write()?;
    about.announce();
    let (wraps, wrapping) = mpsc::unbounded_channel();
    tokio::spawn(wrapped::attend(wrapping, Arc::clone(&door)));
    let (hooks, hooking) = mpsc::unbounded_channel();
    tokio::spawn(hook::attend(hooking, desk));
    let (runs, running) = mpsc::unbounded_channel();
    tokio::spawn(rpc::attend(running, Arc::clone(&firewall)));
    if let (Some(listener), Some(operator)) = (people_listener, &operator) {
        tokio::spawn(operator::serve(listener, Arc::clone(operator), stopping.clone()));
    }
    let control = Arc::new(Control {
        firewall: Arc::clone(&firewall),
        people: operator,
        store: Arc::clone(&store),
        notify,
        wraps,
        hooks,
        runs,
        stop: stop.clone(),
        status: about.status(),
        user: user(),
    });
    let serving_control = tokio::spawn(control::serve(control_listener, control));

    let serving_agents = match (agent_listener, address) {
        (Some(listener), Some(address)) => {
            let routes = routes(servers, &door, &pool)?;
            let agents = Arc::new(Agents {
                door: Arc::clone(&door),
                routes,
                agents,
                anonymous: listen.anonymous,
                hosts: listen.hosts,
                address,
                agentguard: agentguard.map(|settings| AgentGuard::new(Arc::clone(&firewall), settings)),
                sandbox_http: sandbox.http,
                sandboxes: Sandboxes::default(),
            });
            let serving = tokio::spawn(http::serve(listener, Arc::clone(&agents), stopping.clone()));
            Some((serving, agents))
        }
        _ => None,
    };
    let upkeep = tokio::spawn(keep_up(Arc::clone(&firewall), file, written, reloading));
    let forgetting = tokio::spawn(forget(Arc::clone(&firewall), store, retention));

    interrupted(stopping).await;
    stop.send_replace(true);
    if let Some((serving, agents)) = serving_agents {
        let _ = serving.await;
        agents.end_servers().await;
    }
    let _ = serving_control.await;
    upkeep.abort();
    forgetting.abort();
    telemetry.flush().await;
    let _ = fs::remove_file(crate::control::socket(data_dir));
    let _ = fs::remove_file(data_dir.join("daemon.json"));
    ledger.record(Entry::new(now(), Step::Stopped))?;
    ledger.close().await?;
    Ok(ExitCode::SUCCESS)
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Returns where the figures are.
async fn serve_metrics(
    address: SocketAddr,
    sources: Sources,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<String> {
    let listener = bind(address).await?;
    let url = format!("http://{}/metrics", listener.local_addr()?);
    tokio::spawn(metrics::serve(listener, Arc::new(sources), stop));
    Ok(url)
}

/// When a file was last written.
fn written(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).ok()?.modified().ok()
}

fn compile(settings: &Settings) -> Result<Rules, crate::config::ConfigError> {
    Rules::with_packs(settings.packs.iter().map(crate::config::packs::Pack::source)).map_err(|error| {
        crate::config::ConfigError::Pack { path: PathBuf::from(error.pack.clone()), message: error.message }
    })
}

fn routes(
    servers: Vec<crate::config::Server>,
    door: &Arc<Door>,
    pool: &Pool,
) -> anyhow::Result<HashMap<String, Arc<Route>>> {
    let guard = std::env::current_exe().context("cannot find herma itself")?;
    let route = |server: crate::config::Server| {
        let name: Arc<str> = server.name.as_str().into();
        let manners = Manners {
            denial: server.denial,
            hold_budget: server.hold_budget,
            forward_warrant: server.forward_warrant,
        };
        let (files, trusted) = (server.files, server.trusted);
        let (upstream, road) = match server.upstream {
            Configured::Http { url, headers } => {
                let upstream = Upstream::new(pool, &url, headers)?;
                let road = Arc::new(Road { server: Arc::clone(&name), upstream: upstream.clone() });
                let way: std::sync::Weak<Road> = Arc::downgrade(&road);
                door.firewall.roads.open(way);
                (Back::Http(Box::new(upstream)), Some(road))
            }
            Configured::Process { command, args, env, cwd } => {
                let launch = Launch { guard: guard.clone(), command, args, env, cwd };
                let (name, door, files) = (Arc::clone(&name), Arc::clone(door), files.clone());
                let bridge = Bridge::new(name, trusted, door, manners, launch, files, Limits::default());
                (Back::Process(bridge), None)
            }
        };
        Ok((server.name, Arc::new(Route { name, upstream, manners, trusted, files, road })))
    };
    servers.into_iter().map(route).collect()
}

/// The listener for people. Two daemons on one machine share no port: the second one takes any that is free.
async fn bind_people(people: &crate::config::Operator) -> anyhow::Result<Option<(TcpListener, Names)>> {
    let Some(address) = people.listen else { return Ok(None) };
    let listener = match TcpListener::bind(address).await {
        Err(error) if people.any_port && error.kind() == std::io::ErrorKind::AddrInUse => {
            TcpListener::bind((address.ip(), 0)).await
        }
        bound => bound,
    };
    let listener = listener.with_context(|| format!("cannot listen on {address} (operator.listen)"))?;
    let port = if people.behind_tls { 443 } else { listener.local_addr()?.port() };
    let names = Names::new(&people.hosts, port, people.behind_tls);
    Ok(Some((listener, names)))
}

/// Whether any connection is to be encrypted: reading the roots of this machine takes a while.
fn is_tls(
    servers: &[crate::config::Server],
    notify: &crate::notify::Setup,
    telemetry: &crate::telemetry::Setup,
) -> bool {
    let servers = servers.iter().filter_map(|server| match &server.upstream {
        Configured::Http { url, .. } => Some(url),
        Configured::Process { .. } => None,
    });
    let channels = notify.channels.iter().map(|channel| &channel.url);
    let mut urls = servers.chain(channels).chain(&telemetry.otlp);
    urls.any(|url| url.scheme_str() == Some("https"))
}

/// Forgets in time what the file says is kept for a time.
async fn forget(firewall: Arc<Firewall>, store: Arc<dyn Store>, retention: Retention) {
    let mut look = tokio::time::interval(FORGET);
    loop {
        look.tick().await;
        if let Err(error) =
            firewall.forget_in_time(&*store, retention.arguments_ms, retention.decisions_ms).await
        {
            tracing::error!(%error, "what is older than it may be could not be forgotten");
        }
    }
}

/// Sweeps the gate, and takes up a changed file, by itself or when somebody asks; a bad one changes nothing.
async fn keep_up(
    firewall: Arc<Firewall>,
    file: Option<PathBuf>,
    mut known: Option<SystemTime>,
    mut asked: mpsc::UnboundedReceiver<oneshot::Sender<Result<String, String>>>,
) {
    let mut sweep = tokio::time::interval(SWEEP);
    let mut look = tokio::time::interval(RELOAD);
    loop {
        tokio::select! {
            _ = sweep.tick() => sweep_all(&firewall).await,
            _ = look.tick() => {
                let Some(path) = &file else { continue };
                let current = self::written(path);
                if current == known {
                    continue;
                }
                known = current;
                if let Err(error) = take_up(&firewall, path).await {
                    tracing::error!(%error, "the changed file is not used; the old policy stays");
                }
            }
            Some(answer) = asked.recv() => {
                let Some(path) = &file else { continue };
                known = self::written(path);
                let taken = take_up(&firewall, path).await.map_err(|error| error.to_string());
                let _ = answer.send(taken.map(|()| firewall.policy().revision.clone()));
            }
        }
    }
}

async fn take_up(firewall: &Firewall, path: &Path) -> anyhow::Result<()> {
    let taken = replace_all(firewall, path).await;
    firewall.unused.store(taken.as_ref().err().map(|error| Arc::new(format!("{error:#}"))));
    taken
}

async fn replace_all(firewall: &Firewall, path: &Path) -> anyhow::Result<()> {
    let settings = Settings::load(path)?;
    let rules = compile(&settings)?;
    firewall.warrants.replace(settings.warrants).await?;
    tracing::info!(file = %path.display(), revision = settings.policy.revision, "policy and rules reloaded; servers, agents and addresses need a restart");
    firewall.reviews.replace(settings.review);
    firewall.replace(rules, settings.policy);
    Ok(())
}

async fn sweep_all(firewall: &Firewall) {
    if let Err(error) = firewall.gate.sweep(now()).await {
        tracing::error!(%error, "holds could not be swept");
    }
    if let Err(error) = firewall.salts.keep_up(now()).await {
        tracing::error!(%error, "no salt for tomorrow's digests could be kept");
    }
    if let Err(error) = firewall.reviews.sweep(now()).await {
        tracing::error!(%error, "reviews could not be swept");
    }
    if let Err(error) = firewall.warrants.keep_clock().await {
        tracing::error!(%error, "the time could not be kept");
    }
}

/// Resolves on a signal or when a command said stop.
async fn interrupted(mut stopping: watch::Receiver<bool>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        let _ = stopping.wait_for(|stop| *stop).await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

/// One daemon for one data directory.
pub(super) fn lock(data_dir: &Path) -> anyhow::Result<fs::File> {
    let path = data_dir.join("daemon.lock");
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("a daemon runs already for {} (`herma status`)", data_dir.display());
    }
    Ok(file)
}

pub(super) fn user() -> String {
    std::env::var("USER").unwrap_or_else(|_| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// What others must know of the running daemon.
struct About<'a> {
    address: Option<SocketAddr>,
    /// Where people go.
    people: Option<String>,
    data_dir: &'a Path,
    file: Option<&'a Path>,
    metrics: Option<String>,
    servers: Vec<&'a str>,
}

impl About<'_> {
    fn agent_url(&self) -> Option<String> {
        self.address.map(|address| format!("http://{address}"))
    }

    fn status(&self) -> serde_json::Value {
        json!({
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "agent": self.agent_url(),
            "operator": self.people,
            "metrics": self.metrics,
            "servers": self.servers,
            "config": self.file.and_then(|file| std::path::absolute(file).ok()),
            "data": self.data_dir,
            "control": crate::control::socket(self.data_dir),
        })
    }

    /// Written whole, so that whoever waits for it never reads half.
    fn write(&self) -> anyhow::Result<()> {
        let path = self.data_dir.join("daemon.json");
        let new = self.data_dir.join("daemon.json.new");
        fs::write(&new, self.status().to_string())?;
        fs::rename(new, path)?;
        Ok(())
    }

    fn announce(&self) {
        let mut err = std::io::stderr().lock();
        if let Some(url) = self.agent_url() {
            let _ = writeln!(
                err,
                "herma: agents connect to {url}/mcp/<server>  (servers: {})",
                self.servers.join(", ")
            );
        }
        if let Some(url) = &self.people {
            let _ = writeln!(err, "herma: people decide at {url}  (`herma pair` gives the code)");
        }
        let _ =
            writeln!(err, "herma: decide with `herma holds watch`, read the record with `herma audit tail`");
        let _ = writeln!(
            err,
            "herma: approvals are advisory against programs of this same user, who can do what you can; see SECURITY.md"
        );
    }
}

/// The key of warrants that are made here: as lasting as the ledger's, and of use nowhere else.
fn desk_key(ledger: &SigningKey) -> SigningKey {
    let seed = zeroize::Zeroizing::new([b"herma-desk-warrants-v1".as_slice(), ledger.as_bytes()].concat());
    SigningKey::from_bytes(Digest::of(&seed).bytes())
}

/// The random value that seals what clients carry for us; it must survive a restart, and this user alone reads it.
fn sealing_key(data_dir: &Path) -> anyhow::Result<[u8; 32]> {
    let path = data_dir.join("secrets");
    let bytes = fs::read(&path).unwrap_or_default();
    if let Some(key) = bytes.last_chunk::<32>() {
        return Ok(*key);
    }
    let mut key = [0u8; 32];
    getrandom::fill(&mut key)?;
    fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)?
        .write_all(&key)?;
    Ok(key)
}

fn seed() -> anyhow::Result<u64> {
    let mut seed = [0u8; 8];
    getrandom::fill(&mut seed)?;
    Ok(u64::from_le_bytes(seed))
}
