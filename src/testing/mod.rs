//! The scripted server.
