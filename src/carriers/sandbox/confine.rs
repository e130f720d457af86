//! What a script is kept from by the kernel.
//!
//! Always, where the kernel has Landlock: looking into processes outside, and sending them signals. Isolated: the
//! network, every socket but the one it was given, and every file but its workspace and what Python is made of.

use std::path::{Path, PathBuf};

use super::shim::Shim;

/// Names the connection that an isolated script was given.
pub const DESCRIPTOR: &str = "HERMA_RPC_DESCRIPTOR";

#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    #[error(
        "this kernel has no {0}, which isolation needs: the script was not started. Install the launcher without \
         --isolate to run scripts that are not isolated"
    )]
    Missing(&'static str),
    #[error("the script cannot be isolated ({0}), so it was not started")]
    Failed(String),
}

/// What an isolated script may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub reads: Vec<PathBuf>,
    pub writes: Vec<PathBuf>,
}

/// Parts of the system that Python and the programs it starts are made of, and that hold nobody's secrets.
const SYSTEM: [&str; 18] = [
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/opt",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/mime.types",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
];
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

impl Scope {
    /// From where the script is started and what its environment names.
    pub fn of(shim: &Shim, script: Option<&Path>, env: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let home = env("HOME");
        let agent = env("HERMES_HOME").or_else(|| home.map(|home| home.join(".hermes")));
        let hidden: Vec<PathBuf> = agent.into_iter().chain([shim.data_dir.clone()]).map(resolved).collect();
        let secret = |path: &Path| hidden.iter().any(|hidden| path.starts_with(hidden));

        let modules = env("PYTHONPATH").unwrap_or_default();
        let modules = std::env::split_paths(&modules).filter(|path| path.is_absolute()).collect::<Vec<_>>();
        let prefix = |python: &Path| python.parent().and_then(Path::parent).map(Path::to_owned);
        let python = [prefix(&shim.interpreter), prefix(&resolved(shim.interpreter.clone()))];
        let own = script.and_then(Path::parent).map(Path::to_owned);
        let reads = SYSTEM.iter().map(PathBuf::from).chain(modules).chain(python.into_iter().flatten());
        let reads = reads.chain(own).map(resolved).flat_map(|path| without(path, &hidden)).collect();

        let started = env("PWD").or_else(|| std::env::current_dir().ok());
        let workspaces = started.into_iter().chain(shim.workspaces.iter().cloned()).map(resolved);
        let workspaces = workspaces.filter(|path| !secret(path)).flat_map(|path| without(path, &hidden));
        Self { reads, writes: workspaces.chain(env("TMPDIR")).collect() }
    }
}

fn resolved(path: PathBuf) -> PathBuf {
    std::fs::canonicalize(&path).unwrap_or(path)
}

/// The path, or, when something hidden lies beneath it, everything beneath it but that.
fn without(path: PathBuf, hidden: &[PathBuf]) -> Vec<PathBuf> {
    if !hidden.iter().any(|hidden| hidden != &path && hidden.starts_with(&path)) {
        return vec![path];
    }
    let Ok(entries) = std::fs::read_dir(&path) else { return Vec::new() };
    let beneath = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    let beneath = beneath.map(|entry| entry.path()).filter(|path| !hidden.contains(path));
    beneath.flat_map(|path| without(path, hidden)).collect()
}

/// Keeps this process, and all it becomes, from looking into others. What the kernel has not, it does not do: other
/// things keep the agent's token where it is.
#[cfg(target_os = "linux")]
pub fn part() -> Result<(), ConfineError> {
    use landlock::{Ruleset, RulesetAttr, Scope};
    let failed = |error: landlock::RulesetError| ConfineError::Failed(error.to_string());
    let ruleset = Ruleset::default().scope(Scope::Signal).map_err(failed)?.create().map_err(failed)?;
    ruleset.restrict_self().map(|_| ()).map_err(failed)
}

#[cfg(not(target_os = "linux"))]
pub fn part() -> Result<(), ConfineError> {
    Ok(())
}

#[cfg(target_os = "linux")]
pub fn isolate(scope: &Scope) -> Result<(), ConfineError> {
    linux::restrict_files(scope)?;
    linux::restrict_sockets()
}

