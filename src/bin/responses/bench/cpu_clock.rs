//! Clocks of CPU time.

use std::time::Duration;

/// A clock of CPU time. Only Unix has one here.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuClock(CpuOf);

/// Subject of a clock.
#[derive(Clone, Copy, Debug)]
pub(super) enum CpuOf {
    /// The current thread.
    Thread,
    Process,
}

impl CpuClock {
    /// Returns the clock; `None` on systems without one.
    pub(super) fn of(what: CpuOf) -> Option<Self> {
        cfg!(unix).then_some(Self(what))
    }

    /// Returns the CPU time so far.
    pub(super) fn now(self) -> Duration {
        #[cfg(unix)]
        let time = rustix::time::clock_gettime(match self.0 {
            CpuOf::Thread => rustix::time::ClockId::ThreadCPUTime,
            CpuOf::Process => rustix::time::ClockId::ProcessCPUTime,
        });
        #[cfg(unix)]
        return Duration::try_from(time).unwrap_or_default();
        #[cfg(not(unix))]
        match self.0 {
            CpuOf::Thread | CpuOf::Process => Duration::ZERO,
        }
    }
}
