//! Settings of this machine: variables of certificates, and settings that no client can use.

use responses_client::testing::{Script, ScriptedServer, Turn};

use super::{BOTH_WORK, Machine, NO_TURNS};
use crate::support::{server, tool::Temporary};

#[tokio::test]
async fn c183_faults_of_the_variables_of_certificates_are_named() {
    let (empty, garbage, der) = (
        Temporary::new("doctor-empty.pem"),
        Temporary::new("doctor-garbage.pem"),
        Temporary::new("doctor-der.pem"),
    );
    std::fs::write(&empty.0, "").unwrap();
    std::fs::write(&garbage.0, "canary").unwrap();
    std::fs::write(&der.0, [0x30, 0x82, 1, 2]).unwrap();
    let folder = env!("CARGO_TARGET_TMPDIR");
    for (name, value, words) in [
        ("SSL_CERT_FILE", "/nowhere.pem", "cannot be read"),
        ("SSL_CERT_FILE", empty.path(), "an empty file"),
        ("SSL_CERT_FILE", garbage.path(), "without a PEM certificate"),
        ("SSL_CERT_FILE", der.path(), "openssl x509 -inform der"),
        ("SSL_CERT_FILE", folder, "use SSL_CERT_DIR for directories"),
        ("SSL_CERT_DIR", folder, "names no directory with PEM certificates"),
    ] {
        let fault = Machine::new("https://127.0.0.1:9/v1").set(name, value).diagnose().await;
        fault.expect(&["note ca_variables", "fail ca_file"], NO_TURNS);
        fault.says("ca_file", &[name, words]);
    }
    let server = server(Script::new().respond(|_| Turn::text("hi"))).await;
    let plain = Machine::new(&server.url()).set("SSL_CERT_FILE", "/nowhere.pem").diagnose().await;
    plain.expect(&["note ca_variables"], BOTH_WORK);
}

#[tokio::test]
async fn c183_variables_of_other_programs_are_not_read() {
    let script = Script::new().respond(|_| Turn::text("hi"));
    let server = ScriptedServer::start_tls(script).await.unwrap();
    let ca = Temporary::new("doctor-ca.pem");
    std::fs::write(&ca.0, server.ca_certificate_pem().unwrap()).unwrap();
    for name in [
        "CODEX_CA_CERTIFICATE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "GIT_SSL_CAINFO",
    ] {
        let machine = || Machine::new(&server.url()).set(name, ca.path());
        let unread = machine().diagnose().await;
        unread.expect(&["note ca_variables_of_others", "fail tls_unknown_issuer"], NO_TURNS);
        unread.says("ca_variables_of_others", &[name, "--ca-file", "SSL_CERT_FILE"]);
    }
    let by_flag = Machine::new(&server.url()).flags(&["--ca-file", ca.path()]);
    by_flag.diagnose().await.expect(&[], BOTH_WORK);
    let by_variable = Machine::new(&server.url()).set("SSL_CERT_FILE", ca.path());
    by_variable.diagnose().await.expect(&["note ca_variables"], BOTH_WORK);
}

#[tokio::test]
async fn c183_other_settings_that_cannot_be_used_are_named() {
    let exposed = Machine::new("http://api.example/v1").diagnose().await;
    exposed.expect(&["fail setting"], NO_TURNS);
    exposed.says("setting", &["`--allow-http-credentials`"]);

    let file = Temporary::new("doctor-no-certificate.pem");
    std::fs::write(&file.0, "canary").unwrap();
    for (flag, words) in [
        ("--ca-file", "a root certificate cannot be used"),
        ("--client-certificate", "the client certificate is not a PEM text"),
    ] {
        let machine = Machine::new("https://127.0.0.1:9/v1").flags(&[flag, file.path()]);
        let wrong = machine.diagnose().await;
        wrong.expect(&["fail certificate_setting"], NO_TURNS);
        wrong.says("certificate_setting", &[words]);
    }
}
