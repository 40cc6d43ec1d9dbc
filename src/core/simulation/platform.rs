//! Owns the simulated platform: its connections, the owner of each token, whether it is dead, and the answers.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::chance;
use super::plan::{KINDS, Millis, PLACES, Plan, SLUGS, Status, Weather};
use crate::core::connection::Unavailable;
use crate::core::error::Kind;
use crate::core::http::Answer;
use crate::core::http::answer::Body;

/// Which connection of all.
pub type Which = usize;
/// Which token of all.
pub type TokenId = usize;
/// The number of a request, which its answer carries as the connection's id.
pub type Serial = usize;

/// The platform, and the services that take its tokens.
pub struct SimulatedPlatform {
    pub weather: Weather,
    pub tokens: Vec<Token>,
    connections: Vec<PlatformConnection>,
    lives: Vec<Option<Millis>>,
    has_jwts: bool,
    slowest: Option<Millis>,
}

pub struct Token {
    pub is_dead: bool,
    /// By the true wall clock, where the platform returns it.
    pub expires_at: Option<f64>,
}

struct PlatformConnection {
    status: Status,
    /// One, or two for a group.
    current: Vec<TokenId>,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning {
    Token(TokenId),
    Unavailable(Unavailable),
    /// A failure, and the `Retry-After` in seconds.
    Failure(Kind, Option<u64>),
}

/// How a request ends.
pub enum Reply {
    Answer(Answer, Meaning),
    /// The connection breaks.
    Broken,
    /// Nothing comes.
    Nothing,
}

impl SimulatedPlatform {
    pub fn new(plan: &Plan) -> Self {
        let mut platform = Self {
            weather: Weather::Fine,
            tokens: Vec::new(),
            connections: Vec::new(),
            lives: plan.lives.clone(),
            has_jwts: plan.has_jwts,
            slowest: plan.slowest,
        };
        for which in 0..plan.lives.len() {
            let is_group = which % PLACES / (PLACES / KINDS) == 1;
            let current = (0..1 + usize::from(is_group)).map(|_| platform.mint(which, 0.0)).collect();
            platform.connections.push(PlatformConnection { status: Status::Active, current });
        }
        platform
    }

    fn mint(&mut self, which: Which, wall: f64) -> TokenId {
        let expires_at = self.lives[which].filter(|_| wall > 0.0).map(|life| wall + life as f64);
        self.tokens.push(Token { is_dead: false, expires_at });
        self.tokens.len() - 1
    }

    /// Replaces the token, or one of them.
    pub fn rotate(&mut self, which: Which, wall: f64) -> TokenId {
        let place = chance::below(self.connections[which].current.len());
        let old = self.connections[which].current[place];
        self.tokens[old].is_dead = true;
        self.connections[which].current[place] = self.mint(which, wall);
        old
    }

    pub fn set(&mut self, which: Which, status: Status) {
        self.connections[which].status = status;
    }

    /// A token as callers see it.
    pub fn text(&self, token: TokenId) -> String {
        let end = self.tokens.get(token).and_then(|token| token.expires_at).filter(|_| self.has_jwts);
        let claims = end.map(|end| URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{}}}"#, end / 1e3)));
        claims.map_or_else(|| format!("token-{token}"), |claims| format!("e30.{claims}.token-{token}"))
    }

    /// Whether the service takes a token, which may be none of the platform's.
    pub fn accepts(&self, token: TokenId, wall: f64) -> bool {
        self.tokens.get(token).is_some_and(|Token { is_dead, expires_at, .. }| {
            !is_dead && expires_at.is_none_or(|end| wall < end)
        })
    }

    /// How long the platform takes.
    pub fn delay(&self) -> Millis {
        match self.weather {
            Weather::Slow => chance::between(300, 9_000),
            _ if self.slowest.is_some() && chance::percent(20) => {
                chance::between(1_000, self.slowest.unwrap_or_default())
            }
            _ if chance::percent(10) => chance::between(100, 900),
            _ => chance::between(0, 40),
        }
    }

