//! Measures the emulated network itself, before anything else.

use std::time::Duration;

use responses_client::{
    Item, ResponsesRequest, ResponsesSession,
    testing::{Link, Script, Turn},
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{
    progress::Progress,
    sample::Mode,
    site::{Access, Emulated, Site},
};
use crate::stop::{Stop, in_words};

/// Measured property of the emulated network, and its expected value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) expected_ms: f64,
    pub(super) measured_ms: f64,
    /// Difference from the expected value, in percent.
    pub(super) off_percent: f64,
}

/// Greatest difference from the expected value, in percent.
const TOLERANCE: f64 = 5.0;

/// Round trip of the checks, if that of the link is shorter.
const SHORTEST: Duration = Duration::from_millis(50);

/// Bandwidth of its check, if that of the link is unlimited.
const UNLIMITED: u64 = 100_000_000;

/// Highest bandwidth of its check in real time.
const REAL_TIME_RATE: u64 = 20_000_000;

/// Bytes that fit into the ten segments of an initial window, and into three of them.
const WINDOW: usize = 13_900;
const THREE_WINDOWS: usize = 43_500;

/// Number of turns of a check.
pub(super) const TURNS: usize = 18;

/// Checks the link of `site` without its jitter and losses. Counts its [`TURNS`] as progress.
///
/// # Errors
///
/// Returns an error if a property is off by more than 5 %. In real time, the work of other programs
/// disturbs a check, so that it is made up to three times.
pub(super) async fn check(site: &Emulated, progress: &Progress) -> Result<Vec<Check>, Stop> {
    let tries = if site.slowness == 1 { 3 } else { 1 };
    for _ in 1..tries {
        if let Ok(checks) = passed(measure(site, progress).await?) {
            return Ok(checks);
        }
        progress.add(TURNS);
    }
    passed(measure(site, progress).await?)
}

async fn measure(site: &Emulated, progress: &Progress) -> Result<Vec<Check>, Stop> {
    let link = site.link.clone().jitter(Duration::ZERO).loss(0.0);
    let is_real_time = site.slowness == 1;
    // In real time, the delays must exceed those of the program itself by far.
    let rtt = link.rtt.max(if is_real_time { 10 * SHORTEST } else { SHORTEST });
    let highest = if is_real_time { REAL_TIME_RATE } else { u64::MAX };
    // The bandwidth has checks of its own.
    let wide = link.clone().rtt(rtt).bandwidth_up(None).bandwidth_down(None);
    let at = |link: Link| Emulated { link, script: answers(), ..site.clone() };
    let (plain, secure) = (at(wide.clone().tls(false)), at(wide.tls(true)));
    let rate = |of: Option<u64>| of.unwrap_or(UNLIMITED).min(highest);
    let (up, down) = (rate(link.bandwidth_up), rate(link.bandwidth_down));
    // Without a round trip, the window limits no rate.
    let limited = link.tls(false).rtt(Duration::ZERO);
    let limited = at(limited.bandwidth_up(Some(up)).bandwidth_down(Some(down)));
    Ok(vec![
        Check::new("new_tls_connection", 2 * rtt, new_connection(&secure, progress).await?),
        Check::new("three_windows", rtt, three_windows(&plain, progress).await?),
        Check::new("restart_after_idle", rtt, restart_after_idle(&plain, progress).await?),
        bandwidth(&limited, Direction::Up, up, progress).await?,
        bandwidth(&limited, Direction::Down, down, progress).await?,
    ])
}

/// Returns the checks, or an error if a property is off by more than 5 %.
fn passed(checks: Vec<Check>) -> Result<Vec<Check>, Stop> {
    match checks.iter().find(|check| check.off_percent.abs() > TOLERANCE) {
        None => Ok(checks),
        Some(Check { name, expected_ms, measured_ms, off_percent }) => Err(Stop::Failed(format!(
            "the emulated network is off by {off_percent:.1} %, and nothing was measured: {name} \
             should take {expected_ms:.1} ms, and took {measured_ms:.1} ms"
        ))),
    }
}

/// Returns what a new connection costs more than a kept one.
async fn new_connection(site: &Emulated, progress: &Progress) -> Result<Duration, Stop> {
    let mut turns = Turns::new(site, Mode::SseKeepAlive, progress)?;
    let (new, _) = turns.run(0, 0).await?;
    let (kept, _) = turns.run(0, 0).await?;
    Ok(new.saturating_sub(kept))
}

/// Returns what a frame of three initial windows costs more than a frame of one.
async fn three_windows(site: &Emulated, progress: &Progress) -> Result<Duration, Stop> {
    let (one, _) = Turns::connected(site, progress).await?.run(WINDOW, 0).await?;
    let (three, _) = Turns::connected(site, progress).await?.run(THREE_WINDOWS, 0).await?;
    Ok(three.saturating_sub(one))
}

