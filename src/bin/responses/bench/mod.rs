//! `responses bench`: measures what a turn costs over each transport.

mod sample;
mod stats;
mod summary;
