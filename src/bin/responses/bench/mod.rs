//! `responses bench`: measures what a turn costs over each transport.

mod compare;
#[cfg(test)]
mod made_up;
mod sample;
mod stats;
mod summary;
mod table;
