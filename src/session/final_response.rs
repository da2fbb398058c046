//! The response of a turn together with its report: [`FinalResponse`].

use std::ops::Deref;

use crate::{event::RateLimits, report::TurnReport, response::Response};

/// Response of a turn that has ended, with the report of the turn. Returned by
/// [`ResponseStream::final_response`](crate::ResponseStream::final_response) and
/// [`ResponsesSession::respond`](crate::ResponsesSession::respond).
///
/// Dereferences to the [`Response`], whose methods can be called directly.
///
/// ```
/// # use responses_client::{Error, ResponsesRequest, ResponsesSession};
/// # async fn ask(session: &mut ResponsesSession) -> Result<(), Error> {
/// let response = session.respond(ResponsesRequest::new("gpt-6-astra")).await?;
/// println!("{}", response.output_text());
/// println!("{} bytes sent", response.report().bytes_sent);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FinalResponse {
    response: Response,
    report: TurnReport,
}

impl FinalResponse {
    pub(super) fn new(response: Response, report: TurnReport) -> Self {
        Self { response, report }
    }

    /// Returns the report of the turn: its plan, its attempts, their transport and the time that
    /// each phase took.
    pub fn report(&self) -> &TurnReport {
        &self.report
    }

    /// Returns the id to quote to the server's support, from the header `x-request-id`.
    pub fn request_id(&self) -> Option<&str> {
        self.report.server.request_id()
    }

    /// Returns the remaining rates in `x-ratelimit-*`. Over a WebSocket, they date from its upgrade.
    pub fn rate_limits(&self) -> RateLimits {
        self.report.server.rate_limits()
    }

    /// Returns the response, and drops the report.
    pub fn into_response(self) -> Response {
        self.response
    }

    /// Returns the response and the report of its turn.
    pub fn into_parts(self) -> (Response, TurnReport) {
        (self.response, self.report)
    }
}

impl Deref for FinalResponse {
    type Target = Response;

    fn deref(&self) -> &Response {
        &self.response
    }
}

impl From<FinalResponse> for Response {
    fn from(last: FinalResponse) -> Self {
        last.response
    }
}
