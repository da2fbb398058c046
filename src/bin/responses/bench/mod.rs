//! `responses bench`: measures what a turn costs over each transport.

mod chart;
mod compare;
#[cfg(test)]
mod made_up;
mod plot;
mod sample;
mod stats;
mod summary;
mod table;
