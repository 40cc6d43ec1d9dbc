//! Every documented answer, every other one, and what chance makes of them.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::{option, sample};
use serde_json::Value;

use super::*;
use crate::core::http::answer::Body;
use crate::core::platform::answer::MAX_DATE;

const PATH: &str = "/api/connections/{id}/{slug}";
const NOW: EpochMillis = 1_700_000_000_000.0;

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        body: Body::new(body.to_owned().into()),
        retry_after: Some(Duration::from_secs(7)),
        request_id: Some("req-1".to_owned()),
    }
}

fn verdict(body: &str) -> Result<Connection, Error> {
    judge(&answer(200, body), "https://p.test", PATH, NOW)
}

fn reason(body: &str) -> Unavailable {
    match verdict(body).unwrap().state {
        ConnectionState::Unavailable { reason, .. } => reason,
        ConnectionState::Active { .. } => panic!("active: {body}"),
    }
}

fn token(body: &str) -> (String, Option<EpochMillis>) {
    match verdict(body).unwrap().state {
        ConnectionState::Active { access_token, expires_at } => {
            (access_token.expose().to_owned(), expires_at)
        }
        ConnectionState::Unavailable { reason, .. } => panic!("{reason:?}: {body}"),
    }
}

/// An enabled connection with this authorization, in the flat and in the nested shape.
fn shapes(authorization: &str) -> [String; 2] {
    [
        format!(r#"{{"connection":{{"enabled":true}},"authorization":{authorization}}}"#),
        format!(r#"{{"connection":{{"enabled":true,"authorization":{authorization}}}}}"#),
    ]
}

#[test]
fn a_token_is_found_in_both_shapes_under_every_name() {
    for name in ["access_token", "credential", "access_credential"] {
        for body in shapes(&format!(r#"{{"status":"active","{name}":"tok"}}"#)) {
            assert_eq!(token(&body), ("tok".to_owned(), None));
        }
    }
    let [body, _] = shapes(r#"{"status":"active","access_token":"","credential":"tok"}"#);
    assert_eq!(token(&body).0, "tok");
}

#[test]
fn details_come_from_either_shape_and_ids_may_be_numbers() {
    let flat = r#"{"connection":{"enabled":true,"id":12,"x":[{}]},"connector":{"slug":"slack","name":"Slack"},
        "authorization":{"id":"a1","status":"active","access_token":"t","display_label":"me"},"more":1}"#;
    let nested = r#"{"connection":{"enabled":true,"id":"12","connector":{"slug":"slack","name":"Sl\u0061ck"},
        "authorization":{"id":"a1","status":"active","access_token":"t","display_label":"me"}}}"#;
    let expected = Details {
        slug: Some("slack".into()),
        connection_id: Some("12".into()),
        connector_name: Some("Slack".into()),
        authorization_id: Some("a1".into()),
        authorization_status: Some("active".into()),
        display_label: Some("me".into()),
    };
    for body in [flat, nested] {
        assert_eq!(verdict(body).unwrap().details, expected);
    }
}

#[test]
fn a_detail_that_cannot_be_read_costs_that_detail_and_not_the_token() {
    let body = r#"{"connection":{"enabled":true,"id":"\ud83d"},"connector":{"slug":"slack","name":"half \ud83d"},
        "authorization":{"id":{},"status":"active","access_token":"t","display_label":"\ude00 me"}}"#;
    let expected = Details {
        slug: Some("slack".into()),
        authorization_status: Some("active".into()),
        ..Details::default()
    };
    assert_eq!((token(body).0, verdict(body).unwrap().details), ("t".to_owned(), expected));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let [body, _] = shapes(&format!(r#"{{"status":"active","access_token":"t","id":{deep}}}"#));
    assert_eq!(verdict(&body).unwrap().details.authorization_id, None);
    let [body, _] = shapes(r#"{"status":"error","error_code":"revoked","error_message":"\ud83d"}"#);
    let ConnectionState::Unavailable { trouble, .. } = verdict(&body).unwrap().state else {
        panic!("active");
    };
    let Trouble { error_code, error_message, .. } = *trouble;
    assert_eq!((error_code.as_deref(), error_message), (Some("revoked"), None));
}

#[test]
fn every_state_of_the_platform_has_its_status() {
    for (status, expected) in [
        ("awaiting_callback", Unavailable::Pending),
        ("retrieving_tokens", Unavailable::Pending),
        ("error", Unavailable::NeedsReauthorization),
        ("one nobody knows", Unavailable::NeedsReauthorization),
    ] {
        for body in shapes(&format!(r#"{{"status":"{status}","access_token":""}}"#)) {
            assert_eq!(reason(&body), expected);
        }
    }
    for body in [
        r#"{"connection":{"enabled":false}}"#,
        r#"{"connection":{"enabled":false},"authorization":null}"#,
        r#"{"connection":{"enabled":false},"authorization":{"status":"active","access_token":"t"}}"#,
    ] {
        assert_eq!(reason(body), Unavailable::NotEnabled);
    }
    let unknown_owner =
        judge(&answer(404, r#" {"message":"not found"}"#), "https://p.test", PATH, NOW).unwrap();
    assert!(matches!(
        unknown_owner.state,
        ConnectionState::Unavailable { reason: Unavailable::NotProvisioned, .. }
    ));
}

#[test]
fn what_broke_is_passed_on() {
    let [body, _] = shapes(r#"{"status":"error","error_code":17,"error_message":"revoked"}"#);
    let ConnectionState::Unavailable { trouble, .. } = verdict(&body).unwrap().state else {
        panic!("active");
    };
    let Trouble { error_code, error_message, .. } = *trouble;
    assert_eq!((error_code.as_deref(), error_message.as_deref()), (Some("17"), Some("revoked")));
}

#[test]
fn what_is_no_answer_of_the_platform_is_an_error_and_is_not_repeated() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut bodies = vec![
        "",
        " ",
        "null",
        "true",
        "[]",
        "\"tok-secret\"",
        "{}",
        "<html>tok-secret</html>",
        "{\"connection\":",
        r#"{"connection":null}"#,
        r#"{"connection":[]}"#,
        r#"{"connection":{}}"#,
        r#"[null,{"enabled":false}]"#,
        r#"{"connection":[false,1,null,null]}"#,
        r#"{"connection":{"enabled":true},"authorization":["active","tok-secret",null,null]}"#,
        r#"{"connection":{"enabled":"true"}}"#,
        r#"{"connection":{"enabled":1}}"#,
        r#"{"connection":{"enabled":true}}"#,
        r#"{"connection":{"enabled":true},"authorization":"tok-secret"}"#,
        r#"{"connection":{"enabled":true},"authorization":{}}"#,
        r#"{"connection":{"enabled":true},"authorization":{"status":7}}"#,
        r#"{"connection":{"enabled":true},"authorization":{"access_token":"tok-secret"}}"#,
        r#"{"error":"tok-secret"}"#,
        r#"{"error":{"code":1},"connection":{"enabled":false}}"#,
        &deep,
    ];
    let unusable: Vec<String> =
        ["null", "\"\"", "\"  \"", "7", "{}", r#""tok\nsecret""#, r#""tok\u0000""#, r#""\ud800""#]
            .iter()
            .flat_map(|token| shapes(&format!(r#"{{"status":"active","access_token":{token}}}"#)))
            .collect();
    bodies.extend(unusable.iter().map(String::as_str));
    for body in bodies {
        let error = verdict(body).unwrap_err();
        assert_eq!(error.kind, Kind::InvalidResponse, "{body:.80}");
        assert!(!error.message.contains("secret") && !error.retryable);
    }
    let invalid_utf8 = Answer {
        body: Body::new(b"{\"connection\":{\"enabled\":false},\"x\":\"\xff\"}"[..].into()),
        ..answer(200, "")
    };
    assert!(judge(&invalid_utf8, "https://p.test", PATH, NOW).is_err());
}

#[test]
fn an_error_field_that_says_no_error_is_none() {
    for error in ["null", "false", "\"\""] {
        let body = format!(r#"{{"error":{error},"connection":{{"enabled":false}}}}"#);
        assert_eq!(reason(&body), Unavailable::NotEnabled);
    }
}

#[test]
fn every_other_status_is_an_error_with_its_code() {
    for (status, kind, retryable) in [
        (301, Kind::Redirect, false),
        (304, Kind::Redirect, false),
        (400, Kind::Http, false),
        (401, Kind::InvalidApiKey, false),
        (403, Kind::Forbidden, false),
        (404, Kind::Http, false),
        (408, Kind::Http, true),
        (409, Kind::Http, true),
        (418, Kind::Http, false),
        (425, Kind::Http, true),
        (429, Kind::RateLimited, true),
        (500, Kind::Server, true),
        (501, Kind::Server, false),
        (503, Kind::Server, true),
        (505, Kind::Server, false),
        (524, Kind::Server, true),
    ] {
        let error = judge(&answer(status, "<html>"), "https://p.test", PATH, NOW).unwrap_err();
        assert_eq!((error.kind, error.retryable), (kind, retryable), "{status}");
        assert_eq!(error.status, Some(status));
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(error.request_id.as_deref(), Some("req-1"));
    }
}

#[test]
fn an_expiry_is_read_in_every_form_in_use() {
    for (field, expected) in [
        (r#""expires_at":"2023-11-14T22:13:20Z""#, Some(NOW)),
        (r#""expires_at":"2023-11-14T23:13:20.000+01:00""#, Some(NOW)),
        (r#""expires_at":1700000000"#, Some(NOW)),
        (r#""expires_at":"1700000000""#, Some(NOW)),
        (r#""expires_at":1700000000000"#, Some(NOW)),
        (r#""expires_in":60"#, Some(NOW + 60_000.0)),
        (r#""expires_in":"60""#, Some(NOW + 60_000.0)),
        (r#""expires_at":null,"expires_in":0.5"#, Some(NOW + 500.0)),
        (r#""expires_at":1700003600,"expires_in":60"#, Some(NOW + 60_000.0)),
        (r#""expires_at":"2023-11-14T22:13:20Z","expires_in":3600"#, Some(NOW)),
        (r#""expires_at":1e300,"expires_in":60"#, Some(NOW + 60_000.0)),
        (r#""expires_at":"soon","expires_in":[1]"#, None),
        (r#""expires_in":1e300"#, None),
    ] {
        let [body, _] = shapes(&format!(r#"{{"status":"active","access_token":"t",{field}}}"#));
        assert_eq!(token(&body).1, expected, "{field}");
    }
}

/// Values that a hostile or careless platform could put in the place of any part of an answer.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        3 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
        8 => sample::select(vec![
            "",
            " ",
            "active",
            "error",
            "awaiting_callback",
            "tok-other",
            "tok\n",
            "\u{7f}"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let name = sample::select(vec!["enabled", "status", "access_token", "credential", "error", "x"]);
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((name, inner), 0..4).prop_map(|fields| {
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>()
            }),
        ]
    })
}

/// A documented answer in which some places hold something else, or nothing.
fn mutated_answer() -> impl Strategy<Value = Value> {
    let mutation = (any::<sample::Index>(), option::of(anything()));
    (any::<bool>(), vec(mutation, 0..4)).prop_map(|(is_nested, mutations)| {
        let mut body = documented(is_nested);
        for (index, replacement) in mutations {
            let mut places = Vec::new();
            list_places(&body, &mut String::new(), &mut places);
            let Some((parent, name)) = places.get(index.index(places.len().max(1))) else { continue };
            let Some(Value::Object(fields)) = body.pointer_mut(parent) else { continue };
            match replacement {
                Some(value) => fields.insert(name.clone(), value),
                None => fields.remove(name),
            };
        }
        body
    })
}

fn documented(is_nested: bool) -> Value {
    let [flat, nested] = shapes(
        r#"{"id":4711,"status":"active","access_token":"tok-secret","credential":null,"expires_in":60}"#,
    );
    serde_json::from_str(if is_nested { &nested } else { &flat }).unwrap()
}

/// Each field of each object, as the pointer to the object and the field's name.
fn list_places(value: &Value, pointer: &mut String, places: &mut Vec<(String, String)>) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        places.push((pointer.clone(), name.clone()));
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(name);
        list_places(value, pointer, places);
        pointer.truncate(length);
    }
}

proptest! {
    // Most answers stay answers after a change or two, so that it takes many to meet the rare ones.
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_bytes_make_the_parser_panic(status in any::<u16>(), body in any::<Vec<u8>>()) {
        let answer = Answer { body: Body::new(body), ..answer(status, "") };
        let _ = judge(&answer, "https://p.test", PATH, NOW);
    }

    #[test]
    fn a_verdict_says_no_more_than_the_answer(body in mutated_answer()) {
        let [authorization, connection] = ["authorization", "connection"].map(|name| &body[name]);
        let authorization =
            if authorization.is_null() { &connection["authorization"] } else { authorization };
        match verdict(&body.to_string()) {
            Ok(Connection { state: ConnectionState::Active { access_token, expires_at }, .. }) => {
                let token = access_token.expose();
                prop_assert_eq!(&connection["enabled"], &Value::Bool(true));
                prop_assert_eq!(&authorization["status"], "active");
                prop_assert!(
                    ["access_token", "credential", "access_credential"]
                        .iter()
                        .any(|name| authorization[name] == token)
                );
                prop_assert!(!is_blank(token) && !token.chars().any(char::is_control));
                prop_assert!(expires_at.is_none_or(|at| at.abs() <= MAX_DATE));
            }
            Ok(Connection { state: ConnectionState::Unavailable { reason, .. }, .. }) => {
                let is_enabled = connection["enabled"].as_bool();
                prop_assert_eq!(is_enabled, Some(reason != Unavailable::NotEnabled));
                prop_assert_ne!(reason, Unavailable::NotProvisioned);
                if is_enabled == Some(true) {
                    let status = authorization["status"].as_str();
                    prop_assert!(status.is_some_and(|status| !status.is_empty() && status != "active"));
                }
            }
            Err(error) => {
                prop_assert_eq!(error.kind, Kind::InvalidResponse);
                prop_assert!(!error.retryable && error.cause.is_none());
                prop_assert!(!error.message.contains("tok-"));
            }
        }
    }
}

#[test]
fn a_path_that_leads_elsewhere_is_told_without_the_owner() {
    for (status, body) in [(404, "<html>"), (200, "<html>"), (206, r#"{"connection":{"enabled":false}}"#)] {
        let error = judge(&answer(status, body), "https://p.test", PATH, NOW).unwrap_err();
        assert!(error.message.contains(&format!("answered {status} with")), "{error:?}");
        assert!(error.message.ends_with(&format!("(the path was {PATH})")), "{error:?}");
    }
}

#[test]
fn what_is_no_redirect_is_not_called_one() {
    for (status, words) in [
        (300, "several addresses"),
        (301, "a redirect"),
        (304, "not modified"),
        (305, "a proxy"),
        (308, "a redirect"),
    ] {
        let error = judge(&answer(status, ""), "https://p.test", PATH, NOW).unwrap_err();
        assert_eq!((error.kind, error.status), (Kind::Redirect, Some(status)));
        assert!(error.message.contains(words), "{error:?}");
        assert_eq!(error.message.contains("redirect"), words.contains("redirect"), "{error:?}");
    }
}
