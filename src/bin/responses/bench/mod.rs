//! `responses bench`: measures what a turn costs over each transport.

use std::{io::Write, path::PathBuf, time::Duration};

use tokio::runtime;

pub(crate) use args::Args;

use self::{
    cpu_clock::{CpuClock, CpuOf},
    measure::{Plan, Runs},
    progress::Progress,
    sample::{FailedTurn, ModeRun},
    self_check::Check,
    site::{Emulated, Site},
    stats::median,
    summary::{Summary, Sweep, SweepPoint, in_ms},
};
use crate::{notes::note, stop::Stop};

mod args;
mod chart;
mod compare;
mod cpu;
mod cpu_clock;
#[cfg(test)]
mod made_up;
mod measure;
mod plot;
mod progress;
mod sample;
mod self_check;
mod site;
mod stats;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod workload;

/// Measures, and writes the figures.
pub(crate) fn bench(args: &Args) -> Result<bool, Stop> {
    if let Some([old, new]) = args.compare.as_deref() {
        return write(&compare::compare(old, new)?);
    }
    let (plan, site, sweep) = (args.plan()?, args.site()?, args.sweep()?);
    if let Some(folder) = &args.chart {
        chart::check_folder(folder)?;
    }
    let measured = match &site {
        Site::Emulated(emulated) => {
            let progress = Progress::new(emulated_turns(&plan, sweep.len()));
            emulate(args, &plan, &site, emulated, &sweep, &progress)?
        }
        Site::Live(_) => {
            let progress = Progress::new(plan.total_turns());
            let measuring = plan.run(&site, CpuClock::of(CpuOf::Process), || progress.turn());
            let runtime =
                runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let Runs { modes: runs, error } = started(runtime)?.block_on(measuring)?;
            progress.end();
            Measured { checks: Vec::new(), runs, sweep: None, error }
        }
    };
    let checked = measured.checked();
    let checks = serde_json::to_value(&measured.checks).unwrap_or_default();
    let Measured { error, runs, sweep, .. } = measured;
    let summary = Summary { error, ..Summary::new(args.settings(), checks, &runs, sweep) };
    // Before the charts, whose folder may have become full.
    match args.json {
        true => {
            let json = serde_json::to_string(&summary);
            write(&format!("{}\n", json.map_err(|error| Stop::Failed(error.to_string()))?))?
        }
        false if runs.iter().all(|run| run.samples.is_empty()) => true,
        false => write(&format!("{checked}{}", table::table(&summary)))?,
    };
    if let Some(folder) = &args.chart {
        let files = chart::write(folder, &chart::charts(&runs, &summary)?)?;
        note(&format!("charts: {}", names(&files)));
    }
    match summary.error {
        None => Ok(true),
        Some(error) => Err(Stop::Failed(error.to_string())),
    }
}

struct Measured {
    checks: Vec<Check>,
    runs: Vec<ModeRun>,
    sweep: Option<Sweep>,
    /// The failed turn that ended the measurement.
    error: Option<FailedTurn>,
}

impl Measured {
    /// Returns the line that states the checks of the emulated networks, and an empty line; nothing
    /// without a check.
    fn checked(&self) -> String {
        let points = self.sweep.iter().flat_map(|sweep| &sweep.points);
        let checks = self.checks.iter().chain(points.flat_map(|point| &point.self_check));
        let off: Vec<f64> = checks.map(|check| check.off_percent.abs()).collect();
        let worst = off.iter().copied().fold(0.0, f64::max);
        match off.len() {
            0 => String::new(),
            count => format!(
                "The emulated network passed {count} checks; the worst is off by {worst:.2} %.\n\n"
            ),
        }
    }
}

/// Measures over the emulated network, after a check of the network itself at each of its settings.
fn emulate(
    args: &Args,
    plan: &Plan,
    site: &Site,
    emulated: &Emulated,
    sweep: &[(Duration, Emulated)],
    progress: &Progress,
) -> Result<Measured, Stop> {
    let clock = || {
        let mut runtime = runtime::Builder::new_current_thread();
        started(runtime.enable_all().start_paused(!args.real_time).build())
    };
    let check = |site: &Emulated| clock()?.block_on(self_check::check(site, progress));
    let checks = check(emulated)?;
    let point_checks = sweep.iter().map(|(_, site)| check(site)).collect::<Result<Vec<_>, _>>()?;
    let measure = |site: &Site| clock()?.block_on(plan.run(site, None, || progress.turn()));
    let Runs { modes: mut runs, mut error } = measure(site)?;
    let mut points = Vec::with_capacity(sweep.len());
    for ((rtt, site), self_check) in sweep.iter().zip(point_checks) {
        if error.is_some() {
            break;
        }
        let point = measure(&Site::Emulated(site.clone()))?;
        let first_event = |run: &ModeRun| {
            let median = median(run.samples.iter().map(|sample| in_ms(sample.first_event)));
            Some((run.label.clone(), median?))
        };
        let first_event_ms = point.modes.iter().filter_map(first_event).collect();
        points.push(SweepPoint { value: in_ms(*rtt), first_event_ms, self_check });
        error = point.error;
    }
    if error.is_none() {
        let script = emulated.script.clone().slowed_by(0);
        cpu::measure(plan, &script, emulated.link.tls, &mut runs, progress)?;
    }
    progress.end();
    let sweep = (!points.is_empty()).then(|| Sweep { variable: "rtt_ms".to_owned(), points });
    Ok(Measured { checks, runs, sweep, error })
}

/// Returns the number of turns of [`emulate`], with this number of sweep points.
fn emulated_turns(plan: &Plan, points: usize) -> usize {
    let of_network = plan.total_turns().saturating_add(self_check::TURNS);
    of_network.saturating_mul(1 + points).saturating_add(plan.cpu_turns())
}

fn started(runtime: std::io::Result<runtime::Runtime>) -> Result<runtime::Runtime, Stop> {
    runtime.map_err(|error| Stop::Failed(format!("could not start the runtime: {error}")))
}

fn names(files: &[PathBuf]) -> String {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    names.join(", ")
}

fn write(text: &str) -> Result<bool, Stop> {
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Stop::output)?;
    Ok(true)
}