/// Returns what a frame costs more after ten seconds without traffic.
async fn restart_after_idle(site: &Emulated, progress: &Progress) -> Result<Duration, Stop> {
    let mut turns = Turns::connected(site, progress).await?;
    turns.run(THREE_WINDOWS, 0).await?;
    let (immediately, _) = turns.run(THREE_WINDOWS, 0).await?;
    sleep(Duration::from_secs(10) * site.slowness).await;
    let (after_idle, _) = turns.run(THREE_WINDOWS, 0).await?;
    Ok(after_idle.saturating_sub(immediately))
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

/// Measures the time that more bytes take.
async fn bandwidth(
    site: &Emulated,
    direction: Direction,
    rate: u64,
    progress: &Progress,
) -> Result<Check, Stop> {
    let per_second = rate as f64 / 8.0;
    let least = 15_000.0;
    let (mut times, mut bytes) = (Vec::new(), Vec::new());
    for size in [least, least + (per_second / 2.0).min(4e6)] {
        let mut turns = Turns::connected(site, progress).await?;
        let (time, passed) = match direction {
            Direction::Up => turns.run(size as usize, 0).await?,
            // An answer has its text five times.
            Direction::Down => turns.run(0, size as usize / 5).await?,
        };
        times.push(time.as_secs_f64() * 1e3);
        bytes.push(match direction {
            Direction::Up => passed.0 as f64,
            Direction::Down => passed.1 as f64,
        });
    }
    let grown = |of: &[f64]| of.last().zip(of.first()).map_or(0.0, |(last, first)| last - first);
    // A segment has 40 bytes of headers and 1460 of payload.
    let expected_ms = grown(&bytes) * (1500.0 / 1460.0) / per_second * 1e3;
    let name = match direction {
        Direction::Up => "bandwidth_up",
        Direction::Down => "bandwidth_down",
    };
    Ok(Check::of(name, expected_ms, grown(&times)))
}

/// Turns of any size, over one connection.
struct Turns<'a> {
    access: Access,
    session: ResponsesSession,
    slowness: u32,
    progress: &'a Progress,
}

impl<'a> Turns<'a> {
    fn new(site: &Emulated, mode: Mode, progress: &'a Progress) -> Result<Self, Stop> {
        let mut access = Site::Emulated(site.clone()).access(mode, 0)?;
        let session = access.client()?.session();
        Ok(Self { access, session, slowness: site.slowness, progress })
    }

    /// Returns turns over a new WebSocket that is open, and whose window has not grown.
    async fn connected(site: &Emulated, progress: &'a Progress) -> Result<Self, Stop> {
        let mut turns = Self::new(site, Mode::WebsocketFull, progress)?;
        turns.run(0, 0).await?;
        Ok(turns)
    }

    /// Runs a turn with about as many bytes of input, and as much text in its answer. Returns its
    /// time, and the bytes that were sent and received.
    async fn run(&mut self, up: usize, down: usize) -> Result<(Duration, (u64, u64)), Stop> {
        let request = ResponsesRequest::new("check")
            .input([Item::user("x".repeat(up))])
            .metadata([("down", down.to_string())]);
        let before = self.access.bytes().unwrap_or_default();
        let start = Instant::now();
        let response = self.session.respond(&request).await;
        let time = start.elapsed() / self.slowness;
        response.map_err(|error| Stop::Failed(in_words(&error)))?;
        self.progress.turn();
        let after = self.access.bytes().unwrap_or_default();
        Ok((time, (after.0 - before.0, after.1 - before.1)))
    }
}

impl Check {
    fn new(name: &str, expected: Duration, measured: Duration) -> Self {
        Self::of(name, expected.as_secs_f64() * 1e3, measured.as_secs_f64() * 1e3)
    }

    fn of(name: &str, expected_ms: f64, measured_ms: f64) -> Self {
        let rounded = |value: f64| (value * 1e3).round() / 1e3;
        let off_percent = rounded((measured_ms / expected_ms - 1.0) * 100.0);
        Self {
            name: name.to_owned(),
            expected_ms: rounded(expected_ms),
            measured_ms: rounded(measured_ms),
            off_percent,
        }
    }
}

/// Returns a script that answers with as much text as the request says.
fn answers() -> Script {
    Script::new().respond(|exchange| {
        let length = exchange.body.pointer("/metadata/down").and_then(|it| it.as_str());
        Turn::text("x".repeat(length.and_then(|it| it.parse().ok()).unwrap_or(0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_that_is_off_by_more_than_5_percent_is_an_error() {
        let check = |measured| {
            let (rtt, measured) = (Duration::from_millis(50), Duration::from_micros(measured));
            passed(vec![Check::new("one", rtt, rtt), Check::new("two", rtt, measured)])
        };
        assert_eq!(check(52_400).ok().unwrap().len(), 2);
        for (measured, percent) in [(53_000, "6.0"), (46_000, "-8.0"), (0, "-100.0")] {
            let Err(Stop::Failed(why)) = check(measured) else { panic!("{measured}") };
            let took = measured as f64 / 1e3;
            let expected = format!(
                "the emulated network is off by {percent} %, and nothing was measured: two should \
                 take 50.0 ms, and took {took:.1} ms"
            );
            assert_eq!(why, expected);
        }
    }
}
