//! `herma python`: the interpreter that an agent starts for the code it wrote.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use herma_warrant::text_form::from_base64;
use herma_warrant::warrant::Warrant;
use zeroize::Zeroizing;

use crate::carriers::sandbox::confine::{Scope, isolate, part};
use crate::carriers::sandbox::launcher::{self, Launch, SOCKET, TOKEN};
use crate::carriers::sandbox::shim::{Shim, of_program};

/// Set by Hermes for backends where script and agent share no socket.
const DIRECTORY: &str = "HERMES_RPC_DIR";

#[derive(Debug, clap::Subcommand)]
pub enum Python {
    /// Make a directory whose bin/python puts scripts under a warrant; start the agent with VIRTUAL_ENV set to it
    Install {
        /// The directory
        dir: PathBuf,
        /// The interpreter that runs the scripts [default: python3 on the PATH]
        #[arg(long, value_name = "FILE")]
        interpreter: Option<PathBuf>,
        /// Keep scripts from the network and from every file but their workspace (Linux)
        #[arg(long)]
        isolate: bool,
        /// What isolated scripts may write to, beside the directory they are started in
        #[arg(long, value_name = "DIR", requires = "isolate")]
        workspace: Vec<PathBuf>,
    },
    #[command(hide = true)]
    Run {
        #[arg(long)]
        shim: PathBuf,
        #[arg(long)]
        secrets: u32,
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    #[command(hide = true)]
    Confine {
        #[arg(long)]
        shim: PathBuf,
        #[arg(long)]
        parent: u32,
        #[arg(last = true)]
        args: Vec<OsString>,
    },
}

pub fn run(python: Python, data_dir: &Path) -> anyhow::Result<ExitCode> {
    match python {
        Python::Install { dir, interpreter, isolate, workspace } => {
            let interpreter = match interpreter {
                Some(interpreter) => std::path::absolute(interpreter)?,
                None => found().context("no python3 on the PATH: name one with --interpreter")?,
            };
            let workspaces = workspace.iter().map(std::path::absolute).collect::<Result<_, _>>()?;
            let shim = Shim { interpreter, data_dir: std::path::absolute(data_dir)?, isolate, workspaces };
            install(&shim, &dir)?;
            let dir = std::path::absolute(dir)?;
            writeln!(std::io::stdout(), "start the agent with VIRTUAL_ENV={}", dir.display())?;
            Ok(ExitCode::SUCCESS)
        }
        Python::Run { shim, secrets, args } => launch(shim, secrets, args),
        Python::Confine { shim, parent, args } => confine(&shim, parent, &args),
    }
}

/// Makes the directory that the agent takes for its Python.
pub fn install(shim: &Shim, dir: &Path) -> anyhow::Result<()> {
    Ok(shim.install(dir, &std::env::current_exe()?)?)
}

/// The interpreter itself: what stands on the PATH may be a script that looks for it.
pub fn found() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut all = std::env::split_paths(&path).map(|place| place.join("python3"));
    let python = all.find(|file| file.is_file() && of_program(file.as_os_str()).is_none())?;
    let asked =
        Command::new(python).args(["-c", "import sys; print(sys.executable, end='')"]).output().ok()?;
    Some(PathBuf::from(String::from_utf8(asked.stdout).ok()?)).filter(|file| file.is_file())
}

/// Becomes what an agent takes for Python when this program was started under that name. `None` when it was not.
pub fn as_interpreter() -> Option<anyhow::Result<ExitCode>> {
    let mut args = std::env::args_os();
    let dir = of_program(&args.next()?)?;
    Some(interpret(&dir, &args.collect::<Vec<_>>()))
}

fn interpret(dir: &Path, args: &[OsString]) -> anyhow::Result<ExitCode> {
    let shim = Shim::read(dir)?;
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (endpoint, token) = match (set(SOCKET), set(TOKEN)) {
        (Some(endpoint), Some(token)) if !is_warrant(&token) => (endpoint, token),
        (None, _) if set(DIRECTORY).is_some() => bail!(
            "this script would call tools through files, under a token that it can read itself, so it is not \
             started: docs/sandbox.md says how a sandbox elsewhere asks (`POST /sandbox/v1/call`)"
        ),
        // No script of the agent, or one that is under a warrant already and starts another.
        _ => return Err(exec(&shim.interpreter, args).into()),
    };
    // What stands in the environment of a process can be read by others: it is left behind before a script runs.
    let (secrets, mut writer) = pipe()?;
    let text = serde_json::to_vec(&(endpoint, token)).map(Zeroizing::new)?;
    writer.write_all(&text)?;
    drop(writer);
    let mut next = Command::new(std::env::current_exe()?);
    next.args(["python", "run", "--shim"]).arg(dir).arg("--secrets").arg(descriptor(&secrets).to_string());
    Err(next.arg("--").args(args).env_remove(SOCKET).env_remove(TOKEN).exec().into())
}

/// Whether the token is one of ours: then the script is behind the launcher.
fn is_warrant(token: &str) -> bool {
    from_base64(token).is_some_and(|bytes| Warrant::decode_stack(&bytes).is_ok())
}

fn exec(program: &Path, args: &[impl AsRef<OsStr>]) -> std::io::Error {
    Command::new(program).args(args).exec()
}

/// Stays open over `exec`.
fn pipe() -> anyhow::Result<(std::os::fd::OwnedFd, std::fs::File)> {
    let (read, write) = rustix::pipe::pipe()?;
    Ok((read, write.into()))
}

fn descriptor(open: &impl std::os::fd::AsRawFd) -> i32 {
    open.as_raw_fd()
}

fn launch(shim_dir: PathBuf, secrets: u32, args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    launcher::protect().context("this process cannot be kept from others' eyes")?;
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(format!("/dev/fd/{secrets}"))?.take(64 << 10).read_to_string(&mut text)?;
    let (endpoint, token): (PathBuf, String) = serde_json::from_str(&text)?;
    if endpoint.to_string_lossy().starts_with("tcp://") {
        bail!("the agent listens on {}, and only its Unix socket can be guarded", endpoint.display());
    }
    let launch = Launch {
        shim: Shim::read(&shim_dir)?,
        shim_dir,
        endpoint,
        token: Zeroizing::new(token),
        args,
        herma: std::env::current_exe()?,
    };
    Ok(ExitCode::from(launcher::code_of(launcher::run(&launch)?)))
}

/// Becomes the real interpreter, kept from what is not the script's.
fn confine(shim: &Path, parent: u32, args: &[OsString]) -> anyhow::Result<ExitCode> {
    let shim = Shim::read(shim)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let alive = rustix::process::getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
    if alive != Some(parent) {
        bail!("the launcher is gone, so the script is not started");
    }
    if shim.isolate {
        let script = args.first().map(Path::new).filter(|path| path.is_absolute());
        isolate(&Scope::of(&shim, script, |name| std::env::var_os(name).map(PathBuf::from)))?;
    } else {
        part()?;
    }
    Err(exec(&shim.interpreter, args).into())
}
