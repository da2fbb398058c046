//! Trusted roots: the variables that name them, and what is wrong with each.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use responses_client::testing::{Script, ScriptedServer, Turn};

use crate::support::{
    BOTH, server,
    tool::{Ran, Temporary, ran, run},
};

const HI: &str = r#"{"model":"m","store":false,"input":"hi"}"#;

async fn tls_server() -> ScriptedServer {
    ScriptedServer::start_tls(Script::new().respond(|_| Turn::text("hi"))).await.unwrap()
}

fn pem(server: &ScriptedServer) -> String {
    server.ca_certificate_pem().unwrap().to_owned()
}

fn der(server: &ScriptedServer) -> Vec<u8> {
    let pem = pem(server);
    let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(lines).unwrap()
}

/// One turn with these variables.
async fn one_turn(server: &ScriptedServer, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = run(&server.url(), args);
    command.env("OPENAI_API_KEY", "key").envs(variables.iter().copied());
    ran(command, &[HI]).await
}

#[tokio::test]
async fn c175_a_fault_of_ssl_cert_file_is_named_with_its_mending() {
    let server = tls_server().await;
    let file = |name: &str, content: &[u8]| {
        let file = Temporary::new(name);
        std::fs::write(&file.0, content).unwrap();
        file
    };
    let trusted = pem(&server).replace("BEGIN ", "BEGIN TRUSTED ").replace("END ", "END TRUSTED ");
    let broken = pem(&server).replace("MII", "*II");
    let foreign = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let directory = env!("CARGO_TARGET_TMPDIR");
    for (file, fault) in [
        (Temporary::new("roots-missing"), "names a file that cannot be read: No such file"),
        (file("roots-empty", b""), "names an empty file"),
        (file("roots-text", b"garbage"), "names a file without a PEM certificate"),
        (file("roots-key", key.as_bytes()), "names a file without a PEM certificate"),
        (file("roots-broken", broken.as_bytes()), "names a file with malformed PEM"),
        (file("roots-der", &der(&server)), "names a file in DER: convert it to PEM with `openssl"),
        (
            file("roots-trusted", trusted.as_bytes()),
            "names a file in OpenSSL's trusted form: convert it with `openssl x509",
        ),
    ] {
        let ran = one_turn(&server, &[], &[("SSL_CERT_FILE", file.path())]).await;
        let wanted = format!("SSL_CERT_FILE={} {fault}", file.path());
        assert!(ran.stderr.contains(&wanted), "{wanted}: {ran:?}");
        assert_eq!((ran.code, ran.lines.len()), (Some(2), 0), "{ran:?}");
    }
    let unusable = file("roots-foreign", foreign.as_bytes());
    for (value, wanted) in [
        ("", "SSL_CERT_FILE= has no value: unset it, or set it to a PEM file".to_owned()),
        (
            directory,
            format!(
                "SSL_CERT_FILE={directory} names a directory: use SSL_CERT_DIR for directories"
            ),
        ),
        (unusable.path(), "the certificates that SSL_CERT_FILE names cannot be used".to_owned()),
    ] {
        let ran = one_turn(&server, &[], &[("SSL_CERT_FILE", value)]).await;
        assert!(ran.stderr.contains(&wanted), "{wanted}: {ran:?}");
        assert_eq!((ran.code, ran.lines.len()), (Some(2), 0), "{ran:?}");
    }
    assert!(server.log().connections.is_empty());
}

