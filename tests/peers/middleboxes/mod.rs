//! Sessions through real middleboxes, alone and beside the Codex CLI.
//!
//! `RESPONSES_CLIENT_PEERS=1` asks for these tests; `.ci/run` installs the programs.
//! `RESPONSES_CLIENT_LITELLM=1` asks for the test with litellm; `.ci/long` installs litellm. The
//! outcomes are those of the tables in `docs/network.md`. To write the rows there:
//!
//! ```sh
//! RESPONSES_CLIENT_PEERS=1 RESPONSES_CLIENT_LITELLM=1 RESPONSES_CLIENT_WRITE_TABLE=1 \
//!     cargo test --all-features --test peers middleboxes -- --test-threads=1
//! ```

mod beside;
mod case;
mod certificates;
mod doctor;
mod forward;
mod network;
mod program;
mod reverse;
mod run;
mod table;
mod way;

use case::Case;
use futures_util::{StreamExt as _, stream};
use network::ClientNetwork;
use way::Way;

use crate::peer::{LITELLM, PEERS, is_inside, is_set, isolated};

/// Number of cases in which Codex runs at the same time: mostly, it waits.
const CODEX: usize = 4;

/// Runs the cases of a program if `variable` asks for them, and compares the outcomes with the
/// document.
async fn check(name: &str, cases: fn() -> Vec<Case>, variable: &str) {
    let test = format!("middleboxes::{name}_has_the_outcomes_of_the_table");
    if !is_set(variable) || !isolated(&test).await {
        return;
    }
    // The programs get accounts, ports and files of their own, and Codex reaches only the box.
    assert!(is_inside(), "there is no network namespace for this test: `unshare` failed");
    let network = &ClientNetwork::new().await;
    let mut ways = Vec::new();
    for case in cases() {
        let way = Way::open(&case).await;
        let seen = case.run(&way, network).await;
        ways.push((case, way, seen));
    }
    let rows = stream::iter(&ways).map(async |(case, way, seen)| {
        let beside = beside::run(way, network, case).await;
        let rows = table::rows(name, case, seen, &beside);
        println!("{}", rows.join("\n"));
        rows
    });
    let at_a_time = if table::is_written() { 1 } else { CODEX };
    let rows: Vec<_> = rows.buffered(at_a_time).collect().await;
    table::check(name, &rows);
}

macro_rules! programs {
    ($($test:ident: $name:literal, $cases:path, $variable:path;)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                check($name, $cases, $variable).await;
            }
        )*

        /// Programs with rows in the tables, in their order.
        const PROGRAMS: &[&str] = &[$($name),*];
    };
}

programs! {
    apache_has_the_outcomes_of_the_table: "apache", reverse::apache_cases, PEERS;
    caddy_has_the_outcomes_of_the_table: "caddy", reverse::caddy_cases, PEERS;
    dante_has_the_outcomes_of_the_table: "dante", forward::dante_cases, PEERS;
    envoy_has_the_outcomes_of_the_table: "envoy", reverse::envoy_cases, PEERS;
    haproxy_has_the_outcomes_of_the_table: "haproxy", reverse::haproxy_cases, PEERS;
    litellm_has_the_outcomes_of_the_table: "litellm", reverse::litellm_cases, LITELLM;
    microsocks_has_the_outcomes_of_the_table: "microsocks", forward::microsocks_cases, PEERS;
    mitmproxy_has_the_outcomes_of_the_table: "mitmproxy", forward::mitmproxy_cases, PEERS;
    nginx_has_the_outcomes_of_the_table: "nginx", reverse::nginx_cases, PEERS;
    privoxy_has_the_outcomes_of_the_table: "privoxy", forward::privoxy_cases, PEERS;
    squid_has_the_outcomes_of_the_table: "squid", forward::squid_cases, PEERS;
    stunnel_has_the_outcomes_of_the_table: "stunnel", forward::stunnel_cases, PEERS;
    tinyproxy_has_the_outcomes_of_the_table: "tinyproxy", forward::tinyproxy_cases, PEERS;
}

#[test]
fn the_tables_have_the_rows_of_these_programs() {
    table::check_programs(PROGRAMS);
}