    /// The reply to a request.
    pub fn reply(&mut self, serial: Serial, which: Which, wall: f64) -> Reply {
        let failure = |status, kind, retry_after: Option<u64>| {
            let retry_after_time = retry_after.map(std::time::Duration::from_secs);
            let answer = Answer { retry_after: retry_after_time, ..answer(status, "") };
            Reply::Answer(answer, Meaning::Failure(kind, retry_after))
        };
        let fate = match self.weather {
            Weather::Fine | Weather::Slow => chance::below(40),
            Weather::Mixed => chance::below(14),
            Weather::Outage => 0,
            Weather::Throttled => 1,
            Weather::WrongKeys => 2,
        };
        match fate {
            0 => failure([500, 502, 503, 504][chance::below(4)], Kind::Server, None),
            1 => {
                let retry_after = [None, Some(1), Some(9), Some(60)][chance::below(4)];
                failure(429, Kind::RateLimited, retry_after)
            }
            2 => failure(401, Kind::InvalidApiKey, None),
            3 => failure(403, Kind::Forbidden, None),
            4 => failure(404, Kind::Http, None),
            5 => failure(302, Kind::Redirect, None),
            6 => {
                let bodies =
                    ["", "null", "<html>", "{\"error\":\"no\"}", "{\"connection\":{\"enabled\":true}}"];
                let body = bodies[chance::below(bodies.len())];
                Reply::Answer(answer(200, body), Meaning::Failure(Kind::InvalidResponse, None))
            }
            7 => Reply::Broken,
            8 if chance::percent(50) => Reply::Nothing,
            _ => self.connection(serial, which, wall),
        }
    }

    fn connection(&mut self, serial: Serial, which: Which, wall: f64) -> Reply {
        let enabled = |is: bool, status: &str, more: &str| {
            let slug = SLUGS[which % SLUGS.len()];
            let body = format!(
                r#"{{"connection":{{"enabled":{is},"id":{serial}}},"connector":{{"slug":"{slug}"}},"authorization":{{"status":"{status}"{more}}}}}"#
            );
            answer(200, &body)
        };
        let (answer, meaning) = match self.connections[which].status {
            Status::Active => {
                let place = chance::below(self.connections[which].current.len());
                let mut token = self.connections[which].current[place];
                if self.tokens[token].expires_at.is_some_and(|end| end <= wall + 1_000.0) {
                    self.tokens[token].is_dead = true;
                    token = self.mint(which, wall);
                    self.connections[which].current[place] = token;
                }
                let expires_at = self.tokens[token].expires_at.filter(|_| !self.has_jwts);
                let expiry = expires_at.map(|end| format!(r#","expires_at":{end}"#));
                let text = self.text(token);
                let more = format!(r#","access_token":"{text}"{}"#, expiry.unwrap_or_default());
                (enabled(true, "active", &more), Meaning::Token(token))
            }
            Status::Pending => {
                let words = ["awaiting_callback", "retrieving_tokens"][chance::below(2)];
                (enabled(true, words, ""), Meaning::Unavailable(Unavailable::Pending))
            }
            Status::Broken => {
                (enabled(true, "error", ""), Meaning::Unavailable(Unavailable::NeedsReauthorization))
            }
            Status::NotEnabled => {
                (enabled(false, "active", ""), Meaning::Unavailable(Unavailable::NotEnabled))
            }
            Status::NotProvisioned => (answer(404, "{}"), Meaning::Unavailable(Unavailable::NotProvisioned)),
        };
        Reply::Answer(answer, meaning)
    }
}

/// The token of a text.
pub fn token_of(text: &str) -> Option<TokenId> {
    text.rsplit('.').next()?.strip_prefix("token-")?.parse().ok()
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: Body::new(body.to_owned().into()), retry_after: None, request_id: None }
}