#[tokio::test]
async fn c175_the_variables_replace_the_roots_of_the_platform() {
    let (server, other) = (tls_server().await, tls_server().await);
    let (good, wrong) = (Temporary::new("roots-good.pem"), Temporary::new("roots-wrong.pem"));
    // Text around the certificates, as in the bundles of distributions, changes nothing.
    std::fs::write(&good.0, format!("# Roots\r\n{}\n{}\nend", pem(&other), pem(&server))).unwrap();
    std::fs::write(&wrong.0, pem(&other)).unwrap();
    for transport in BOTH {
        let args = ["--transport", transport.as_str(), "--quiet"];
        let passed = one_turn(&server, &args, &[("SSL_CERT_FILE", good.path())]).await;
        assert_eq!(passed.code, Some(0), "{passed:?}");
        let failed = one_turn(&server, &args, &[("SSL_CERT_FILE", wrong.path())]).await;
        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert_eq!(failed.turns()[0]["error"]["kind"], "tls");
        assert!(failed.lines[0].contains("scripted server CA"), "{failed:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn c175_directories_have_certificates_in_their_files() {
    let (server, other) = (tls_server().await, tls_server().await);
    let directories = ["roots-a", "roots-b", "roots-none"].map(Temporary::new);
    for directory in &directories {
        std::fs::create_dir_all(&directory.0).unwrap();
    }
    let [a, b, none] = &directories;
    std::fs::write(a.0.join("0123abcd.0"), pem(&other)).unwrap();
    std::fs::write(b.0.join("README"), "no certificate").unwrap();
    std::fs::write(b.0.join("ca.pem"), pem(&server)).unwrap();
    std::fs::write(none.0.join("README"), "no certificate").unwrap();
    let list = format!("{}:{}", a.path(), b.path());
    let file = Temporary::new("roots-beside.pem");
    std::fs::write(&file.0, pem(&other)).unwrap();
    for variables in [
        &[("SSL_CERT_DIR", b.path())][..],
        &[("SSL_CERT_DIR", &list)],
        &[("SSL_CERT_DIR", b.path()), ("SSL_CERT_FILE", file.path())],
    ] {
        let passed = one_turn(&server, &["--quiet"], variables).await;
        assert_eq!(passed.code, Some(0), "{passed:?}");
    }
    for value in [none.path(), "", "/no/such/directory"] {
        let ran = one_turn(&server, &[], &[("SSL_CERT_DIR", value)]).await;
        let wanted = format!("SSL_CERT_DIR={value} names no directory with PEM certificates");
        assert!(ran.stderr.contains(&wanted), "{ran:?}");
        assert_eq!((ran.code, ran.lines.len()), (Some(2), 0), "{ran:?}");
    }
    for directory in &directories {
        std::fs::remove_dir_all(&directory.0).unwrap();
    }
}

#[tokio::test]
async fn c175_plain_http_needs_no_roots() {
    let server = server(Script::new().respond(|_| Turn::text("hi"))).await;
    let variables = [("SSL_CERT_FILE", "/no/such/file"), ("SSL_CERT_DIR", "")];
    for transport in BOTH {
        let args = ["--transport", transport.as_str(), "--quiet"];
        let passed = one_turn(&server, &args, &variables).await;
        assert_eq!((passed.code, &*passed.stderr), (Some(0), ""), "{passed:?}");
    }
}

#[tokio::test]
async fn c194_a_fault_of_a_certificate_file_names_its_flag_and_its_mending() {
    let server = tls_server().await;
    let file = |name: &str, content: &[u8]| {
        let file = Temporary::new(name);
        std::fs::write(&file.0, content).unwrap();
        file
    };
    let key = || rcgen::KeyPair::generate().unwrap();
    let own = key();
    let params = rcgen::CertificateParams::new(["client".to_owned()]).unwrap();
    let certificate = file("flag-certificate", params.self_signed(&own).unwrap().pem().as_bytes());
    let good = file("flag-good", pem(&server).as_bytes());
    let der = file("flag-der", &der(&server));
    let text = file("flag-text", b"canary");
    let other = file("flag-other", key().serialize_pem().as_bytes());
    let key_der = file("flag-key-der", own.serialized_der());
    let x509 = "convert it to PEM with `openssl x509 -inform der -in FILE -out FILE.pem`";
    let pkey = "convert it to PEM with `openssl pkey -inform der -in FILE -out FILE.pem`";
    let path = certificate.path();
    for (args, flag, faulty, fault) in [
        (&["--ca-file", good.path(), "--ca-file", der.path()][..], "--ca-file", &der, x509),
        (&["--ca-file", text.path()], "--ca-file", &text, "without a PEM certificate"),
        (&["--client-certificate", der.path()], "--client-certificate", &der, x509),
        (&["--client-certificate", path], "--client-certificate", &certificate, "no private key"),
        (
            &["--client-certificate", path, "--client-key", key_der.path()],
            "--client-key",
            &key_der,
            pkey,
        ),
        (
            &["--client-certificate", path, "--client-key", other.path()],
            "--client-key",
            &other,
            "has the key of another certificate",
        ),
        (
            &["--client-certificate", path, "--client-key", text.path()],
            "--client-key",
            &text,
            "no private key in PEM",
        ),
    ] {
        let ran = one_turn(&server, args, &[]).await;
        let named = format!("{flag} {} ", faulty.path());
        assert!(ran.stderr.contains(&named), "{named}: {ran:?}");
        assert!(ran.stderr.contains(fault), "{fault}: {ran:?}");
        assert_eq!((ran.code, ran.lines.len()), (Some(2), 0), "{ran:?}");
    }
    let missing = one_turn(&server, &["--ca-file", "/no/such/file"], &[]).await;
    assert!(missing.stderr.contains("--ca-file /no/such/file: No such file"), "{missing:?}");
    assert!(server.log().connections.is_empty());
}
