//! `responses`: turns from standard input, and a scripted server, on the command line.

fn main() {}
