//! The process between PigeonDeliver and a program: it takes rights and resources from itself, then becomes the program.
//!
//! It is the same program file, started under the name [`HELPER`]; it has one thread and no other task, so that all it
//! takes from itself is taken from the program and from everything that starts. The order matters: files (Landlock),
//! then resources (setrlimit), then system calls (seccomp), which would forbid the steps before.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde::{Deserialize, Serialize};

/// The name under which the program file does this and nothing else.
pub const HELPER: &str = "pigeon-sandbox";
/// What the lines begin with that it writes on standard error.
pub(super) const MARK: &str = "pigeon-sandbox: ";
/// Its exit code when the program was not started.
pub(super) const FAILED: u8 = 125;

/// What programs may read: those of the system, and what they need to start. Not all of /etc, which has secrets.
const SYSTEM: [&str; 24] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/nix",
    "/gnu",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ssl/certs",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/perl",
    "/etc/resolv.conf",
    "/etc/services",
];
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// What Landlock knows since kernel 6.12: the newest rights that are asked for.
const WANTED: ABI = ABI::V6;

/// A program and all that it is given.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Cage {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    /// Its working directory, the only one that it may write to.
    pub(super) scratch: PathBuf,
    pub(super) readable: Vec<PathBuf>,
    pub(super) network: bool,
    /// Whether it runs only where the kernel can do all of this.
    pub(super) is_required: bool,
    pub(super) cpu_seconds: u64,
    pub(super) memory: u64,
    pub(super) file_size: u64,
    /// Processes and threads, besides those that the user has already.
    pub(super) processes: u64,
    pub(super) open_files: u64,
}

/// Whether the process was started for this, from its name.
#[must_use]
pub fn is_asked_for(arguments: &[String]) -> bool {
    arguments.first().is_some_and(|name| name == HELPER)
}

/// Becomes the program. Returns only when that fails.
#[must_use]
pub fn run(arguments: &[String]) -> ExitCode {
    let cage = arguments.get(1).ok_or_else(|| "it is started by PigeonDeliver alone".to_owned());
    let cage = cage.and_then(|text| serde_json::from_str::<Cage>(text).map_err(|error| error.to_string()));
    let why = match cage.and_then(|cage| confine(&cage).map(|()| cage)) {
        Ok(cage) => become_program(&cage),
        Err(why) => why,
    };
    say(&why);
    ExitCode::from(FAILED)
}

fn say(line: &str) {
    // There is nobody else to tell.
    drop(std::io::stderr().write_all(format!("{MARK}{}\n", line.replace('\n', " ")).as_bytes()));
}

fn become_program(cage: &Cage) -> String {
    let environment = cage.environment.iter().map(|(name, value)| (name, value));
    let error = Command::new(&cage.program)
        .args(&cage.arguments)
        .env_clear()
        .envs(environment)
        .current_dir(&cage.scratch)
        .exec();
    format!("{} cannot be started: {error}", cage.program.display())
}

/// Takes everything away that the program is not to have.
fn confine(cage: &Cage) -> Result<(), String> {
    let running = running();
    rustix::thread::set_no_new_privs(true).map_err(|errno| format!("no_new_privs: {errno}"))?;
    lacking(cage, "files are not protected (Landlock)", confine_files(cage))?;
    limit(cage, running)?;
    lacking(cage, "system calls are not filtered (seccomp)", filter_calls(cage))
}

/// Says that the kernel cannot do something; or refuses to go on without it.
fn lacking(cage: &Cage, what: &str, done: Result<(), String>) -> Result<(), String> {
    let Err(why) = done else { return Ok(()) };
    let line = format!("{what}: {why}");
    if cage.is_required {
        return Err(line);
    }
    say(&line);
    Ok(())
}

fn confine_files(cage: &Cage) -> Result<(), String> {
    let readable = SYSTEM.iter().map(Path::new).chain(cage.readable.iter().map(PathBuf::as_path));
    let everything = AccessFs::from_all(WANTED);
    let confined = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(everything)?
            .scope(Scope::from_all(WANTED))?
            .create()?
            .add_rules(path_beneath_rules(readable, AccessFs::from_read(WANTED)))?
            .add_rules(path_beneath_rules(DEVICES, AccessFs::ReadFile | AccessFs::WriteFile))?
            .add_rules(path_beneath_rules([&cage.scratch], everything))?
            .restrict_self()
    };
    let status = confined().map_err(|error: landlock::RulesetError| error.to_string())?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        // An older kernel: files are protected, signals and some calls on files are not.
        RulesetStatus::PartiallyEnforced => {
            Err("this kernel does so in part; 6.12 and newer do it all".to_owned())
        }
        RulesetStatus::NotEnforced => Err("this kernel has it not, or not switched on".to_owned()),
    }
}

/// Processes and threads of this user: the limit of the kernel counts all of them.
fn running() -> u64 {
    let own = rustix::process::geteuid().as_raw();
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    let is_own = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|status| status.uid() == own);
    let threads = |path: PathBuf| {
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Threads:").map(str::to_owned));
        line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(is_own).map(threads).sum()
}

fn limit(cage: &Cage, running: u64) -> Result<(), String> {
    let limits = [
        (Resource::Core, 0),
        (Resource::Cpu, cage.cpu_seconds),
        (Resource::Fsize, cage.file_size),
        (Resource::Nofile, cage.open_files),
        (Resource::Nproc, running.saturating_add(cage.processes)),
        (Resource::As, cage.memory),
    ];
    for (resource, wanted) in limits {
        let held = getrlimit(resource).maximum.map_or(wanted, |most| most.min(wanted));
        let limit = Rlimit { current: Some(held), maximum: Some(held) };
        setrlimit(resource, limit).map_err(|errno| format!("the limit of {resource:?}: {errno}"))?;
    }
    Ok(())
}

/// What no program over a message needs: other processes' memory, the kernel's inside, and ways out of its process
/// group, which is killed in the end. Signals are Landlock's.
const FORBIDDEN: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// What the numbers of the x32 interface of x86-64 have added.
const X32: i64 = 0x4000_0000;

fn filter_calls(cage: &Cage) -> Result<(), String> {
    let forbidden = FORBIDDEN.iter().copied();
    let sockets = (!cage.network).then_some(libc::SYS_socket);
    // Kernels with the x32 interface take each call under a second number.
    let second = |call: i64| cfg!(target_arch = "x86_64").then_some(call | X32);
    let calls = forbidden.chain(sockets).flat_map(|call| [Some(call), second(call)]);
    let rules: BTreeMap<i64, Vec<_>> = calls.flatten().map(|call| (call, Vec::new())).collect();
    let architecture = std::env::consts::ARCH.try_into().map_err(|error| format!("{error}"))?;
    let refusal = SeccompAction::Errno(u32::try_from(libc::EPERM).unwrap_or(1));
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refusal, architecture);
    let program: Result<BpfProgram, _> = filter.and_then(TryInto::try_into);
    let program = program.map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}
