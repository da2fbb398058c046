//! `responses bench`: measures what a turn costs over each transport.

use std::{io::Write, path::PathBuf, time::Duration};

use tokio::runtime;

pub(crate) use args::Args;

use self::{
    cpu_clock::{CpuClock, CpuOf},
    measure::Plan,
    progress::Progress,
    sample::ModeRun,
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
        Site::Emulated(emulated) => emulate(args, &plan, &site, emulated, &sweep)?,
        Site::Live(_) => {
            let progress = Progress::new(plan.total_turns());
            let measuring = plan.run(&site, CpuClock::of(CpuOf::Process), || progress.turn());
            let runtime =
                runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runs = started(runtime)?.block_on(measuring)?;
            Measured { checks: Vec::new(), runs, sweep: None }
        }
    };
    let checks = serde_json::to_value(&measured.checks).unwrap_or_default();
    let summary = Summary::new(args.settings(), checks, &measured.runs, measured.sweep);
    // Before the charts, whose folder may have become full.
    match args.json {
        true => {
            let json = serde_json::to_string(&summary);
            write(&format!("{}\n", json.map_err(|error| Stop::Failed(error.to_string()))?))?
        }
        false => write(&format!("{}\n{}", checked(&measured.checks), table::table(&summary)))?,
    };
    if let Some(folder) = &args.chart {
        let files = chart::write(folder, &chart::charts(&measured.runs, &summary)?)?;
        note(&format!("charts: {}", names(&files)));
    }
    Ok(true)
}

struct Measured {
    checks: Vec<Check>,
    runs: Vec<ModeRun>,
    sweep: Option<Sweep>,
}

/// Measures over the emulated network, after a check of the network itself.
fn emulate(
    args: &Args,
    plan: &Plan,
    site: &Site,
    emulated: &Emulated,
    sweep: &[(Duration, Site)],
) -> Result<Measured, Stop> {
    let progress = Progress::new(plan.total_turns().saturating_mul(1 + sweep.len()));
    let clock = || {
        let mut runtime = runtime::Builder::new_current_thread();
        started(runtime.enable_all().start_paused(!args.real_time).build())
    };
    let checks = clock()?.block_on(self_check::check(emulated))?;
    let mut runs = clock()?.block_on(plan.run(site, None, || progress.turn()))?;
    let mut points = Vec::with_capacity(sweep.len());
    for (rtt, site) in sweep {
        let runs = clock()?.block_on(plan.run(site, None, || progress.turn()))?;
        let first_event = |run: &ModeRun| {
            let median = median(run.samples.iter().map(|sample| in_ms(sample.first_event)));
            Some((run.label.clone(), median?))
        };
        let first_event_ms = runs.iter().filter_map(first_event).collect();
        points.push(SweepPoint { value: in_ms(*rtt), first_event_ms });
    }
    progress.end();
    cpu::measure(plan, &emulated.script.clone().slowed_by(0), emulated.link.tls, &mut runs)?;
    let sweep = (!points.is_empty()).then(|| Sweep { variable: "rtt_ms".to_owned(), points });
    Ok(Measured { checks, runs, sweep })
}

fn started(runtime: std::io::Result<runtime::Runtime>) -> Result<runtime::Runtime, Stop> {
    runtime.map_err(|error| Stop::Failed(format!("could not start the runtime: {error}")))
}

/// Returns the line that states the check of the emulated network.
fn checked(checks: &[Check]) -> String {
    let worst = checks.iter().map(|check| check.off_percent.abs()).fold(0.0, f64::max);
    match checks.len() {
        0 => String::new(),
        count => format!(
            "The emulated network passed {count} checks; the worst is off by {worst:.2} %.\n"
        ),
    }
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
