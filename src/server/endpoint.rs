//! The API's endpoints other than the one that creates a response.

use super::{http::Query, store::Page};

/// An endpoint other than the one that creates a response.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint<'a> {
    /// Retrieves a response.
    Get { id: &'a str },
    /// Streams the events of a response, those after a sequence number if one is given.
    Stream { id: &'a str, starting_after: Option<u64> },
    /// Cancels a response.
    Cancel { id: &'a str },
    /// Deletes a response.
    Delete { id: &'a str },
    /// Lists the input items of a response.
    InputItems { id: &'a str, page: Page },
    /// Lists the models.
    Models,
    /// Retrieves a model.
    Model { id: &'a str },
}

/// Path of the endpoint that creates a response, below the base path.
pub(crate) const CREATE: &str = "/responses";

/// Returns the part of a path below the base path; `None` if it is not below it. Without a base
/// path, every path is below one.
pub(crate) fn below_base<'a>(path: &'a str, base: Option<&str>) -> Option<&'a str> {
    match base {
        Some(base) => path.strip_prefix(base).filter(|rest| rest.starts_with('/')),
        None => path
            .rmatch_indices('/')
            .filter_map(|(at, _)| path.get(at..))
            .find(|rest| matches!(rest.split('/').nth(1), Some("responses" | "models"))),
    }
}

impl<'a> Endpoint<'a> {
    /// Returns the endpoint of a request with this path [below the base path](below_base); `None`
    /// if there is no such endpoint.
    pub(crate) fn parse(method: &str, path: &'a str, query: Query<'_>) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        Some(match (method, &segments[..]) {
            ("GET", ["responses", id]) if query.get("stream").as_deref() == Some("true") => {
                let after = query.get("starting_after");
                Self::Stream { id, starting_after: after.and_then(|after| after.parse().ok()) }
            }
            ("GET", ["responses", id]) => Self::Get { id },
            ("POST", ["responses", id, "cancel"]) => Self::Cancel { id },
            ("DELETE", ["responses", id]) => Self::Delete { id },
            ("GET", ["responses", id, "input_items"]) => {
                let page = Page {
                    ascending: query.get("order").as_deref() == Some("asc"),
                    after: query.get("after"),
                    limit: query.get("limit").and_then(|limit| limit.parse().ok()),
                };
                Self::InputItems { id, page }
            }
            ("GET", ["models"]) => Self::Models,
            ("GET", ["models", id]) => Self::Model { id },
            _ => return None,
        })
    }

    /// Returns the id in the path; empty if there is none.
    pub(crate) fn id(&self) -> &'a str {
        match self {
            Self::Get { id }
            | Self::Stream { id, .. }
            | Self::Cancel { id }
            | Self::Delete { id }
            | Self::InputItems { id, .. }
            | Self::Model { id } => id,
            Self::Models => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, path: &'static str, query: &str) -> Option<Endpoint<'static>> {
        Endpoint::parse(method, path, Query(query))
    }

    #[test]
    fn without_a_base_path_the_last_root_of_the_path_counts() {
        let below = below_base("/models/v1/responses/resp_1/cancel", None).unwrap();
        let cancel = parse("POST", below, "");
        assert!(matches!(cancel, Some(Endpoint::Cancel { id: "resp_1" })));
        assert_eq!(below_base("/v1/responses", None), Some(CREATE));
        assert_eq!(below_base("/v1/files", None), None);
        assert!(matches!(parse("GET", "/models", ""), Some(Endpoint::Models)));
        assert!(parse("POST", "/models", "").is_none());
        assert!(parse("GET", "/files", "").is_none());
    }

    #[test]
    fn a_base_path_must_match() {
        let below = |path| below_base(path, Some("/v1"));
        assert_eq!(below("/v1/responses"), Some(CREATE));
        assert_eq!(below("/v1/v1/responses"), Some("/v1/responses"));
        for path in ["/responses", "/v1", "/v10/responses", "/x/v1/responses", ""] {
            assert_eq!(below(path), None, "{path}");
        }
        assert_eq!(below_base("/responses", Some("")), Some(CREATE));
    }

    #[test]
    fn a_stream_is_asked_for_by_its_query() {
        let get = |query| parse("GET", "/responses/resp_1", query);
        assert!(matches!(get("stream=false&starting_after=3"), Some(Endpoint::Get { .. })));
        for (query, after) in [
            ("stream=true", None),
            ("stream=true&starting_after=3", Some(3)),
            ("stream=true&starting_after=x", None),
        ] {
            let Some(Endpoint::Stream { starting_after, id }) = get(query) else {
                panic!("not a stream: {query}")
            };
            assert_eq!((starting_after, id), (after, "resp_1"));
        }
    }
}
