//! Child processes: a command that waits before its exec until tracing is set up; commands of scripts.

use std::ffi::{CString, OsStr, OsString};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::error::{Error, Result};
use crate::proc::PidFd;
use crate::signals;

/// A child that was forked and waits before exec, or runs since [`Child::release`]. Dropping it ends it with SIGTERM.
#[derive(Debug)]
pub struct Child {
    pidfd: PidFd,
    /// A byte written here lets the child exec; closing it ends the child.
    gate: Option<PipeWriter>,
    /// The child writes the errno of a failed exec here; closed by a successful one.
    report: Option<PipeReader>,
    status: Option<ExitStatus>,
    program: PathBuf,
}

/// Everything the child needs, made before the fork: behind it, only async-signal-safe calls are allowed.
struct ExecPlan {
    path: CString,
    /// Owners of the strings that `argv` and `shell_argv` point to.
    _strings: Vec<CString>,
    argv: Vec<*const libc::c_char>,
    /// For a script without `#!`: sh, path, arguments.
    shell_argv: Vec<*const libc::c_char>,
}

const SHELL: &std::ffi::CStr = c"/bin/sh";

impl Child {
    /// Forks a child that stops before exec. `argv[0]` is looked up in `PATH` unless it has a slash.
    pub fn spawn_stopped<S: AsRef<OsStr>>(argv: &[S]) -> Result<Child> {
        const OP: &str = "start command";
        let first = argv.first().map(AsRef::as_ref).filter(|a| !a.is_empty());
        let Some(first) = first else { return Err(Error::other(OP, "", "the command is empty")) };
        let program = find_program(first)?;
        let plan = ExecPlan::new(&program, argv)?;
        let pipe = || std::io::pipe().map_err(|e| Error::io(OP, program.display().to_string(), &e));
        let (gate_reader, gate) = pipe()?;
        let (report, report_writer) = pipe()?;
        // SAFETY: the child only calls async-signal-safe functions on data made before (see `run_child`).
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            run_child(&plan, gate_reader.as_raw_fd(), gate.as_raw_fd(), report_writer.as_raw_fd());
        }
        if pid < 0 {
            return Err(Error::last_os(OP, program.display().to_string()));
        }
        drop((gate_reader, report_writer));
        let pidfd = PidFd::open(u32::try_from(pid).unwrap_or(0))?;
        Ok(Child { pidfd, gate: Some(gate), report: Some(report), status: None, program })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.pidfd.pid()
    }

    /// The executable that it becomes.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Lets the child exec and waits until it has; the error of a failed exec is returned. Later calls do nothing.
    pub fn release(&mut self) -> Result<()> {
        const OP: &str = "run command";
        let Some(mut gate) = self.gate.take() else { return Ok(()) };
        let object = || self.program.display().to_string();
        gate.write_all(&[1]).map_err(|e| Error::io(OP, object(), &e))?;
        drop(gate);
        let mut bytes = Vec::new();
        if let Some(mut report) = self.report.take() {
            report.read_to_end(&mut bytes).map_err(|e| Error::io(OP, object(), &e))?;
        }
        match bytes.as_slice().try_into().map(i32::from_ne_bytes) {
            Ok(errno) => Err(Error::new(OP, object(), errno)),
            Err(_) => Ok(()),
        }
    }

    /// Sends a signal.
    pub fn signal(&self, number: i32) -> Result<()> {
        self.pidfd.signal(number)
    }

    /// How it ended; `None` while it runs. Never waits.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.reap(libc::WNOHANG)
    }

    /// Waits for its end. A child that was not released is never waited for: release it first.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.release()?;
        self.reap(0)?.ok_or_else(|| Error::other("wait for", self.program.display().to_string(), "no status"))
    }

    fn reap(&mut self, options: i32) -> Result<Option<ExitStatus>> {
        if self.status.is_some() {
            return Ok(self.status);
        }
        let mut raw = 0;
        let pid = libc::pid_t::try_from(self.pid()).unwrap_or(-1);
        let done = loop {
            // SAFETY: `raw` lives for the call.
            let done = unsafe { libc::waitpid(pid, &mut raw, options) };
            if done >= 0 || crate::sys::call::last_errno() != libc::EINTR {
                break done;
            }
        };
        if done < 0 {
            return Err(Error::last_os("wait for", self.program.display().to_string()));
        }
        if done == pid {
            self.status = Some(ExitStatus::from_raw(raw));
        }
        Ok(self.status)
    }
}

impl AsFd for Child {
    /// Readable once the child has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_some() {
            return;
        }
        if self.gate.is_some() {
            // Not released. The closed gate alone may not end it: another child forked meanwhile has a copy of it.
            let _ = self.signal(libc::SIGKILL);
            let _ = self.reap(0);
            return;
        }
        if matches!(self.try_wait(), Ok(None)) {
            let _ = self.signal(libc::SIGTERM);
            let _ = self.try_wait();
        }
    }
}