#[cfg(not(target_os = "linux"))]
pub fn isolate(_scope: &Scope) -> Result<(), ConfineError> {
    Err(ConfineError::Missing("Landlock"))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;

    use landlock::{
        ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
        RulesetStatus, Scope as Outside, path_beneath_rules,
    };
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };

    use super::{ConfineError, DEVICES, Scope};

    /// The newest whose rights are asked for; an older kernel does what it can, if it can do files.
    const NEWEST: ABI = ABI::V6;

    pub(super) fn restrict_files(scope: &Scope) -> Result<(), ConfineError> {
        let restrict = || -> Result<_, RulesetError> {
            let read = AccessFs::from_read(NEWEST);
            let device = AccessFs::ReadFile | AccessFs::WriteFile;
            Ruleset::default()
                .handle_access(AccessFs::from_all(NEWEST))?
                .handle_access(AccessNet::from_all(NEWEST))?
                .scope(Outside::from_all(NEWEST))?
                .create()?
                .add_rules(path_beneath_rules(&scope.reads, read))?
                .add_rules(path_beneath_rules(&scope.writes, AccessFs::from_all(NEWEST)))?
                .add_rules(path_beneath_rules(DEVICES, device))?
                .restrict_self()
        };
        match restrict() {
            Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
                Err(ConfineError::Missing("Landlock"))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(ConfineError::Failed(error.to_string())),
        }
    }

    /// Only stream sockets of this machine, and none of them leads anywhere. What could go around that is out of
    /// reach as well.
    pub(super) fn restrict_sockets() -> Result<(), ConfineError> {
        let failed = |error: seccompiler::Error| ConfineError::Failed(error.to_string());
        for filter in [filter(), unasked()] {
            let filter = filter.map_err(|error| ConfineError::Failed(error.to_string()))?;
            seccompiler::apply_filter(&filter).map_err(failed)?;
        }
        Ok(())
    }

    /// What `clone3` is asked for stands in memory, where no filter reads: without it, libraries use `clone`.
    fn unasked() -> Result<BpfProgram, seccompiler::BackendError> {
        let rules = BTreeMap::from([(libc::SYS_clone3, vec![])]);
        let denied = SeccompAction::Errno(libc::ENOSYS as u32);
        SeccompFilter::new(rules, SeccompAction::Allow, denied, std::env::consts::ARCH.try_into()?)?
            .try_into()
    }

    fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
        const KIND: u64 = 0xf;
        let differs = |index, mask, wanted| {
            // A rule matches when all its conditions do, and there is no "differs under a mask": one for each other.
            (0..=mask).filter(move |value| *value != wanted).map(move |value| {
                let masked = SeccompCmpOp::MaskedEq(mask);
                SeccompRule::new(vec![SeccompCondition::new(index, SeccompCmpArgLen::Dword, masked, value)?])
            })
        };
        let elsewhere = SeccompRule::new(vec![SeccompCondition::new(
            0,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Ne,
            libc::AF_UNIX as u64,
        )?])?;
        let other_kinds: Vec<SeccompRule> =
            differs(1, KIND, libc::SOCK_STREAM as u64).collect::<Result<_, _>>()?;
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            OUT_OF_REACH.iter().map(|call| (*call, vec![])).collect();
        rules.insert(libc::SYS_socket, [vec![elsewhere], other_kinds.clone()].concat());
        rules.insert(libc::SYS_socketpair, other_kinds);
        let namespaces = NAMESPACES.iter().map(|flag| {
            let (flag, wide) = (u64::from(flag.cast_unsigned()), SeccompCmpArgLen::Qword);
            SeccompRule::new(vec![SeccompCondition::new(0, wide, SeccompCmpOp::MaskedEq(flag), flag)?])
        });
        rules.insert(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?);
        let denied = SeccompAction::Errno(libc::EPERM as u32);
        let architecture = std::env::consts::ARCH.try_into()?;
        SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture)?.try_into()
    }

    const NAMESPACES: [i32; 7] = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ];

    const OUT_OF_REACH: [i64; 44] = [
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_fsopen,
        libc::SYS_fsmount,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_mount_setattr,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_open_by_handle_at,
        libc::SYS_name_to_handle_at,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_kexec_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_acct,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        libc::SYS_personality,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_that_holds_the_agents_home_is_granted_without_it() {
        let dir = tempfile::tempdir().unwrap();
        let home = std::fs::canonicalize(dir.path()).unwrap();
        for made in [".hermes", "data", "project/src"] {
            std::fs::create_dir_all(home.join(made)).unwrap();
        }
        let shim = Shim {
            interpreter: "/usr/bin/python3".into(),
            data_dir: home.join("data"),
            isolate: true,
            workspaces: vec![home.join(".hermes/skills")],
        };
        let env = |name: &str| match name {
            "HOME" | "PWD" => Some(home.clone()),
            _ => None,
        };
        let scope = Scope::of(&shim, None, env);
        assert_eq!(scope.writes, [home.join("project")]);
        assert!(scope.reads.iter().all(|path| !home.starts_with(path)), "{:?}", scope.reads);
    }
}
