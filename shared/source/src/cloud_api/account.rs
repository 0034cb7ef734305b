//! Requests to Meta's Graph API about a business account: its subscribed apps and its numbers. For checks of the configuration.

use std::sync::Arc;

use http_client::SMALL_RESPONSE_MAX_BYTES;
use serde::{Deserialize, de::DeserializeOwned};

use super::media::{AccessToken, Got, GraphClient, GraphUrl, body};
use crate::SourceError;

/// An app that gets the webhooks of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribedApp {
    /// Meta's id of the app.
    pub id: String,
    /// The URL that the account has for it; `None` where webhooks go to the app's own, which this API does not tell.
    pub override_url: Option<String>,
}

/// A WhatsApp Business Account.
pub struct MetaAccount {
    graph: GraphUrl,
    client: GraphClient,
    id: String,
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
}

#[derive(Deserialize)]
struct App {
    whatsapp_business_api_data: AppData,
    #[serde(default)]
    override_callback_uri: Option<String>,
}

#[derive(Deserialize)]
struct AppData {
    id: String,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

impl MetaAccount {
    /// Creates the account of this id; `None` if the id is invalid.
    pub fn new(graph: GraphUrl, token: Arc<dyn AccessToken>, id: &str) -> Option<Self> {
        graph.edge(id, "")?;
        Some(Self { graph, client: GraphClient::new(token), id: id.to_owned() })
    }

    /// Returns the apps that are subscribed to the account. The token needs `whatsapp_business_management`. `None`
    /// if there is no such account, or the token may not read it: Meta responds to both in the same way.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] and [`SourceError::Configuration`].
    pub async fn subscribed_apps(&self) -> Result<Option<Vec<SubscribedApp>>, SourceError> {
        let list: Option<List<App>> = self.read(&self.id, "/subscribed_apps").await?;
        let app =
            |app: App| SubscribedApp { id: app.whatsapp_business_api_data.id, override_url: app.override_callback_uri };
        Ok(list.map(|list| list.data.into_iter().map(app).collect()))
    }

    /// Returns whether the token may use a number, by Meta's id of it: otherwise the files of its messages cannot be fetched.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] and [`SourceError::Configuration`].
    pub async fn may_use(&self, phone_number_id: &str) -> Result<bool, SourceError> {
        let number: Option<Id> = self.read(phone_number_id, "").await?;
        Ok(number.is_some_and(|number| number.id == phone_number_id))
    }

    async fn read<T: DeserializeOwned>(&self, id: &str, edge: &str) -> Result<Option<T>, SourceError> {
        let Some(url) = self.graph.edge(id, edge) else { return Ok(None) };
        let Got::Response(response) = self.client.get(&url).await? else { return Ok(None) };
        let body = body(response, SMALL_RESPONSE_MAX_BYTES as u64).await?;
        serde_json::from_slice(&body).map(Some).map_err(|_| SourceError::Unavailable {
            detail: "the Graph API's answer does not have the documented form".to_owned(),
            retry_after: None,
        })
    }
}
