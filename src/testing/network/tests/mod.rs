//! The model of TCP with exact times, its sockets, and turns over it.

mod turns;