impl ExecPlan {
    fn new<S: AsRef<OsStr>>(program: &Path, argv: &[S]) -> Result<ExecPlan> {
        let c = |s: &OsStr| {
            CString::new(s.as_bytes()).map_err(|_| {
                Error::other("start command", format!("`{}`", s.display()), "an argument has a NUL byte")
            })
        };
        let path = c(program.as_os_str())?;
        let strings = argv.iter().map(|a| c(a.as_ref())).collect::<Result<Vec<CString>>>()?;
        let end = std::iter::once(std::ptr::null());
        let args = || strings.iter().map(|s| s.as_ptr());
        let argv = args().chain(end.clone()).collect();
        let shell_argv =
            [SHELL.as_ptr(), path.as_ptr()].into_iter().chain(args().skip(1)).chain(end).collect();
        Ok(ExecPlan { path, _strings: strings, argv, shell_argv })
    }
}

/// The child's life between fork and exec. Allocates nothing and never returns.
fn run_child(plan: &ExecPlan, gate: RawFd, gate_writer: RawFd, report: RawFd) -> ! {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let none = signals::empty_set();
    let mut go = 0u8;
    // SAFETY: close, read, sigmask, signal, execve, write and _exit are async-signal-safe (signal-safety(7)); all
    // pointers are to memory that was made before the fork and is still there in the child; the argument arrays end
    // with null; `environ` is only read.
    unsafe {
        // Without this, the child itself would keep the gate open and never see its end.
        libc::close(gate_writer);
        if libc::read(gate, std::ptr::from_mut(&mut go).cast(), 1) != 1 {
            libc::_exit(0);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::execve(plan.path.as_ptr(), plan.argv.as_ptr(), environ);
        let mut errno = *libc::__errno_location();
        if errno == libc::ENOEXEC {
            libc::execve(SHELL.as_ptr(), plan.shell_argv.as_ptr(), environ);
            errno = *libc::__errno_location();
        }
        libc::write(report, std::ptr::from_ref(&errno).cast(), 4);
        libc::_exit(127);
    }
}

/// The file that a command name means: itself with a slash in it, else the first executable in `PATH`.
pub fn find_program(name: &OsStr) -> Result<PathBuf> {
    let executable = |p: &Path| -> bool {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(p).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let shown = name.display().to_string();
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return match std::fs::metadata(&path) {
            Err(e) => Err(Error::io("start command", shown, &e)),
            Ok(_) if !executable(&path) => {
                Err(Error::new("start command", shown, libc::EACCES).with_hint("it is no executable file"))
            }
            Ok(_) => Ok(path),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin"));
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|p| executable(p))
        .ok_or_else(|| Error::new("start command", shown, libc::ENOENT).with_hint("no such program in PATH"))
}

/// A command that starts with an empty signal mask and default SIGPIPE, whatever [`signals::Signals`] blocked here. For
/// commands of scripts (`system`).
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let none = signals::empty_set();
    // SAFETY: the closure only calls async-signal-safe functions and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            libc::pthread_sigmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            Ok(())
        });
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_child_runs_when_released() {
        let dir = std::env::temp_dir().join(format!("fathom-child-{}", std::process::id()));
        let marker = dir.display().to_string();
        let mut child = Child::spawn_stopped(&["sh", "-c", &format!(": > {marker}; exit 3")]).unwrap();
        assert!(child.pid() > 0);
        assert!(child.try_wait().unwrap().is_none());
        assert!(!dir.exists());
        child.release().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(3));
        assert!(dir.exists());
        std::fs::remove_file(&dir).unwrap();
    }

    #[test]
    fn missing_and_broken_commands_are_errors() {
        assert_eq!(Child::spawn_stopped(&["no-such-program-here"]).unwrap_err().errno, libc::ENOENT);
        assert_eq!(Child::spawn_stopped(&["/etc/passwd"]).unwrap_err().errno, libc::EACCES);
        assert!(Child::spawn_stopped::<&str>(&[]).is_err());
        assert!(Child::spawn_stopped(&[""]).is_err());
    }

    #[test]
    fn dropping_ends_the_child() {
        let child = Child::spawn_stopped(&["sleep", "100"]).unwrap();
        let pid = child.pid();
        drop(child);
        assert!(PidFd::open(pid).is_err());
        let mut child = Child::spawn_stopped(&["sleep", "100"]).unwrap();
        child.release().unwrap();
        let watch = PidFd::open(child.pid()).unwrap();
        drop(child);
        for _ in 0..500 {
            if watch.has_ended() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("SIGTERM didn't end the child");
    }

    #[test]
    fn script_commands_run() {
        let out = command("sh").args(["-c", "echo hi"]).output().unwrap();
        assert_eq!(out.stdout, b"hi\n");
    }
}
