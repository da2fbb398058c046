//! Requests that are signed for AWS (Signature Version 4), as Amazon Bedrock accepts them.
//! The server runs in this process.

use std::{error::Error, time::SystemTime};

use hmac::{Hmac, KeyInit as _, Mac as _};
use responses_client::{
    Auth, AuthProvider, ResponsesRequest, Secret, TokenFuture, TransportPolicy,
    http::{self, request::Parts},
    testing::{Script, ScriptedServer, Turn},
};
use sha2::{Digest as _, Sha256};

type Fault = Box<dyn Error + Send + Sync>;

struct SigV4 {
    access_key_id: &'static str,
    secret_access_key: Secret,
    region: &'static str,
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
        let signature = self.authorization(token, request, body)?;
        request.headers.insert("authorization", signature.parse()?);
        Ok(())
    }
}

impl SigV4 {
    fn authorization(&self, key: &Secret, request: &Parts, body: &[u8]) -> Result<String, Fault> {
        let header = |name| request.headers.get(name).and_then(|value| value.to_str().ok());
        let time = header("x-amz-date").ok_or("no date")?;
        let date = time.get(..8).ok_or("no date")?;
        let host = request.uri.authority().map(|host| host.as_str());
        let names = ["content-type", "host", "x-amz-date", "x-amz-security-token"];
        let value = |name| if name == "host" { host } else { header(name) };
        let signed = names.into_iter().filter_map(|name| Some((name, value(name)?)));
        let signed: Vec<_> = signed.collect();
        let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let mut query: Vec<_> = request.uri.query().unwrap_or_default().split('&').collect();
        query.sort_unstable();
        let (method, path) = (&request.method, request.uri.path());
        let fields = signed.iter().map(|(name, value)| format!("{name}:{}\n", value.trim()));
        let (fields, query) = (fields.collect::<String>(), query.join("&"));
        let body = hex(&Sha256::digest(body));
        let canonical = format!("{method}\n{path}\n{query}\n{fields}\n{names}\n{body}");
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let mut key = format!("AWS4{}", key.expose()).into_bytes();
        let text =
            format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(&canonical)));
        for part in scope.split('/').chain([text.as_str()]) {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
            mac.update(part.as_bytes());
            key = mac.finalize().into_bytes().to_vec();
        }
        let (id, signature) = (self.access_key_id, hex(&key));
        let credential = format!("Credential={id}/{scope}, SignedHeaders={names}");
        Ok(format!("AWS4-HMAC-SHA256 {credential}, Signature={signature}"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a time as `20150830T123600Z`.
fn timestamp(time: SystemTime) -> Result<String, Fault> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let date = httpdate::fmt_http_date(time).replace(':', "");
    let parts: Vec<_> = date.split(' ').collect();
    let month = MONTHS.find(parts[2]).ok_or("no month")? / 3 + 1;
    Ok(format!("{}{month:02}{}T{}Z", parts[3], parts[1], parts[4]))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    check_against_the_documentation()?;
    let script = Script::new().respond(|exchange| {
        let found = exchange.headers.iter().find(|(name, _)| name == "authorization");
        Turn::text(found.map_or("no signature", |(_, value)| value))
    });
    let server = ScriptedServer::start(script).await?;
    let builder = server.client_builder().auth(Auth::provider(signer("bedrock")));
    let client = builder.transport(TransportPolicy::SseOnly).build()?;
    let response = client.respond(ResponsesRequest::new("a model").input("Say hello.")).await?;
    println!("{}", response.output_text());
    Ok(())
}

/// Returns a signer with the keys that the documentation of AWS has in its examples.
fn signer(service: &'static str) -> SigV4 {
    SigV4 {
        access_key_id: "AKIDEXAMPLE",
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        region: "us-east-1",
        service,
    }
}

/// Checks the signature of the example in the documentation of AWS.
fn check_against_the_documentation() -> Result<(), Fault> {
    let url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08";
    let request = http::Request::get(url).header("x-amz-date", "20150830T123600Z");
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    let (request, ()) = request.header("content-type", form).body(())?.into_parts();
    let signer = signer("iam");
    let signed = signer.authorization(&signer.secret_access_key, &request, b"")?;
    let expected = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    assert!(signed.ends_with(expected), "{signed}");
    Ok(())
}
