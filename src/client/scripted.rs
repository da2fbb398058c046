//! Clients of a scripted server.

use super::{builder::ResponsesClientBuilder, handle::ResponsesClient};
use crate::{
    config::{NetworkSettings, ProxySetting},
    error::Error,
    testing::{Connector, ScriptedServer},
};

impl ResponsesClientBuilder {
    /// Connects to a scripted server instead of the network, without sockets if the server has
    /// none.
    pub fn connector(mut self, connector: &Connector) -> Self {
        self.connector = Some(connector.network());
        self
    }
}

impl ScriptedServer {
    /// Returns a client of this server with default settings.
    ///
    /// # Errors
    ///
    /// Like [`ResponsesClientBuilder::build`].
    pub fn client(&self) -> Result<ResponsesClient, Error> {
        self.client_builder().build()
    }

    /// Returns a builder for a client of this server. The builder has the base URL, the certificate
    /// of the server's authority, and without sockets the [`connector`](Self::connector). It uses
    /// no proxy.
    ///
    /// ```
    /// use responses_client::testing::{Script, ScriptedServer, Turn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("hi")));
    /// let client = server.client_builder().incremental(false).build()?;
    /// # drop(client);
    /// # Ok(()) }
    /// ```
    pub fn client_builder(&self) -> ResponsesClientBuilder {
        let builder = ResponsesClient::builder().base_url(self.url());
        let mut network = NetworkSettings::new().proxy(ProxySetting::Direct);
        if let Some(ca) = self.ca_certificate_pem() {
            network = network.root_certificates_pem(ca);
        }
        match self.address() {
            Some(_) => builder.network(network),
            None => builder.connector(&self.connector()),
        }
    }
}
