//! Requests that are signed for AWS (Signature Version 4), as Amazon Bedrock accepts them.
//!
//! The server runs in this process. For Bedrock, take `Provider::bedrock("us-east-1")?`, and the keys
//! of your account.

use std::{error::Error, fmt::Write as _, time::SystemTime};

use hmac::{Hmac, KeyInit as _, Mac as _};
use responses_client::{
    Auth, AuthProvider, ResponsesRequest, Secret, TokenFuture, TransportPolicy,
    http::{self, request::Parts},
    testing::{Exchange, Script, ScriptedServer, Turn},
};
use sha2::{Digest as _, Sha256};

type Fault = Box<dyn Error + Send + Sync>;

struct SigV4 {
    access_key_id: String,
    secret_access_key: Secret,
    region: String,
    /// `bedrock`; for the hosts `bedrock-mantle.*`, `bedrock-mantle`.
    service: &'static str,
}

impl AuthProvider for SigV4 {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(async { Ok(self.secret_access_key.clone()) })
    }

    fn sign(&self, token: &Secret, request: &mut Parts, body: &[u8]) -> Result<(), Fault> {
        request.headers.insert("x-amz-date", timestamp(SystemTime::now())?.parse()?);
        // Credentials of a role also need the header `x-amz-security-token`, set here.
        let authorization = self.authorization(token, request, body)?;
        request.headers.insert("authorization", authorization.parse()?);
        Ok(())
    }
}

impl SigV4 {
    fn authorization(&self, key: &Secret, request: &Parts, body: &[u8]) -> Result<String, Fault> {
        let time = request.headers.get("x-amz-date").ok_or("no date")?.to_str()?;
        let date = time.get(..8).ok_or("no date")?;
        let host = request.uri.authority().ok_or("no host")?.as_str();
        let mut signed = vec![("host", host)];
        for (name, value) in &request.headers {
            if name == "content-type" || name.as_str().starts_with("x-amz-") {
                signed.push((name.as_str(), value.to_str()?));
            }
        }
        signed.sort_unstable();
        let names: Vec<_> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let mut query: Vec<_> = request.uri.query().unwrap_or_default().split('&').collect();
        query.sort_unstable();
        let (method, path) = (&request.method, request.uri.path());
        let mut canonical = format!("{method}\n{path}\n{}\n", query.join("&"));
        for (name, value) in &signed {
            writeln!(canonical, "{name}:{}", value.trim())?;
        }
        write!(canonical, "\n{names}\n{}", hex(&Sha256::digest(body)))?;
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let hashed = hex(&Sha256::digest(&canonical));
        let mut key = format!("AWS4{}", key.expose()).into_bytes();
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}");
        for part in scope.split('/').chain([text.as_str()]) {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
            mac.update(part.as_bytes());
            key = mac.finalize().into_bytes().to_vec();
        }
        Ok(format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
            self.access_key_id,
            hex(&key)
        ))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a time as `20150830T123600Z`.
fn timestamp(time: SystemTime) -> Result<String, Fault> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    // For example `Sun, 30 Aug 2015 12:36:00 GMT`.
    let date = httpdate::fmt_http_date(time);
    let [_, day, month, year, clock, _] = date.split(' ').collect::<Vec<_>>()[..] else {
        return Err("no date".into());
    };
    let month = MONTHS.find(month).ok_or("no month")? / 3 + 1;
    Ok(format!("{year}{month:02}{day}T{}Z", clock.replace(':', "")))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    check_against_the_documentation()?;
    let server = ScriptedServer::start(Script::new().respond(show)).await?;
    let auth = Auth::provider(signer("bedrock"));
    let client = server.client_builder().auth(auth).transport(TransportPolicy::SseOnly).build()?;
    let response = client.respond(ResponsesRequest::new("a model").input("Say hello.")).await?;
    println!("{}", response.output_text());
    Ok(())
}

/// Returns a signer with the keys that the documentation of AWS has in its examples.
fn signer(service: &'static str) -> SigV4 {
    SigV4 {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        region: "us-east-1".to_owned(),
        service,
    }
}

fn show(exchange: &Exchange) -> Turn {
    let found = exchange.headers.iter().find(|(name, _)| name == "authorization");
    Turn::text(found.map_or("no signature", |(_, value)| value))
}

/// Checks the signature of the example in the documentation of AWS.
fn check_against_the_documentation() -> Result<(), Fault> {
    let url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08";
    let (request, ()) = http::Request::get(url)
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .header("x-amz-date", "20150830T123600Z")
        .body(())?
        .into_parts();
    let signer = signer("iam");
    let signed = signer.authorization(&signer.secret_access_key, &request, b"")?;
    let expected = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    assert!(signed.ends_with(expected), "{signed}");
    Ok(())
}
